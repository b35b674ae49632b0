"""p > 1 damps: the size of φ_p(g) relative to its root mean square, which sets the update's size at high β."""

import sympy as sp
from flint import arb

from theory.adagrad.powered_noise import normalised_size
from theory.claims.beyond.noise_shape import NORMAL, B, P, X, mean
from theory.claims.claim import BEYOND, Findings, claim, numeric, rigorous, symbolic
from theory.laws import parse_law
from theory.numerics.balls import precision


def gaussian_damping(power: arb) -> arb:
    """`E|g|^p/√(E|g|^{2p})` for Gaussian g, relative to p = 1."""
    value = ((power + 1) / 2).gamma() / ((power + arb(1) / 2).gamma() * arb.pi().sqrt()).sqrt()
    return value / (2 / arb.pi()).sqrt()


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
    sizes = {law.name: normalised_size(1.2, law) / normalised_size(1.0, law) for law in laws}
    table = ", ".join(f"{name} {value:.4f}" for name, value in sizes.items())
    detail = f"pure noise, p = 1.2 over p = 1: {table}; 1 for noiseless g"
    yield numeric(detail, round(sizes["gaussian"], 2) == 0.94)
    with precision(128):
        value = gaussian_damping(arb(12) / 10)
        rounds, narrow = abs(value - arb("0.94")) < 0.005, float(value.rad()) < 1e-12
    yield rigorous(f"{value.str(15, radius=False)} to within 1e-30: rounds to 0.94", rounds, narrow)
