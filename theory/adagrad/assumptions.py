"""Assumptions 4.6 and 4.9: how well the powered gradient points along the gradient, and the best constants c, s, ρ.

With g = G + σξ, G = ∇_iF and r = σ/|G|, everything follows from one function, since φ_p is homogeneous:

    G·E φ_p(g) = |G|^{p+1}·a_p(r),    a_p(r) = E φ_p(1 + rξ)    (for ξ reflected where G < 0).

Assumption 4.6 asks for a_p >= c, Assumption 4.9 (C1) for `σ^{p−1}·x^{p−1}·a_p(1/x) >= s` at all x = |G|/σ, and (C2) for
`ρ = R^{p−1}/s <= 1`. For every symmetric law a_p decreases in r if p < 1, and increases if p > 1: pair ξ with −ξ and
differentiate.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize_scalar

from gradpower.tools.errors import InputError, real
from theory.adagrad.distortion import mean_map, mean_of_power
from theory.laws import NoiseLaw
from theory.numerics.inputs import LARGEST_POWER, Array, entrywise, nonnegative, positive, power_in_range

_SMALLEST = 1e-7  # of |G|/σ: there x^{p−1}·a_p(1/x) has reached its limit p·E|ξ|^{p−1} to about x²
_LARGEST = 1e7
_POINTS = 160


def alignment(power: ArrayLike, noise_to_signal: ArrayLike, law: NoiseLaw) -> Array:
    """`a_p(r) = E φ_p(1 + rξ)`, r >= 0: G·E φ_p(G + r|G|ξ) in units of |G|^{p+1}, for G > 0.

    The law needs a moment of order p; for G < 0 its reflection serves.

    >>> from theory.laws import Uniform
    >>> alignment(0.5, [0.0, 0.5, 5.0], Uniform()).round(4).tolist()
    [1.0, 0.989, 0.4465]
    """
    return mean_map(power, 1.0, nonnegative("noise_to_signal", noise_to_signal), law)


Curve = Callable[[float, NoiseLaw], float]


def _smallest(curve: Curve, low: float, high: float, law: NoiseLaw) -> float:
    """The least value of `curve` on [low, high] over both signs of G: on a grid, and around its best point."""
    values = []
    for side in (law,) if law.symmetric else (law, law.reflected()):

        def at(log: float, side: NoiseLaw = side) -> float:
            return curve(math.exp(log), side)

        grid = np.linspace(math.log(low), math.log(high), _POINTS)
        on_grid = [at(log) for log in grid]
        best = int(np.argmin(on_grid))
        values.append(on_grid[best])
        if 0 < best < _POINTS - 1:
            around = (grid[best - 1], grid[best + 1])
            values.append(float(minimize_scalar(at, bounds=around, method="bounded").fun))
    return min(values)


def low_noise_alignment(power: ArrayLike, noise_to_signal: ArrayLike, law: NoiseLaw) -> Array:
    """The best c of Assumption 4.6 where σ_i <= r·|∇_iF| at every coordinate and point.

    The least a_p over ratios up to r and both signs of G. For a symmetric law and p <= 1 that is a_p(r); for p >= 1 it
    is 1, at r = 0.

    >>> from theory.laws import Gaussian, Uniform
    >>> [float(low_noise_alignment(0.5, r, law).round(4)) for r, law in ((0.48, Uniform()), (3, Gaussian()))]
    [0.9899, 0.492]
    """

    def best(exponent: float, ratio: float) -> float:
        if ratio == 0 or (law.symmetric and exponent >= 1):
            return 1.0
        if law.symmetric:
            return mean_of_power(exponent, 1.0, ratio, law)
        return min(
            1.0,
            _smallest(lambda r, side: mean_of_power(exponent, 1.0, r, side), ratio * _SMALLEST, ratio, law),
        )

    return entrywise(best, power_in_range("power", power), nonnegative("noise_to_signal", noise_to_signal))


def high_noise_alignment(
    power: ArrayLike, noise_scale: ArrayLike, largest_gradient: ArrayLike, law: NoiseLaw
) -> Array:
    """The best s of Assumption 4.9 (C1) for additive noise of fixed scale σ > 0 and |∇_iF| <= `largest_gradient`.

    `s = σ^{p−1}·min E φ_p(x + ξ)/x` over 0 < |x| <= largest_gradient/σ; an infinite gradient is taken as 10⁷σ. It is −∞
    where E φ_p(ξ) is not 0: skewed noise then outweighs small gradients, and no s > 0 serves.

    >>> from theory.laws import Binary, Uniform
    >>> high_noise_alignment([3, 1.2], 2.0, 0.01, Binary()).round(4).tolist()  # p·σ^{p−1}
    [12.0, 1.3784]
    >>> float(high_noise_alignment(3, 2.0, 1.0, Uniform()).round(6))  # σ^{p−1}
    4.0
    """
    given = np.asarray(largest_gradient, dtype=np.float64)
    return entrywise(
        lambda p, sigma, largest: sigma ** (p - 1) * _least_slope(p, min(largest / sigma, _LARGEST), law),
        power_in_range("power", power),
        positive("noise_scale", noise_scale),
        positive("largest_gradient", np.where(np.isposinf(given), np.finfo(float).max, given)),
    )


def _least_slope(power: float, reach: float, law: NoiseLaw) -> float:
    """`min E φ_p(x + ξ)/x` over 0 < |x| <= reach."""
    if power == 1:
        return 1.0
    law.require_moment(power)
    if not law.symmetric:
        skew, size = (moment(power, 0.0, 1.0) for moment in (law.signed_moment, law.absolute_moment))
        if abs(skew) > 1e-12 * size:
            return -math.inf
    low = min(_SMALLEST, reach / 2)
    least = _smallest(lambda x, side: mean_of_power(power, x, 1.0, side) / x, low, reach, law)
    # An atom at ξ = 0 approaches the limit x → 0 as slowly as x^{p−1}.
    return min(least, power * law.absolute_moment(power - 1, 0.0, 1.0)) if power > 1 else least


def contraction(power: ArrayLike, bound_to_noise: ArrayLike, law: NoiseLaw) -> Array:
    """`ρ = R^{p−1}/s` of Assumption 4.9 (C2) for additive noise: the factor of Adagrad's R in Theorem 4.11.

    R/σ >= sup|ξ| and |∇_iF| <= R − σ·sup|ξ|. Infinite for unbounded noise, which has no R, and where s is not positive.

    >>> from theory.laws import Binary, Uniform
    >>> contraction(3, [1.004, 1.006], Binary()).round(4).tolist()  # 1.01/3 = 0.3367
    [0.336, 0.3373]
    >>> float(contraction(3, 1.004, Uniform()).round(4))
    1.008
    """
    p, ratio = power_in_range("power", power), positive("bound_to_noise", bound_to_noise)
    bounded = math.isfinite(law.reach)
    if bounded and np.any(ratio < law.reach):
        raise InputError("bound_to_noise", float(np.min(ratio)), f"at least sup|ξ| = {law.reach:g}")

    def rho(exponent: float, bound: float) -> float:
        slope = _least_slope(exponent, max(bound - law.reach, _SMALLEST), law) if bounded else 0.0
        return bound ** (exponent - 1) / slope if slope > 0 else math.inf

    return entrywise(rho, p, ratio)


def largest_noise_to_signal(power: float, constant: float, law: NoiseLaw) -> float:
    """The largest r for which Assumption 4.6 holds with c = `constant` where σ_i <= r·|∇_iF| (Example 4.7).

    p and c are in (0, 1); infinite if every r up to 10⁷ serves.

    >>> from theory.laws import Uniform
    >>> round(largest_noise_to_signal(0.5, 0.99, Uniform()), 4)
    0.4787
    """
    p, c = real("power", power, gt=0, lt=1), real("constant", constant, gt=0, lt=1)

    def excess(log_ratio: float) -> float:
        return float(low_noise_alignment(p, math.exp(log_ratio), law)) - c

    low, high = math.log(_SMALLEST), math.log(_LARGEST)
    if excess(high) >= 0:
        return math.inf
    return math.exp(brentq(excess, low, high, xtol=1e-14))


def largest_bound_to_noise(power: float, target: float, law: NoiseLaw) -> float:
    """The largest R/σ with `ρ <= target` under additive noise (Example 4.10: target 1.01/p; (C2): target 1).

    1 < p <= 10, where ρ increases with R/σ; NaN if no R/σ serves, however small the gradients.

    >>> from theory.laws import Binary, Uniform
    >>> round(largest_bound_to_noise(3, 1.01 / 3, Binary()), 6), largest_bound_to_noise(3, 1, Uniform())
    (1.004988, nan)
    """
    p, limit = real("power", power, gt=1, le=LARGEST_POWER), float(positive("target", target))
    if not math.isfinite(law.reach):
        return math.nan
    low = law.reach * (1 + 1e-9)

    def excess(ratio: float) -> float:
        return min(float(contraction(p, ratio, law)), 1e300) / limit - 1

    if excess(low) >= 0:
        return math.nan
    high = 2 * law.reach
    while excess(high) < 0:
        high *= 2
    return float(brentq(excess, low, high, xtol=1e-12))
