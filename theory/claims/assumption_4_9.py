"""Assumption 4.9 and Example 4.10: which noise has s > 0, and which has ρ = R^{p−1}/s <= 1, a gain over Adagrad."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import sympy as sp
from flint import arb
from scipy.integrate import quad
from scipy.optimize import brentq

from gradpower.tools.labels import Label
from theory.adagrad.assumptions import contraction, high_noise_alignment, largest_bound_to_noise
from theory.claims.claim import BEYOND, Findings, boxed, claim, condition, numeric, symbolic, vanish
from theory.laws import Empirical, NoiseLaw, parse_law
from theory.numerics.balls import proved

P, X, U = sp.symbols("p x u", positive=True)
TWO_POINT = ((1 + X) ** P - (1 - X) ** P) / (2 * X)  # E φ_p/G at |G| = xa < a, in units a = 1
MARGIN = 1.01
ODD = (3, 5, 7, 9)
POWERS = (1.1, 1.2, 1.5, 2.0, 3.0, 5.0)


def informative_steps(power: float, epsilon: float = 1e-8) -> float:
    """The T from which the variance term of Theorem 4.11's bound, d = 1, is below sup|∇F|² in the example's regime.

    R = 1 and |∇F| is the largest that R/a <= 1.01^{1/(p−1)} allows: the bound says nothing for smaller T.
    """
    relative = MARGIN ** (1 / (power - 1)) - 1
    largest = relative / (1 + relative)

    def excess(log_steps: float) -> float:
        term = (
            4 * (MARGIN / power) ** 2 * math.log1p(math.exp(log_steps) / epsilon) * math.exp(-log_steps / 2)
        )
        return math.log(term / largest**2)

    return math.exp(brentq(excess, 1.0, 100.0))


@claim("4.10-example", "Example 4.10", "tight", expected=Label.HOLDS_WITH_CONDITION, paper_value="1.01/p")
def example() -> Findings:
    """g = ∇F ± a, p odd: s = p·a^(p−1), and R^(p−1)/s <= 1.01/p when a ≫ |∇F|."""
    polynomials = {p: sp.Poly(sp.expand(TWO_POINT.subs(P, p)), X) for p in ODD}
    series = sp.series(TWO_POINT, X, 0, 4).removeO()
    yield symbolic(
        "E φ_p/G is a polynomial in (G/a)² with constant term p·a^(p−1) and no negative coefficient for p = 3, 5, "
        "7, 9: s = p·a^(p−1), so ρ = (R/a)^(p−1)/p <= 1.01/p iff R/a <= 1.01^(1/(p−1))",
        *(polynomial.eval(0) == p for p, polynomial in polynomials.items()),
        *(c >= 0 for polynomial in polynomials.values() for c in polynomial.all_coeffs()),
        vanish(series - (P + P * (P - 1) * (P - 2) / 6 * X**2)),
    )
    law = parse_law("binary")
    slopes = high_noise_alignment(ODD, 2.0, 0.5, law) / [p * 2.0 ** (p - 1) for p in ODD]
    edges = [largest_bound_to_noise(p, MARGIN / p, law) for p in ODD]
    detail = (
        f"s = p·a^(p−1) to 1e-9 and R/a = {', '.join(f'{edge:.6f}' for edge in edges)} for p = 3, 5, 7, 9; in this "
        f"regime Theorem 4.11 says something (d = 1, ε = 1e-8·R^2p) only for T > {informative_steps(3.0):.0e} at p = 3 "
        f"and {informative_steps(1.2):.0e} at p = 1.2"
    )
    yield numeric(
        detail,
        np.allclose(slopes, 1, rtol=1e-9),
        np.allclose(edges, [MARGIN ** (1 / (p - 1)) for p in ODD], rtol=1e-9),
    )
    # p = 3: s = 3 + x² at |G| = xa
    inside = proved(lambda x, r: r**2 / (3 + x * x) * 3 < MARGIN, [(0.0, 1.0), (1.0, 1.00498)])
    detail = "p = 3: ρ < 1.01/3 for R/a <= 1.00498 ({boxes} boxes); R/a = 1.004988 is too much"
    yield boxed(detail, inside, besides=arb("1.004988") ** 2 > MARGIN)
    shares = ", ".join(f"{100 * (MARGIN ** (1 / (p - 1)) - 1):.2f} % at p = {p}" for p in ODD[:3])
    yield condition(f"R/a <= 1.01^(1/(p−1)): |∇_iF| at most {shares} of the noise's amplitude, everywhere")


def curvature_factor(power: arb, square: arb, terms: int = 60) -> arb:
    """`(E φ_p/G − p)/(p(p−1)(p−2)x²)` for two-point noise, x² = `square` < 1, p in [1, 6], a = 1.

    The binomial series; as |p−j| <= j there, the terms left out are at most x^{2k−2}/(4k).
    """
    total, coefficient = arb(0), arb(1) / 6
    for k in range(1, terms + 1):
        total += coefficient * square ** (k - 1)
        coefficient *= (power - (2 * k + 1)) * (power - (2 * k + 2)) / ((2 * k + 2) * (2 * k + 3))
    rest = square**terms / (4 * terms * (1 - square))
    return total + (-rest).union(rest)


@claim("4.10-other-powers", BEYOND, "equality")
def powers() -> Findings:
    """Two-point noise: s = p·a^(p−1) for every p >= 2, odd or not, but s < p·a^(p−1) for 1 < p < 2, the powers in
    use."""
    third, fifth = P * (P - 1) * (P - 2) / 6, P * (P - 1) * (P - 2) * (P - 3) * (P - 4) / 120
    series = sp.series(TWO_POINT, X, 0, 6).removeO()
    signs = [sp.sign(third.subs(P, sp.Rational(p))) for p in ("6/5", "2", "5/2")]
    detail = (
        "E φ_p/G = a^(p−1)·[p + p(p−1)(p−2)/6·x² + …], x = |G|/a: s = p·a^(p−1) at p = 2 and above, and less"
    )
    same = vanish(series - (P + third * X**2 + fifth * X**4))
    yield symbolic(f"{detail} for 1 < p < 2", same, signs == [-1, 0, 1])
    law, small, large = parse_law("binary"), (1.1, 1.2, 1.5, 1.9), (2.0, 2.5, 3.5, 4.0, 6.0)
    below, above = (high_noise_alignment(p, 1.0, 1.0, law) / p for p in map(np.array, (small, large)))
    edge, gain = (largest_bound_to_noise(1.2, rho, law) for rho in (MARGIN / 1.2, 1.0))
    table = ", ".join(f"{value:.4f} at p = {p:g}" for p, value in zip(small, below, strict=True))
    detail = (
        f"s/(p·a^(p−1)) where |∇F| <= a: {table}, 1 at p = 2 to 6; at p = 1.2 ρ <= 1.01/p up to R/a = {edge:.4f}, "
        f"ρ <= 1 up to R/a = {gain:.4f}"
    )
    yield numeric(detail, np.all(below < 0.9999), np.allclose(above, 1, rtol=1e-9))
    yield boxed(
        "|G| <= 0.9a, p in [1, 6]: E φ_p/G − p·a^(p−1) has the sign of (p−1)(p−2) ({boxes} boxes)",
        proved(lambda p, x: curvature_factor(p, x * x) > 0, [(1.0, 6.0), (0.0, 0.9)]),
    )


def gain_without_gradient(moment: Callable[[float], float], power: float) -> float:
    """The limit of ρ as |∇F|/σ → 0 for noise on [−1, 1] with these `E|ξ|^q`: `1/(p·E|ξ|^{p−1})`."""
    return 1 / (power * moment(power - 1))


def cut_gaussian(order: float) -> float:
    """`E|ξ|^q` of Gaussian noise of standard deviation ½, cut at ±1."""
    above, mass = (quad(lambda x, q=q: x**q * math.exp(-2 * x * x), 0, 1)[0] for q in (order, 0))
    return float(above / mass)


UNIMODAL: tuple[Callable[[float], float], ...] = (
    lambda order: 1 / (order + 1),  # uniform
    lambda order: 2 / ((order + 1) * (order + 2)),  # triangular
    cut_gaussian,
    lambda order: (0.99 + 0.01 * 0.1**order) / (order + 1),  # 99 % uniform + 1 % near 0
)


@claim("4.9-unimodal", BEYOND, "lower")
def unimodal() -> Findings:
    """No symmetric unimodal bounded noise of fixed scale satisfies (C2) for any p > 1 where gradients come near 0, the
    uniform noise of Example 4.1 included: ρ > 1."""
    yield symbolic(
        "a symmetric unimodal law is a mixture of uniforms on [−u, u], u <= M: p·E|ξ|^(p−1) = E u^(p−1) <= "
        "M^(p−1), and s <= σ^(p−1)·p·E|ξ|^(p−1) (the limit |G| → 0), while R > σM: ρ > 1",
        vanish(sp.integrate(P * X ** (P - 1) / U, (X, 0, U)) - U ** (P - 1)),
    )
    least = min(gain_without_gradient(moment, p) for moment in UNIMODAL for p in POWERS)
    sample = Empirical(np.concatenate([q := np.sqrt(np.linspace(0.0005, 0.9995, 1000)) - 1, -q]))
    sample.symmetric = True  # a triangular law, by its quantiles
    laws: tuple[NoiseLaw, ...] = (parse_law("uniform"), sample)
    measured = min(float(contraction(p, 1.001 * law.reach, law)) for law in laws for p in POWERS)
    peaked = gain_without_gradient(
        partial(parse_law("arcsine").absolute_moment, location=0.0, scale=1.0), 1.2
    )
    detail = (
        f"4 unimodal laws, p from 1.1 to 5: ρ >= {least:.4f} as |∇F| → 0, >= {measured:.4f} at R = "
        f"1.001·σ·sup|ξ|; the arcsine law, with its peaks at the ends, has {peaked:.4f} at p = 1.2, two-point "
        f"noise {1 / 1.2:.4f}"
    )
    yield numeric(detail, least >= 1 - 1e-9, measured > 1, peaked < 1)
    box = [(1.001, 10.0), (0.001, 100.0)]
    yield boxed(
        "uniform and triangular noise, p in [1.001, 10], |∇F|/σ up to 100 ({boxes} boxes)",
        proved(lambda p, x: (1 + x) ** (p - 1) > 1, box),
        proved(lambda p, x: (1 + x) ** (p - 1) * (p + 1) / 2 > 1, box),
    )


@claim("4.9-unbounded", BEYOND, "equality")
def unbounded() -> Findings:
    """Gaussian, Laplace and Student noise with a moment of order p > 1 has (C1), s = σ^(p−1)·p·E|ξ|^(p−1), but no R,
    so (C2) and Theorem 4.11 say nothing."""
    z, a = sp.symbols("z a", positive=True)
    # Gaussian: E φ_p(x+ξ)/x = p·E|ξ|^{p−1}·₁F₁((1−p)/2; 3/2; −x²/2); its slope in z = x²/2 with a = (p−1)/2 > 0.
    slope = sp.diff(sp.hyper([-a], [sp.Rational(3, 2)], -z), z)
    yield symbolic(
        "R = ∞, so (C2) has no meaning; (C1) holds: for Gaussian noise E φ_p/G = σ^(p−1)·p·E|ξ|^(p−1)·₁F₁(−a; "
        "3/2; −z), a = (p−1)/2, z = G²/2σ², with slope (2a/3)·₁F₁(1−a; 5/2; −z) = (2a/3)·e^(−z)·₁F₁(3/2+a; 5/2; "
        "z) > 0",
        vanish(slope - a / sp.Rational(3, 2) * sp.hyper([1 - a], [sp.Rational(5, 2)], -z)),
    )
    laws = {name: parse_law(name) for name in ("gaussian", "laplace", "student-t:6")}
    powers, ratios = (1.2, 2.0, 3.0), {}
    for name, law in laws.items():
        limits = [p * law.absolute_moment(p - 1, 0.0, 1.0) for p in powers]
        ratios[name] = float(np.min(high_noise_alignment(powers, 1.0, 100.0, law) / limits))
    infinite = all(math.isinf(float(contraction(1.2, 1e6, law))) for law in laws.values())
    table = ", ".join(f"{value:.6f} {name}" for name, value in ratios.items())
    detail = f"ρ infinite; s/(σ^(p−1)·p·E|ξ|^(p−1)) at p = 1.2, 2, 3, |∇F| <= 100σ, at least: {table}"
    yield numeric(detail, infinite, min(ratios.values()) > 0.999)
