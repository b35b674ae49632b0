"""p > 1 damps: the size of φ_p(g) relative to its root mean square, which sets the update's size at high β."""

from __future__ import annotations

import sympy as sp
from flint import arb

from theory.adagrad.powered_noise import normalised_size
from theory.claims.beyond.noise_shape import NORMAL, B, P, X, mean
from theory.claims.claim import BEYOND, Findings, claim, numeric, rigorous, show, symbolic
from theory.laws import parse_law
from theory.numerics.balls import precision


def _damping(power: arb) -> arb:
    """`E|g|^p/√(E|g|^{2p})` for Gaussian g, relative to p = 1."""
    value = ((power + 1) / 2).gamma() / ((power + arb(1) / 2).gamma() * arb.pi().sqrt()).sqrt()
    return value / (2 / arb.pi()).sqrt()


def damping_is(value: float, decimals: int) -> bool:
    """Prove that the damping of p = 1.2 for Gaussian noise rounds to `value`."""
    half = arb(10) ** -decimals / 2
    return bool(abs(_damping(arb(12) / 10) - arb(f"{value:.{decimals}f}")) < half)


@claim("damping", BEYOND, "equality")
def damping() -> Findings:
    """For Gaussian g the size E|g|^p/√E|g|^(2p) at p = 1.2 is 0.94 of that at p = 1."""
    ratio = mean(X**P, NORMAL) / sp.sqrt(mean(X ** (2 * P), NORMAL) * mean(sp.Integer(1), NORMAL))
    exact = sp.gamma((P + 1) / 2) / sp.sqrt(sp.sqrt(sp.pi) * sp.gamma(P + sp.Rational(1, 2)))
    same = sp.gammasimp((ratio.subs(B, 2) / exact) ** 2) == 1
    value = (exact / exact.subs(P, 1)).subs(P, sp.Rational(6, 5)).evalf(20)
    detail = f"Γ((p+1)/2)/√(√π·Γ(p+½)) over its value at 1 = {value:.10f}"
    yield symbolic(detail, same, abs(value - 0.94) < 0.005)
    laws = map(parse_law, ("uniform", "generalized-normal:3", "gaussian", "laplace", "student-t:5"))
    table = {law.name: normalised_size(1.2, law) / normalised_size(1.0, law) for law in laws}
    detail = ", ".join(f"{name} {value:.4f}" for name, value in table.items())
    detail = f"pure noise, p = 1.2 over p = 1: {detail}; 1 for noiseless g"
    yield numeric(detail, round(table["gaussian"], 2) == 0.94)
    with precision(128):
        value = _damping(arb(12) / 10)
        narrow = float(value.rad()) < 1e-12
    detail = f"{value.str(15, radius=False)} to within 1e-30: rounds to 0.94"
    yield rigorous(detail, damping_is(0.94, 2), narrow)


if __name__ == "__main__":
    show(globals())
