"""Bounds on the alignment constants M·sign(G)/|G|^q of some coordinates, G = E g and M = E φ_p(g).

Each coordinate gets an interval for G and one for M. If both hold then so does the range of the ratio over their
rectangle, and so does every other statement made from them. The rectangle gives away that g and φ_p(g) go together:
Hotelling's ellipse for the pair, or a regression of φ_p(g) on g, is ten times narrower. But it rests on the normal
approximation for what the regression leaves over, which is skewed and heavy-tailed even for Gaussian gradients: for 500
coordinates and 400 samples it held in one trial of four instead of nine of ten. The rectangle held in all of them.
"""

import math
from collections.abc import Sequence

import numpy as np

from theory.measured.gradient_samples import GradientSamples
from theory.numerics.inputs import Array

_MISPLACED = 1e-5  # relative to the largest |g_i|: a gradient in float32 is no better


def student_half_width(variance: Array, samples: int, level: float) -> Array:
    """Half-width `t·√(V/n)` of Student's two-sided interval for a mean, wrong with probability `level`.

    V is the unbiased variance of n samples. Exact for Gaussian samples, otherwise an approximation for large n.

    >>> round(float(student_half_width(np.array(11.0), 11, 0.05)), 3)
    2.228
    """
    from scipy.special import stdtrit  # slow to import: --help does without

    return np.asarray(-stdtrit(samples - 1, level / 2) * np.sqrt(variance / samples))


def ratio_range(
    mean: tuple[Array, Array], powered: tuple[Array, Array], exponent: float
) -> tuple[Array, Array]:
    """Range of M/G^q, q >= 0, over a rectangle with G > 0, given by the ends of its sides.

    >>> ratio_range((np.array([1.0]), np.array([2.0])), (np.array([-1.0]), np.array([4.0])), 1.0)
    (array([-1.]), array([4.]))
    """
    near, far = (end**exponent for end in mean)
    low, high = powered
    return low / np.where(low >= 0, far, near), high / np.where(high >= 0, near, far)


class CoordinateBlock:
    """Bounds for some coordinates, each in the unit of its largest |g_i|, in which no power over- or underflows.

    `level` is the probability with which a coordinate's rectangle may miss.
    """

    def __init__(self, data: GradientSamples, columns: slice, powers: Sequence[float], level: float) -> None:
        self.powers = powers
        self.unit = np.where(data.largest[columns] > 0, data.largest[columns], 1.0)
        self.means, self.variances = _moments(data, columns, self.unit, powers)
        # A known gradient leaves the whole level to the mean of φ_p(g).
        level = level / 2 if data.gradient is None else level
        self.half_widths = student_half_width(self.variances, data.count, level)
        self.signal, self.half_width = self.means[0], self.half_widths[0]
        if data.gradient is not None:
            self.signal, self.half_width = data.gradient[columns] / self.unit, np.zeros(self.unit.shape)

    def gradient(self) -> Array:
        """∇_iF, σ_i and the half-width of the interval for ∇_iF: shape (3, columns)."""
        return np.asarray(self.unit * np.stack([self.signal, np.sqrt(self.variances[0]), self.half_width]))

    def misplaced(self) -> int:
        """On how many coordinates the samples rule the known gradient out."""
        distance = np.abs(self.means[0] - self.signal)
        return int(np.count_nonzero(distance > self.half_widths[0] + _MISPLACED))

    def constant(self, index: int) -> Array:
        """The constant for one of the powers and its bounds: estimate, lower, upper, shape (3, columns).

        NaN, −∞ and ∞ where the sign of the gradient is open; 1 everywhere for p = 1.
        """
        power = self.powers[index]
        if power == 1:
            return np.ones((3, self.unit.size))
        exponent, found = min(power, 1.0), np.abs(self.signal) > self.half_width
        result = np.repeat([[math.nan], [-math.inf], [math.inf]], self.unit.size, axis=1)
        signal, reach = np.abs(self.signal[found]), self.half_width[found]
        powered = np.sign(self.signal[found]) * self.means[index + 1, found]
        half = self.half_widths[index + 1, found]
        ends = ratio_range((signal - reach, signal + reach), (powered - half, powered + half), exponent)
        result[:, found] = self.unit[found] ** (power - exponent) * [powered / signal**exponent, *ends]
        return result


def _moments(
    data: GradientSamples, columns: slice, unit: Array, powers: Sequence[float]
) -> tuple[Array, Array]:
    """Means and variances of g and of every φ_p(g), shape (1 + powers, columns)."""
    sums, squares = np.zeros((2, 1 + len(powers), unit.size))
    centre = np.zeros(0)
    for tile in data.tiles(columns):
        scaled = tile / unit
        magnitude = np.abs(scaled)
        values = np.stack([scaled, *(np.copysign(magnitude**p, scaled) for p in powers)])
        # Sums around a point near the mean do not cancel, and tiles simply add.
        centre = centre if centre.size else values.mean(axis=1)
        values -= centre[:, None]
        sums += values.sum(axis=1)
        squares += np.einsum("krc,krc->kc", values, values)
    n = data.count
    return centre + sums / n, np.maximum(squares - sums**2 / n, 0.0) / (n - 1)
