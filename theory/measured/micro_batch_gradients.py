"""Gradients of independent micro-batches at one point, in two halves, with the jackknife over groups of micro-batches.

The mean μ̂ of N gradients is off by the noise of N gradients, so that |μ̂| exceeds |μ|, and μ̂·f(μ̂) is biased for every
f. With the micro-batches dealt into halves A and B, μ̂_A is independent of anything computed from B: μ̂_A·μ̂_B is
unbiased for μ², and μ̂_A·f(μ̂_B) for μ·E f(μ̂_B).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradpower.tools.errors import InputError
from theory.numerics.inputs import Array

FEWEST = 8
GROUPS = 8


@dataclass(frozen=True, eq=False)
class MicroBatchGradients:
    """The gradients of N micro-batches of equal size, in some coordinates of a module.

    >>> rows = 1.0 + np.random.default_rng(0).standard_normal((64, 1000))
    >>> data = MicroBatchGradients("head", rows, 1000)
    >>> round(float(np.mean(data.means[0, 0] * data.means[1, 0])), 1)
    1.0
    """

    name: str
    """The module."""
    gradients: NDArray[np.floating]
    """One micro-batch a row; N >= 8; shape (N, d)."""
    coordinates: int
    """Coordinates of the whole module, of which the d are a random sample; each stands for `coordinates/d`."""

    def __post_init__(self) -> None:
        """Check shape and numbers."""
        if self.gradients.ndim != 2 or len(self.gradients) < FEWEST or not self.gradients.shape[1]:
            raise InputError("micro_batches", len(self.gradients), f"at least {FEWEST}")
        if not np.all(np.isfinite(self.gradients)):
            raise InputError("gradients", f"not finite in module {self.name}", "finite numbers")

    @property
    def groups(self) -> int:
        """J, the groups that the jackknife leaves out in turn: no more than micro-batches in the smaller half."""
        return min(GROUPS, len(self.gradients) // 2)

    def members(self, half: int) -> list[NDArray[np.int64]]:
        """Return the rows of one half, 0 or 1, by jackknife group."""
        rows = np.arange(half, len(self.gradients), 2)
        return [rows[group :: self.groups] for group in range(self.groups)]

    @property
    def left_out(self) -> list[NDArray[np.int64]]:
        """The rows of both halves that the jackknife leaves out in turn."""
        return [np.concatenate(pair) for pair in zip(self.members(0), self.members(1), strict=True)]

    @cached_property
    def _sums(self) -> tuple[Array, Array, Array]:
        """(J, count, sum, sum of squares) by half, about the mean of all."""
        centred = self.gradients.astype(np.float64) - self._centre
        parts = [[centred[rows] for rows in self.members(half)] for half in (0, 1)]
        count = np.array([[len(part) for part in half] for half in parts], dtype=np.float64)
        first = np.array([[part.sum(axis=0) for part in half] for half in parts])
        second = np.array([[(part**2).sum(axis=0) for part in half] for half in parts])
        return count, first, second

    @cached_property
    def _centre(self) -> Array:
        return np.asarray(self.gradients.mean(axis=0, dtype=np.float64))

    @cached_property
    def means(self) -> Array:
        """μ̂_A and μ̂_B, shape (2, J + 1, d): of all micro-batches of a half, then without each group."""
        count, first, _ = self._sums
        shifts = [_without(total) / _without(n)[:, None] for total, n in zip(first, count, strict=True)]
        return self._centre + np.array(shifts)

    @cached_property
    def sigma(self) -> Array:
        """σ̂, shape (J + 1, d): from the spread within the halves, and so independent of their means if Gaussian."""
        count, first, second = self._sums
        spread = np.zeros_like(self.means[0])
        degrees = np.zeros(len(spread))
        for half in (0, 1):
            n, total, square = (_without(values[half]) for values in (count, first, second))
            spread += square - total**2 / n[:, None]
            degrees += n - 1
        return np.asarray(np.sqrt(np.maximum(spread, 0.0) / degrees[:, None]))

    @cached_property
    def residuals(self) -> Array:
        """(g − ḡ)/s of the coordinates that vary, shape (N, d'): mean 0 and variance 1, to n − 1, in each column."""
        centred = self.gradients.astype(np.float64) - self._centre
        spread = np.sqrt((centred**2).sum(axis=0) / (len(centred) - 1))
        varies = spread > 1e-9 * np.abs(self._centre)
        return np.asarray(centred[:, varies] / spread[varies])


def _without(values: Array) -> Array:
    """Totals of a half over all groups, and over all but each: shape (J + 1, …)."""
    total = values.sum(axis=0, keepdims=True)
    return np.concatenate([total, total - values])


def jackknife_error(values: Array) -> Array:
    """The standard error `√((J−1)/J·Σ_j (v_j − v̄)²)` from the J leave-one-out values along the first axis.

    >>> float(jackknife_error(np.array([1.0, 2.0, 3.0])).round(6))
    1.154701
    """
    return np.asarray(np.sqrt((len(values) - 1) * np.var(values, axis=0)))
