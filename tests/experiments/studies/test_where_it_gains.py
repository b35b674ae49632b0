"""Where a power gains, by module, batch size and token: the studies' readers on made-up losses of declared arms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.studies.branching import POWER, read_branching
from experiments.studies.head import read_head_batch, read_signs
from experiments.studies.head_memory import read_head_memory
from experiments.studies.modules import read_memory_modules, read_modules
from experiments.studies.rare_tokens import read_rare_tokens
from gradpower.tools.errors import InputError
from gradpower.tools.labels import Label
from tests.experiments.synthetic_study import write_summary

CAUSES = Path(__file__).parents[3] / "results" / "causes"
TENTHS = np.arange(1, 11)


def nothing(values):
    return np.zeros(10)


def made(folder, name, loss, tenths=nothing, *, noise=0.002, calibration=nothing, draw=0, **changes):
    """Write the summary of a declared study, changed or not, with losses of one's own, and return its path."""
    rng = np.random.default_rng(draw)

    def outcome(arm):
        return {
            "loss": float(3.7 + 0.1 * arm.seed + loss(arm.values) + noise * rng.normal()),
            "loss_by_frequency": (
                5 - 0.3 * TENTHS + tenths(arm.values) + noise * rng.normal(size=10)
            ).tolist(),
            "calibration_by_frequency": (calibration(arm.values) + noise * rng.normal(size=10)).tolist(),
        }

    return write_summary(folder, CAUSES / f"{name}.toml", outcome, **changes)


def powered(values, name):
    return values[f"optimizer.{name}"] == 1.2


@pytest.mark.parametrize(
    ("effects", "gains", "label", "measured"),
    [
        ({"head": -0.03}, ["head"], Label.NOT_REPRODUCED, Label.REPRODUCED),
        ({"head": -0.03, "": -0.03}, ["head", "all else"], Label.NOT_REPRODUCED, Label.REPRODUCED),
        ({"head": 0.02, "embedding": 0.02}, [], Label.REPRODUCED, Label.NOT_REPRODUCED),
        ({"embedding": 0.02, "": -0.03}, ["all else"], Label.IN_PART, Label.INCONCLUSIVE),
        ({}, [], Label.INCONCLUSIVE, Label.INCONCLUSIVE),
    ],
)
def test_where_the_gain_is(tmp_path, effects, gains, label, measured):
    def loss(values):
        return sum(
            effect * powered(values, f"{name}_power" if name else "power") for name, effect in effects.items()
        )

    study = read_modules(made(tmp_path, "modules", loss))
    assert (study.gains, study.label, study.measured_label) == (gains, label, measured)
    everything = sum(effects.values())
    for name, expected in {
        "head": effects.get("head", 0.0),
        "embedding": effects.get("embedding", 0.0),
        "all else": effects.get("", 0.0),
        "embedding and head": everything - effects.get("", 0.0),
        "everywhere": everything,
    }.items():
        assert study.means[name].mean == pytest.approx(expected, abs=0.003)
        assert study.means[name].seeds == 8


def test_gains_by_the_frequency_of_the_target(tmp_path):
    def tenths(values):
        return (0.01 * TENTHS - 0.1) * powered(values, "power")

    modules = made(tmp_path, "modules", lambda values: 0.0, tenths)
    tokens = made(tmp_path, "tokens", lambda values: 0.0, lambda values: 0.02 * TENTHS - 0.2)
    found = read_rare_tokens(modules, tokens)
    assert found.power.slope.mean == pytest.approx(0.01, abs=5e-4)
    assert found.memory.slope.mean == pytest.approx(0.02, abs=5e-4)
    assert [mean.mean for mean in found.power.by_tenth] == pytest.approx(0.01 * TENTHS - 0.1, abs=3e-3)
    assert found.correlation > 0.99


def test_other_seeds_are_rejected(tmp_path):
    modules = made(tmp_path, "modules", lambda values: 0.0)
    tokens = made(tmp_path, "tokens", lambda values: 0.0, seeds=tuple(range(21, 29)))
    with pytest.raises(InputError, match="one of the seeds of"):
        read_rare_tokens(modules, tokens)


def test_losses_without_tenths_are_rejected(tmp_path):
    modules = made(tmp_path, "modules", lambda values: 0.0)
    tokens = made(tmp_path, "tokens", lambda values: 0.0)
    text = tokens.read_text()
    tokens.write_text(text.replace('"loss_by_frequency": [', '"loss_by_frequency": [\n null,', 1))
    with pytest.raises(InputError, match="a loss in every tenth"):
        read_rare_tokens(modules, tokens)


@pytest.mark.parametrize(
    ("effects", "gains", "label"),
    [
        ({"head": -0.03}, ["head"], Label.REPRODUCED),
        ({"head": -0.03, "": -0.01}, ["head", "all else"], Label.REPRODUCED),
        ({"head": -0.03, "": -0.03}, ["head", "all else"], Label.IN_PART),
        ({"embedding": -0.03, "": -0.02}, ["embedding", "all else"], Label.NOT_REPRODUCED),
        ({"embedding": -0.03}, ["embedding"], Label.INCONCLUSIVE),
        ({"head": 0.03}, [], Label.NOT_REPRODUCED),
    ],
)
def test_where_a_longer_memory_gains(tmp_path, effects, gains, label):
    def loss(values):
        return sum(
            effect * (values[f"optimizer.{name}_beta2" if name else "optimizer.beta2"] == 0.99)
            for name, effect in effects.items()
        )

    study = read_memory_modules(made(tmp_path, "memory-modules", loss))
    assert (study.gains, study.label, study.diverged) == (gains, label, 0)
    assert list(study.adjusted) == ["head", "embedding", "all else", "head less all else"]
    assert study.means["everywhere"].mean == pytest.approx(sum(effects.values()), abs=0.003)


@pytest.mark.parametrize(
    ("gains", "noise", "label"),
    [
        ((0.04, 0.02, 0.0), 0.002, Label.REPRODUCED),
        ((0.04, 0.04, 0.04), 0.002, Label.IN_PART),
        ((0.0, 0.0, 0.0), 0.002, Label.NOT_REPRODUCED),
        ((0.0, 0.0, 0.0), 0.1, Label.INCONCLUSIVE),
    ],
)
def test_the_heads_gain_by_batch_size(tmp_path, gains, noise, label):
    by_batch = dict(zip((2, 8, 32), gains, strict=True))

    def loss(values):
        return -by_batch[values["training.batch_size"]] * powered(values, "head_power")

    found = read_head_batch(made(tmp_path, "head-batch", loss, noise=noise))
    assert found.label is label
    for size, gain in by_batch.items():
        assert found.changes[size].mean == pytest.approx(-gain, abs=2 * noise)
    assert found.difference.mean == pytest.approx(gains[0] - gains[2], abs=3 * noise)


@pytest.mark.parametrize(
    ("changes", "noise", "label"),
    [
        ((-0.04, 0.03, 0.05), 0.002, Label.REPRODUCED),
        ((-0.04, -0.02, 0.0), 0.002, Label.IN_PART),
        ((-0.04, -0.04, 0.0), 0.002, Label.NOT_REPRODUCED),
        ((0.0, 0.03, 0.0), 0.002, Label.INCONCLUSIVE),
        ((-0.04, 0.03, 0.0), 0.1, Label.INCONCLUSIVE),
    ],
)
def test_the_heads_gain_by_the_form_of_the_noise(tmp_path, changes, noise, label):
    by_form = dict(zip(("own", "random-signs", "shuffled"), changes, strict=True))

    def loss(values):
        return by_form[values["optimizer.added_noise"].partition(":")[0]] * powered(values, "head_power")

    found = read_signs(made(tmp_path, "signs", loss, noise=noise))
    assert found.label is label
    for form, change in by_form.items():
        assert found.changes[form].mean == pytest.approx(change, abs=2 * noise)


@pytest.mark.parametrize(("begins", "noise"), [(400, 0.001), (0, 0.001), (1700, 0.001), (400, 0.05)])
def test_from_when_on_a_branch_gains(tmp_path, begins, noise):
    """The gain grows from a step after the branch on; before the branch both arms of a seed are the same."""
    rng = np.random.default_rng(1)

    def outcome(arm):
        shared, steps = np.random.default_rng(arm.seed), np.arange(50, 2001, 50)
        powered_since = np.maximum(0, steps - 300 - begins) * (arm.values["optimizer.power"] == POWER)
        losses = 5 - steps / 1000 + 0.05 * shared.normal(size=40) - 1e-4 * powered_since
        losses += noise * rng.normal(size=40) * (steps > 300)
        rows = [
            {"tokens": 256 * step, "validation_loss": loss, "update_rms": arm.values["optimizer.power"]}
            for step, loss in zip(steps.tolist(), losses.tolist(), strict=True)
        ]
        return {"loss": rows[-1]["validation_loss"], "evaluations": rows}

    path = write_summary(tmp_path, CAUSES / "branching.toml", outcome)
    found = read_branching(path, CAUSES / "memory.json")
    assert list(found.changes) == list(range(50, 1701, 50))
    gain = -1e-4 * max(0, 1700 - begins)
    assert found.changes[1700].mean == pytest.approx(gain, abs=2 * noise)
    if begins == 1700:
        assert found.gains_from is None or found.gains_from > 1500
    elif noise < 0.01:
        assert begins < found.gains_from <= begins + 100
    else:
        assert found.gains_from > begins
    assert found.label is (Label.REPRODUCED if noise < 0.01 else Label.INCONCLUSIVE)
    assert found.shrunk == pytest.approx(POWER)
    assert found.spread == pytest.approx(noise * 2**0.5 / 0.0417, rel=0.6)


@pytest.mark.parametrize(
    ("power", "memory", "both", "rare", "labels"),
    [
        (-0.04, -0.04, 0.04, 0.04, (Label.REPRODUCED, Label.REPRODUCED)),
        (-0.04, -0.04, 0.02, 0.04, (Label.IN_PART, Label.REPRODUCED)),
        (-0.04, 0.0, 0.0, 0.04, (Label.NOT_REPRODUCED, Label.IN_PART)),
        (0.0, 0.0, 0.0, 0.0, (Label.INCONCLUSIVE, Label.INCONCLUSIVE)),
        (-0.04, 0.04, 0.0, 0.04, (Label.NOT_REPRODUCED, Label.NOT_REPRODUCED)),
    ],
)
def test_power_and_memory_of_the_head(tmp_path, power, memory, both, rare, labels):
    """`both` is what the two together lose of the sum of what each changes."""

    def loss(values):
        longer, raised = values["optimizer.head_beta2"] == 0.99, powered(values, "head_power")
        return power * raised + memory * longer + both * raised * longer

    def calibration(values):
        return np.full(10, 0.1 + rare * powered(values, "head_power"))

    found = read_head_memory(made(tmp_path, "head-memory", loss, calibration=calibration, draw=1))
    assert (found.label, found.bias_label) == labels
    expected = {"A": power + both, "B": memory, "C": both, "D": rare}
    for name, value in expected.items():
        assert found.endpoints.means[name].mean == pytest.approx(value, abs=0.004)
    assert found.changes[0.99, 0.95].mean == pytest.approx(power, abs=0.004)


def test_arms_that_say_nothing_of_rare_tokens_are_rejected(tmp_path):
    path = made(tmp_path, "head-memory", lambda values: 0.0)
    path.write_text(
        path.read_text().replace('"calibration_by_frequency": [', '"calibration_by_frequency": [\n null,')
    )
    with pytest.raises(InputError, match="how often each tenth is predicted"):
        read_head_memory(path)
