"""How much of a powered gradient is signal, and how its coordinates remain correlated (beyond the paper)."""

import math

import numpy as np
from flint import arb
from numpy.typing import ArrayLike

from gradpower.tools.errors import require
from theory.adagrad.distortion import ScaledGradient, mean_map_slope, scaled
from theory.laws import NoiseLaw
from theory.numerics.balls import certified
from theory.numerics.inputs import Array, checked, entrywise, finite, positive, power_in_range

_CANCELLED = 1e-6  # of a second moment; a variance below is summed about the mean
_BARELY_NOISY = 1e-8  # σ/|G| below which a variance is its first term to eight digits


def signal_to_noise(power: ArrayLike, gradient: ArrayLike, noise_scale: ArrayLike, law: NoiseLaw) -> Array:
    """`|E φ_p(g)|/√Var φ_p(g)`, to eight digits at any σ/|G|.

    It is |G|/(pσ√(E ξ²)) at low noise, and under symmetric noise `high_noise_quality`·|G|/σ at high noise. σ > 0, and
    the law needs a moment of order 2p.

    >>> from theory.laws import parse_law
    >>> signal_to_noise([0.5, 1.0, 2.0], 0.01, 1.0, parse_law("gaussian")).round(5).tolist()
    [0.00963, 0.01, 0.00921]
    """
    p = power_in_range("power", power)
    law.require_moment(2 * float(p.max()))

    def ratio(exponent: float, full: float, sigma: float) -> float:
        g = scaled(full, sigma, law)
        mean = (
            0.0 if g.location == 0 and law.symmetric else g.law.signed_moment(exponent, g.location, g.scale)
        )
        variance = _variance(exponent, mean, g)
        return math.inf if variance == 0 else abs(mean) / math.sqrt(variance)

    return entrywise(ratio, p, finite("gradient", gradient), positive("noise_scale", noise_scale))


def _variance(power: float, mean: float, g: ScaledGradient) -> float:
    """`Var φ_p(g)` in the unit: E|g|^{2p} − mean², unless that cancels."""
    if g.scale < _BARELY_NOISY and g.law.moment_limit > 2:
        return power * power * g.scale**2 * g.law.absolute_moment(2.0, 0.0, 1.0)
    square = g.law.absolute_moment(2 * power, g.location, g.scale)
    if square - mean * mean > _CANCELLED * square:
        return square - mean * mean
    rule = g.law.folded_rule(g.location, g.scale, power)
    x = np.exp(power * rule.log_magnitude)
    below = rule.even - rule.odd  # the weights of g < 0, where the two do not merely differ by rounding
    below[below < 1e-12 * rule.even] = 0.0
    above = (rule.even + rule.odd) @ ((x - mean) * (x - mean))
    return float(above + below @ ((x + mean) * (x + mean))) / 2


def powered_correlation(power: ArrayLike, correlation: ArrayLike) -> Array:
    """Correlation of φ_p(X) and φ_p(Y) for jointly Gaussian X, Y of mean 0 and correlation κ.

    `2Γ(1+p/2)²/(√π·Γ(p+½))·κ·₂F₁((1−p)/2, (1−p)/2; 3/2; κ²)`: κ at p = 1, (2/π)·asin κ as p → 0, and smaller in
    magnitude than κ at every p ≠ 1, because its expansion in odd powers of κ has positive coefficients that sum to 1.

    >>> powered_correlation([1e-9, 0.5, 1.0, 3.0], 0.5).round(4).tolist()
    [0.3333, 0.4688, 0.5, 0.35]
    """

    def formula(p: arb, kappa: arb) -> arb:
        front = 2 * (1 + p / 2).gamma() ** 2 / (arb.pi().sqrt() * (p + arb(1) / 2).gamma())
        return front * kappa * (kappa * kappa).hypgeom_2f1((1 - p) / 2, (1 - p) / 2, arb(3) / 2)

    return entrywise(
        lambda p, k: k if k in (-1.0, 0.0, 1.0) else certified(lambda: formula(arb(p), arb(k))),
        power_in_range("power", power),
        checked("correlation", correlation, "a number in [-1, 1]", lambda a: np.abs(a) <= 1),
    )


def normalised_size(power: float, law: NoiseLaw) -> float:
    """`E|ξ|^p/√(E|ξ|^{2p})`: the mean size of φ_p of pure noise over its root mean square.

    The law needs a moment of order 2p.

    >>> from theory.laws import parse_law
    >>> gaussian = parse_law("gaussian")
    >>> round(normalised_size(1.2, gaussian) / normalised_size(1.0, gaussian), 3)
    0.94
    """
    law.require_moment(2 * float(power_in_range("power", power)))
    return float(law.absolute_moment(power, 0.0, 1.0) / law.absolute_moment(2 * power, 0.0, 1.0) ** 0.5)


def high_noise_quality(power: ArrayLike, law: NoiseLaw) -> Array:
    """`Q(p) = p·E|ξ|^{p−1}/√(E|ξ|^{2p})`: at high noise `E φ_p(g)/√(E φ_p(g)²) → Q(p)·G/σ` under symmetric noise.

    The same factor for every coordinate: divided by their own RMS, as Adam and Adagrad do, the means of the powered
    gradients point in one direction whatever p. The law needs a moment of order 2p; Q is infinite for p < 1 if ξ = 0
    has a positive probability.

    >>> from theory.laws import parse_law
    >>> high_noise_quality([0.5, 1.0, 4.0], parse_law("uniform")).round(4).tolist()  # √(2p+1)
    [1.4142, 1.7321, 3.0]
    """
    p = power_in_range("power", power)
    require(law.symmetric, "law", law.name, "a symmetric law")
    law.require_moment(2 * float(p.max()))
    rms = entrywise(lambda exponent: law.absolute_moment(2 * exponent, 0.0, 1.0) ** 0.5, p)
    return np.asarray(mean_map_slope(p, 0.0, 1.0, law) / rms)
