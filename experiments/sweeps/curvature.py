"""How often Page's test would call a fall, at the curvatures and the noise that a study has: without one, and with one.

The test takes the best powers of a seed as exchangeable between batch sizes. They are not where the loss is flat in p
at one batch size: there the best of a noisy grid lies anywhere, near the grid's middle in the mean, and that can look
like a fall from a sharp optimum above the middle. Here losses are drawn with one optimum for all, and curves that are
as unequal as the study's seeds allow.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike
from scipy.special import stdtrit
from scipy.stats import rankdata

from experiments.sweeps.statistics import page_test
from theory.numerics.inputs import Array

DRAWS = 2000


def false_falls(
    values: Sequence[float],
    tables: Sequence[ArrayLike],
    *,
    alpha: float = 0.05,
    draws: int = DRAWS,
    rng: Generator,
) -> list[dict[str, Any]]:
    """Return the share of draws without a trend in which Page's test of the best grid values finds a fall.

    Parabolas in ln x are fitted seed by seed. Each batch size in turn keeps its mean curvature, and its vertex, within
    the grid, is the optimum of all; the others have the lower ends of the 1 − α t intervals of their curvatures, but at
    least 0. The noise of a batch size at a grid value is that of its losses about the means over seeds and grid.

    Parameters
    ----------
    values : sequence of float
        The grid, > 0.
    tables : sequence of array_like
        For each batch size losses of shape (seeds >= 2, values), finite, with equally many seeds.
    alpha : float
        Level of the test.
    draws : int
        How many studies are drawn.
    rng : Generator
        Their source.

    Returns
    -------
    list of dict
        For each batch size whose mean curve has a minimum its `index`, the `optimum` that all share with it, the
        `share` of draws and its `standard_error`; none if there are fewer than four values or two seeds.

    Examples
    --------
    >>> rng, x = np.random.default_rng(0), np.log([0.7, 0.8, 0.9, 1.0, 1.2, 1.5])
    >>> even = [0.5 * (x - 0.2) ** 2 + 0.003 * rng.normal(size=(5, 6)) for _ in range(3)]
    >>> flat = [even[0], *(0.003 * rng.normal(size=(5, 6)) for _ in range(2))]
    >>> rows = [false_falls(np.exp(x), tables, draws=500, rng=rng)[0] for tables in (even, flat)]
    >>> rows[0]["share"] < 0.08, rows[1]["share"] > 0.12
    (True, True)
    """
    curves = _curves(values, tables)
    if curves is None:
        return []
    half = float(stdtrit(curves.seeds - 1, 1 - alpha / 2)) * curves.error
    rows: list[dict[str, Any]] = []
    for index in np.flatnonzero(curves.curvature > 0).tolist():
        own = np.arange(len(half)) == index
        curvature = np.where(own, curves.curvature, np.maximum(curves.curvature - half, 0))
        optimum = float(curves.vertex[index])
        share = _called(curves, curvature, np.full(len(half), optimum), alpha, draws, rng)
        error = math.sqrt(share * (1 - share) / draws)
        rows.append({"index": index, "optimum": math.exp(optimum), "share": share, "standard_error": error})
    return rows


def detectable_fall(
    values: Sequence[float],
    batches: Sequence[float],
    tables: Sequence[ArrayLike],
    *,
    alpha: float = 0.05,
    probability: float = 0.8,
    draws: int = DRAWS,
    seed: int = 0,
) -> float | None:
    """Return the fall of the best power from the smallest batch to the largest that Page's test finds so often.

    Optima fall evenly in ln p against ln B about the middle of the grid; curvatures are the means over seeds, at least
    0, and the noise is as of `false_falls`. To 2 %, by bisection over the same draws.

    Parameters
    ----------
    values, tables, alpha, draws
        As of `false_falls`.
    batches : sequence of float
        Batch sizes of the tables.
    probability : float
        Wanted.
    seed : int
        Of the draws.

    Returns
    -------
    float or None
        The ratio of the best powers, > 1; None where not even a fall from one end of the grid to the other is found so
        often, or there are fewer than four values or two seeds.

    Examples
    --------
    >>> rng, x = np.random.default_rng(0), np.log([0.7, 0.8, 0.9, 1.0, 1.2, 1.5])
    >>> tables = [0.5 * x**2 + 0.001 * rng.normal(size=(5, 6)) for _ in range(3)]
    >>> 1 < detectable_fall(np.exp(x), [2, 8, 32], tables, draws=200) < 1.4
    True
    """
    curves = _curves(values, tables)
    if curves is None or len(set(batches)) < 2:
        return None
    curvature = np.maximum(curves.curvature, 0)
    place = np.log(np.asarray(batches, dtype=np.float64))
    place = (place - place.mean()) / (place.max() - place.min())

    def found(fall: float) -> bool:
        optima = curves.x.mean() - fall * place
        rng = np.random.default_rng(seed)
        return _called(curves, curvature, optima, alpha, draws, rng) >= probability

    low, high = 0.0, float(curves.x[-1] - curves.x[0])
    if not found(high):
        return None
    while high - low > 0.02:
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return math.exp(high)


@dataclass(frozen=True, eq=False)
class _Curves:
    """Parabolas in x = ln p by batch size, of shape (batches,), and the noise of losses, (batches, values)."""

    x: Array
    curvature: Array
    error: Array
    vertex: Array
    noise: Array
    seeds: int


def _curves(values: Sequence[float], tables: Sequence[ArrayLike]) -> _Curves | None:
    losses: Array = np.stack([np.asarray(table, dtype=np.float64) for table in tables])
    _, seeds, count = losses.shape
    if count < 4 or seeds < 2:
        return None
    x = np.log(np.asarray(values, dtype=np.float64))
    centred = losses - losses.mean(axis=2, keepdims=True)
    # Coefficients of c₀ + c₁·x + c₂·x², shape (batches, 3, seeds).
    fits = np.stack([np.polynomial.polynomial.polyfit(x, table.T, 2) for table in centred])
    curvature, error = fits[:, 2].mean(axis=1), fits[:, 2].std(axis=1, ddof=1) / math.sqrt(seeds)
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = np.clip(-fits[:, 1].mean(axis=1) / (2 * curvature), x[0], x[-1])
    return _Curves(x, curvature, error, vertex, centred.std(axis=1, ddof=1), seeds)


def _called(
    curves: _Curves, curvature: Array, optima: Array, alpha: float, draws: int, rng: Generator
) -> float:
    """Return the share of draws in which the test calls a fall."""
    batches, count = curves.noise.shape
    shape = curvature[:, None] * (curves.x - optima[:, None]) ** 2
    noise = curves.noise[:, None, None] * rng.normal(size=(batches, draws, curves.seeds, count))
    ranks = rankdata((shape[:, None, None] + noise).argmin(axis=3), axis=0)
    # The test does not depend on the order of the seeds: few of the draws are different ones.
    kinds = Counter(tuple(sorted(map(tuple, ranks[:, draw].T.tolist()))) for draw in range(draws))
    return sum(n for kind, n in kinds.items() if page_test(kind).p_falling <= alpha) / draws
