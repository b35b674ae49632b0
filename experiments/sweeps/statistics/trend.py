"""Does the best value fall as something else, such as the batch size, grows? A rank test and a slope."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike

from experiments.sweeps.statistics.paired import ROUNDING, Interval
from experiments.sweeps.statistics.parabola import percentiles, resampled_means
from gradpower.tools.errors import InputError
from theory.numerics.inputs import Array

_LARGEST_EXACT = 8  # treatments: 8! orders of a block


@dataclass(frozen=True)
class PageTest:
    """Page's trend test of K treatments in n blocks.

    Attributes
    ----------
    statistic : float
        L = Σ_j j·R_j, R_j the sum over blocks of the ranks of treatment j: small if the values fall.
    p_falling, p_rising : float
        Probability of so small, or so large, an L if every order within a block is equally likely.
    smallest : float
        The smallest p-value that these data could have reached, given their ties.
    exact : bool
        From all orders of each block's own ranks, ties included; else from the normal law.
    """

    statistic: float
    p_falling: float
    p_rising: float
    smallest: float
    exact: bool


def page_test(values: ArrayLike) -> PageTest:
    """Test whether values fall from column to column.

    The null is that a seed's best values are exchangeable: one optimum and noise alike at every batch size. Noise or
    curvature that differ between batch sizes can look like a trend where the grid cuts one side off. The blocks must
    be independent: each seed's best value from its own losses alone (with a parabola's window chosen by the mean of all
    seeds the level rose from 0.05 to up to 0.23 in simulations; with each seed's own it is 0.03 to 0.05). Under the
    null the ranks of each block (midranks for ties) stand in any order with equal probability,
    independently of the other blocks. The law of L is the convolution of the blocks' laws: exact for any ties. Without
    ties it is `scipy.stats.page_trend_test`, which above 8 treatments gives the normal approximation used here.

    Parameters
    ----------
    values : array_like
        Shape (blocks, treatments): here (seeds, batch sizes in increasing order), the best power of each seed.

    Raises
    ------
    InputError
        If there is no block, are fewer than two treatments, or a value is not finite.

    Examples
    --------
    >>> test = page_test([[1.3, 1.1, 0.9], [1.2, 1.2, 1.0]])
    >>> test.statistic, round(test.p_falling, 4)
    (20.5, 0.0556)
    """
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 2 or data.shape[0] < 1 or data.shape[1] < 2 or not np.all(np.isfinite(data)):
        raise InputError("values", data.tolist(), "finite numbers, shape (blocks >= 1, treatments >= 2)")
    from scipy.stats import rankdata

    treatments = data.shape[1]
    # Numbers that agree but for rounding, such as two optima at the same end of the grid, are ties.
    ranks = rankdata(np.round(data, 12), axis=1)
    if treatments > _LARGEST_EXACT:
        return _asymptotic(data, ranks)
    law = np.ones(1)
    for row in ranks:
        law = np.convolve(law, _law_of_block(tuple(row)))
    # Twice L is a whole number, midranks included.
    found = round(2 * float(ranks.sum(0) @ np.arange(1, treatments + 1)))
    support = np.flatnonzero(law)
    return PageTest(
        found / 2,
        _probability(law[: found + 1].sum()),
        _probability(law[found:].sum()),
        float(min(law[support[0]], law[support[-1]])),
        True,
    )


def _law_of_block(ranks: tuple[float, ...]) -> Array:
    """Return the probabilities of 2·Σ_j j·r_j = 0, 1, 2, … over all orders of the ranks."""
    orders = np.array(list(permutations(ranks)))
    twice = np.rint(2 * orders @ np.arange(1, len(ranks) + 1)).astype(int)
    return np.bincount(twice) / len(orders)


def _probability(value: float) -> float:
    return min(1.0, float(value))


def _asymptotic(data: Array, ranks: Array) -> PageTest:
    from scipy.stats import page_trend_test

    treatments = data.shape[1]
    rising, falling = (
        float(page_trend_test(r, ranked=True, method="asymptotic").pvalue) for r in (ranks, ranks[:, ::-1])
    )
    statistic = float(ranks.sum(0) @ np.arange(1, treatments + 1))
    return PageTest(statistic, falling, rising, math.nan, False)


@dataclass(frozen=True)
class Slope:
    """Slope of the best value against a logarithm, over seeds.

    Attributes
    ----------
    mean : float
        Mean over seeds of the least-squares slope: that of the mean.
    t_interval : (float, float) or None
        Student's, from the scatter of the seeds' slopes; None for one seed, or no scatter.
    bootstrap_interval : (float, float) or None
        Percentiles, seeds resampled; None for fewer than three.
    median : float
        Theil and Sen's slope of the mean over seeds, the median over pairs, which goes with Kendall's τ.
    """

    mean: float
    t_interval: Interval | None
    bootstrap_interval: Interval | None
    median: float


def slope_over_seeds(
    values: ArrayLike, positions: ArrayLike, *, alpha: float = 0.05, rng: np.random.Generator
) -> Slope:
    """Return d value/d position.

    Parameters
    ----------
    values : array_like
        Shape (seeds, K >= 2): the best power of each seed.
    positions : array_like
        Shape (K,), distinct: ln of the batch size.
    alpha : float
        Intervals have 1−α.
    rng : Generator
        For the bootstrap of more than 5 seeds; with fewer, all resamples are used.

    Examples
    --------
    >>> slope = slope_over_seeds([[1.2, 1.1], [1.2, 0.9]], [0.0, 1.0], rng=np.random.default_rng(0))
    >>> round(slope.mean, 6), slope.bootstrap_interval
    (-0.2, None)
    """
    from scipy.stats import t, theilslopes

    data, x = np.asarray(values, dtype=np.float64), np.asarray(positions, dtype=np.float64)
    centred = x - x.mean()
    slopes = data @ centred / (centred @ centred)
    seeds, mean = slopes.size, float(slopes.mean())
    scatter = float(slopes.std(ddof=1)) if seeds > 1 else 0.0
    interval = None
    if scatter > ROUNDING * float(np.abs(data).max()):
        half = float(t.isf(alpha / 2, seeds - 1)) * scatter / math.sqrt(seeds)
        interval = (mean - half, mean + half)
    median = float(theilslopes(data.mean(0), x).slope)
    return Slope(
        mean, interval, percentiles(resampled_means(slopes[:, None], rng)[:, 0], seeds, alpha), median
    )
