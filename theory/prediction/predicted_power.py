"""The power with the largest expected first-order decrease, from measured gradient noise.

A step of Adam on φ_p(g) at a fixed model lowers the loss by η·Σ_i μ_i·E u_i(p) to first order. Each coordinate is the
one-dimensional example of Section 4.1 with its own mean μ_i and noise σ_i; here the sum over all of them is maximised
over p, at equal learning rate, and at equal size of the update, i.e. divided by √(Σ_i E u_i²).

What is taken for granted: gradients within Adam's memory are independent draws at one model; learning rates are equal
for all coordinates; the noise of a coordinate has a law common to its module but for σ_i; a batch B times as large has
σ/√B. Skewness is left out, except by the law "direct" of `theory.prediction.direct_update`.

At equal size, to first order, nothing beats the gradient itself: a power at which ε or p makes large coordinates move
more than small ones gains by that alone, whatever the noise. Read the second objective beside the first, not alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import stdtrit

from gradpower.tools.errors import InputError, require
from theory.measured.micro_batch_gradients import jackknife_error
from theory.numerics.inputs import Array, interval, nonnegative

RANGE = (0.3, 2.0)
_POWERS = 49


@dataclass(frozen=True)
class AdamSettings:
    """Adam's settings as they act on φ_p(g).

    Attributes
    ----------
    beta1, beta2, epsilon : float
        Adam's.
    match_epsilon : bool
        Whether ε^p stands for ε.
    """

    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    match_epsilon: bool = False

    def log_epsilon(self, powers: Array) -> Array:
        """`ln ε` at each power, a very negative number for ε = 0."""
        log = float(np.log(max(float(nonnegative("epsilon", self.epsilon)), 1e-300)))
        return powers * log if self.match_epsilon else np.full(powers.shape, log)


@dataclass(frozen=True, eq=False)
class PredictedPower:
    """The best power, and the curve that it is the maximum of.

    Attributes
    ----------
    power : float
        p*, within the range searched.
    standard_error : float
        By the jackknife over groups of micro-batches.
    interval : tuple of float
        95 % by Student's law, cut off at the ends of the range.
    at_edge : str or None
        "low" or "high" if the maximum sits at that end of the range: the best power lies there or beyond.
    resolved : bool
        Whether the decrease at the best power is more than two standard errors above 0; if not, p* means nothing.
    powers, curve, curve_error : ndarray
        The objective over its value at p = 1, and the standard error of that ratio.
    """

    power: float
    standard_error: float
    interval: tuple[float, float]
    at_edge: str | None
    resolved: bool
    powers: Array
    curve: Array
    curve_error: Array


@dataclass(frozen=True, eq=False)
class Sums:
    """`Σ_i μ_i·E u_i(p)` and `Σ_i E u_i(p)²` over coordinates, shape (J + 1, P): all, and without each group."""

    decrease: Array
    square: Array

    def __add__(self, other: Sums) -> Sums:
        if self.decrease.shape != other.decrease.shape:
            raise InputError("modules", "different micro-batches", "modules of the same micro-batches")
        return Sums(self.decrease + other.decrease, self.square + other.square)


def search_powers(search: tuple[float, float] = RANGE) -> Array:
    """The powers at which sums are computed, evenly spaced.

    >>> search_powers((0.5, 1.5))[[0, 24, 48]].tolist()
    [0.5, 1.0, 1.5]
    """
    return np.linspace(*interval("search", search), _POWERS)


def predict(sums: Sums, powers: Array, *, equal_size: bool = False) -> PredictedPower:
    """Maximise the decrease over p.

    Parameters
    ----------
    sums : Sums
        Of all coordinates that are asked about.
    powers : ndarray
        From `search_powers`.
    equal_size : bool
        At equal update RMS, `Σ μ_i E u_i/√(Σ E u_i²)`, instead of at equal learning rate.
    """
    objective = sums.decrease / np.sqrt(np.maximum(sums.square, 1e-300)) if equal_size else sums.decrease
    scale = float(np.abs(objective[0]).max()) or 1.0
    curves = [CubicSpline(powers, row / scale) for row in objective]
    best, value = zip(*map(_maximum, curves), strict=True)
    groups = len(best) - 1
    error = float(jackknife_error(np.array(best[1:])))
    margin = float(stdtrit(groups - 1, 0.975)) * error
    low, high = float(powers[0]), float(powers[-1])
    edge = {low: "low", high: "high"}.get(best[0])
    resolved = value[0] > 2 * float(jackknife_error(np.array(value[1:])))
    at_one = np.array([[float(curve(np.clip(1.0, low, high)))] for curve in curves])
    relative = objective / scale / np.where(at_one == 0, np.nan, at_one)
    return PredictedPower(
        best[0],
        error,
        (max(low, best[0] - margin), min(high, best[0] + margin)),
        edge,
        bool(resolved),
        powers,
        relative[0],
        jackknife_error(relative[1:]),
    )


def _maximum(curve: CubicSpline) -> tuple[float, float]:
    """The maximiser and the maximum of a spline; an end only if nothing inside is larger."""
    points = np.array([curve.x[0], curve.x[-1], *curve.derivative().roots(extrapolate=False)])
    heights = curve(points)
    best = int(np.argmax(heights))
    return float(points[best]), float(heights[best])


def total(sums: Sequence[Sums]) -> Sums:
    """The sums over several modules.

    Raises
    ------
    InputError
        If they come from different numbers of micro-batches, or there are none.
    """
    require(sums, "modules", "none", "at least one")
    result = sums[0]
    for more in sums[1:]:
        result = result + more
    return result
