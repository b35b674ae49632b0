"""Gradient noise measured at tiny models, against plain loops over whole gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from experiments.noise.gradients import noise_modules
from experiments.noise.measurement import NOISE, Settings, measure, write_measurement
from experiments.noise.replay import Optimizer, predict
from experiments.noise.source import Source, find_source
from experiments.recipes.fields import with_fields
from experiments.recipes.named import recipe
from experiments.training.execution import Execution
from experiments.training.loop import train
from experiments.training.models import build_model
from experiments.training.records import write_recipe
from gradpower.tools.errors import InputError
from tests.experiments.texts import small_recipe
from theory.measured.micro_batch_gradients import MicroBatchGradients

pytestmark = pytest.mark.slow

SETTINGS = Settings(micro_batches=16, micro_batch_size=2, batch_sizes=(2, 20), coordinates=150, seed=5)


@pytest.fixture(scope="module")
def measured(text, here):
    return measure(Source(small_recipe(text)), SETTINGS, execution=here)


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


@pytest.mark.parametrize("name", ["pocket", "pocket-moe", "llama-66m"])
def test_every_parameter_belongs_to_one_module(name):
    with torch.device("meta"):
        model = build_model(recipe(name).model, seed=0, length=16)
    modules = noise_modules(model)
    owned = [p for parameters in modules.values() for p in parameters]
    assert len(owned) == len(set(owned)) == len(list(model.parameters()))
    assert {"norm", "embedding", "head", "qk", "vo", "mlp"} <= set(modules)
    assert ({"router", "experts"} <= set(modules)) == (name == "pocket-moe")


def test_ratios_and_norms_are_those_of_a_plain_loop(measured, gradients):
    found, _ = measured
    norms = np.zeros(16)
    for row in found.modules:
        g = gradients[f"{row.module} 2"]
        noise = ((g - g.mean(0)) ** 2).sum() / 15
        signal = (g.mean(0) ** 2).sum() - noise / 16
        assert row.noise_to_signal == pytest.approx(float(np.sqrt(noise / signal)), rel=1e-4)
        assert row.low < row.noise_to_signal < row.high
        assert row.zero_entries == pytest.approx(float(np.mean(g == 0)), abs=1e-9)
        assert row.coordinates == g.shape[1]
        norms += (g**2).sum(axis=1)
    large = sum((gradients[f"{row.module} 8"] ** 2).sum(axis=1) for row in found.modules)
    assert found.norms.signal == pytest.approx((8 * large.mean() - 2 * norms.mean()) / 6, rel=1e-4)
    assert found.norms.noise == pytest.approx((norms.mean() - large.mean()) / (1 / 2 - 1 / 8), rel=1e-4)


def test_two_ways_to_the_noise_scale_agree(measured):
    norms, trace = measured[0].norms, measured[0].trace
    assert trace.low < trace.simple < trace.high
    assert norms.low < trace.high
    assert trace.low < norms.high


def test_sampled_gradients_are_coordinates_of_the_gradients(measured, gradients):
    _, samples = measured
    for name, sampled in samples.items():
        whole = gradients[f"{name} 2"].astype(np.float32)
        assert sampled.shape == (16, min(150, whole.shape[1]))
        rows = {column.tobytes() for column in np.ascontiguousarray(np.round(whole.T, 7))}
        found = [column.tobytes() in rows for column in np.ascontiguousarray(np.round(sampled.T, 7))]
        assert np.mean(found) > 0.9  # all but what rounding to 7 digits tears apart


def test_noise_falls_as_one_over_the_root_of_the_batch(measured):
    ratios, errors = (
        np.array([getattr(row, part) for row in measured[0].modules])
        for part in ("second_size", "second_size_error")
    )
    assert np.all(abs(ratios - 1) < 4 * errors + 0.05)
    # Together they bite: the inverse-variance mean is known to a few percent.
    pooled = 1 / np.sqrt((1 / errors**2).sum())
    assert pooled < 0.06
    assert abs((ratios / errors**2).sum() * pooled**2 - 1) < 4 * pooled


def test_predictions_are_those_of_the_sampled_gradients(measured):
    found, samples = measured
    coordinates = {row.module: row.coordinates for row in found.modules}
    modules = [MicroBatchGradients(name, rows, coordinates[name]) for name, rows in samples.items()]
    adam = found.recipe.optimizer
    optimizer = Optimizer(adam.beta1, adam.beta2, adam.epsilon, adam.clip_norm)
    expected = [row for size in (2, 20) for row in predict(modules, size, 2, optimizer, seed=SETTINGS.seed)]
    assert list(found.predictions) == expected
    assert [row.module for row in found.predictions][:2] == ["all", found.modules[0].module]


def test_the_file_comes_back(measured, tmp_path):
    found, samples = measured
    noise, packed = write_measurement(tmp_path, found, samples)
    again = NOISE.read(tmp_path)
    assert (again.recipe, again.settings, again.data) == (found.recipe, SETTINGS, found.data)
    assert again.modules[0].ratios == pytest.approx(found.modules[0].ratios)
    assert [row.power for row in again.predictions] == pytest.approx([row.power for row in found.predictions])
    with np.load(packed) as arrays:
        assert np.array_equal(arrays["qk"], samples["qk"])
    with pytest.raises(InputError, match="a file of schema gradpower/noise"):
        NOISE.read(packed)
    noise.write_text(noise.read_text().replace('"naive_ratios"', '"naive"', 1))
    with pytest.raises(InputError, match="naive_ratios"):
        NOISE.read(noise)


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
        ({"batch_sizes": (8, 4)}, "batch_sizes: 8 4"),
        ({"seed": -1}, "seed: -1"),
    ],
)
def test_bad_settings_are_one_line(changed, said):
    with pytest.raises(InputError, match=said):
        Settings(**changed)


def test_too_little_text_is_refused_before_any_pass(text, here):
    with pytest.raises(InputError, match=r"micro_batches: 4096 .* 16384 sequences are needed, \d+ are there"):
        measure(Source(small_recipe(text)), Settings(4096, 2), execution=here)


def test_the_mixture_has_its_own_modules(text, here):
    made = small_recipe(text, "pocket-moe")
    settings = Settings(micro_batches=8, micro_batch_size=1, batch_sizes=(8,), coordinates=40)
    found, _ = measure(Source(made), settings, execution=here)
    assert [row.module for row in found.modules][-3:] == ["router", "experts", "mlp"]
