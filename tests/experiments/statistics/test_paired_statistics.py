from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from experiments.statistics import (
    SeedMean,
    adjusted_p_values,
    decide,
    equivalence_p_value,
    mean_over_seeds,
)
from gradpower.tools.errors import InputError


@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_t_test_and_interval_are_scipys(seeds):
    a, b = np.random.default_rng(seeds).normal(3.0, 0.1, size=(2, seeds))
    found = mean_over_seeds(a - b, alpha=0.1)
    theirs = stats.ttest_rel(a, b)
    interval = theirs.confidence_interval(0.9)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert (found.mean, found.sd) == pytest.approx(((a - b).mean(), (a - b).std(ddof=1)))


def test_one_seed_has_a_difference_and_nothing_else():
    found = mean_over_seeds([-0.1])
    assert found.mean == -0.1
    assert (found.p_value, found.low, found.high, found.sd) == (None,) * 4


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_no_spread_is_not_tested(shift):
    base = np.array([3.1, 3.2, 3.7])
    found = mean_over_seeds(base + shift - base)
    assert (found.sd, found.p_value, found.low) == (0.0, None, None)
    assert found.mean == pytest.approx(shift)


@pytest.mark.parametrize("numbers", [[], [[1.0]], [1.0, np.nan]])
def test_numbers_without_a_mean(numbers):
    with pytest.raises(InputError, match="numbers"):
        mean_over_seeds(numbers)


def holm_by_definition(p_values, alpha):
    """Reject from the smallest p on, until one exceeds α over the number of hypotheses left."""
    rejected = set()
    for k, index in enumerate(np.argsort(p_values)):
        if p_values[index] > alpha / (len(p_values) - k):
            break
        rejected.add(int(index))
    return rejected


@pytest.mark.parametrize("seed", range(20))
def test_adjusted_p_values_reject_what_holms_procedure_rejects(seed):
    p = np.random.default_rng(seed).uniform(0, 0.1, 6) ** 1.5
    for alpha in (0.01, 0.05, 0.2):
        adjusted = adjusted_p_values(p.tolist())
        assert {i for i in range(6) if adjusted[i] <= alpha} == holm_by_definition(p, alpha)


def test_a_lost_comparison_stays_in_the_family():
    assert adjusted_p_values([0.01, None, None]) == [pytest.approx(0.03), None, None]
    assert adjusted_p_values([]) == []


def test_equivalence_is_the_interval_lying_within():
    for seed in range(50):
        d = np.random.default_rng(seed).normal(0.001, 0.003, 4)
        p = equivalence_p_value(mean_over_seeds(d), 0.005)
        half = stats.t.isf(0.05, 3) * d.std(ddof=1) / 2
        assert (p <= 0.05) == (abs(d.mean()) + half <= 0.005)
        lower = stats.ttest_1samp(d, -0.005, alternative="greater").pvalue
        upper = stats.ttest_1samp(d, 0.005, alternative="less").pvalue
        assert p == pytest.approx(max(lower, upper))


def test_equivalence_needs_a_spread_and_a_bound():
    assert equivalence_p_value(SeedMean(3, 0.0, 0.0), 0.1) is None
    assert equivalence_p_value(SeedMean(1, 0.0), 0.1) is None
    assert equivalence_p_value(SeedMean(3, 0.0, 0.1), 0.0) is None


def test_errors_of_the_decision_are_rare():
    """No difference at all, and one of exactly the smallest effect: either error in at most α of the trials."""
    trials, seeds, alpha, effect = 4000, 3, 0.05, 0.5
    noise = np.random.default_rng(3).normal(0, 0.2, (trials, seeds))
    wrong = {0.0: {"lower", "higher"}, effect: {"equal", "lower"}}
    for truth, errors in wrong.items():
        d = noise + truth
        p = stats.ttest_1samp(d, 0.0, axis=1).pvalue
        found = [
            decide(x.mean(), p_value, equivalence_p_value(mean_over_seeds(x), effect), alpha, effect)
            for x, p_value in zip(d, p, strict=True)
        ]
        assert np.mean([decision in errors for decision in found]) <= alpha + 4 * math.sqrt(alpha / trials)
        # A verdict is reached, so that the bound above is no matter of never deciding.
        assert {"equal"} & set(found)


def test_a_difference_below_the_smallest_effect_is_no_effect():
    assert decide(-0.003, 1e-4, 0.2, 0.05, 0.005) == "undecided"
    assert decide(-0.006, 1e-4, 0.9, 0.05, 0.005) == "lower"
    assert decide(0.006, 1e-4, None, 0.05, 0.0) == "higher"
    assert decide(0.006, None, None, 0.05, 0.0) == "undecided"
