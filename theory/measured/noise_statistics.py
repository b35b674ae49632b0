"""The shape of measured gradient noise: skewness and excess kurtosis, with the error that finite samples leave."""

import math
from dataclasses import dataclass

import numpy as np

from theory.measured.gradient_samples import GradientSamples
from theory.measured.micro_batch_gradients import jackknife_error
from theory.numerics.inputs import Array

FEWEST_FOR_SHAPE = 8
_NUMBERS = 2**22
_GROUPS = 20


@dataclass(frozen=True)
class NoiseShape:
    """Medians over the coordinates, with standard errors.

    Skewed noise bends E φ_p(g) away from the gradient's sign, light or heavy tails decide how far a power helps;
    both are 0 for Gaussian noise.
    """

    skewness: float
    """Median over the coordinates of `E(g−Eg)³/σ³` and its standard error; NaN for fewer than 8 samples."""
    skewness_error: float
    absolute_skewness: float
    """Median of its magnitude, since coordinates may be skewed either way. Sampling alone leaves about 0.67·√(6/n)
    of Gaussian noise."""
    excess_kurtosis: float
    """The same for `E(g−Eg)⁴/σ⁴ − 3`."""
    excess_kurtosis_error: float


def noise_shape(data: GradientSamples) -> NoiseShape:
    """Skewness and excess kurtosis of the gradient noise, in the median over coordinates.

    The standard errors come from the jackknife over 20 groups of samples, which a dependence between coordinates does
    not mislead: `√((J−1)/J·Σ_j (median without group j − their mean)²)`. Rows and columns are thinned evenly to at
    most 4·10⁶ numbers.

    >>> skewed = np.random.default_rng(0).exponential(size=(4000, 50))
    >>> shape = noise_shape(GradientSamples(skewed))  # an exponential has skewness 2, excess kurtosis 6
    >>> bool(abs(shape.skewness - 2) < 4 * shape.skewness_error < 0.4)
    True
    """
    thinned = data.samples[:: max(1, data.count // 2**20)]
    thinned = thinned[:, :: max(1, -(-thinned.size // _NUMBERS))].astype(np.float64)
    varies = np.ptp(thinned, axis=0) > 0
    count = len(thinned)
    if count < FEWEST_FOR_SHAPE or not varies.any():
        return NoiseShape(math.nan, math.nan, math.nan, math.nan, math.nan)
    centred = thinned[:, varies] - thinned[:, varies].mean(axis=0)
    centred /= np.abs(centred).max(axis=0)
    groups = min(_GROUPS, count)
    starts = np.arange(groups) * count // groups
    sizes = np.diff([*starts, count])
    sums = np.stack([np.add.reduceat(centred**k, starts, axis=0) for k in (1, 2, 3, 4)])
    skewness, kurtosis = _shape(sums.sum(axis=1), count)
    without = [_shape(sums.sum(axis=1) - sums[:, j], count - int(size)) for j, size in enumerate(sizes)]
    medians = np.median(without, axis=2)
    errors = jackknife_error(medians)
    return NoiseShape(
        float(np.median(skewness)),
        float(errors[0]),
        float(np.median(np.abs(skewness))),
        float(np.median(kurtosis)),
        float(errors[1]),
    )


def _shape(sums: Array, count: int) -> tuple[Array, Array]:
    """Skewness and excess kurtosis from the sums of the first four powers, unbiased for Gaussian noise."""
    m, second, third, fourth = sums / count
    variance = second - m**2
    # A column that varies in one group only is constant without it: its rounding errors have no shape.
    variance = np.where(variance > 1e-12, variance, np.inf)
    skewness = (third - 3 * m * second + 2 * m**3) / variance**1.5
    kurtosis = (fourth - 4 * m * third + 6 * m**2 * second - 3 * m**4) / variance**2 - 3
    n = float(count)
    return (
        skewness * np.sqrt(n * (n - 1)) / (n - 2),
        (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * kurtosis + 6),
    )
