"""The noise law decides the best power: the score bound, and p* for whole families, at high noise as ε → 0.

For g = μ + σξ with σ ≫ μ and ε → 0 the update is `(μ/σ)·Q`, with

    Q[φ] = E φ'(ξ)/√(E φ(ξ)²) = E[φ(ξ)·s(ξ)]/√(E φ(ξ)²),   s = −f'/f the score,

by integration by parts. Cauchy–Schwarz gives `Q <= √(E s²)`, the root of the Fisher information, attained by φ = s.
For φ = φ_p and `f ∝ e^{−|x|^b}` this leaves gamma functions,

    Q(p) = b·Γ(p/b + 1)/√(Γ(1/b)·Γ((2p+1)/b)),   d ln Q/dp = [ψ(p/b + 1) − ψ((2p+1)/b)]/b,

and because ψ increases and the two arguments differ by (b − 1 − p)/b, Q has its one maximum at p = b − 1.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import sympy as sp
from flint import arb
from scipy.integrate import quad

from theory.adam.optimum import optimal_power
from theory.adam.update import limit_update
from theory.claims.claim import BEYOND, Findings, boxed, claim, numeric, symbolic, vanish
from theory.laws import Gaussian, GeneralizedNormal, Laplace, StudentT, parse_law
from theory.laws.base import SymmetricDensityLaw
from theory.numerics.balls import proved
from theory.numerics.inputs import Array

X, P, B, NU, SIGMA = sp.symbols("x p b nu sigma", positive=True)
NORMAL = sp.exp(-(X**B))  # the densities on x > 0, up to constants that cancel in Q² and the score
SCORE = sp.simplify(-sp.diff(NORMAL, X) / NORMAL)  # −f'/f
STUDENT = (1 + X**2) ** (-(NU + 1) / 2)  # of T/√ν
BELL_SHAPES = (Gaussian(), Laplace(), GeneralizedNormal(1.5), GeneralizedNormal(3), StudentT(5))


def mean(function: sp.Expr, density: sp.Expr) -> sp.Expr:
    """`∫₀^∞ function·density dx`, by sympy; a ratio of two of these is a ratio of expectations."""
    return sp.gammasimp(sp.integrate(sp.powsimp(function * density), (X, 0, sp.oo), conds="none"))


def parts_hold(density: sp.Expr) -> bool:
    """Whether `E φ_p' = −∫φ_p f' dx` for every p, by two separate integrations."""
    direct, by_parts = mean(P * X ** (P - 1), density), mean(-(X**P), sp.powsimp(sp.diff(density, X)))
    return bool(sp.gammasimp(direct / by_parts) == 1)


def b_family_quality() -> sp.Expr:
    """Q(p) for `f ∝ e^{−|x|^b}`, by integration."""
    return mean(X**P * SCORE, NORMAL) / sp.sqrt(mean(X ** (2 * P), NORMAL) * mean(sp.Integer(1), NORMAL))


def expectation(function: Callable[[Array], Array], law: SymmetricDensityLaw) -> float:
    """`E function(|ξ|)` by adaptive quadrature on a logarithmic axis."""

    def integrand(t: float) -> float:
        x = np.exp(t)
        return float(2 * x * function(x) * law.density(x))

    return float(sum(quad(integrand, low, low + 4, epsabs=0, epsrel=1e-12)[0] for low in range(-72, 24, 4)))


def quality(transform: Callable[[Array], Array], law: SymmetricDensityLaw) -> float:
    """Q[φ] of a transform, for a law of unit variance."""
    signal = expectation(lambda x: transform(x) * law.score(x), law)
    return signal / math.sqrt(expectation(lambda x: transform(x) ** 2, law))


TRANSFORMS: dict[str, Callable[[Array], Array]] = {
    "p = 0.5": lambda x: x**0.5,
    "p = 1": lambda x: x,
    "p = 1.2": lambda x: x**1.2,
    "clip at 1": lambda x: np.minimum(x, 1.0),
    "tanh": np.tanh,
}


def trigamma_positive(low: float, high: float) -> tuple[bool, int]:
    """Prove ψ' > 0 on an interval: ln Γ is strictly convex and ψ strictly increasing there."""
    return proved(lambda x: bool(arb(2).zeta(x) > 0), [(low, high)])


@claim("score-law", BEYOND, "tight")
def score() -> Findings:
    """At high noise and ε → 0 the update is (μ/σ)·E[φ'(ξ)]/√E[φ(ξ)²] <= (μ/σ)·√(Fisher information), with equality for
    the score φ = −f'/f."""
    a, b, c, d = sp.symbols("phi_x s_x phi_y s_y", real=True)
    # E φ²·E s² − (E φs)² is the mean of this over independent x, y: not negative, zero only for φ ∝ s
    lagrange = sp.expand((a * d - c * b) ** 2 / 2 - (a**2 * d**2 + c**2 * b**2) / 2 + a * b * c * d) == 0
    fisher = mean(SCORE**2, NORMAL) / mean(sp.Integer(1), NORMAL)
    attained = sp.gammasimp(b_family_quality().subs(P, B - 1) ** 2 / fisher) == 1
    detail = "E φ' = E[φs] for e^(−|x|^b) and Student-t; Q² <= E s² by Lagrange's identity, attained by"
    yield symbolic(f"{detail} φ_(b−1)", parts_hold(NORMAL), parts_hold(STUDENT), lagrange, attained)
    below, rows = [], []
    for law in BELL_SHAPES:
        bound, values = quality(law.score, law), {key: quality(f, law) for key, f in TRANSFORMS.items()}
        update = float(limit_update(0.5, 1e-6, 1e-2, law, epsilon=0)) * 1e4
        best = max(values, key=lambda key: values[key])
        below += [values[best] <= bound * (1 + 1e-10), abs(update / values["p = 0.5"] - 1) < 1e-3]
        rows.append(f"{law.name} {bound:.4g}: {best} reaches {values[best] / bound:.4g}")
    law = Gaussian()
    limit = quality(lambda x: x**1.5, law)
    errors = {r: abs(float(limit_update(1.5, 1.0, r, law, epsilon=0)) * r / limit - 1) for r in (10, 100)}
    orders = ", ".join(f"{error:.1e} at r = {r}" for r, error in errors.items())
    detail = f"√(E s²) and the best of 5 transforms: {'; '.join(rows)}. Error of the form: {orders}"
    yield numeric(detail, *below)
    what = "for φ_p and e^(−|x|^b) the bound is Γ((p+b)/b)² <= Γ((2p+1)/b)·Γ((2b−1)/b)"
    yield boxed(f"{what}: ln Γ is convex on [0.02, 60] ({{boxes}} boxes)", trigamma_positive(0.02, 60.0))


def slope_sign_proved(margin: float = 0.02) -> tuple[bool, int]:
    """Prove that `d ln Q/dp` has the sign of b − 1 − p for b in [1.05, 10], p in [0.01, 12], |b − 1 − p| >= margin.

    Near the maximum by the mean value theorem, `ψ(x) − ψ(y) = (x − y)·ψ'` somewhere between x and y.
    """

    def statement(b: arb, p: arb) -> bool:
        x, y, gap = p / b + 1, (2 * p + 1) / b, b - 1 - p
        for slope in (x.digamma() - y.digamma(), arb(2).zeta(x.union(y)) * gap):
            if (slope > 0 and gap > 0) or (slope < 0 and gap < 0):
                return True
        return bool(abs(gap) < margin)

    return proved(statement, [(1.05, 10.0), (0.01, 12.0)], most=20_000)


@claim("generalized-normal-power", BEYOND, "equality")
def power() -> Findings:
    """For noise of density ∝ e^(−|x|^b) the best power at high noise as ε → 0 is p* = b − 1, and the only local
    maximum (p → 0 for b <= 1)."""
    slope = sp.diff(sp.expand_log(sp.log(b_family_quality()), force=True), P)
    z = sp.Symbol("z", positive=True)  # (2p+1)/b, so that sympy sees ψ(z+1) = ψ(z) + 1/z
    claimed = (sp.digamma(P / B + 1) - sp.digamma(z)) / B
    difference = sp.expand_func(sp.simplify((slope - claimed).subs(P, (B * z - 1) / 2)))
    detail = "d ln Q/dp = [ψ(p/b+1) − ψ((2p+1)/b)]/b, arguments (b−1−p)/b apart: one maximum, p* = b − 1"
    yield symbolic(f"{detail} (p → 0 for b <= 1)", vanish(difference))
    laws = {b: parse_law(f"generalized-normal:{b:g}") for b in (1.5, 2.0, 3.0, 5.0, 8.0)}
    optimum = partial(optimal_power, 1.0, epsilon=0.0, method="limit", interval=(0.0, 8.0))
    table = {r: max(abs(optimum(r, law).power - (b - 1)) for b, law in laws.items()) for r in (1e2, 1e3, 1e4)}
    flat = [optimum(r, parse_law("laplace")).power for r in (1e2, 1e4)]
    sharp = optimum(1e4, parse_law("generalized-normal:0.7")).at_edge == "low"
    errors = ", ".join(f"{error:.1e} at r = {r:g}" for r, error in table.items())
    zero = f"b = 1: p* = {flat[0]:.4f} at r = 100, {flat[1]:.5f} at 1e4; b = 0.7: p → 0"
    detail = f"b = 1.5, 2, 3, 5, 8: |p* − (b−1)| <= {errors} (the largest at b = 8); {zero}"
    yield numeric(detail, table[1e2] < 0.05, table[1e4] < 1e-5, 0 < flat[1] < flat[0] / 10, sharp)
    detail = "d ln Q/dp has the sign of b − 1 − p for b in [1.05, 10], p in [0.01, 12] ({boxes} boxes)"
    rising, _ = trigamma_positive(0.02, 60.0)
    yield boxed(f"{detail}; ψ' > 0 on [0.02, 60]", slope_sign_proved(), besides=rising)


@claim("uniform-unbounded", BEYOND, "asymptotic")
def uniform() -> Findings:
    """For uniform noise (b → ∞) the high-noise update as ε → 0 is (μ/σ)·√(2p+1), without maximum: only ε stops p*."""
    family = sp.gamma(P / B + 1) ** 2 / (sp.gamma(1 + 1 / B) * sp.gamma(1 + (2 * P + 1) / B))
    detail = "E φ_p² → σ^(2p)/(2p+1), ∂E φ_p/∂μ → σ^(p−1): Q = √(2p+1), increasing without bound"
    mu = sp.Symbol("mu", positive=True)
    signal = ((SIGMA + mu) ** (P + 1) - (SIGMA - mu) ** (P + 1)) / (2 * SIGMA * (P + 1))
    square = ((SIGMA + mu) ** (2 * P + 1) + (SIGMA - mu) ** (2 * P + 1)) / (2 * SIGMA * (2 * P + 1))
    slope = sp.simplify(sp.diff(signal, mu).subs(mu, 0))
    quality = sp.simplify(sp.powsimp(slope / sp.sqrt(square.subs(mu, 0)) * SIGMA, force=True))
    yield symbolic(detail, vanish(quality - sp.sqrt(2 * P + 1)), sp.limit(family, B, sp.oo) == 1)
    law, powers = parse_law("uniform"), np.array([0.05, 1.0, 3.0, 10.0])
    values = 1e4 * limit_update(powers, 1e-6, 1e-2, law, epsilon=0)
    error = float(np.abs(values / np.sqrt(2 * powers + 1) - 1).max())
    optimum = partial(optimal_power, 1e-6, 1e-2, law, method="limit", interval=(0, 10))
    edge, inner = optimum(epsilon=0).at_edge, optimum(epsilon=1e-8).power
    detail = f"r = 1e4, p to 10: relative error {error:.0e}; largest at p = 10 at ε = 0, at p = {inner:.4f} at 1e-8"
    yield numeric(detail, error < 1e-5, edge == "high", 1 < inner < 10)
