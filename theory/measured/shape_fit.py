"""The generalized-normal shape b of measured gradient noise, free of the bias that N samples a coordinate leave."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

from theory.measured.micro_batch_gradients import MicroBatchGradients, jackknife_error
from theory.numerics.inputs import Array

LOWEST_SHAPE, HIGHEST_SHAPE = 0.25, 20.0
_SHAPES = np.geomspace(LOWEST_SHAPE, HIGHEST_SHAPE, 18)
_CALIBRATION = 2**20  # draws for each shape


@dataclass(frozen=True)
class ShapeFit:
    """A fitted shape."""

    shape: float
    """b and its standard error."""
    error: float
    at_edge: bool
    """Whether b is the least or the largest that is looked for: such noise is not of this family."""


def fit_shape(data: MicroBatchGradients) -> ShapeFit:
    """Fit b to the noise of a module, whose coordinates may differ in μ and σ but share the shape.

    The statistic is `T = E_i[mean_n |g − ḡ|/s]`, which for N → ∞ is E|ξ|/√(E ξ²) = Γ(2/b)/√(Γ(1/b)Γ(3/b)). What ḡ and s
    of N samples do to it is taken from the same statistic of simulated noise of known shapes. The error is the
    jackknife's over groups of micro-batches, which a dependence between coordinates does not mislead, combined with
    that of the simulation.

    >>> noise = np.random.default_rng(0).laplace(size=(64, 2000)) * np.linspace(1, 5, 2000)
    >>> fit = fit_shape(MicroBatchGradients("head", noise, 2000))
    >>> bool(abs(fit.shape - 1) < 4 * fit.error < 0.2)
    True
    """
    residuals = data.residuals
    if not residuals.shape[1]:
        return ShapeFit(float("nan"), float("nan"), True)
    count = len(residuals)
    statistic = float(_statistic(residuals))
    without = np.array([_statistic(np.delete(residuals, rows, axis=0)) for rows in data.left_out])
    curve, noise = _calibration(count)
    slope = curve.derivative()
    edges = np.log(LOWEST_SHAPE), np.log(HIGHEST_SHAPE)
    low, high = map(float, curve(edges))
    if not low < statistic < high:
        return ShapeFit(LOWEST_SHAPE if statistic <= low else HIGHEST_SHAPE, float("nan"), True)
    log_shape = float(brentq(lambda x: float(curve(x)) - statistic, *edges))
    error = float(np.hypot(jackknife_error(without), noise)) / float(slope(log_shape))
    return ShapeFit(float(np.exp(log_shape)), float(np.exp(log_shape)) * error, False)


def _statistic(samples: Array) -> Array:
    """`E_i[mean_n |x − x̄|/s]` over columns that vary."""
    centred = samples - samples.mean(axis=0)
    spread = np.sqrt((centred**2).mean(axis=0))
    varies = spread > 0
    return np.asarray((np.abs(centred[:, varies]).mean(axis=0) / spread[varies]).mean())


@lru_cache(maxsize=8)
def _calibration(count: int) -> tuple[PchipInterpolator, float]:
    """The statistic of `count` samples a coordinate against ln b, and the standard error of the simulation."""
    generator = np.random.default_rng(count)
    columns = max(64, _CALIBRATION // count)
    values, errors = [], []
    for shape in _SHAPES:
        draws = generator.standard_gamma(1 / shape, (count, columns)) ** (1 / shape)
        draws *= 2.0 * generator.integers(0, 2, draws.shape) - 1.0
        parts = [float(_statistic(part)) for part in np.array_split(draws, 8, axis=1)]
        values.append(np.mean(parts))
        errors.append(np.std(parts, ddof=1) / np.sqrt(8))
    return PchipInterpolator(np.log(_SHAPES), np.maximum.accumulate(values)), float(np.mean(errors))


def pooled_excess_kurtosis(data: MicroBatchGradients) -> tuple[float, float]:
    """Excess kurtosis of a module's noise, pooled over its coordinates by k-statistics, and its jackknife error.

    κ = Σ_i w_i·k4_i/Σ_i w_i·(κ2²)_i with the unbiased `κ2² = (n−1)/(n+1)·(k2² − k4/n)`. The weights w = 1/s⁴ make
    up for scale; they come from the other half of the micro-batches, and so are independent.

    >>> noise = np.random.default_rng(0).laplace(size=(64, 2000)) * np.linspace(1, 5, 2000)
    >>> kurtosis, error = pooled_excess_kurtosis(MicroBatchGradients("head", noise, 2000))
    >>> bool(abs(kurtosis - 3) < 4 * error < 2)
    True
    """
    halves = [[data.gradients[rows].astype(np.float64) for rows in data.members(half)] for half in (0, 1)]
    values = []
    for left_out in range(-1, data.groups):
        sums = []
        for half in halves:
            kept = np.concatenate([part for index, part in enumerate(half) if index != left_out])
            centred = kept - kept.mean(axis=0)
            sums.append((len(kept), (centred**2).sum(axis=0), (centred**4).sum(axis=0)))
        values.append(cross_fitted_kurtosis(sums))
    return values[0], float(jackknife_error(np.array(values[1:])))


def cross_fitted_kurtosis(halves: list[tuple[int, Array, Array]]) -> float:
    """The kurtosis of `pooled_excess_kurtosis` from (n, Σ(x−x̄)², Σ(x−x̄)⁴) of the columns of two halves."""
    varies = (halves[0][1] > 0) & (halves[1][1] > 0)
    if not np.any(varies) or min(half[0] for half in halves) < 4:
        return float("nan")
    numerator = denominator = 0.0
    for own, other in (halves, halves[::-1]):
        n, second, fourth = own[0], own[1][varies], own[2][varies]
        scale = other[1][varies] / (other[0] - 1)
        k2 = second / (n - 1) / scale
        top = n * (n + 1) * fourth / scale**2 - 3 * (n - 1) * (second / scale) ** 2
        k4 = top / ((n - 1) * (n - 2) * (n - 3))
        numerator += float(k4.sum())
        denominator += float(((n - 1) / (n + 1) * (k2**2 - k4 / n)).sum())
    return numerator / denominator
