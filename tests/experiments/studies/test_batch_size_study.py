"""What the study of batch sizes says, from its committed parts; and its labels, from curves made for them."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time

import numpy as np
import pytest

from experiments.statistics import mean_over_seeds
from experiments.studies.batch_size import CONTROLS, ByBatch, read_batch_size, verdict
from gradpower.tools.errors import InputError
from gradpower.tools.labels import Label
from tests.experiments.studies.test_batch_size_parts import FOLDER


@pytest.fixture(scope="module")
def found():
    return read_batch_size(FOLDER)


def test_it_is_read_in_seconds():
    begun = time.process_time()
    read_batch_size(FOLDER)
    assert time.process_time() - begun < 3


def test_slopes_at_p_1(found):
    for reading, expected in (
        (found.as_run, (-0.195, -0.059, 0.132)),
        (found.one_rate, (-0.195, -0.059, 0.0)),
    ):
        assert [group.within for group in reading.groups] == [2, 8, 32]
        assert [group.slope.mean for group in reading.groups] == pytest.approx(expected, abs=6e-4)
    large = found.as_run.groups[-1].slope
    assert (large.low, large.high) == pytest.approx((0.0305, 0.2335), abs=1e-4)


def test_the_preference_fades_and_its_turn_is_not_shown(found):
    change = found.one_rate.change
    assert change.mean / (change.sd / 5**0.5) == pytest.approx(41, abs=0.5)
    assert found.as_run.falls == pytest.approx(0.022, abs=5e-4)
    assert found.one_rate.falls == pytest.approx(0.284, abs=5e-4)
    assert (found.as_run.crosses, found.one_rate.crosses) == (True, False)
    assert found.label is Label.INCONCLUSIVE


def test_the_rule_as_declared(found):
    decisions = [c.decision for c in found.as_run.analysis.comparisons]
    assert [decisions.count(name) for name in ("lower", "higher", "undecided")] == [0, 2, 19]
    assert found.detectable == pytest.approx(0.077, abs=5e-4)


def test_rate_averaged(found):
    rows = found.rate_averaged
    assert (rows.cells, rows.lower) == (21, 21)
    assert rows.difference.mean == pytest.approx(-0.0181, abs=5e-5)
    assert rows.difference.sd == pytest.approx(0.0015, abs=5e-5)
    assert rows.difference.p_value == pytest.approx(0.002, abs=5e-4)
    assert found.best_rates == pytest.approx({2: 0.00099, 32: 0.00806}, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "batch", "power", "difference", "as_run", "change"),
    [
        ("tuned", 2, 1.2, -0.0181, -0.0205, 0.0024),
        ("lower", 32, 1.2, 0.0927, 0.0903, 0.0023),
        ("higher", 2, 1.2, -0.0229, -0.0205, -0.0024),
        ("half-life", 2, 1.2, -0.0093, -0.0205, 0.0112),
        ("epsilon", 2, 0.8, 0.0670, 0.0633, 0.0038),
        ("clip", 32, 0.8, -0.0165, -0.0181, 0.0016),
        ("offset", 32, 1.2, 0.0718, 0.0903, -0.0185),
        ("one-rate", 32, 0.8, 0.0039, -0.0136, 0.0175),
    ],
)
def test_controls(found, name, batch, power, difference, as_run, change):
    (row,) = (c for c in found.controls if (c.name, c.batch_size, c.power) == (name, batch, power))
    assert [row.difference.mean, row.as_run, row.change.mean] == pytest.approx(
        [difference, as_run, change], abs=6e-5
    )
    assert row.difference.seeds == (5 if name == "one-rate" else 3)


def test_every_control_is_there_and_the_same_runs_have_no_change(found):
    assert len(found.controls) == 2 * (len(CONTROLS) + len(CONTROLS) - 2)
    (same,) = (c for c in found.controls if (c.name, c.batch_size, c.power) == ("one-rate", 2, 1.2))
    assert (same.change.mean, same.change.low) == (0.0, None)


def test_noise(found):
    shapes = {row.module: row.shapes[1] for row in found.noise}
    assert shapes["embedding"] == pytest.approx(0.308, abs=5e-4)
    assert min(shapes[kind] for kind in ("qk", "vo", "mlp")) > 1.6


def reading(found, *, fades=True, crosses=True):
    """Return the comparison with a change of slopes and a test of one's own."""
    change = mean_over_seeds(np.array([0.1, 0.11, 0.09]) if fades else np.array([0.1, -0.1, 0.01]))
    return ByBatch(found.as_run.analysis, 0.01 if crosses else 0.5, 0.5, change)


@pytest.mark.parametrize(
    ("as_run", "one_rate", "label"),
    [
        ({}, {}, Label.REPRODUCED),
        ({}, {"crosses": False}, Label.INCONCLUSIVE),
        ({"crosses": False}, {}, Label.INCONCLUSIVE),
        ({"crosses": False}, {"crosses": False}, Label.IN_PART),
        ({}, {"fades": False}, Label.NOT_REPRODUCED),
    ],
)
def test_labels(found, as_run, one_rate, label):
    assert verdict(reading(found, **as_run), reading(found, **one_rate)) is label


def test_slopes_on_one_side_do_not_cross(found):
    groups = found.as_run.analysis.groups
    analysis = dataclasses.replace(found.as_run.analysis, groups=(groups[0], groups[1]))
    assert not ByBatch(analysis, 0.01, 0.01, found.as_run.change).crosses


def test_parts_that_are_not_there_or_not_finished(tmp_path):
    with pytest.raises(InputError, match=r"folder: .*one with main\.json in it"):
        read_batch_size(tmp_path)
    for path in FOLDER.glob("*.json"):
        shutil.copy(path, tmp_path)
    whole = json.loads((tmp_path / "clip.json").read_text())
    first, *rest = whole["arms"]
    other = json.loads((tmp_path / "tuned.json").read_text())
    for content in (
        {**whole, "arms": [first | {"status": "diverged", "loss": None}, *rest]},
        {**whole, "arms": rest},
        other,
    ):
        (tmp_path / "clip.json").write_text(json.dumps(content))
        with pytest.raises(
            InputError, match=r"clip\.json.*batch-size-clip-pocket with all its arms completed"
        ):
            read_batch_size(tmp_path)
