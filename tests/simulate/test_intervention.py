"""The intervention: exact gradients, paired noise, the statistics of its calibration, and the command."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradpower.__main__ import main
from gradpower.tools.labels import Label
from simulate.intervention.descent import Arm, descend
from simulate.intervention.network import COORDINATES, initial_weights, loss_and_gradient
from simulate.intervention.study import INTERVENTION, Cell, Change, Design, calibrated, run_cell
from theory.adam.noise_equivalent import PURE_NOISE, long_run_update
from theory.laws import parse_law

CHANGE = Change("uniform", 8.0, 1.2, 30.0, 1.06, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.03, at_edge=False)


def test_the_gradient_is_that_of_finite_differences():
    weights = initial_weights(np.random.default_rng(0), 2)
    _, gradient = loss_and_gradient(weights)
    for index in (0, 255, 260, 300, 431, COORDINATES - 1):
        step = np.zeros_like(weights)
        step[:, index] = 1e-5
        up, down = (loss_and_gradient(weights + s)[0] for s in (step, -step))
        assert gradient[:, index] == pytest.approx((up - down) / 2e-5, abs=1e-9)


def test_copies_do_not_see_each_other():
    arms = [Arm(1.2, 2.0, 0.03), Arm(0.8, 8.0, 0.02)]
    law = parse_law("laplace")
    together = descend(law, arms, [0, 1], 20)[0]
    alone = descend(law, arms[1:], [1], 20)[0]
    assert together[1, 1] == pytest.approx(alone[0, 0], rel=1e-12)


def test_a_power_of_binary_noise_is_that_of_its_own_size():
    """q = p for binary noise: on a fixed gradient, p = 2 at σ moves as p = 1 at σ/2 does."""
    law = parse_law("binary")
    loss = descend(law, [Arm(1.0, 16.0, 0.01), Arm(2.0, 32.0, 0.01)], range(4), 300)[0]
    other = descend(law, [Arm(1.0, 32.0, 0.01)], range(4), 300)[0]
    assert np.all(abs(loss[1] - loss[0]) < 0.25 * abs(other[0] - loss[0]))


def cells(slope, rng, noise=1e-3, seeds=16):
    """Cells whose measured changes are `slope` times the predicted ones, with noise of one scale per change."""
    made = []
    for size in (-0.02, 0.005, 0.03):
        predicted = size + noise * rng.standard_normal((2, seeds)) / 4
        measured = slope * size + noise * rng.standard_normal((2, seeds))
        gaps = (measured - predicted).std(axis=1, ddof=1) / np.sqrt(seeds)
        changes = tuple(
            replace(CHANGE, measured=float(m), predicted=float(p), gap_error=float(e))
            for m, p, e in zip(measured.mean(axis=1), predicted.mean(axis=1), gaps, strict=True)
        )
        made.append(Cell(changes, tuple(map(tuple, measured)), tuple(map(tuple, predicted))))
    return made


def test_the_slope_is_recovered_and_its_interval_covers():
    rng = np.random.default_rng(0)
    found = [calibrated(cells(0.9, rng)) for _ in range(200)]
    assert np.mean([f.slope for f in found]) == pytest.approx(0.9, abs=0.005)
    assert 0.89 < np.mean([f.low < 0.9 < f.high for f in found]) < 0.99
    assert 0.89 < np.mean([f.jackknife[0] < 0.9 < f.jackknife[1] for f in found]) < 0.99
    assert all(f.label is Label.REPRODUCED for f in found)


@pytest.mark.parametrize(
    ("slope", "label"), [(0.5, Label.IN_PART), (0.0, Label.NOT_REPRODUCED), (-1.0, Label.NOT_REPRODUCED)]
)
def test_labels(slope, label):
    assert calibrated(cells(slope, np.random.default_rng(1))).label is label


def test_the_command_goes_on_where_it_was_interrupted(tmp_path, capsys):
    words = ["simulate", "intervention", "--levels", "8", "--seeds", "4", "--steps", "120", "--powers", "1.5"]
    words += ["--workers", "1", "--output", str(tmp_path)]
    assert main([*words, "--laws", "uniform", "laplace"]) == 0
    assert "measured over predicted" in capsys.readouterr().out
    found = INTERVENTION.read(tmp_path)
    assert [cell.changes[0].law for cell in found.cells] == ["uniform", "laplace"]
    assert found.cells[0].changes[0].equivalent > 1 > found.cells[1].changes[0].equivalent
    assert calibrated(found.cells).count == sum(cell.changes[0].strong for cell in found.cells) == 2
    (kept,) = tmp_path.glob("intervention-*.jsonl")
    lines = kept.read_text().splitlines()
    kept.write_text(lines[0] + "\n" + lines[1][:40])
    assert main([*words, "--laws", "uniform", "laplace"]) == 0
    assert INTERVENTION.read(tmp_path).cells == found.cells


def test_memories_are_compared_as_powers_are():
    """Under heavy tails a longer memory acts like more noise, and by theory as much more as was derived."""
    design = Design(powers=(1.2,), memories=(0.9, 0.999), seeds=4, steps=300)
    assert design.settings == [(1.2, 0.95), (1.0, 0.9), (1.2, 0.9), (1.0, 0.999), (1.2, 0.999)]
    cell = run_cell("generalized-normal:0.5", 24.0, design)
    assert [(change.power, change.beta2) for change in cell.changes] == design.settings
    law = parse_law("generalized-normal:0.5")
    base = long_run_update(1.0, PURE_NOISE, 1.0, law).progress
    for change in cell.changes:
        own = long_run_update(change.power, PURE_NOISE, 1.0, law, beta2=change.beta2).progress
        assert change.equivalent == pytest.approx(own / base, rel=1e-9)
        assert np.sign(change.measured) == np.sign(change.predicted) == np.sign(1 - change.equivalent)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--laws", "two-point:0.2"], "laws: two-point:0.2"),
        (["--powers", "1.0"], "powers: 1"),
        (["--levels", "0"], "levels: 0"),
        (["--seeds", "3"], "seeds: 3"),
        (["--memories", "0.95"], "memories: 0.95"),
        (["--memories", "1.0"], "memories: 1.0"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, words, named):
    assert main(["simulate", "intervention", *words, "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert named in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
