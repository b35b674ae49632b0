"""What both propositions share: u∞ under uniform noise against its leading-order form, with a proved remainder.

With x the small ratio (σ/μ at low noise, μ/σ at high noise), u∞ divided by its leading-order form is

    R = M₁/(1 + w·(√M₂ − 1)),     w in [0, 1],

where M₁, M₂ are E φ_p and E φ_p² over their leading terms, both 1 + O(x²), and w, the share of √(E φ_p²) in the
denominator, carries all of μ, σ and ε. A bound proved for every w in [0, 1] holds for every μ, σ and ε.
"""

import math

import numpy as np
import sympy as sp
from flint import arb

from theory.claims.claim import Finding, boxed, vanish
from theory.numerics.balls import hull, proved
from theory.numerics.inputs import Array

P, X, WEIGHT = sp.symbols("p x w", positive=True)


def series(low_noise: bool) -> tuple[sp.Expr, sp.Expr]:
    """The coefficients of x² in M₁ and M₂, from sympy's expansion; both start with 1 and have no term in x.

    M₁ is `[(1+x)^{p+1} − (1−x)^{p+1}]/(2x(p+1))` in both regimes; M₂ is that with 2p for p at low noise, and
    `½[(1+x)^{2p+1} + (1−x)^{2p+1}]` at high noise.
    """
    coefficients = []
    first = ((1 + X) ** (P + 1) - (1 - X) ** (P + 1)) / (2 * X * (P + 1))
    high = ((1 + X) ** (2 * P + 1) + (1 - X) ** (2 * P + 1)) / 2
    for moment in (first, first.subs(P, 2 * P) if low_noise else high):
        expansion = sp.expand(sp.simplify(sp.series(moment, X, 0, 3).removeO()))
        if not vanish(expansion.coeff(X, 0) - 1, expansion.coeff(X, 1)):
            raise ArithmeticError(f"unexpected expansion {expansion}")
        coefficients.append(sp.factor(sp.simplify(expansion.coeff(X, 2))))
    return coefficients[0], coefficients[1]


def ratio(power: Array, x: float, weight: Array, low_noise: bool) -> Array:
    """R in float64 without cancellation."""
    up, down = math.log1p(x), math.log1p(-x)

    def difference(order: Array) -> Array:
        return np.exp(order * down) * np.expm1(order * (up - down)) / (2 * x * order)

    first = difference(power + 1)
    order = 2 * power + 1
    second = difference(order) if low_noise else (np.exp(order * up) + np.exp(order * down)) / 2
    return np.asarray(first / (1 + weight * (np.sqrt(second) - 1)))


def worst_errors(low_noise: bool, ratios: tuple[float, ...], largest_power: float) -> list[float]:
    """Largest |R − 1| over powers in (0, largest_power] and all weights, for each x."""
    power = np.linspace(0.01, largest_power, 400)[:, None]
    weight = np.linspace(0.0, 1.0, 21)
    return [float(np.abs(ratio(power, x, weight, low_noise) - 1).max()) for x in ratios]


def remainder_proved(low_noise: bool, factor: float, largest_power: float, largest_x: float) -> Finding:
    """Prove |R − 1| <= factor·p(p+1)·x² for all p in [0, largest_power], x in [0, largest_x], w in [0, 1].

    Taylor's theorem with Lagrange remainder under the expectation, `(1+xξ)^q = 1 + qxξ + ½q(q−1)x²ξ²(1+θxξ)^{q−2}`,
    turns M − 1 into x² times a ball; p and x² are then divided out, so that nothing degenerates at 0.
    """

    def statement(p: arb, x: arb, w: arb) -> bool:
        inner = hull(0, 1) * x
        spread1 = (1 - inner).union(1 + inner) ** (p - 2)
        first = (p - 1) / 6 * spread1
        order = 2 * p if low_noise else 2 * p + 1
        spread2 = (1 - inner).union(1 + inner) ** (order - 2)
        second = ((2 * p - 1) / 3 if low_noise else 2 * p + 1) * spread2
        root = (1 + p * x * x * second).nonnegative_part().sqrt()
        scaled = (first - w * second / (root + 1)) / (1 + w * (root - 1))
        return bool(abs(scaled) < factor * (p + 1))

    what = f"|u∞/leading − 1| <= {factor:g}·p(p+1)·x² for p <= {largest_power:g}, x <= {largest_x:g}, every μ, σ, ε"
    box = [(0.0, largest_power), (0.0, largest_x), (0.0, 1.0)]
    return boxed(f"proved on {{boxes}} boxes: {what}", proved(statement, box))
