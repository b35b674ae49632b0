"""Slopes, and the crossing test: its level where one best power serves both settings, its power, and Page's failure."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from experiments.statistics import crossing_test, slopes
from gradpower.tools.errors import InputError

P = np.array([0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5])
# Curvatures and noise as measured at batch 2, 8 and 32: 0.43, 0.09, 0.47, and 0.013, 0.025, 0.029.
NOISE = (0.013, 0.025, 0.029)


def curve(curvature, best, noise, seeds, rng, p=P):
    return curvature * np.log(p / best) ** 2 + noise * rng.normal(size=(seeds, p.size))


def rejections(curvatures, bests, noise, *, seeds=5, studies=600):
    """Return the shares of studies that call a fall, and a rise, at level 0.05."""
    rng = np.random.default_rng(seeds)
    found = [
        crossing_test(
            P, *(curve(c, b, s, seeds, rng) for c, b, s in zip(curvatures, bests, noise, strict=True))
        )
        for _ in range(studies)
    ]
    return np.mean([f.falls <= 0.05 for f in found]), np.mean([f.rises <= 0.05 for f in found])


def test_slopes_are_numpys_fit():
    losses = curve(0.5, 1.2, 0.01, 4, np.random.default_rng(0)) + 3.4
    fits = np.array([np.polyfit(np.log(P), row, 2) for row in losses])
    for at in (0.8, 1.0, 1.3):
        assert slopes(P, losses, at) == pytest.approx(fits[:, 1] + 2 * math.log(at) * fits[:, 0])
    assert slopes(P, losses, [0.8, 1.0]).shape == (4, 2)
    assert slopes(P, losses, [0.8, 1.0])[:, 1] == pytest.approx(slopes(P, losses, 1.0))


def test_the_p_value_is_the_least_over_powers_of_the_greater_of_two_t_tests():
    rng = np.random.default_rng(1)
    small, large = curve(0.5, 1.1, 0.02, 5, rng), curve(0.3, 1.0, 0.02, 5, rng)

    def greater(at, sides):
        tests = (stats.ttest_1samp(slopes(P, losses, at), 0.0, alternative=side) for losses, side in sides)
        return max(test.pvalue for test in tests)

    places = np.geomspace(0.7, 1.5, 401)
    for found, sides in (
        (crossing_test(P, small, large).falls, ((small, "less"), (large, "greater"))),
        (crossing_test(P, small, large).rises, ((small, "greater"), (large, "less"))),
    ):
        assert found == pytest.approx(min(1.0, 2 * min(greater(at, sides) for at in places)))


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("best", [1.0, 1.25, 1.4])
@pytest.mark.parametrize("curvatures", [(0.45, 0.3), (0.45, 0.45), (0.45, 0.05), (0.05, 1.0)])
def test_level_with_one_best_power_and_unequal_curvatures(curvatures, best, seeds):
    share = rejections(curvatures, (best, best), (NOISE[0], NOISE[2]), seeds=seeds, studies=400)
    # The docstring's 0.07, and twice the standard error of these draws.
    assert max(share) <= 0.07 + 2 * math.sqrt(0.07 * 0.93 / 400)


def test_level_rises_as_one_curve_becomes_flat():
    falls, _ = rejections((0.5, 0.01), (1.2, 1.2), (0.02, 0.02), seeds=3, studies=1000)
    assert 0.05 < falls < 0.14


def test_level_where_one_curve_is_flat_is_higher():
    falls, _ = rejections((0.45, 0.0), (1.4, 1.0), (NOISE[0], NOISE[2]), studies=1000)
    assert 0.06 < falls < 0.14 + 0.03


@pytest.mark.parametrize(("seeds", "least"), [(5, 0.9), (8, 0.97)])
def test_power_for_a_fall_from_1_25_to_0_9(seeds, least):
    falls, rises = rejections((0.45, 0.3), (1.25, 0.9), (NOISE[0], NOISE[2]), seeds=seeds)
    assert falls >= least
    assert rises < 0.01


def test_pages_test_calls_falls_that_are_none():
    """One best power, 1.4, for three batch sizes; the loss at the largest is flat: half of the studies call a fall."""
    rng, called = np.random.default_rng(0), []
    for _ in range(400):
        tables = [curve(c, 1.4, s, 5, rng) for c, s in zip((0.45, 0.1, 0.0), NOISE, strict=True)]
        best = np.stack([P[table.argmin(axis=1)] for table in tables], axis=1)
        called.append(stats.page_trend_test(best[:, ::-1], method="asymptotic").pvalue <= 0.05)
    assert 0.4 < np.mean(called) < 0.6


@pytest.mark.parametrize(
    ("values", "losses", "named"),
    [
        ([0.9, 1.0], [[1, 2]], "values"),
        ([0.0, 1.0, 2.0], [[1, 2, 3]], "values"),
        ([1.0, 1.0, 2.0], [[1, 2, 3]], "values"),
        ([0.9, 1.0, 1.1], [[1, 2]], "losses"),
        ([0.9, 1.0, 1.1], [[1, 2, np.inf]], "losses"),
    ],
)
def test_what_has_no_slope(values, losses, named):
    with pytest.raises(InputError, match=named):
        slopes(values, losses, 1.0)
    with pytest.raises(InputError):
        crossing_test(values, losses, losses)


def test_one_seed_has_no_spread():
    with pytest.raises(InputError, match="two seeds or more"):
        crossing_test([0.9, 1.0, 1.1], [[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]])
