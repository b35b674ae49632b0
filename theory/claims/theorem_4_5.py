"""Theorem 4.5: Adagrad's bound, where it fails as printed, and how the other two theorems contain it."""

import numpy as np
import sympy as sp
from flint import arb

from gradpower.tools.labels import Label
from theory.adagrad.bounds import (
    BoundConstants,
    adagrad_bound,
    enlarged_gradient_bound,
    high_noise_bound,
    low_noise_bound,
)
from theory.claims.claim import Finding, Findings, claim, numeric, symbolic, vanish
from theory.claims.theorem_4_8 import THEOREM as LOW_NOISE
from theory.claims.theorem_4_11 import THEOREM as HIGH_NOISE
from theory.claims.theorems import COUNT, LOG, STEEPEST, Runs, Theorem, constants, outcomes
from theory.numerics.balls import precision
from theory.numerics.inputs import Array

R, P, C, ETA, L, GAP, T, D, EPS = sp.symbols("R p c eta L Delta T d epsilon", positive=True)


def _share(power: float, noise: float, eta: float, epsilon: float) -> Array:
    squares, _ = outcomes(power, noise, eta, epsilon, relative=False)
    largest = enlarged_gradient_bound(STEEPEST + noise, power, epsilon)
    return squares / adagrad_bound(COUNT, constants(eta, epsilon, largest)).total


THEOREM = Theorem(
    (2 * R * GAP / ETA + (4 * D * R**2 + ETA * D * R * L) * LOG.subs(P, 1)) / sp.sqrt(T),
    penalty=2 * R,
    runs=Runs(_share, powers=(1.0,), noises=(0.05, 0.5, 5.0)),
    fixed={P: 1, C: 1},
)


def printed_excess(epsilon: float, learning_rate: float) -> arb:
    """`G² − bound` after one step with R = |G| as printed: F = θ²/2 at θ_0 = 1, so L = G = R = 1 and F₀−F* = ½."""
    logarithm = (1 + 1 / arb(epsilon)).log()
    return 1 - (1 / arb(learning_rate) + (4 + learning_rate) * logarithm)


@claim("4.5-bound", "Theorem 4.5", "upper", expected=Label.HOLDS_WITH_CONDITION)
def bound() -> Findings:
    """Adagrad: (1/T)ΣE‖∇F‖² <= 2R(F₀−F*)/(η√T) + (4dR² + ηdRL)·ln(1+TR²/ε)/√T where |g_i| <= R."""
    yield from THEOREM.findings()
    with precision(128):
        excess = printed_excess(100.0, 10.0)
    detail = (
        "with |g| <= R alone it fails: F = θ²/2, θ_0 = R = 1, T = 1, η = 10, ε = 100: E‖∇F‖² exceeds the printed "
        f"bound by {float(excess):.4f}, certainly"
    )
    yield Finding("rigorous", bool(excess > 0), detail, refutes=True)


@claim("4.5-reduction", "Section 4.2", "equality")
def reduction() -> Findings:
    """At p = 1, c = s = 1, Theorems 4.8 and 4.11, as rebuilt here, are Theorem 4.5."""
    differences = [other.bound.subs({P: 1, C: 1}) - THEOREM.bound for other in (LOW_NOISE, HIGH_NOISE)]
    yield symbolic("4.8 and 4.11 less 4.5 vanish identically at p = 1, c = s = 1", vanish(*differences))
    steps = (1, 100, 10**6)
    common = BoundConstants(
        gap=0.7, learning_rate=0.3, smoothness=5.0, gradient_bound=2.5, epsilon=1e-6, dimension=7.0
    )
    plain = adagrad_bound(steps, common)
    same = [
        np.allclose(getattr(other(steps, common, 1.0, alignment=1.0), term), getattr(plain, term), rtol=1e-14)
        for other in (low_noise_bound, high_noise_bound)
        for term in ("start", "variance", "curvature")
    ]
    values = {R: 2.5, GAP: 0.7, ETA: 0.3, L: 5, D: 7, EPS: 1e-6}
    printed = [float(THEOREM.bound.subs({**values, T: t})) for t in steps]
    detail = "term by term, T = 1, 100, 10⁶; and equal to the printed formula"
    yield numeric(detail, *same, np.allclose(plain.total, printed, rtol=1e-12))
