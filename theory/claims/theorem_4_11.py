"""Theorem 4.11: the bound of AdagradPower at high noise."""

import sympy as sp

from gradpower.tools.labels import Label
from theory.adagrad.assumptions import high_noise_alignment
from theory.adagrad.bounds import enlarged_gradient_bound, high_noise_bound
from theory.claims.claim import Findings, claim
from theory.claims.theorems import COUNT, LOG, STEEPEST, Runs, Theorem, constants, outcomes
from theory.laws import Binary
from theory.numerics.inputs import Array

R, P, C, ETA, L, GAP, T, D = sp.symbols("R p c eta L Delta T d", positive=True)


def _share(power: float, noise: float, eta: float, epsilon: float) -> Array:
    squares, _ = outcomes(power, noise, eta, epsilon, relative=False)
    largest = enlarged_gradient_bound(STEEPEST + noise, power, epsilon)
    s = high_noise_alignment(power, noise, STEEPEST, Binary())
    return squares / high_noise_bound(COUNT, constants(eta, epsilon, largest), power, alignment=s).total


_RHO = R ** (P - 1) / C
THEOREM = Theorem(
    (2 * R * _RHO * GAP / ETA + (4 * R**2 * _RHO**2 + ETA * R * L * _RHO) * D * LOG) / sp.sqrt(T),
    penalty=2 * R**P / C,
    runs=Runs(_share, powers=(0.5, 1.2, 3.0), noises=(0.8, 5.0)),
    constant="s",
)


@claim("4.11-bound", "Theorem 4.11", "upper", expected=Label.HOLDS_WITH_CONDITION)
def bound() -> Findings:
    """Under Assumption 4.9, ρ = R^{p−1}/s: (1/T)ΣE‖∇F‖² <= 2Rρ(F₀−F*)/(η√T) + (4R²ρ² + ηRLρ)·d·ln(1+TR^{2p}/ε)/√T."""
    yield from THEOREM.findings()
