"""Means over seeds: of differences between paired runs, which share initial weights and data, or of slopes."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from gradpower.tools.errors import InputError

_ROUNDING = 1e-12
"""A spread below this, in nats a token, is rounding."""


@dataclass(frozen=True)
class SeedMean:
    """The mean of one number a seed; None where there are too few seeds, or no spread.

    Attributes
    ----------
    seeds : int
        n.
    mean, sd : float
        Mean d̄, and standard deviation s with n−1.
    low, high : float
        Student's interval d̄ ± t_{n−1,1−α/2}·s/√n: exact for Gaussian numbers.
    p_value : float
        Two-sided t test of E d = 0.
    """

    seeds: int
    mean: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None


def mean_over_seeds(numbers: ArrayLike, *, alpha: float = 0.05) -> SeedMean:
    """Return the mean of one number a seed, such as a difference of paired losses, with its interval.

    Parameters
    ----------
    numbers : array_like
        Finite, shape (seeds,); else InputError.
    alpha : float
        Level of the test, in (0, 1); the interval has 1−α.

    Examples
    --------
    >>> found = mean_over_seeds([-0.1, -0.2, -0.1])
    >>> f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}], p = {found.p_value:.3f}"
    '-0.133 [-0.277, 0.010], p = 0.057'
    """
    from scipy.stats import t

    values = np.asarray(numbers, dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.all(np.isfinite(values)):
        raise InputError("numbers", values.tolist(), "finite numbers, one for each of one seed or more")
    seeds, mean = values.size, float(values.mean())
    if seeds == 1:
        return SeedMean(1, mean)
    sd = float(values.std(ddof=1))
    if sd <= _ROUNDING:
        return SeedMean(seeds, mean, 0.0)
    error = sd / math.sqrt(seeds)
    half = float(t.isf(alpha / 2, seeds - 1)) * error
    return SeedMean(seeds, mean, sd, mean - half, mean + half, float(2 * t.sf(abs(mean) / error, seeds - 1)))


def one_sided(mean: SeedMean, sign: Literal[-1, 1]) -> float:
    """Return the p-value of the t test against a mean of this sign; 1 if there is no spread.

    >>> round(one_sided(mean_over_seeds([0.1, 0.2, 0.1]), 1), 3)
    0.029
    """
    if mean.p_value is None:
        return 1.0
    return mean.p_value / 2 if mean.mean * sign > 0 else 1 - mean.p_value / 2
