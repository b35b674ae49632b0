"""Theorem 4.8: the bound of AdagradPower at low noise, and the rate at which it falls."""

import math

import numpy as np
import sympy as sp

from gradpower.tools.labels import Label
from theory.adagrad.assumptions import alignment
from theory.adagrad.bounds import BoundConstants, enlarged_gradient_bound, low_noise_bound
from theory.claims.claim import Findings, claim, numeric, symbolic, vanish
from theory.claims.theorems import COUNT, LOG, STEEPEST, Runs, Theorem, constants, outcomes
from theory.laws import Binary
from theory.numerics.inputs import Array

R, P, C, ETA, L, GAP, T, D, EPS = sp.symbols("R p c eta L Delta T d epsilon", positive=True)


def _share(power: float, noise: float, eta: float, epsilon: float) -> Array:
    _, powers = outcomes(power, noise, eta, epsilon, relative=True)
    largest = enlarged_gradient_bound(STEEPEST * (1 + noise), power, epsilon)
    c = alignment(power, noise, Binary())
    return powers / low_noise_bound(COUNT, constants(eta, epsilon, largest), power, alignment=c).total


THEOREM = Theorem(
    (2 * R**P * GAP / (C * ETA) + (4 * R ** (P + 1) / C**2 + ETA * R**P * L / C) * D * LOG) / sp.sqrt(T),
    penalty=2 * R / C,
    runs=Runs(_share, powers=(0.2, 0.5, 0.9), noises=(0.0, 0.3, 0.9, 3.0)),
)


@claim("4.8-bound", "Theorem 4.8", "upper", expected=Label.HOLDS_WITH_CONDITION)
def bound() -> Findings:
    """Under Assumption 4.6: (1/T)ΣE‖∇F‖_{p+1}^{p+1} <= 2R^p(F₀−F*)/(cη√T) + (4R^{p+1}/c² +
    ηR^pL/c)·d·ln(1+TR^{2p}/ε)/√T."""
    yield from THEOREM.findings()


def bound_exponent(power: float | sp.Expr) -> sp.Expr:
    """−d ln/d ln T of the bound on `min ‖∇F‖²_{p+1}`, the 2/(p+1)-th power of the theorem's, as T → ∞."""
    value = THEOREM.bound.subs(dict.fromkeys((R, C, ETA, L, GAP, D, EPS), 1))
    slope = sp.limit(T * sp.diff(sp.log(value), T), T, sp.oo)
    return sp.nsimplify(-2 / (power + 1) * slope)


@claim("4.8-rate", "Theorem 4.8", "asymptotic", paper_value="exponent 2/(p+1) times Adagrad's")
def rate() -> Findings:
    """The bound on min ‖∇F‖²_{p+1} falls like T^(−1/(p+1)), Adagrad's like T^(−1/2): in the exponent 2/(p+1) times
    faster."""
    power, adagrad = bound_exponent(P), bound_exponent(sp.Integer(1))
    detail = "exponents 1/(p+1) and 1/2 (up to ln T), ratio 2/(p+1)"
    yield symbolic(detail, vanish(power - 1 / (P + 1)), adagrad == sp.Rational(1, 2))
    # Between T = 10^100 and 10^102, where ln T hardly counts.
    common = BoundConstants(gap=1, learning_rate=1, smoothness=1, gradient_bound=1, epsilon=1e-8)
    powers = np.array([0.1, 0.5, 0.9, 1.0])
    total = low_noise_bound([[1e100], [1e102]], common, powers, alignment=0.99).total
    slopes = -np.log(total[1] / total[0]) / math.log(100) * 2 / (powers + 1)
    table = ", ".join(f"{slope:.3f} at p = {p:g}" for p, slope in zip(powers, slopes, strict=True))
    yield numeric(
        f"slopes of the bound around T = 10^101: {table}", np.abs(slopes * (powers + 1) - 1).max() < 0.02
    )
