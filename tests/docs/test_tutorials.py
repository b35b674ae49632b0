"""Every tutorial runs from its first cell to its last, offline and small, and its numbers are those of the theory."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TUTORIALS = ROOT / "docs" / "tutorials"
# What is read from each tutorial when it has run.
VALUES = {
    "from_formula_to_figure_7": """{
        "found": found[10.0],
        "distances": distances.tolist(),
        "shapes": list(best_by_shape.items()),
        "curves": [(curve.point.noise_to_signal, curve.optimum.power) for curve in curves],
        "gaussian": other_curves[0].optimum.power,
    }""",
    "which_noise_wants_which_power": """{
        "variance": variance,
        "best": best,
        "q": [[name, beta2, *values] for (name, beta2), values in table.items()],
        "batches": list(by_batch.items()),
        "spread": float(spread),
        "answer": answer["noise_equivalent"],
        "bias": bias[0.03, 0.95],
    }""",
    "bounds_against_what_happens": """{
        "slack": slack.min(),
        "alignments": alignments.tolist(),
        "above": [
            float((mean - 5 * error - bound).max())
            for found in (low_found, *(found for _, found in results.values()))
            for _, mean, error, bound, *_ in found.values()
        ],
        "rho": [contraction([2.0, 3.0], 1.1, parse_law(law)).tolist() for law in ("binary", "uniform")],
        "quality": [float(quality_ratio(p, parse_law("binary"))) for p in (2.0, 3.0)],
        "promised": [promised for (law, _), (_, promised) in gains.items() if law == "binary"],
    }""",
    "one_line_in_a_training_script": """{
        "identical": identical,
        "losses": [run[1] for run in runs.values()],
        "steps": steps,
        "differences": differences.tolist(),
        "mean": summary.mean,
        "ratio": float(ratio),
        "noise": [snr.noise for snr in snrs.values()],
    }""",
    "a_study_of_your_own": """{
        "code": code,
        "completed": [analysis.completed, analysis.planned],
        "differences": analysis.comparisons[0].differences,
        "arms": [
            [arm.values["optimizer.power"], arm.seed, arm.loss] for arm in outcome.arms
        ],
    }""",
    "the_intervention": """{
        "twins": twins,
        "changes": changes,
        "cells": [[cell.changes[0].measured, cell.changes[0].predicted] for cell in cells],
        "slope": [slopes["strong noise, without binary"].slope, *slopes["strong noise, without binary"].jackknife],
    }""",
}
PICTURES = {
    "from_formula_to_figure_7": 3,
    "which_noise_wants_which_power": 1,
    "bounds_against_what_happens": 2,
    "one_line_in_a_training_script": 1,
    "a_study_of_your_own": 1,
    "the_intervention": 2,
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Return a folder in which tutorials share the tokens of one text."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def executed(cache, tmp_path, monkeypatch):
    """Return a function that runs a tutorial in an empty folder, counts its pictures, and returns its values."""
    monkeypatch.setenv("GRADPOWER_SMALL", "1")
    monkeypatch.setenv("GRADPOWER_CACHE", str(cache))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))

    def run(name):
        notebook = jupytext.read(TUTORIALS / f"{name}.py")
        last = f"import json\nprint(json.dumps({VALUES[name]}))"
        notebook.cells.append(nbformat.v4.new_code_cell(last))
        place = {"metadata": {"path": str(tmp_path)}}
        NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        assert sum("image/png" in output.get("data", {}) for output in outputs) == PICTURES[name]
        return json.loads(outputs[-1]["text"])

    return run


def test_every_tutorial_is_run():
    assert {path.stem for path in TUTORIALS.glob("*.py")} == set(VALUES)


def test_figure_7(executed):
    values = executed("from_formula_to_figure_7")
    assert values["found"]["proposition"] == pytest.approx(1.2263, abs=1e-4)
    assert values["found"]["limit"] == pytest.approx(values["found"]["exact"], abs=0.01)
    assert max(map(abs, values["distances"])) < 5
    for shape, power in values["shapes"]:
        assert power == pytest.approx(shape - 1, abs=0.01)
    best = dict(map(tuple, values["curves"]))
    assert best[10.0] == pytest.approx(values["found"]["exact"])
    assert best[1.0] < 1 < best[10.0]
    assert values["gaussian"] < 1


def test_the_law_of_the_noise(executed):
    values = executed("which_noise_wants_which_power")
    assert values["variance"] == pytest.approx(1, abs=1e-9)
    assert values["best"]["gaussian"]["limit"] == pytest.approx(1, abs=2e-3)
    assert 0.2 < values["best"]["secant"]["limit"] < 0.9
    q = {(name, beta2): powers for name, beta2, *powers in values["q"]}
    assert q["binary", 0.95] == pytest.approx([0.8, 1.2], rel=1e-3)
    assert q["uniform", 0.95] == pytest.approx([0.935, 1.060], abs=1e-3)
    assert q["laplace", 0.95] == pytest.approx([1.086, 0.921], abs=1e-3)
    assert q["laplace", 0.95][0] > q["secant", 0.95][0] > q["gaussian", 0.95][0]
    batches = dict(map(tuple, values["batches"]))
    assert abs(batches[1][1] - q["laplace", 0.95][1]) < 5 * values["spread"]
    assert abs(batches[64][1] - q["gaussian", 0.95][1]) < 5 * values["spread"]
    assert values["answer"] == pytest.approx(batches[16][0], rel=1e-9)
    assert values["bias"] == pytest.approx(
        [-0.153, -0.037], abs=1e-3
    )  # by simulation, too: test_noise_bias.py


def test_bounds(executed):
    values = executed("bounds_against_what_happens")
    assert values["slack"] > 1
    assert max(values["above"]) < 0
    assert values["alignments"][-1] == 1
    assert 0.99 < min(values["alignments"]) < 1
    binary, uniform = values["rho"]
    assert binary == pytest.approx([1.1 / 2, 1.1**2 / 3], rel=0.01)  # R^{p−1}/s with s = p·σ^{p−1}
    assert uniform == pytest.approx([1.1, 1.1**2], rel=1e-6)  # s = σ^{p−1}
    assert values["quality"] == pytest.approx([1 / 2, 1 / 3])
    assert max(values["promised"]) < 1


def test_training_script(executed):
    values = executed("one_line_in_a_training_script")
    assert values["identical"]
    for losses in values["losses"]:
        assert len(losses) == values["steps"]
        assert losses[0] == pytest.approx(math.log(512), abs=0.3)
        assert losses[-1] < losses[0]
    assert values["mean"] == pytest.approx(sum(values["differences"]) / len(values["differences"]))
    assert values["mean"] != 0
    assert 0.8 < values["ratio"] < 1.1
    assert min(values["noise"]) > 0


def test_study(executed):
    values = executed("a_study_of_your_own")
    assert values["code"] == 2  # the laxer rule is refused
    assert values["completed"] == [8, 8]
    for seed, difference in enumerate(values["differences"]):
        losses = {
            power: [loss for p, s, loss in values["arms"] if (p, s) == (power, seed)] for power in (1.0, 1.25)
        }
        assert difference == pytest.approx((sum(losses[1.25]) - sum(losses[1.0])) / 2, abs=1e-6)


def test_intervention(executed):
    values = executed("the_intervention")
    q = {law: twin[0] for law, twin in values["twins"].items()}
    assert q == pytest.approx({"uniform": 1.143, "gaussian": 0.985, "laplace": 0.816}, abs=2e-3)
    for law, sign in (("uniform", -1), ("laplace", 1)):
        (power, _), (twin, _) = values["changes"][law]
        assert sign * power > 0
        assert power == pytest.approx(twin, rel=0.5)
    (gain, _), (loss, _) = values["cells"]
    assert gain < 0 < loss
    slope, low, high = values["slope"]
    assert low < slope < high
    assert slope == pytest.approx(1, abs=0.1)
