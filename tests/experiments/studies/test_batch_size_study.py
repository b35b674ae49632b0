"""What the earlier study of batch sizes says, from its committed parts; the rule's labels, level and power."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from experiments.statistics import mean_over_seeds, one_sided, slopes
from experiments.studies.batch_size import Reading, read_batch_size, read_deciding, read_study_of_batches
from experiments.sweeps.results import read_summary
from experiments.sweeps.studies import read_study
from gradpower.tools.labels import Label
from tests.experiments.studies.test_batch_size_parts import FOLDER
from tests.experiments.synthetic_study import analyse, synthetic_results, synthetic_study, write_summary

CAUSES = FOLDER.parents[1] / "causes"
POWERS = np.array([0.8, 1.0, 1.25])


@pytest.fixture(scope="module")
def found():
    return read_batch_size(FOLDER)


def test_the_gain_at_equal_sizes_of_the_updates(found):
    """By hand: p = 1.2 at rates 0.0028 and 0.0028866 against p = 1 at 0.002716 and 0.0028, batch 2."""
    losses = {}
    for arm in read_summary(FOLDER / "damping.json").arms:
        if arm.values["training.batch_size"] == 2:
            cell = arm.seed, arm.values["optimizer.power"], round(arm.values["optimizer.learning_rate"], 6)
            losses[cell] = arm.loss
    pairs = ((0.002716, 0.0028), (0.0028, 0.002887))
    changes = [[losses[s, 1.2, high] - losses[s, 1.0, low] for low, high in pairs] for s in range(3)]
    assert found.same_size.mean == pytest.approx(np.mean(changes))
    assert found.same_size.sd == pytest.approx(np.std(np.mean(changes, axis=1), ddof=1))


def test_no_power_is_lower_by_the_rule_that_was_declared_before_the_runs(found):
    """As the page says, and its design."""
    assert all(each.decision != "lower" for each in found.as_run.analysis.comparisons)
    smallest = found.as_run.analysis.groups[0].comparisons
    assert next(each for each in smallest if each.value == 1.2).adjusted > 0.05


def test_slopes_at_p_1(found):
    for reading, expected in (
        (found.as_run, (-0.195, -0.059, 0.132)),
        (found.one_rate, (-0.195, -0.059, 0.0)),
    ):
        assert [group.within for group in reading.analysis.groups] == [2, 8, 32]
        assert [group.slope.mean for group in reading.analysis.groups] == pytest.approx(expected, abs=6e-4)
    large = found.as_run.analysis.groups[-1].slope
    assert (large.low, large.high) == pytest.approx((0.0305, 0.2335), abs=1e-4)


def test_the_preference_fades_and_its_turn_depends_on_the_rates(found):
    change = found.one_rate.change
    assert change.mean / (change.sd / 5**0.5) == pytest.approx(41, abs=0.5)
    assert found.as_run.falls == pytest.approx(0.022, abs=5e-4)
    assert found.one_rate.falls == pytest.approx(0.284, abs=5e-4)
    assert found.as_run.label is Label.REPRODUCED
    assert found.one_rate.label is found.averaged.label is Label.INCONCLUSIVE
    assert found.label is Label.INCONCLUSIVE


def test_averaged_over_rates(found):
    assert found.cells == (21, 21)
    (powered,) = (c for c in found.averaged.analysis.groups[0].comparisons if c.value == 1.2)
    assert powered.difference.mean == pytest.approx(-0.0181, abs=5e-5)
    assert powered.difference.sd == pytest.approx(0.0015, abs=5e-5)
    assert powered.difference.p_value == pytest.approx(0.002, abs=5e-4)


def test_readings_that_agree_decide(found):
    same = replace(found, one_rate=found.as_run, averaged=found.as_run)
    assert same.label is Label.REPRODUCED


@pytest.mark.parametrize(
    ("joint", "falls", "change", "label"),
    [
        (0.01, 0.5, (0.3, 0.31), Label.REPRODUCED),
        (0.2, 0.01, (0.3, 0.31), Label.IN_PART),
        (0.2, 0.2, (0.01, 0.02, 0.015), Label.NOT_REPRODUCED),
        (0.2, 0.2, (0.0, 0.3), Label.INCONCLUSIVE),
    ],
)
def test_labels(found, joint, falls, change, label):
    assert Reading(found.as_run.analysis, joint, falls, mean_over_seeds(change)).label is label


def test_a_fall_from_above_1_to_below_1_is_reproduced():
    study = synthetic_study(seeds=tuple(range(8)), rates=(1e-3, 2e-3), learning_rate="averaged")
    reading = read_study_of_batches(analyse(study, synthetic_results(study, noise=5e-3)))
    # d/d ln p of 0.6·(ln p − ln p*)² + 0.1·(ln(rate/2e-3) − ½ ln p)²: the rates add 0.035 at both ends
    assert reading.label is Label.REPRODUCED
    expected = 0.6 * 2 * 0.12 * np.log(4)
    assert reading.change.low < expected < reading.change.high


def test_the_study_that_decides_counts_diverged_runs_as_ones_that_learnt_nothing(tmp_path):
    """A best power that falls from 1.25 to 0.8, and one diverged run of p = 1.25 at batch 32."""
    best = {2: 1.25, 8: 1.0, 32: 0.8}

    def outcome(arm, lost=None):
        size, _, rate, p = arm.values.values()
        if arm == lost:
            return {"status": "diverged", "loss": None, "standard_error": None}
        noise = 0.005 * np.random.default_rng([arm.seed, size, int(100 * p), int(1e6 * rate)]).normal()
        return {"loss": float(3.7 + 0.5 * np.log(p / best[size]) ** 2 + 0.02 * arm.seed + noise)}

    whole = read_deciding(write_summary(tmp_path, CAUSES / "batch.toml", outcome))
    assert (whole.label, whole.diverged) == (Label.REPRODUCED, 0)
    assert [group.within for group in whole.analysis.groups] == [2, 8, 32]
    lost = next(
        arm
        for arm in read_study(CAUSES / "batch.toml").arms()
        if (arm.values["optimizer.power"], arm.values["training.batch_size"]) == (1.25, 32)
    )
    path = write_summary(tmp_path, CAUSES / "batch.toml", partial(outcome, lost=lost))
    found = read_deciding(path)
    assert found.diverged == 1
    # A third of a seed's loss at p = 1.25 rises from 3.8 to ln 512.
    rise = (np.log(512) - 3.8) / 3 * slopes(POWERS, [[0, 0, 1]], 1.0)[0] / 8
    assert found.change.mean - whole.change.mean == pytest.approx(rise, abs=0.02)


def joint_tests(bests, *, studies=1000, seeds=8):
    """Return the share of studies of curves with these best powers, unequal in curvature and noise, that reject."""
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(studies):
        first, last = (
            slopes(POWERS, c * np.log(POWERS / best) ** 2 + s * rng.normal(size=(seeds, 3)), 1.0)
            for c, best, s in zip((0.45, 0.15), bests, (0.013, 0.029), strict=True)
        )
        p = max(one_sided(mean_over_seeds(first), -1), one_sided(mean_over_seeds(last), 1))
        rejected += p <= 0.05
    return rejected / studies


@pytest.mark.parametrize("bests", [(1.25, 1.0), (1.0, 0.8), (1.25, 1.25), (1.0, 1.0)])
def test_level_where_the_best_power_does_not_cross_1(bests):
    assert joint_tests(bests) <= 0.05 + 2 * (0.05 * 0.95 / 1000) ** 0.5


def test_power_where_it_does():
    assert joint_tests((1.25, 0.7)) > 0.7
