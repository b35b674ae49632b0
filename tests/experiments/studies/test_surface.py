"""The surface of power, memory and batch size, and the larger model, on made-up losses of the declared arms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.studies.causes import Causes
from experiments.studies.memory import read_memory
from experiments.studies.surface import read_surface
from figures.report.render import render
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
        assert row.memory.mean == pytest.approx(0.02 * np.log((1 - row.beta2) / 0.05), abs=2e-4)
    assert found.slope.mean == pytest.approx(0, abs=1e-4)
    for factor, low, high in found.exchange.values():
        assert low <= factor <= high
        assert factor == pytest.approx(1.2**3, rel=0.02)
    best, *others = found.best
    assert best.label is Label.REPRODUCED
    assert best.change.mean == pytest.approx(-0.06 * np.log(1.5), abs=1e-3)
    assert {cell[0] for cell in best.chosen} == {1.0, 1.5}
    assert {cell[1:] for cell in best.chosen} == {(0.999, 2.83e-3)}
    assert all(other.label is Label.NOT_REPRODUCED for other in others)


def test_a_gain_that_fades_and_a_choice_that_is_not_flattered(tmp_path):
    """Where no cell is better than another, the best of the half that chose is not judged by the luck it had."""
    fading = made(tmp_path, lambda p, steps, size, rate: -0.01 * np.log(p) * (7 - steps))
    assert read_surface(*fading).slope.high < 0
    means = []
    for draw in range(20):
        rng = np.random.default_rng(draw)
        found = read_surface(*made(tmp_path, lambda *_, rng=rng: 0.05 * rng.normal(), noise=0.0))
        means.append(found.best[0].change.mean)
    assert np.mean(means) == pytest.approx(0, abs=3 * 0.05 * (2 / 8 / 20) ** 0.5)
    assert found.best[0].label is Label.INCONCLUSIVE
    assert np.isnan(found.exchange[0.9]).any() or found.exchange[0.9][0] > 0


@pytest.mark.parametrize(
    ("gone", "label"), [(0.04, Label.REPRODUCED), (0.02, Label.IN_PART), (-0.01, Label.NOT_REPRODUCED)]
)
def test_the_larger_model(tmp_path, gone, label):
    def loss(p, steps, size, rate):
        return -(0.04 - gone * (steps > 4)) * (p == 1.2)

    (path,) = made(tmp_path, loss, names=["larger"])
    found = read_memory(path, "causes-larger")
    assert found.label is label
    assert found.rows[0].power.mean == pytest.approx(-0.04, abs=0.004)
    assert found.interaction.mean == pytest.approx(gone, abs=0.004)
    assert found.head is not None
    assert found.head.mean == pytest.approx(0, abs=0.004)
    text = render("memory", study=found, larger=found, surface=None)
    assert f"**A larger model: {label}.**" in text
    assert "0.64M parameters (step 12, 6 seeds" in text.replace("\n", " ")


def test_the_page_has_the_surface(tmp_path):
    found = Causes(surface=read_surface(*made(tmp_path, exchangeable)))
    text = render("memory", study=None, larger=None, surface=found.surface)
    assert (
        "**That a power lowers the loss of tuned Adam, batch 2: reproduced; batch 8: not reproduced; batch 32: "
        in text
    )
    assert text.count("\n| 2 | 0.9") == 6
    assert text.count("| – | ") + text.count("| – |\n") >= 6
    assert "{" not in text
