"""Assumption 4.9 and Example 4.10: which noise has s > 0, and which has ρ = R^{p−1}/s <= 1, a gain over Adagrad."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import sympy as sp
from flint import arb
from scipy.integrate import quad

from theory.adagrad.alignment import contraction, high_noise_alignment, largest_bound_to_noise
from theory.claims.claim import Check, Claim, our_claim
from theory.laws import Empirical, NoiseLaw, parse_law
from theory.numerics.balls import proved

P, X, U = sp.symbols("p x u", positive=True)
MARGIN = 1.01
ODD = (3, 5, 7, 9)
POWERS = (1.1, 1.2, 1.5, 2.0, 3.0, 5.0)


def _example_symbolic() -> Check:
    passed = True
    for p in ODD:
        polynomial = sp.Poly(sp.expand(((X + 1) ** p + (X - 1) ** p) / (2 * X)), X)
        passed &= polynomial.eval(0) == p and all(c >= 0 for c in polynomial.all_coeffs())
    series = sp.series(((1 + X) ** P - (1 - X) ** P) / (2 * X), X, 0, 4).removeO()
    general = sp.simplify(series - (P + P * (P - 1) * (P - 2) / 6 * X**2)) == 0
    return Check(
        bool(passed and general),
        "E φ_p/G is a polynomial in (G/a)² with constant term p·a^(p−1) and no negative coefficient for p = 3, 5, "
        "7, 9: s = p·a^(p−1), so ρ = (R/a)^(p−1)/p <= 1.01/p iff R/a <= 1.01^(1/(p−1))",
    )


def _example_numeric() -> Check:
    law = parse_law("binary")
    s = high_noise_alignment(ODD, 2.0, 0.5, law)
    exact = np.array([p * 2.0 ** (p - 1) for p in ODD])
    edges = [largest_bound_to_noise(p, MARGIN / p, law) for p in ODD]
    right = np.allclose(s, exact, rtol=1e-9) and np.allclose(
        edges, [MARGIN ** (1 / (p - 1)) for p in ODD], rtol=1e-9
    )
    return Check(
        right,
        f"s = p·a^(p−1) to 1e-9 and R/a = {', '.join(f'{edge:.6f}' for edge in edges)} for p = 3, 5, 7, 9",
    )


def _example_rigorous() -> Check:
    def gains(x: arb, ratio: arb) -> bool:
        return bool(ratio**2 / (3 + x * x) * 3 < MARGIN)  # p = 3: s = 3 + x² at |G| = xa

    inside, boxes = proved(gains, [(0.0, 1.0), (1.0, 1.00498)])
    outside = bool(arb("1.004988") ** 2 > MARGIN)
    return Check(
        inside and outside,
        f"p = 3: ρ < 1.01/3 for R/a <= 1.00498 ({boxes} boxes); R/a = 1.004988 is too much",
    )


def _example_region() -> str:
    edges = ", ".join(f"{100 * (MARGIN ** (1 / (p - 1)) - 1):.2f} % at p = {p}" for p in ODD[:3])
    return f"R/a <= 1.01^(1/(p−1)): |∇_iF| at most {edges} of the noise's amplitude, everywhere"


def least_binary_slope(power: float, reach: float) -> float:
    """`s/a^{p−1}` for two-point noise where |∇_iF| <= reach·a."""
    return float(high_noise_alignment(power, 1.0, reach, parse_law("binary")))


def _powers_symbolic() -> Check:
    third, fifth = P * (P - 1) * (P - 2) / 6, P * (P - 1) * (P - 2) * (P - 3) * (P - 4) / 120
    series = sp.series(((1 + X) ** P - (1 - X) ** P) / (2 * X), X, 0, 6).removeO()
    same = sp.simplify(series - (P + third * X**2 + fifth * X**4)) == 0
    signs = [sp.sign(third.subs(P, sp.Rational(p))) for p in ("6/5", "2", "5/2")]
    return Check(
        bool(same and signs == [-1, 0, 1]),
        "E φ_p/G = a^(p−1)·[p + p(p−1)(p−2)/6·x² + …], x = |G|/a: s = p·a^(p−1) at p = 2 and above, and less for "
        "1 < p < 2",
    )


def _powers_numeric() -> Check:
    below = {p: least_binary_slope(p, 1.0) / p for p in (1.1, 1.2, 1.5, 1.9)}
    above = [least_binary_slope(p, 1.0) / p for p in (2.0, 2.5, 3.5, 4.0, 6.0)]
    edge = largest_bound_to_noise(1.2, MARGIN / 1.2, parse_law("binary"))
    gain = largest_bound_to_noise(1.2, 1.0, parse_law("binary"))
    shown = ", ".join(f"{value:.4f} at p = {p:g}" for p, value in below.items())
    return Check(
        all(value < 0.9999 for value in below.values()) and np.allclose(above, 1, rtol=1e-9),
        f"s/(p·a^(p−1)) where |∇F| <= a: {shown}, 1 at p = 2 to 6; at p = 1.2 ρ <= 1.01/p up to R/a = {edge:.4f}, "
        f"ρ <= 1 up to R/a = {gain:.4f}",
    )


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


def _powers_rigorous() -> Check:
    def positive_factor(power: arb, x: arb) -> bool:
        return bool(curvature_factor(power, x * x) > 0)

    passed, boxes = proved(positive_factor, [(1.0, 6.0), (0.0, 0.9)])
    return Check(
        passed,
        f"|G| <= 0.9a, p in [1, 6]: E φ_p/G − p·a^(p−1) has the sign of (p−1)(p−2) ({boxes} boxes)",
    )


def gain_without_gradient(moment: Callable[[float], float], power: float) -> float:
    """The limit of ρ as |∇F|/σ → 0 for noise on [−1, 1] with these `E|ξ|^q`: `1/(p·E|ξ|^{p−1})`."""
    return 1 / (power * moment(power - 1))


def _moment_of(density: Callable[[float], float]) -> Callable[[float], float]:
    """`E|ξ|^q` by quadrature for a symmetric density on [−1, 1], given up to a factor."""
    mass = quad(density, 0, 1)[0]
    return lambda order: float(quad(lambda x: x**order * density(x), 0, 1)[0]) / mass


UNIMODAL: dict[str, Callable[[float], float]] = {
    "uniform": lambda order: 1 / (order + 1),
    "triangular": lambda order: 2 / ((order + 1) * (order + 2)),
    "Gaussian cut at 2 sd": _moment_of(lambda x: math.exp(-2 * x * x)),
    "99 % uniform + 1 % near 0": lambda order: (0.99 + 0.01 * 0.1**order) / (order + 1),
}


def _arcsine(order: float) -> float:
    """`E|ξ|^q` of the arcsine law on [−1, 1], which has its peaks at ±1."""
    return math.gamma((order + 1) / 2) / (math.sqrt(math.pi) * math.gamma(order / 2 + 1))


def _unimodal_symbolic() -> Check:
    moment = sp.simplify(sp.integrate(P * X ** (P - 1) / U, (X, 0, U)) - U ** (P - 1))
    return Check(
        moment == 0,
        "a symmetric unimodal law is a mixture of uniforms on [−u, u], u <= M: p·E|ξ|^(p−1) = E u^(p−1) <= "
        "M^(p−1), and s <= σ^(p−1)·p·E|ξ|^(p−1) (the limit |G| → 0), while R > σM: ρ > 1",
    )


def _unimodal_numeric() -> Check:
    least = min(gain_without_gradient(moment, p) for moment in UNIMODAL.values() for p in POWERS)
    sample = Empirical(np.concatenate([q := np.sqrt(np.linspace(0.0005, 0.9995, 1000)) - 1, -q]))
    sample.symmetric = True  # a triangular law, by its quantiles
    laws: tuple[NoiseLaw, ...] = (parse_law("uniform"), sample)
    measured = min(float(contraction(p, 1.001 * law.reach, law)) for law in laws for p in POWERS)
    peaked = gain_without_gradient(_arcsine, 1.2)
    return Check(
        least >= 1 - 1e-9 and measured > 1 and peaked < 1,
        f"4 unimodal laws, p from 1.1 to 5: ρ >= {least:.4f} as |∇F| → 0, >= {measured:.4f} at R = "
        f"1.001·σ·sup|ξ|; the arcsine law, with its peaks at the ends, has {peaked:.4f} at p = 1.2, two-point "
        f"noise {1 / 1.2:.4f}",
    )


def _unimodal_rigorous() -> Check:
    def uniform(power: arb, x: arb) -> bool:
        return bool((1 + x) ** (power - 1) > 1)

    def triangular(power: arb, x: arb) -> bool:
        return bool((1 + x) ** (power - 1) * (power + 1) / 2 > 1)

    box = [(1.001, 10.0), (0.001, 100.0)]
    first, boxes = proved(uniform, box)
    second, more = proved(triangular, box)
    return Check(
        first and second,
        f"uniform and triangular noise, p in [1.001, 10], |∇F|/σ up to 100 ({boxes + more} boxes)",
    )


def _unbounded_symbolic() -> Check:
    z, a = sp.symbols("z a", positive=True)
    # Gaussian: E φ_p(x+ξ)/x = p·E|ξ|^{p−1}·₁F₁((1−p)/2; 3/2; −x²/2); its slope in z = x²/2 with a = (p−1)/2 > 0.
    slope = sp.diff(sp.hyper([-a], [sp.Rational(3, 2)], -z), z)
    form = sp.simplify(slope - a / sp.Rational(3, 2) * sp.hyper([1 - a], [sp.Rational(5, 2)], -z))
    return Check(
        form == 0,
        "R = ∞, so (C2) has no meaning; (C1) holds: for Gaussian noise E φ_p/G = σ^(p−1)·p·E|ξ|^(p−1)·₁F₁(−a; "
        "3/2; −z), a = (p−1)/2, z = G²/2σ², with slope (2a/3)·₁F₁(1−a; 5/2; −z) = (2a/3)·e^(−z)·₁F₁(3/2+a; 5/2; "
        "z) > 0",
    )


def least_over_limit(law: NoiseLaw, power: float) -> float:
    """The s of (C1) over its limit `σ^{p−1}·p·E|ξ|^{p−1}` for small gradients."""
    return float(high_noise_alignment(power, 1.0, 100.0, law)) / (
        power * law.absolute_moment(power - 1, 0.0, 1.0)
    )


def _unbounded_numeric() -> Check:
    names = ("gaussian", "laplace", "student-t:6")
    ratios = {name: min(least_over_limit(parse_law(name), p) for p in (1.2, 2.0, 3.0)) for name in names}
    infinite = all(math.isinf(float(contraction(1.2, 1e6, parse_law(name)))) for name in names)
    shown = ", ".join(f"{value:.6f} {name}" for name, value in ratios.items())
    return Check(
        infinite and all(value > 0.999 for value in ratios.values()),
        f"ρ infinite; s/(σ^(p−1)·p·E|ξ|^(p−1)) at p = 1.2, 2, 3, |∇F| <= 100σ, at least: {shown}",
    )


HIGH_NOISE_ASSUMPTION: tuple[Claim, ...] = (
    Claim(
        id="4.10-example",
        statement="g = ∇F ± a, p odd: s = p·a^(p−1), and R^(p−1)/s <= 1.01/p when a ≫ |∇F|.",
        place="Example 4.10",
        source="paper",
        kind="tight",
        expected="holds with a condition",
        symbolic=_example_symbolic,
        numeric=_example_numeric,
        rigorous=_example_rigorous,
        region=_example_region,
        paper_value="1.01/p",
    ),
    our_claim(
        "4.10-other-powers",
        "Two-point noise: s = p·a^(p−1) for every p >= 2, odd or not, but s < p·a^(p−1) for 1 < p < 2, the powers "
        "in use.",
        "equality",
        _powers_symbolic,
        _powers_numeric,
        _powers_rigorous,
    ),
    our_claim(
        "4.9-unimodal",
        "No symmetric unimodal bounded noise of fixed scale satisfies (C2) for any p > 1 where gradients come "
        "near 0, the uniform noise of Example 4.1 included: ρ > 1.",
        "lower",
        _unimodal_symbolic,
        _unimodal_numeric,
        _unimodal_rigorous,
    ),
    our_claim(
        "4.9-unbounded",
        "Gaussian, Laplace and Student noise with a moment of order p > 1 has (C1), s = σ^(p−1)·p·E|ξ|^(p−1), but "
        "no R, so (C2) and Theorem 4.11 say nothing.",
        "equality",
        _unbounded_symbolic,
        _unbounded_numeric,
    ),
)
