"""How the signal enters decides the power, and not the law of the noise alone: rare, large gradients.

A coordinate has the gradient o = √((1−Q)/Q) with a small probability Q, and −1/o otherwise: mean 0, variance 1. A
signal can make the rare gradients larger, make them more frequent, or be added to all. Per unit of the mean, E φ_p
changes by

    p·o^(p−1),    (o^p + o^(−p))/(o + 1/o),    p·E|ξ|^(p−1).

For β → 1 and ε → 0 the noise that p is worth less is `q(p) = change(p)/√(E|ξ|^{2p})`, both 1 at p = 1.
"""

import numpy as np
import sympy as sp
from flint import arb

from gradpower.tools.labels import Label
from theory.adagrad.distortion import mean_map_slope
from theory.claims.claim import BEYOND, Findings, boxed, claim, condition, numeric, symbolic, vanish
from theory.laws import TwoPoint
from theory.numerics.balls import proved

P, LARGE = sp.symbols("p o", positive=True)
RARE = 1 / (1 + LARGE**2)  # Q
SQUARE = RARE * LARGE ** (2 * P) + (1 - RARE) * LARGE ** (-2 * P)  # E|ξ|^{2p}
CHANGES = {
    "larger": P * LARGE ** (P - 1),
    "more frequent": (LARGE**P + LARGE**-P) / (LARGE + 1 / LARGE),
    "added": P * (RARE * LARGE ** (P - 1) + (1 - RARE) * LARGE ** (1 - P)),
}


def _rational(expression: sp.Expr) -> sp.Expr:
    """Return an expression in o and p with o^p as a symbol of its own, which sympy simplifies in no time."""
    return sp.expand_power_exp(expression).subs(LARGE**P, sp.Symbol("w", positive=True))


def equivalents(power: float, rare: float) -> dict[str, float]:
    """q by the way in which the signal enters."""
    at = {P: power, LARGE: float(np.sqrt((1 - rare) / rare))}
    return {name: float((change / sp.sqrt(SQUARE)).subs(at)) for name, change in CHANGES.items()}


def measured(power: float, rare: float, step: float = 1e-6) -> dict[str, float]:
    """The same by differences of E φ_p over those of the mean, and from the slope of the mean map."""
    law = TwoPoint(rare)

    def mean(power: float, weight: float = rare, upper: float = law.upper) -> float:
        value: float = weight * upper**power - (1 - weight) * law.lower**power
        return value

    moved = {"larger": {"upper": law.upper + step}, "more frequent": {"weight": rare + step}}
    changes = {
        name: (mean(power, **change) - mean(power)) / (mean(1.0, **change) - mean(1.0))
        for name, change in moved.items()
    }
    changes["added"] = float(mean_map_slope(power, 0.0, 1.0, law))
    root = float(np.sqrt(law.absolute_moment(2 * power, 0.0, 1.0)))
    return {name: change / root for name, change in changes.items()}


def _own_drift(power: float, rare: float) -> float:
    """The signal, added to all, that would make E φ_p what the noise alone makes it, in units of σ."""
    law = TwoPoint(rare)
    return float(law.signed_moment(power, 0.0, 1.0) / mean_map_slope(power, 0.0, 1.0, law))


@claim("signal-in-rare-gradients", BEYOND, "asymptotic", expected=Label.HOLDS_WITH_CONDITION)
def rare_gradients() -> Findings:
    """Under noise of rare, large gradients a power is worth q(p) → p if the signal makes these larger, q → 1 if it
    makes them more frequent, and q → 0 for p > 1, ∞ for p < 1, if it is added to all."""
    squares = [_rational(change) ** 2 / _rational(SQUARE) for change in CHANGES.values()]
    rest = 1 + LARGE ** (2 - 4 * P)  # → 1 for p > ½
    forms = [
        P**2 * (1 + LARGE**-2) / rest,
        (1 + LARGE ** (-2 * P)) ** 2 / ((1 + LARGE**-2) * rest),
        P**2 * LARGE ** (4 - 4 * P) * (1 + LARGE ** (2 * P - 4)) ** 2 / ((1 + LARGE**-2) * rest),
    ]
    detail = (
        "q² = p²(1+o⁻²)/R, (1+o^(−2p))²/((1+o⁻²)R), p²o^(4−4p)(1+o^(2p−4))²/((1+o⁻²)R), R = 1 + o^(2−4p) → 1"
    )
    yield symbolic(
        detail, vanish(*(one - _rational(other) for one, other in zip(squares, forms, strict=True)))
    )
    found = {power: equivalents(power, 1e-3) for power in (0.8, 1.2, 1.5)}
    errors = [
        abs(value / equivalents(power, 0.01)[name] - 1)
        for power in found
        for name, value in measured(power, 0.01).items()
    ]
    table = "; ".join(
        f"p = {power:g}: " + ", ".join(f"{value:.3f} {name}" for name, value in row.items())
        for power, row in found.items()
    )
    right = [
        abs(row["larger"] - p) < 0.02
        and abs(row["more frequent"] - 1) < 0.02
        and (row["added"] - 1) * (p - 1) < 0
        for p, row in found.items()
    ]
    yield numeric(
        f"Q = 0.001: {table}; by differences of E φ_p to {max(errors):.0e}", max(errors) < 1e-3, *right
    )

    def near(p: arb, log_o: arb) -> bool:
        square = (1 + (-2 * log_o).exp()) / (1 + ((2 - 4 * p) * log_o).exp())
        return bool(abs(square - 1) < 0.02)

    yield boxed(
        "p in [0.8, 3], Q <= 1e-3: q within 1 % of p where the signal makes rare gradients larger ({boxes} boxes)",
        proved(near, [(0.8, 3.0), (3.5, 20.0)]),
    )
    drift = {p: abs(_own_drift(p, 0.01)) for p in (0.8, 1.2)}
    shown = ", ".join(f"{value:.3f}σ at p = {p:g}" for p, value in drift.items())
    yield condition(
        "p > ½; β → 1, as at β2 = 0.95 a rare gradient is divided by its own share of v; and q is the answer to a "
        f"signal alone: skewed noise also drifts by itself for p ≠ 1, at Q = 0.01 like a signal added of {shown}"
    )
