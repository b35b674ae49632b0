from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from experiments.sweeps.statistics import (
    adjusted_p_values,
    decide,
    detectable_difference,
    equivalence_p_value,
    paired_difference,
    sign_flip_p_value,
)
from experiments.sweeps.statistics.paired import bootstrap_interval
from gradpower.tools.errors import InputError


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_t_test_and_interval_are_scipys(seeds):
    a, b = np.random.default_rng(seeds).normal(3.0, 0.1, size=(2, seeds))
    found = paired_difference(a, b, alpha=0.1, rng=rng())
    theirs = stats.ttest_rel(a, b)
    interval = theirs.confidence_interval(0.9)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    assert found.t_interval == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.effect == pytest.approx((a - b).mean() / b.std(ddof=1))
    assert found.smallest_sign_flip == 2.0 ** (1 - seeds)


@pytest.mark.parametrize(("seeds", "method"), [(2, "too few seeds"), (4, "percentile"), (6, "BCa")])
def test_bootstrap_by_number_of_seeds(seeds, method):
    a, b = np.random.default_rng(1).normal(size=(2, seeds))
    found = paired_difference(a, b, rng=rng())
    assert found.bootstrap_method == method
    if method == "too few seeds":
        assert found.bootstrap_interval is None
    else:
        assert found.bootstrap_interval[0] < found.mean < found.bootstrap_interval[1]
        assert found == paired_difference(a, b, rng=rng())


def test_percentile_interval_of_three_seeds_is_that_of_all_27_resamples():
    differences = np.array([0.1, 0.4, 0.9])
    found = paired_difference(3 + differences, np.full(3, 3.0), alpha=0.2, rng=rng())
    means = [np.mean(drawn) for drawn in itertools.product(differences, repeat=3)]
    # Both ends are atoms of the distribution, which sampling finds exactly.
    expected = np.quantile(means, [0.1, 0.9], method="inverted_cdf")
    assert found.bootstrap_interval == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seeds", [2, 3, 5, 7])
def test_sign_flips_by_brute_force(seeds):
    d = np.random.default_rng(seeds).normal(0.5, 1.0, seeds)
    sums = [abs(np.dot(signs, d)) for signs in itertools.product([-1, 1], repeat=seeds)]
    expected = np.mean(np.array(sums) >= abs(d.sum()) * (1 - 1e-12))
    assert sign_flip_p_value(d, rng=rng()) == pytest.approx(expected)
    assert sign_flip_p_value(np.abs(d), rng=rng()) == pytest.approx(2.0 ** (1 - seeds))


def test_one_seed_has_a_difference_and_nothing_else():
    found = paired_difference([2.9], [3.0], rng=rng())
    assert found.mean == pytest.approx(-0.1)
    assert (found.p_value, found.t_interval, found.detectable, found.sd) == (None,) * 4
    assert found.note.startswith("one seed")


@pytest.mark.parametrize(
    ("shift", "note", "flips"), [(0.0, "identical losses", 1.0), (0.3, "the same difference", 0.25)]
)
def test_no_spread_is_named_and_not_tested(shift, note, flips):
    base = np.array([3.1, 3.2, 3.7])
    found = paired_difference(base + shift, base, rng=rng())
    assert found.note.startswith(note)
    assert found.sd == 0
    assert found.p_value is None
    assert found.t_interval is None
    assert found.sign_flip_p_value == flips


@pytest.mark.parametrize(("a", "b"), [([], []), ([1.0], [1.0, 2.0]), ([np.inf], [1.0]), ([np.nan], [1.0])])
def test_what_cannot_be_compared(a, b):
    with pytest.raises(InputError, match="losses"):
        paired_difference(a, b, rng=rng())


@pytest.mark.parametrize(("seeds", "alpha"), [(2, 0.05), (3, 0.05), (5, 0.01), (10, 0.05), (30, 0.001)])
def test_detectable_difference_against_the_noncentral_t(seeds, alpha):
    delta = detectable_difference(seeds, alpha)
    critical = stats.t.isf(alpha / 2, seeds - 1)
    # scipy's own noncentral t is good to about 1e-2 for one degree of freedom, and to 1e-8 for many.
    power = stats.nct.sf(critical, seeds - 1, delta * math.sqrt(seeds))
    assert power == pytest.approx(0.8, abs=0.02 if seeds < 5 else 1e-6)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_detectable_difference_is_detected_in_four_of_five_trials(seeds):
    trials = 40_000
    d = np.random.default_rng(seeds).normal(detectable_difference(seeds, 0.05), 1.0, (trials, seeds))
    share = np.mean(stats.ttest_1samp(d, 0.0, axis=1).pvalue <= 0.05)
    assert share == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / trials))


def test_detectable_difference_scales_and_its_interval_is_that_of_the_spread():
    a, b = np.random.default_rng(5).normal(size=(2, 4))
    found = paired_difference(a, b, rng=rng())
    ten = paired_difference(10 * a, 10 * b, rng=rng())
    assert ten.detectable == pytest.approx(10 * found.detectable)
    factors = np.array(found.detectable_interval) / found.detectable
    assert factors == pytest.approx(np.sqrt(3 / stats.chi2.isf([0.025, 0.975], 3)))
    assert factors[1] == pytest.approx(3.73, abs=0.01)  # the spread of four seeds is known to a factor of 3.7


def holm_by_definition(p_values, alpha):
    """Reject from the smallest p on, until one exceeds α over the number of hypotheses left."""
    rejected = set()
    for k, index in enumerate(np.argsort(p_values)):
        if p_values[index] > alpha / (len(p_values) - k):
            break
        rejected.add(int(index))
    return rejected


@pytest.mark.parametrize("seed", range(20))
def test_adjusted_p_values_reject_what_the_procedures_reject(seed):
    p = np.random.default_rng(seed).uniform(0, 0.1, 6) ** 1.5
    for alpha in (0.01, 0.05, 0.2):
        for correction, expected in (
            ("holm", holm_by_definition(p, alpha)),
            ("bonferroni", {i for i in range(6) if p[i] <= alpha / 6}),
            ("none", {i for i in range(6) if p[i] <= alpha}),
        ):
            adjusted = adjusted_p_values(p.tolist(), correction)
            assert {i for i in range(6) if adjusted[i] <= alpha} == expected


def test_a_lost_comparison_stays_in_the_family():
    assert adjusted_p_values([0.01, None, None], "holm") == [pytest.approx(0.03), None, None]
    assert adjusted_p_values([], "holm") == []
    with pytest.raises(InputError, match="correction"):
        adjusted_p_values([0.1], "sidak")


def test_equivalence_is_the_interval_lying_within():
    for seed in range(50):
        d = np.random.default_rng(seed).normal(0.001, 0.003, 4)
        p = equivalence_p_value(d.mean(), d.std(ddof=1), 4, 0.005)
        half = stats.t.isf(0.05, 3) * d.std(ddof=1) / 2
        assert (p <= 0.05) == (abs(d.mean()) + half <= 0.005)
        lower = stats.ttest_1samp(d, -0.005, alternative="greater").pvalue
        upper = stats.ttest_1samp(d, 0.005, alternative="less").pvalue
        assert p == pytest.approx(max(lower, upper))


def test_equivalence_needs_a_spread_and_a_bound():
    assert equivalence_p_value(0.0, 0.0, 3, 0.1) is None
    assert equivalence_p_value(0.0, None, 1, 0.1) is None
    assert equivalence_p_value(0.0, 0.1, 3, 0.0) is None


def test_errors_of_the_decision_are_rare():
    """No difference at all, and one of exactly the smallest effect: either error in at most α of the trials."""
    trials, seeds, alpha, effect = 4000, 3, 0.05, 0.5
    noise = np.random.default_rng(3).normal(0, 0.2, (trials, seeds))
    wrong = {0.0: {"lower", "higher"}, effect: {"equal", "lower"}}
    for truth, errors in wrong.items():
        d = noise + truth
        p = stats.ttest_1samp(d, 0.0, axis=1).pvalue
        found = [
            decide(
                x.mean(), p_value, equivalence_p_value(x.mean(), x.std(ddof=1), seeds, effect), alpha, effect
            )
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


@pytest.mark.parametrize(("seeds", "expected"), [(3, 0.78), (5, 0.80)])
def test_coverage_of_the_bootstrap_is_what_the_docstring_says(seeds, expected):
    generator, trials = np.random.default_rng(seeds), 300
    held = []
    for _ in range(trials):
        low, high = bootstrap_interval(generator.normal(size=seeds), 0.05, generator)[0]
        held.append(low <= 0 <= high)
    # The docstring's numbers have an error themselves, of 600 trials.
    error = math.sqrt(expected * (1 - expected) * (1 / trials + 1 / 600))
    assert np.mean(held) == pytest.approx(expected, abs=4 * error)
