"""The surface of power, memory and batch size, and the larger model, on made-up losses of the declared arms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError

from experiments.statistics import SeedMean
from experiments.studies.causes import Causes
from experiments.studies.memory import MemoryRow, read_memory
from experiments.studies.memory_samples import MemorySamples, read_memory_samples
from experiments.studies.surface import (
    BestAgainstBest,
    Surface,
    cross_fitted,
    exchange,
    read_surface,
)
from figures.report.studies import memory_section
from gradpower.tools.labels import Label
from tests.experiments.synthetic_study import write_summary

CAUSES = Path(__file__).parents[3] / "results" / "causes"


def made(folder, loss, *, noise=0.002, names=("memory-surface", "memory-batch")):
    """Write the studies' summaries, with losses of (p, ln of v's memory, batch size, rate) and noise in each arm."""
    rng = np.random.default_rng(0)

    def outcome(arm):
        given = {field.rpartition(".")[2]: value for field, value in arm.values.items()}
        steps = np.log(1 / (1 - given["beta2"]))
        mean = loss(given["power"], steps, given.get("batch_size", 2), given["learning_rate"])
        return {"loss": float(3.7 + 0.1 * arm.seed + mean + noise * rng.normal())}

    return [write_summary(folder, CAUSES / f"{name}.toml", outcome) for name in names]


def exchangeable(p, steps, size, rate):
    """A power acts at batch 2 like a memory p³ times as long, which gains 0.02 a unit of its logarithm."""
    return -0.02 * (steps + 3 * np.log(p) * (size == 2)) + abs(np.log(rate / 2.83e-3)) * 0.01


def test_a_power_that_acts_like_a_longer_memory(tmp_path):
    found = read_surface(*made(tmp_path, exchangeable, noise=1e-4))
    assert [(row.batch_size, row.beta2) for row in found.rows[:6]] == [
        (2, beta2) for beta2 in (0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
    ]
    assert [(row.batch_size, row.beta2) for row in found.rows[6:]] == [
        (size, beta2) for size in (8, 32) for beta2 in (0.95, 0.99, 0.999)
    ]
    for row in found.rows:
        gain = 0.06 * (row.batch_size == 2)
        for p, change in row.changes.items():
            assert change.mean == pytest.approx(-gain * np.log(p), abs=2e-4)
        assert row.losses[1.0].mean == pytest.approx(0.02 * np.log((1 - row.beta2) / 0.05), abs=2e-4)
    assert found.slope.mean == pytest.approx(0, abs=1e-4)
    for factor in found.exchange.values():
        assert factor is not None
        assert factor.low < np.log(1.2**3) < factor.high
        assert factor.mean == pytest.approx(np.log(1.2**3), abs=0.02)
    best, *others = found.best
    assert best.label is Label.REPRODUCED
    assert best.change.mean == pytest.approx(-0.06 * np.log(1.5), abs=1e-3)
    assert {cell[0] for cell in best.chosen} == {1.0, 1.5}
    assert {cell[1:] for cell in best.chosen} == {(0.999, 2.83e-3)}
    assert all(other.label is Label.NOT_REPRODUCED for other in others)


def test_the_small_batch_alone(tmp_path):
    paths = made(tmp_path, exchangeable)
    whole, found = read_surface(*paths), read_surface(paths[0])
    assert (found.rows, found.best, found.slope) == (whole.rows[:6], whole.best[:1], whole.slope)


def test_a_gain_that_fades(tmp_path):
    fading = made(tmp_path, lambda p, steps, size, rate: -0.01 * np.log(p) * (7 - steps))
    assert read_surface(*fading).slope.high < 0


def test_diverged_runs_count_as_if_they_had_learnt_nothing(tmp_path):
    paths = made(tmp_path, exchangeable, noise=0.0)
    content = json.loads(paths[0].read_text())
    at = {"optimizer.power": 1.2, "optimizer.beta2": 0.95, "optimizer.learning_rate": 2e-3}
    lost = next(row for row in content["arms"] if row["values"] == at)
    whole, rise = read_surface(*paths), np.log(512) - lost["loss"]
    lost |= {"status": "diverged", "loss": None, "standard_error": None}
    paths[0].write_text(json.dumps(content))
    found = read_surface(*paths)
    assert (whole.diverged, found.diverged) == (0, 1)
    moved = found.rows[1].changes[1.2].mean - whole.rows[1].changes[1.2].mean
    assert moved == pytest.approx(rise / 3 / 8)


@pytest.mark.parametrize(("others", "plain", "seeds"), [(54, 18, 8), (6, 6, 4)])
def test_a_choice_is_not_flattered_by_its_luck(others, plain, seeds):
    """Where no cell is better than another, the difference is 0 in the mean, and seldom shown to be below."""
    rng, below, means = np.random.default_rng(0), 0, []
    for _ in range(1000):
        losses = {
            (p, k, 0.0): rng.normal(size=seeds) for p, n in ((1.0, plain), (1.2, others)) for k in range(n)
        }
        change, _ = cross_fitted(losses)
        means.append(change.mean)
        below += change.high < 0
    assert np.mean(means) == pytest.approx(0, abs=4 * np.std(means) / 1000**0.5)
    assert below / 1000 < 0.06


@pytest.mark.parametrize(
    ("plain", "powered", "factor"),
    [
        ([3.0, 2.9, 2.7], 2.9, 2.0),  # as far as the next memory
        ([3.0, 2.9, 2.7], 2.8, 2.0 * 5**0.5),  # half of the way from it to the last, in the logarithm
        ([3.0, 3.5, 2.7], 2.85, 2.0 * 5 ** (0.65 / 0.8)),  # past a memory that does harm
        ([3.0, 2.9, 2.7], 2.6, None),  # no memory does as much
        ([3.0, 3.5, 2.8], 3.2, None),  # the power does harm
    ],
)
def test_how_much_longer_a_memory_does_the_same(plain, powered, factor):
    logs = np.log([0.1, 0.05, 0.01])
    shift = 0.1 * np.arange(4)
    found = exchange(logs, np.array(plain)[:, None] + shift, np.full((3, 4), powered) + shift, 0)
    assert (found and found.mean) == (factor and pytest.approx(np.log(factor)))


def test_one_seed_without_an_answer_leaves_none():
    plain = np.array([[3.0, 3.0, 3.0], [2.8, 2.8, 2.8]])
    for powered in ([2.9, 2.9, 2.5], [2.5, 2.9, 2.9]):
        assert exchange(np.log([0.1, 0.01]), plain, np.array([powered, powered]), 0) is None


@pytest.mark.parametrize(
    ("gain", "gone", "noise", "label"),
    [
        (0.04, 0.04, 0.002, Label.REPRODUCED),
        (0.04, 0.02, 0.002, Label.IN_PART),
        (0.04, -0.01, 0.002, Label.NOT_REPRODUCED),
        (0.0, 0.04, 0.002, Label.INCONCLUSIVE),
        (0.04, 0.04, 0.1, Label.INCONCLUSIVE),
    ],
)
def test_the_larger_model(tmp_path, gain, gone, noise, label):
    def loss(p, steps, size, rate):
        return -(gain - gone * (steps > 4)) * (p == 1.2)

    (path,) = made(tmp_path, loss, names=["larger"], noise=noise)
    found = read_memory(path, "causes-larger")
    assert found.label is label
    assert found.rows[0].changes[1.2].mean == pytest.approx(-gain, abs=2 * noise)
    assert found.interaction.mean == pytest.approx(gone, abs=2 * noise)
    assert found.head is not None
    assert found.head.mean == pytest.approx(0, abs=2 * noise)
    text = memory_section(Causes(larger=found))
    assert f"in a larger model: {label}.**" in text
    assert "The LLaMA has 0.64M parameters ([step 12](results/causes/design.md), 6 seeds)" in text


@pytest.mark.parametrize("label", [Label.REPRODUCED, Label.NOT_REPRODUCED, Label.INCONCLUSIVE, Label.HOLDS])
def test_the_page_has_the_surface(tmp_path, label, monkeypatch):
    surface = read_surface(*made(tmp_path, exchangeable))
    monkeypatch.setattr(BestAgainstBest, "label", label)
    surface = replace(surface, exchange={0.9: None, 0.95: surface.exchange[0.95]}, diverged=3)
    if label is Label.HOLDS:
        with pytest.raises(UndefinedError, match="no_branch_for_this_label"):
            memory_section(Causes(surface=surface))
        return
    text = memory_section(Causes(surface=surface))
    assert f"tuned Adam at batch 2: {label}.**" in text
    assert text.count("\n| 2 | 0.9") == 6
    assert text.count(" – |") == 2 * 6
    assert "(3 diverged runs count" in text
    assert "At β2 = 0.9 no memory" in text
    assert "{" not in text


def test_a_study_of_one_seed_has_no_intervals():
    change = SeedMean(1, -0.01)
    best = BestAgainstBest(2, change, ((1.2, 0.95, 2e-3), (1.0, 0.99, 2e-3)) * 2)
    assert (best.label, best.equivalence) == (Label.INCONCLUSIVE, None)
    row = MemoryRow(2, 0.95, 3.7, {1.0: change}, {1.2: change}, {})
    text = memory_section(Causes(surface=Surface((row,), change, {}, (best,), 0)))
    assert "| 2 | 1 | -0.0100 | – | 1.2, 0.95, 0.002; 1, 0.99, 0.002; " in text


@pytest.mark.parametrize(
    ("longer", "more", "power", "noise", "label", "power_label"),
    [
        (-0.05, -0.05, 0.04, 0.002, Label.REPRODUCED, Label.REPRODUCED),
        (-0.05, -0.01, 0.0, 0.002, Label.NOT_REPRODUCED, Label.NOT_REPRODUCED),
        (0.05, 0.05, 0.0, 0.002, Label.INCONCLUSIVE, Label.NOT_REPRODUCED),
        (-0.05, -0.04, 0.02, 0.1, Label.INCONCLUSIVE, Label.INCONCLUSIVE),
        (
            -0.05,
            0.03,
            0.04,
            0.002,
            Label.NOT_REPRODUCED,
            Label.INCONCLUSIVE,
        ),  # it harms, and so does the power then
    ],
)
def test_more_gradients_or_more_steps(tmp_path, longer, more, power, noise, label, power_label):
    rng = np.random.default_rng(0)

    def outcome(arm):
        split, p = arm.values["optimizer.moments"] == "split:2", arm.values["optimizer.power"]
        changed = more * split + longer * (arm.values["optimizer.beta2"] > 0.95)
        gain = (power * split - 0.04) * (p == 1.2)
        loss = float(3.7 + 0.1 * arm.seed + changed + gain + noise * rng.normal())
        return {
            "loss": loss,
            "evaluations": [{"tokens": 1, "validation_loss": loss, "update_rms": 0.2 + 0.1 * split}],
        }

    found = read_memory_samples(write_summary(tmp_path, CAUSES / "memory-samples.toml", outcome))
    assert (found.label, found.power_label) == (label, power_label)
    assert found.means["H"].mean == pytest.approx(more - longer / 2, abs=2 * noise)
    assert found.means["R"].mean == pytest.approx(power, abs=2 * noise)
    assert found.means["update: S"].mean == pytest.approx(0.3)
    text = memory_section(Causes(memory_samples=found))
    assert f"averages more gradients: {label}.**" in text
    assert f"what the power does: {power_label}.**" in text


@pytest.mark.parametrize("part", ["label", "power_label"])
def test_its_labels_have_branches(tmp_path, part, monkeypatch):
    rng = np.random.default_rng(0)

    def outcome(arm):
        return {"loss": 3.7 + 0.01 * rng.normal(), "evaluations": [{"tokens": 1, "update_rms": 0.2}]}

    path = write_summary(tmp_path, CAUSES / "memory-samples.toml", outcome)
    found = Causes(memory_samples=read_memory_samples(path))
    monkeypatch.setattr(MemorySamples, part, Label.HOLDS)
    with pytest.raises(UndefinedError, match="no_branch_for_this_label"):
        memory_section(found)
