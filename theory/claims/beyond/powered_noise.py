"""Correlations, signal-to-noise ratio and direction of powered gradients.

For jointly normal X, Y of correlation κ, Mehler's formula gives `E[φ(X)φ(Y)] = Σ_k a_k²κ^k`, a_k the coefficients of φ
in the normalised Hermite polynomials, only odd k for an odd φ. So the correlation of φ(X) and φ(Y) is a mean of κ,
κ³, κ⁵, … and smaller in magnitude than κ unless φ is linear. For φ_p the series is hypergeometric.
"""

import math
from collections.abc import Callable
from itertools import pairwise, product

import numpy as np
import sympy as sp
from flint import arb
from scipy.integrate import quad

from theory.adagrad.powered_noise import high_noise_quality, powered_correlation, signal_to_noise
from theory.adam.moments import power_moments
from theory.adam.optimum import optimal_power
from theory.adam.update import limit_update
from theory.claims.beyond.noise_shape import SIGMA, P, trigamma_positive, uniform_limit
from theory.claims.claim import BEYOND, Findings, boxed, claim, numeric, symbolic, vanish
from theory.laws import NoiseLaw, parse_law
from theory.numerics.balls import proved
from theory.numerics.inputs import Array

LAWS = ("uniform", "gaussian", "laplace", "student-t:5")
HALF = sp.Rational(1, 2)


def hermite_square(degree: int) -> sp.Expr:
    """`(E[φ_p(X)·He_k(X)])²/k!` for standard normal X and odd k, from `E|X|^q = 2^{q/2}Γ((q+1)/2)/√π`."""
    x = sp.Symbol("x")
    polynomial = sp.Poly(2 ** (-sp.Rational(degree, 2)) * sp.hermite(degree, x / sp.sqrt(2)), x)
    total = sum(c * 2 ** ((P + j) / 2) * sp.gamma((P + j + 1) / 2) for (j,), c in polynomial.terms())
    return (total / sp.sqrt(sp.pi)) ** 2 / sp.factorial(degree)


def series_coefficient(n: int) -> sp.Expr:
    """The coefficient of κ^{2n+1} in `(2^{p+1}/π)Γ(1+p/2)²·κ·₂F₁((1−p)/2, (1−p)/2; 3/2; κ²)`."""
    front = 2 ** (P + 1) / sp.pi * sp.gamma(1 + P / 2) ** 2
    return front * sp.rf((1 - P) / 2, n) ** 2 / (sp.rf(3 * HALF, n) * sp.factorial(n))


def polar_correlation(power: float, correlation: float) -> float:
    """The same by an angle: with X = R·cos t, Y = R·cos(t − acos κ) the radius cancels."""
    angle = math.acos(correlation)

    def product(t: float) -> float:
        one, other = math.cos(t), math.cos(t - angle)
        return math.copysign(abs(one * other) ** power, one * other)

    def integral(function: Callable[[float], float]) -> float:
        cuts = sorted({0.0, math.pi / 2, (angle + math.pi / 2) % math.pi, math.pi})
        return float(sum(quad(function, low, high, epsabs=1e-12)[0] for low, high in pairwise(cuts)))

    return integral(product) / integral(lambda t: abs(math.cos(t)) ** (2 * power))


def shrinking_proved(low: float, high: float) -> tuple[bool, int]:
    """Prove that the correlation of φ_p is below κ, that is `correlation_gain`·₂F₁ < 1, κ² <= 0.7."""

    def statement(p: arb, square: arb) -> bool:
        middle, a = p.mid(), (1 - p) / 2
        # three gamma functions of a wide ball would drown the gap; the mean value theorem does not
        rate = (1 + p / 2).digamma() - (p + arb(1) / 2).digamma()
        gained = correlation_gain(middle) * ((p - middle) * rate).exp()
        return bool(gained * square.hypgeom_2f1(a, a, arb(3) / 2) < 1)

    return proved(statement, [(low, high), (0.0, 0.7)], most=20_000)


def correlation_gain(power: arb) -> arb:
    """`2Γ(1+p/2)²/(√π·Γ(p+½))`, the slope of the correlation at κ = 0; Q(p)² of Gaussian noise."""
    return 2 * (1 + power / 2).gamma() ** 2 / (arb.pi().sqrt() * (power + arb(1) / 2).gamma())


@claim("correlation-shrinks", BEYOND, "tight")
def correlation() -> Findings:
    """For jointly normal gradients of mean 0 and correlation κ, φ_p(X) and φ_p(Y) have the correlation
    2Γ(1+p/2)²/(√πΓ(p+½))·κ·₂F₁((1−p)/2, (1−p)/2; 3/2; κ²), in magnitude below κ unless p = 1 or κ = 0, ±1."""
    ratios = [sp.gammasimp(hermite_square(2 * n + 1) / series_coefficient(n)) for n in range(4)]
    # Gauss: ₂F₁(a, a; c; 1) = Γ(c)Γ(c−2a)/Γ(c−a)², so that the coefficients over E|X|^{2p} sum to 1
    gauss = sp.gamma(3 * HALF) * sp.gamma(P + HALF) / sp.gamma(1 + P / 2) ** 2
    second = 2**P * sp.gamma(P + HALF) / sp.sqrt(sp.pi)
    total = sp.gammasimp(2 ** (P + 1) / sp.pi * sp.gamma(1 + P / 2) ** 2 * gauss / second)
    k = sp.Symbol("k", positive=True)
    sign = sp.series(2 / sp.pi * sp.asin(k), k, 0, 8).removeO()
    limit = sum(series_coefficient(n).subs(P, 0) * k ** (2 * n + 1) for n in range(4))
    linear = [series_coefficient(n).subs(P, 1) for n in range(3)] == [1, 0, 0]
    yield symbolic(
        "Hermite coefficients of φ_p squared are those of the ₂F₁ (k = 1, 3, 5, 7), all >= 0, of sum 1 by Gauss; "
        "p = 1: κ; p → 0: (2/π)·asin κ",
        vanish(*(ratio - 1 for ratio in ratios), total - 1, sign - limit),
        linear,
    )
    pairs = product((0.2, 0.5, 1.0, 1.2, 3.0), (-0.9, 0.05, 0.5, 0.999))
    error = max(abs(float(powered_correlation(*pair)) - polar_correlation(*pair)) for pair in pairs)
    powers = np.array([0.2, 0.5, 1.2, 2.0, 3.0])
    half, grid = powered_correlation(powers, 0.5), np.linspace(0.01, 0.99, 50)
    shrunk = powered_correlation(powers[:, None], grid) / grid
    table = ", ".join(f"p = {p:g}: {value:.4f}" for p, value in zip(powers, half, strict=True))
    detail = f"equals the integral over the angle to {error:.0e}; κ = 0.5 becomes {table}"
    yield numeric(detail, error < 1e-7, shrunk.max() < 1)
    rising, _ = trigamma_positive(0.02, 60.0)  # d ln gain/dp = ψ(1+p/2) − ψ(p+½), arguments (1−p)/2 apart
    detail = "smaller than κ for p in [0.05, 0.95] and [1.05, 6], κ² <= 0.7 ({boxes} boxes)"
    detail = f"{detail}; its slope at κ = 0 is largest, 1, at p = 1, as ψ' > 0"
    yield boxed(detail, shrinking_proved(0.05, 0.95), shrinking_proved(1.05, 6.0), besides=rising)


def direction_cosine(power: float, ratio: float, law: NoiseLaw, own_rms: float = 1.0) -> float:
    """Cosine between the vectors `E φ_p(g_i)/(E φ_p(g_i)²)^{own_rms/2}` at `power` and at p = 1, own_rms = 1 for both.

    Six coordinates, whose σ_i spread over two decades and whose σ_i/G_i is at least `ratio`.
    """
    sigma = np.logspace(-1, 1, 6)
    gradient = sigma / ratio * np.array([1.0, 0.2, 0.7, 0.4, 0.1, 0.9])

    def step(exponent: float, share: float) -> Array:
        moments = power_moments(exponent, gradient, sigma, law)
        return np.asarray(moments.first / moments.rms**share)

    one, other = step(power, own_rms), step(1.0, 1.0)
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


@claim("same-direction", BEYOND, "asymptotic")
def direction() -> Findings:
    """At high noise of one symmetric law with finite E|ξ|^(p−1) and E|ξ|^(2p), E φ_p(g_i)/√(E φ_p(g_i)²) →
    Q(p)·G_i/σ_i in every coordinate: divided by their RMS, powered gradients have one mean direction for all p."""
    low, high = sp.symbols("M_low M_high", positive=True)  # E|ξ|^{p−1}, E|ξ|^{2p}: no σ in them
    general = P * SIGMA ** (P - 1) * low / sp.sqrt(SIGMA ** (2 * P) * high)
    free = sp.simplify(sp.powsimp(general * SIGMA, force=True)).has(SIGMA) is False
    detail = "E φ_p ≈ p·E|ξ|^(p−1)·σ^(p−1)·G, √(E φ_p²) ≈ σ^p·√(E|ξ|^(2p)): their ratio is Q(p)·G/σ"
    slope, quality = uniform_limit()
    uniform = vanish(quality - sp.sqrt(2 * P + 1), slope - SIGMA ** (P - 1))
    yield symbolic(f"{detail}, with one Q for all coordinates; uniform Q = √(2p+1)", uniform, free)
    powers, laws = (0.3, 0.5, 1.2, 2.0), [parse_law(name) for name in LAWS]
    near, far = (max(1 - direction_cosine(p, r, law) for law in laws for p in powers) for r in (1e2, 1e4))
    undivided = min(direction_cosine(p, 1e4, parse_law("uniform"), 0.0) for p in powers)
    skewed = min(direction_cosine(p, 1e4, parse_law("two-point:0.1")) for p in powers)
    factor = [signal_to_noise(0.5, 1e-6, 1.0, law) * 1e6 / high_noise_quality(0.5, law) for law in laws]
    yield numeric(
        f"1 − cosine with p = 1, p in {powers}, {len(LAWS)} laws: at most {near:.0e} at σ/G = 100, {far:.0e} at σ/G = "
        f"10000; cosine {undivided:.2f} undivided, {skewed:.2f} under skewed noise",
        near < 1e-6,
        far < 1e-10,
        max(undivided, skewed) < 0.9,
        np.allclose(factor, 1, rtol=5e-3),
    )


def snr_error() -> float:
    """Largest |S/√(1+S²)/u∞ − 1| at ε = 0, over laws, ratios and powers."""
    powers, errors = np.array([0.2, 0.7, 1.0, 1.6, 2.2]), []
    for law, sigma in product(map(parse_law, (*LAWS, "two-point:0.8", "binary")), (0.01, 1.5, 300.0)):
        exact = limit_update(powers, 1.0, sigma, law, epsilon=0)
        s = signal_to_noise(powers, 1.0, sigma, law)
        errors.append(np.abs(s / np.sqrt(1 + s**2) / np.abs(exact) - 1).max())
    return float(max(errors))


@claim("snr-of-powered-gradient", BEYOND, "equality")
def snr() -> Findings:
    """As ε → 0 and β → 1 the update is ±S/√(1+S²), S = |E φ_p|/√(Var φ_p): the power with the largest update is the
    one with the best signal-to-noise ratio, which is G/(pσ√(E ξ²)) at low noise, and Q(p)·G/σ at high noise under the
    conditions of `same-direction`."""
    s, first, second = sp.symbols("S m s", positive=True)
    square = first**2 / (second - first**2)
    same = square / (1 + square) - first**2 / second
    rising = sp.diff(s / sp.sqrt(1 + s**2), s) - (1 + s**2) ** (-3 * HALF)
    x = sp.Symbol("x", positive=True)  # σ/G: uniform noise, low
    one, two = (((1 + x) ** (q + 1) - (1 - x) ** (q + 1)) / (2 * x * (q + 1)) for q in (P, 2 * P))
    first, second = (sp.series(part, x, 0, 3).removeO() for part in (one, two))
    variance = sp.expand(second - first**2).coeff(x, 2) - P**2 / 3
    detail = "u = m/√s is S/√(1+S²), S = m/√(s−m²), increasing in S; uniform noise: Var φ_p → p²G^(2p−2)σ²/3"
    yield symbolic(detail, vanish(same, rising, variance))
    error = snr_error()
    law, powers = parse_law("gaussian"), np.array([0.5, 1.0, 2.0])
    low = powers * signal_to_noise(powers, 1.0, 1e-4, law) * 1e-4
    high = signal_to_noise(powers, 1.0, 1e4, law) * 1e4 / high_noise_quality(powers, law)
    best = optimal_power(1.0, 5.0, parse_law("uniform"), epsilon=0, method="limit", interval=(0, 10))
    around = best.power * np.array([0.97, 1.0, 1.03])
    less, most, more = signal_to_noise(around, 1.0, 5.0, parse_law("uniform"))
    close = np.allclose([low, high], 1, atol=1e-6)
    detail = f"u∞ at ε = 0 is S/√(1+S²) to {error:.0e}; Gaussian: p·S·σ/G = {low[0]:.6f} at σ/G = 1e-4 and S·σ/(G·Q)"
    detail = f"{detail} = {high[0]:.6f} at 1e4 (p = 0.5); uniform, r = 5: both best at p = {best.power:.3f}"
    yield numeric(detail, error < 1e-7, close, most > max(less, more))
