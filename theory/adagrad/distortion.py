"""What φ_p does to a problem: its mean map, its smoothness, its stationary points (beyond the paper).

An optimizer on powered gradients sees, coordinate by coordinate, not G but the mean of φ_p(G + σξ). This map has the
slope `p·E|G+σξ|^{p−1}`: noise fills the hole that φ_p has at 0 for p > 1 and blunts its spike there for p < 1. Under
skewed noise the map does not vanish at G = 0, so that the optimizer stops elsewhere. All of it is homogeneous,
`E φ_p(cg) = c^p·E φ_p(g)`, and everything below is computed with max(|G|, σ) = 1.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize_scalar

from theory.laws import Empirical, NoiseLaw, TwoPoint, Uniform
from theory.laws.base import SymmetricDensityLaw
from theory.laws.from_quantiles import QuantileLaw
from theory.numerics.inputs import Array, entrywise, finite, nonnegative, power_in_range

_VANISHING = 1e-290  # |G|/σ that counts as 0: quadrature nodes nearer to g = 0 would underflow
_SEARCHED = 257  # gradients at which the slope is tried where its largest value has no closed form
_STEP = 1e-5  # of differences


@dataclass(frozen=True)
class ScaledGradient:
    """g = G + σξ in the unit max(|G|, σ), turned round so that G >= 0: `E φ_p(G + σξ) = −E φ_p(|G| − σξ)`."""

    sign: float
    unit: float
    location: float
    scale: float
    law: NoiseLaw


def scaled(gradient: float, noise_scale: float, law: NoiseLaw) -> ScaledGradient:
    """G and σ in their unit, and the law of ξ or −ξ."""
    unit, back = max(abs(gradient), noise_scale), gradient < 0
    location, scale = (abs(gradient) / unit, noise_scale / unit) if unit > 0 else (0.0, 0.0)
    if location < _VANISHING:
        location = 0.0
    return ScaledGradient(-1.0 if back else 1.0, unit, location, scale, law.reflected() if back else law)


def mean_map(power: ArrayLike, gradient: ArrayLike, noise_scale: ArrayLike, law: NoiseLaw) -> Array:
    """`E φ_p(G + σξ)` for a full-batch gradient G of any sign.

    The law needs a moment of order p.

    >>> from theory.laws import parse_law
    >>> mean_map(2.0, [-1.0, 0.0, 1.0], 3.0, parse_law("uniform")).round(4).tolist()
    [-3.1111, 0.0, 3.1111]
    >>> mean_map([0.5, 1.0, 2.0], 0.0, 1.0, parse_law("two-point:0.1")).round(4).tolist()
    [-0.3464, 0.0, 0.8]
    """
    return entrywise(
        lambda p, mean, sigma: mean_of_power(p, mean, sigma, law),
        power_in_range("power", power),
        finite("gradient", gradient),
        nonnegative("noise_scale", noise_scale),
    )


def mean_of_power(power: float, gradient: float, noise_scale: float, law: NoiseLaw) -> float:
    """`mean_map` of numbers, unchecked."""
    g = scaled(gradient, noise_scale, law)
    if g.scale == 0 or (g.location == 0 and g.law.symmetric):
        return float(g.sign * g.unit**power * g.location)
    g.law.require_moment(power)
    return float(g.sign * g.unit**power * g.law.signed_moment(power, g.location, g.scale))


def mean_map_slope(power: ArrayLike, gradient: ArrayLike, noise_scale: ArrayLike, law: NoiseLaw) -> Array:
    """`∂/∂G E φ_p(G + σξ) = p·E|G + σξ|^{p−1}`.

    For p < 1 it is finite where the density of ξ is finite at −G/σ, and infinite where an atom of ξ makes g = 0.

    >>> from theory.laws import parse_law
    >>> mean_map_slope([0.5, 1.0, 2.0], 0.0, 4.0, parse_law("uniform")).round(12).tolist()  # σ^{p−1}
    [0.5, 1.0, 4.0]
    >>> mean_map_slope(0.5, [1.0, 4.0], 4.0, parse_law("binary")).round(4).tolist()
    [0.2561, inf]
    """
    return entrywise(
        lambda p, mean, sigma: _slope(p, scaled(mean, sigma, law)),
        power_in_range("power", power),
        finite("gradient", gradient),
        nonnegative("noise_scale", noise_scale),
    )


def _slope(power: float, g: ScaledGradient) -> float:
    order = power - 1
    if order == 0:
        return 1.0
    if g.unit == 0:
        return 0.0 if order > 0 else math.inf
    front = power * g.unit**order
    if g.scale == 0:
        return float(front)
    g.law.require_moment(order)
    if order < 0 and isinstance(g.law, QuantileLaw):  # its rule may have a node on g = 0
        below, above = (g.law.signed_moment(power, g.location + side * _STEP, g.scale) for side in (-1, 1))
        return float(g.unit**order * (above - below) / (2 * _STEP))
    if order < 0 and not _has_density(g.law):  # the rule of a discrete law knows an atom on g = 0
        return float(front * g.law.folded_rule(g.location, g.scale, power).absolute_moment(order))
    return float(front * g.law.absolute_moment(order, g.location, g.scale))


def _has_density(law: NoiseLaw) -> bool:
    """Whether the law has a density, symmetric and unimodal; but for `QuantileLaw`, all others here are discrete."""
    return isinstance(law, SymmetricDensityLaw | Uniform)


def effective_smoothness(
    power: ArrayLike, noise_scale: ArrayLike, largest_gradient: ArrayLike, law: NoiseLaw
) -> Array:
    """`sup p·E|G + σξ|^{p−1}` over |G| <= G_max: by how much φ_p multiplies the smoothness.

    If ∇F has the Lipschitz constant L, then θ ↦ (E φ_p(∇_iF(θ) + σξ_i))_i has at most L times this. Symmetric unimodal
    noise is a mixture of uniform noise of half-widths v, whose slope [φ_p(G+v) − φ_p(G−v)]/(2v) falls with |G| for
    p < 1 and rises for p > 1: the supremum is pσ^{p−1}·E|ξ|^{p−1} at G = 0 for p < 1 (σ^{p−1} for uniform noise), and
    at G_max for p > 1. Under discrete noise it is infinite for p < 1 once an atom can make g = 0; else it is at ±G_max
    where the slope is convex in G, and is searched for at 1 < p < 2, where it is not. At σ = 0 it is infinite for p < 1
    and p·G_max^{p−1} for p > 1.

    >>> from theory.laws import parse_law
    >>> effective_smoothness([0.5, 1.0, 2.0], 0.01, 1.0, parse_law("uniform")).round(12).tolist()
    [10.0, 1.0, 2.0]
    >>> effective_smoothness(0.5, 0.01, [0.0, 1.0], parse_law("binary")).tolist()
    [5.0, inf]
    """
    return entrywise(
        lambda p, sigma, largest: _largest_slope(p, sigma, largest, law),
        power_in_range("power", power),
        nonnegative("noise_scale", noise_scale),
        nonnegative("largest_gradient", largest_gradient),
    )


def _largest_slope(power: float, sigma: float, largest: float, law: NoiseLaw) -> float:
    if sigma == 0 or _has_density(law):
        return float(mean_map_slope(power, 0.0 if power < 1 else largest, sigma, law))
    if isinstance(law, QuantileLaw):
        return float(mean_map_slope(power, np.linspace(-largest, largest, _SEARCHED), sigma, law).max())
    # The rule of samples may have condensed them.
    atoms = (
        law.samples if isinstance(law, Empirical) else np.exp(law.folded_rule(0.0, 1.0, 1.0).log_magnitude)
    )
    if power < 1 and sigma * float(np.abs(atoms).min()) <= largest:
        return math.inf
    ends = float(mean_map_slope(power, [-largest, largest], sigma, law).max())
    if largest == 0 or not 1 < power < 2:
        return ends
    grid = np.linspace(-largest, largest, _SEARCHED)
    found = mean_map_slope(power, grid, sigma, law)
    best = int(np.clip(np.argmax(found), 1, _SEARCHED - 2))
    refined = minimize_scalar(
        lambda gradient: -_slope(power, scaled(gradient, sigma, law)),
        bounds=(grid[best - 1], grid[best + 1]),
        method="bounded",
    )
    return max(ends, float(found.max()), -float(refined.fun))


def stalling_gradient(power: ArrayLike, noise_scale: ArrayLike, law: NoiseLaw) -> Array:
    """The full-batch gradient G₀ at which E φ_p(G₀ + σξ) = 0, where powered descent comes to rest.

    (With a preconditioner, as far as the newest gradient does not move it.)

    `G₀ = −σ·m_p` with `m_p = argmin_m E|ξ − m|^{p+1}`, because φ_p is the derivative of |·|^{p+1}/(p+1); by strict
    convexity there is one. m_p is the median for p → 0, the mean for p = 1 and the mid-range for p → ∞. For two-point
    noise `m_p = sinh(½λ(1−1/p))/cosh(½λ/p)`, λ = ln((1−Q)/Q). 0 for symmetric noise.

    Rare, large noise upwards stops p < 1 uphill, where G > 0 still:

    >>> from theory.laws import parse_law
    >>> stalling_gradient([0.01, 0.5, 1.0, 2.0], 1.0, parse_law("two-point:0.1")).round(4).tolist()
    [0.3333, 0.2927, 0.0, -0.5]
    """
    p = power_in_range("power", power)
    centres = {exponent: centre(exponent, law) for exponent in set(p.ravel().tolist())}
    # −0 becomes 0
    return entrywise(lambda e, s: -s * centres[e] + 0.0, p, nonnegative("noise_scale", noise_scale))


def centre(power: float, law: NoiseLaw) -> float:
    """`m_p = argmin_m E|ξ − m|^{p+1}`, the root of E φ_p(ξ − m); see `stalling_gradient`.

    >>> from theory.laws import Empirical, parse_law
    >>> [round(centre(3.0, law), 9) for law in (Empirical([-1, -1, -1, 3]), parse_law("two-point:0.25"))]
    [0.368253778, 0.368253778]
    """
    law.require_moment(power)
    if law.symmetric or power == 1:
        return 0.0
    if isinstance(law, TwoPoint):
        odds = math.log((1 - law.probability) / law.probability)
        half, over = abs(odds) / 2, abs(odds) / (2 * power)  # sinh(half − over)/cosh(over), which overflow
        size = math.exp(-half) * math.expm1(2 * (half - over)) / (1 + math.exp(-2 * over))
        return math.copysign(1.0, odds) * size
    return float(
        brentq(lambda m: mean_of_power(power, -m, 1.0, law), -law.reach, law.reach, xtol=1e-15, rtol=1e-15)
    )
