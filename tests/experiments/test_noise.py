"""Gradient noise measured at tiny models, against plain loops over whole gradients."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from experiments.noise import prediction
from experiments.noise.measurement import SCHEMA, Settings, measure, read_measurement, write_measurement
from experiments.noise.modules import noise_modules
from experiments.noise.moments import Moments
from experiments.noise.prediction import Measured, predictions, why_not
from experiments.noise.source import Source, find_source
from experiments.noise.statistics import ShapeFit, second_shape
from experiments.recipes.fields import with_fields
from experiments.recipes.named import recipe
from experiments.training.execution import Execution
from experiments.training.loop import train
from experiments.training.models import build_model
from experiments.training.records import write_recipe
from gradpower.tools.errors import InputError
from tests.experiments.corpora import small_recipe, write_text
from theory.measured.micro_batch_gradients import MicroBatchGradients, jackknife_error
from theory.prediction.predicted_power import AdamSettings

pytestmark = pytest.mark.slow

SETTINGS = Settings(micro_batches=16, micro_batch_size=2, batch_sizes=(2, 20), coordinates=150, seed=5)


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    return write_text(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Execution:
    return Execution(device="cpu", threads=1, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def measured(text, here):
    return measure(Source(small_recipe(text), 0, None), SETTINGS, execution=here)


@pytest.fixture(scope="module")
def gradients(text, here) -> dict[str, np.ndarray]:
    """Whole gradients of the same micro-batches by a plain loop: (N, coordinates) by module, and the larger ones."""
    from experiments.corpora import open_data

    made = small_recipe(text)
    data = open_data(made.data, seed=5 + 1_000_003, sequences=1, vocabulary=300, cache=here.cache)
    model = build_model(made.model, seed=0, length=32)
    modules = noise_modules(model)
    found: dict[str, list] = {}
    for size, count in ((2, 16), (8, 8)):
        for _ in range(count):
            batch = data.next_batch(size)
            model.zero_grad()
            logits = model(input_ids=batch.inputs).logits
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten()).backward()
            for name, parameters in modules.items():
                flat = torch.cat([p.grad.flatten() for p in parameters]).double().numpy()
                found.setdefault(f"{name} {size}", []).append(flat)
    return {name: np.stack(rows) for name, rows in found.items()}


@pytest.mark.parametrize("order", [2, 4])
def test_moments_are_those_of_two_passes(order):
    samples = np.random.default_rng(0).standard_gamma(0.5, (40, 7)) * 1e-7 + np.linspace(-1, 1, 7) * 1e-5
    moments = Moments(torch.zeros(7), order=order)
    for row in samples:
        moments.update(torch.from_numpy(row))
    centred = samples - samples.mean(axis=0)
    assert np.allclose(moments.mean.numpy(), samples.mean(axis=0), rtol=1e-13)
    for k, central in enumerate(moments.central, start=2):
        assert np.allclose(central.numpy(), (centred**k).sum(axis=0), rtol=1e-9)


@pytest.mark.parametrize("name", ["pocket", "pocket-moe", "llama-66m"])
def test_every_parameter_belongs_to_one_module(name):
    with torch.device("meta"):
        model = build_model(recipe(name).model, seed=0, length=16)
    modules = noise_modules(model)
    owned = [p for parameters in modules.values() for p in parameters]
    assert len(owned) == len(set(owned)) == len(list(model.parameters()))
    assert {"norm", "embedding", "head", "qk", "vo", "mlp"} <= set(modules)
    assert ({"router", "experts"} <= set(modules)) == (name == "pocket-moe")


def test_signal_and_noise_are_those_of_a_plain_loop(measured, gradients):
    content, _ = measured
    norms = np.zeros(16)
    for row in content["modules"]:
        g = gradients[f"{row['module']} 2"]
        a, b = g[::2], g[1::2]
        assert row["signal"] == pytest.approx(float((a.mean(0) * b.mean(0)).sum()), rel=1e-4)
        within = ((a - a.mean(0)) ** 2).sum() + ((b - b.mean(0)) ** 2).sum()
        assert row["noise"] == pytest.approx(float(within / 14), rel=1e-4)
        assert row["zero_entries"] == pytest.approx(float(np.mean(g == 0)), abs=1e-9)
        assert row["coordinates"] == g.shape[1]
        norms += (g**2).sum(axis=1)
    norm = content["noise_scale"]["norms"]
    large = sum((gradients[f"{row['module']} 8"] ** 2).sum(axis=1) for row in content["modules"])
    assert norm["signal"] == pytest.approx((8 * large.mean() - 2 * norms.mean()) / 6, rel=1e-4)
    assert norm["noise"] == pytest.approx((norms.mean() - large.mean()) / (1 / 2 - 1 / 8), rel=1e-4)


def test_two_ways_to_the_noise_scale_agree(measured):
    scale = measured[0]["noise_scale"]
    norms, trace = scale["norms"], scale["trace"]
    assert abs(norms["noise"] - trace["noise"]) < 4 * norms["noise_error"]
    assert abs(norms["signal"] - trace["signal"]) < 4 * norms["signal_error"]
    assert trace["interval"][0] < trace["simple"] < trace["interval"][1]


def test_sampled_gradients_are_coordinates_of_the_gradients(measured, gradients):
    _, raw = measured
    for name in raw.modules:
        sampled, whole = raw.first.array(name), gradients[f"{name} 2"].astype(np.float32)
        assert sampled.shape == (16, min(150, whole.shape[1]))
        rows = {column.tobytes() for column in np.ascontiguousarray(np.round(whole.T, 7))}
        found = [column.tobytes() in rows for column in np.ascontiguousarray(np.round(sampled.T, 7))]
        assert np.mean(found) > 0.9  # all but what rounding to 7 digits tears apart


def test_noise_falls_as_one_over_the_root_of_the_batch(measured):
    for row in measured[0]["modules"]:
        second = row["second_size"]
        assert abs(second["ratio"] - 1) < 4 * second["standard_error"] + 0.05
    # Together they bite: the inverse-variance mean is known to a few percent.
    ratios, errors = (
        np.array([row["second_size"][key] for row in measured[0]["modules"]])
        for key in ("ratio", "standard_error")
    )
    pooled = 1 / np.sqrt((1 / errors**2).sum())
    assert pooled < 0.06
    assert abs((ratios / errors**2).sum() * pooled**2 - 1) < 4 * pooled


def test_other_batch_sizes(measured):
    content, _ = measured
    small, large = content["batch_sizes"]
    assert large["modules"][0]["noise_to_signal"] == pytest.approx(
        small["modules"][0]["noise_to_signal"] * np.sqrt(2 / 20)
    )
    trace = content["noise_scale"]["trace"]
    norm = np.sqrt(trace["signal"] + trace["noise"] / 20)
    assert large["gradient_norm"] == pytest.approx(norm)
    assert large["clip_factor"] == pytest.approx(min(1.0, 1.0 / norm), rel=1e-5)


def test_predictions_are_there_or_say_why_not(measured):
    rows = {(r["batch_size"], r["law"], r["module"], r["objective"]): r for r in measured[0]["predictions"]}
    for law in ("uniform", "generalized-normal", "empirical", "direct"):
        row = rows[2, law, "all", "equal learning rate"]
        # The curve, which is written beside it, has its maximum there, whatever its sign at 1.
        spacing = row["powers"][1] - row["powers"][0]
        at_one = np.interp(1.0, row["powers"], row["curve"])
        best = row["powers"][int(np.argmax(np.array(row["curve"]) * np.sign(at_one)))]
        assert row["power"] == pytest.approx(best, abs=spacing)
    assert rows[2, "uniform", "vo", "equal RMS"]["reason"] is None
    assert rows[20, "uniform", "all", "equal RMS"]["reason"] == "needs 20 micro-batches or more"


@pytest.fixture(scope="module")
def laplace():
    """Micro-batches of Laplace noise, of the size whose mean is 0.3 of its σ, and its settings."""
    rng = np.random.default_rng(3)
    data = MicroBatchGradients("m", 1e-3 * (0.3 + rng.laplace(size=(64, 400)) / np.sqrt(2)), 400)
    return Measured((data,), {"m": ShapeFit(1.0, 0.0, False)}, 2, AdamSettings(), {2: 1.0, 16: 1.0}, 0)


def curve(measured, law):
    """The curve of all modules at the smallest batch size, by one law."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction, "LAWS", (law,))
        rows = predictions(measured)
    return np.array(next(row["curve"] for row in rows if row["module"] == "all"))


def test_a_shape_is_averaged_towards_the_gaussian(laplace):
    """A shape that averaging takes to Laplace's at 8 times the size predicts as Laplace's, there, at that σ."""
    from theory.measured.shape_fit import averaged_shape

    sharper = float(brentq(lambda b: averaged_shape(b, 8.0) - 1.0, 0.3, 1.0))
    shifted = replace(laplace, shapes={"m": ShapeFit(sharper, 0.0, False)}, clip_factors={16: 1.0})
    held = replace(laplace, clip_factors={16: 1.0})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction, "averaged_shape", lambda shape, times: shape)
        expected = curve(held, "generalized-normal")
    assert np.allclose(curve(shifted, "generalized-normal"), expected, rtol=1e-6)
    assert not np.allclose(curve(held, "generalized-normal"), expected, rtol=1e-3)


def test_matched_epsilon_takes_epsilon_out(laplace):
    """ε^p moves with the powered gradient: at a tiny ε the plain and the matched curve agree, at a large one not."""
    one = replace(laplace, clip_factors={2: 1.0})
    curves = {
        (epsilon, match): curve(
            replace(one, adam=AdamSettings(epsilon=epsilon, match_epsilon=match)), "uniform"
        )
        for epsilon in (1e-20, 1e-3)
        for match in (False, True)
    }
    assert np.allclose(curves[1e-20, False], curves[1e-20, True], rtol=1e-4)
    assert not np.allclose(curves[1e-3, False], curves[1e-3, True], rtol=1e-3)


def test_the_shape_at_the_larger_size_is_that_of_averages():
    rng = np.random.default_rng(1)
    samples = rng.laplace(size=(256, 4, 600)).mean(axis=1)
    found = second_shape(ShapeFit(1.0, 0.01, False), MicroBatchGradients("m", samples, 600), 4)
    assert abs(found["shape"] - 1.0) > 10 * found["shape_error"]
    assert found["expected_shape"] == pytest.approx(1.505, abs=1e-3)
    # The family of generalized normal laws is not closed under averaging: kurtosis agrees, the shape nearly.
    assert found["shape"] == pytest.approx(found["expected_shape"], abs=0.1)


def test_why_there_is_no_prediction():
    data = MicroBatchGradients("m", np.random.default_rng(0).standard_normal((32, 3)), 3)
    about = Measured((data,), {}, 2, AdamSettings(), {}, 0)
    assert why_not(about, 3, "generalized-normal") is None
    assert "a multiple of the micro-batch size 2" in str(why_not(about, 3, "empirical"))
    assert why_not(about, 8, "empirical") is None
    assert why_not(about, 8, "direct") == "needs 64 micro-batches or more"


def test_the_file_comes_back(measured, tmp_path):
    content, raw = measured
    noise, samples = write_measurement(tmp_path, content, raw)
    assert read_measurement(tmp_path) == json.loads(noise.read_text()) == content
    assert content["schema"] == SCHEMA
    assert content["data"]["fingerprint"]
    with np.load(samples) as arrays:
        assert np.array_equal(arrays["qk"], raw.first.array("qk"))
    with pytest.raises(InputError, match="a file of schema gradpower/noise"):
        read_measurement(samples)


def test_a_checkpoint_is_measured_at_its_own_weights(text, here, tmp_path):
    made = small_recipe(text, "pocket-moe", training__steps=6, training__evaluate_every=6)
    run = Execution(device="cpu", threads=1, cache=here.cache, checkpoint_steps=4)
    train(made, tmp_path, execution=run)
    newest, earlier = find_source(str(tmp_path)), find_source(str(tmp_path), 4)
    assert (newest.step, earlier.step) == (6, 4)
    assert find_source(str(newest.checkpoint)) == newest
    assert find_source(str(tmp_path / "recipe.json")).step == find_source(str(tmp_path), 0).step == 0
    first, later = (dict(s.model().named_parameters()) for s in (find_source(str(tmp_path), 0), newest))
    assert any(not torch.equal(first[name], later[name]) for name in first)
    with pytest.raises(InputError, match="step: 5 is not allowed; expected one of 0, 4, 6"):
        find_source(str(tmp_path), 5)
    with pytest.raises(InputError, match="is a checkpoint"):
        find_source(str(newest.checkpoint), 4)
    (newest.checkpoint / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="a whole checkpoint"):
        newest.model()
    (tmp_path / "recipe.json").unlink()
    write_recipe(tmp_path, with_fields(made, {"optimizer.power": 1.5}))
    other = find_source(str(tmp_path), 4)
    with pytest.raises(InputError, match="a checkpoint of the recipe beside it"):
        other.model()


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"the folder of a run with its recipe\.json and a checkpoint"):
        find_source(str(tmp_path))
    with pytest.raises(InputError, match=r"\(did you mean pocket\?\)"):
        find_source("pokcet")
    with pytest.raises(InputError, match="given for the folder of a run only"):
        find_source("pocket", 3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"micro_batches": 7}, "micro_batches: 7 is not allowed; expected a whole number >= 8"),
        ({"micro_batch_size": 0}, "micro_batch_size: 0"),
        ({"batch_sizes": ()}, "batch_sizes: none"),
        ({"batch_sizes": (8, 0)}, "batch_sizes: 8 0"),
        ({"seed": -1}, "seed: -1"),
    ],
)
def test_bad_settings_are_one_line(changed, said):
    with pytest.raises(InputError, match=said):
        Settings(**changed)


def test_too_little_text_is_refused_before_any_pass(text, here):
    with pytest.raises(InputError, match=r"micro_batches: 4096 .* 16384 sequences are needed, \d+ are there"):
        measure(Source(small_recipe(text), 0, None), Settings(4096, 2), execution=here)


def test_the_mixture_has_its_own_modules(text, here):
    made = small_recipe(text, "pocket-moe")
    settings = Settings(micro_batches=8, micro_batch_size=1, batch_sizes=(8,), coordinates=40)
    content, _ = measure(Source(made, 0, None), settings, execution=here)
    assert [row["module"] for row in content["modules"]][-3:] == ["router", "experts", "mlp"]
    assert all(row["reason"] for row in content["predictions"])  # 8 micro-batches are too few for B = 8


def test_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(0).standard_normal(20)
    without = (values.sum() - values) / 19
    assert jackknife_error(without) == pytest.approx(values.std(ddof=1) / np.sqrt(20))
