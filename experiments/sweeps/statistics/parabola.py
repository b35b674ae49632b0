"""Parabolas through losses on a window of a grid, seed by seed, and how seeds are resampled."""

from __future__ import annotations

from itertools import product
from typing import Literal

import numpy as np
from numpy.random import Generator

from experiments.sweeps.statistics.paired import ROUNDING, Interval
from theory.numerics.inputs import Array

FEWEST = 3
"""Seeds of a bootstrap, and points of a parabola, at least."""
_EVERY_RESAMPLE = 5  # seeds: 5^5 = 3125
_RESAMPLES = 3000

Status = Literal["interior", "at the edge", "no interior minimum", "too few points"]


def resampled_means(data: Array, rng: Generator) -> Array:
    """Return the means over rows of `data` when the rows are drawn with replacement, shape (resamples, columns).

    All n^n draws for n <= 5 rows, 3000 random ones for more.

    Examples
    --------
    >>> resampled_means(np.array([[0.0], [1.0]]), np.random.default_rng(0)).ravel()
    array([0. , 0.5, 0.5, 1. ])
    """
    rows = len(data)
    every = rows <= _EVERY_RESAMPLE
    drawn = (
        np.array(list(product(range(rows), repeat=rows)))
        if every
        else rng.integers(rows, size=(_RESAMPLES, rows))
    )
    means: Array = data[drawn].mean(1)
    return means


def percentiles(values: Array, seeds: int, alpha: float) -> Interval | None:
    """Return the percentile interval of bootstrap values; None for fewer than three seeds."""
    if seeds < FEWEST:
        return None
    low, high = np.quantile(values, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def _start(means: Array, width: int) -> Array:
    """Return the first column of the window around the lowest mean of each row."""
    start: Array = np.clip(np.argmin(means, axis=-1) - width // 2, 0, means.shape[-1] - width)
    return start


def clamped(coefficients: Array, x: Array) -> tuple[Array, Array]:
    """Return where each parabola, rows (a, b, c), is lowest on [x_0, x_−1], and whether that is an end."""
    b, c = coefficients[:, 1], coefficients[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = -b / (2 * c)
    inside = (c > 0) & (vertex > x[0]) & (vertex < x[-1])
    ends = [b * end + c * end**2 for end in (x[0], x[-1])]
    return np.where(inside, vertex, np.where(ends[0] <= ends[1], x[0], x[-1])), ~inside


def lowest_of_means(grid: Array, width: int, means: Array) -> tuple[Array, Array]:
    """Do the whole fit, window included, for each row of means."""
    starts = _start(means, width)
    places, at_end = np.empty(len(means)), np.empty(len(means), dtype=bool)
    for start in np.unique(starts):
        rows, x = starts == start, grid[start : start + width]
        origin = x.mean()
        coefficients = means[rows, start : start + width] @ _solver(x - origin).T
        found, at_end[rows] = clamped(coefficients, x - origin)
        places[rows] = found + origin
    return places, at_end


def _solver(x: Array) -> Array:
    """Return the matrix from losses at x to (a, b, c)."""
    return np.asarray(np.linalg.pinv(np.vander(x, 3, increasing=True)), dtype=np.float64)


class SeedParabolas:
    """Each seed's parabola on the window around the lowest mean; x is measured from `origin`."""

    def __init__(self, grid: Array, width: int, losses: Array) -> None:
        start = int(_start(losses.mean(0), width))
        self.columns = slice(start, start + width)
        self.x, self.losses = grid[self.columns], losses[:, self.columns]
        self.origin = float(self.x.mean())
        self.coefficients = self.losses @ _solver(self.x - self.origin).T

    def lowest(self, first: float, last: float) -> tuple[Status, float | None]:
        """Return the status and place of the mean parabola's lowest point on a grid from `first` to `last`."""
        coefficients = self.coefficients.mean(0)
        (place,), (at_end,) = clamped(coefficients[None], self.x - self.origin)
        place = float(place) + self.origin
        if not at_end:
            return "interior", place
        # A neighbour that diverged is no edge of the grid, but nothing better lies beyond it either.
        grid_ends = (self.x[0] if self.x[0] == first else None, self.x[-1] if self.x[-1] == last else None)
        if coefficients[2] > 0 and any(end is not None and abs(place - end) < 1e-9 for end in grid_ends):
            return "at the edge", place
        return "no interior minimum", None

    def residual(self) -> tuple[float, float | None]:
        """Return the root mean square residual of the means, and the p-value of the lack of fit.

        F = n·Σ r̄²/(k−3) over Σ_s Σ (r_s − r̄)²/((n−1)(k−3)), r_s the residuals of seed s at k points: F-distributed if
        they are independent noise of one variance.
        """
        from scipy.stats import f

        design = np.vander(self.x - self.origin, 3, increasing=True)
        residuals = self.losses - self.coefficients @ design.T
        mean = residuals.mean(0)
        seeds, free = len(residuals), self.x.size - 3
        noise = float(((residuals - mean) ** 2).sum())
        rms = float(np.sqrt((mean**2).mean()))
        if seeds < 2 or free < 1 or noise <= (ROUNDING * float(np.abs(self.losses).max())) ** 2:
            return rms, None
        ratio = seeds * float((mean**2).sum()) * (seeds - 1) / noise
        return rms, float(f.sf(ratio, free, (seeds - 1) * free))


def fieller(slopes: Array, alpha: float, size: float) -> tuple[str, Interval | None]:
    """Return Fieller's set for −b/(2c) from rows (b, c) of the seeds: its kind, and the interval if bounded."""
    from scipy.stats import t

    seeds = len(slopes)
    if seeds < 2:
        return "too few seeds", None
    (b, c), covariance = slopes.mean(0), np.cov(slopes.T)
    if np.sqrt(covariance.max()) <= ROUNDING * size * 1e3:
        return "no spread", None
    factor = float(t.isf(alpha / 2, seeds - 1)) ** 2 / seeds
    # (b + 2θc)² <= factor·var(b + 2θc), a quadratic in φ = 2θ: q2·φ² + 2·q1·φ + q0 <= 0.
    q0, q1, q2 = (
        first * second - factor * covariance[i, j]
        for (first, second, i, j) in ((b, b, 0, 0), (b, c, 0, 1), (c, c, 1, 1))
    )
    # φ = −b/c always satisfies it, so that a bounded set has real ends.
    if c <= 0:
        return "no minimum", None
    if q2 <= 0:
        return "unbounded", None
    root = np.sqrt(max(q1 * q1 - q0 * q2, 0.0))
    return "bounded", (float((-q1 - root) / q2 / 2), float((-q1 + root) / q2 / 2))
