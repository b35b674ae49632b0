"""The mean map G ↦ E φ_p(G + σξ): its slope, what it does to smoothness, and where it vanishes under skewed noise.

Differentiating under the expectation gives the slope `p·E|G + σξ|^{p−1}`. For uniform noise of half-width v it is
`[φ_p(G+v) − φ_p(G−v)]/(2v)`, whose own derivative `p(|G+v|^{p−1} − |G−v|^{p−1})/(2v)` has for G > 0 the sign of p − 1.
A symmetric unimodal density f is a mixture of uniform ones, `f(x) = ∫_{|x|}^∞ (−2v f'(v))·dv/(2v)`, so the same holds
for it: the slope is largest at G = 0 for p < 1 and at the largest |G| for p > 1.

Since φ_p is the derivative of |·|^{p+1}/(p+1), the mean map vanishes at −σ times the minimiser of E|ξ − m|^{p+1}.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import sympy as sp
from flint import arb
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from theory.adagrad.distortion import effective_smoothness, mean_map, mean_map_slope, stalling_gradient
from theory.claims.claim import Check, Claim, our_claim
from theory.claims.noise_shape import NORMAL, STUDENT, P, X, mean, parts_hold
from theory.claims.powered_noise import POWERED_NOISE
from theory.laws import Empirical, NoiseLaw, parse_law
from theory.numerics.balls import enclosed_root, precision, proved

SIGMA, HALF_ODDS = sp.symbols("sigma lambda", positive=True)  # HALF_ODDS is ½·ln((1−Q)/Q)
N = sp.Symbol("n", integer=True, nonnegative=True)
DENSITIES = ("uniform", "gaussian", "laplace", "generalized-normal:4", "student-t:5")


def uniform_mean(size: sp.Expr = X) -> sp.Expr:
    """`E φ_p(G + σξ)` for uniform noise with 0 < G < σ, by integrating both signs of g."""
    t = sp.Symbol("t", positive=True)
    up, down = (sp.integrate(t**P, (t, 0, end)) for end in (SIGMA + size, SIGMA - size))
    return (up - down) / (2 * SIGMA)


def _slope_symbolic() -> Check:
    t = sp.Symbol("t", positive=True)
    absolute = sum(sp.integrate(t ** (P - 1), (t, 0, end)) for end in (SIGMA + X, SIGMA - X)) / (2 * SIGMA)
    uniform = sp.simplify(sp.diff(uniform_mean(), X) - P * absolute) == 0
    # Gaussian: d·1F1(a; 3/2; −d²/2) differentiates to 1F1(a; 1/2; −d²/2), term by term, and so do their fronts
    terms = (2 * N + 1) * sp.gamma(N + sp.Rational(1, 2)) * sp.gamma(sp.Rational(3, 2))
    terms /= sp.gamma(N + sp.Rational(3, 2)) * sp.gamma(sp.Rational(1, 2))
    fronts = 2 ** ((P + 1) / 2) * sp.gamma(P / 2 + 1) / (P * 2 ** ((P - 1) / 2) * sp.gamma(P / 2))
    gaussian = sp.gammasimp(terms) == 1 and sp.gammasimp(fronts) == 1
    parts = parts_hold(NORMAL) and parts_hold(STUDENT)
    detail = "by differentiation: uniform and Gaussian noise at any G, e^(−|x|^b) and Student-t at G = 0"
    return Check(bool(uniform and gaussian and parts), detail)


def slope_error(slope: Callable[[float, float, NoiseLaw], float], names: tuple[str, ...]) -> float:
    """Largest |∫ slope dG / (change of E φ_p) − 1| over powers and stretches of G, σ = 1."""
    errors = []
    for name in names:
        law = parse_law(name)
        for power in (0.4, 1.2, 2.5):
            for low, high in pairwise((-1.7, -1.0, -1 / 3, 0.0, 1.0)):  # atoms make g = 0 at some of the ends
                area = quad(lambda g, p=power, law=law: slope(p, g, law), low, high, limit=200, epsrel=1e-9)[
                    0
                ]
                change = np.diff(mean_map(power, [low, high], 1.0, law))[0]
                errors.append(abs(area / change - 1))
    return float(max(errors))


def exact_slope(power: float, gradient: float, law: NoiseLaw) -> float:
    """`p·E|G + ξ|^{p−1}`."""
    return float(mean_map_slope(power, gradient, 1.0, law))


def _slope_numeric() -> Check:
    names = ("uniform", "gaussian", "student-t:5", "binary", "two-point:0.1")
    error = slope_error(exact_slope, names)
    at_zero = {name: exact_slope(0.5, 0.0, parse_law(name)) for name in DENSITIES}
    atom = mean_map_slope(0.5, [1.0, 1 + 1e-12], 1.0, parse_law("binary"))
    values = ", ".join(f"{name} {value:.3f}" for name, value in at_zero.items())
    detail = (
        f"∫ slope dG is the change of E φ_p to {error:.0e}; at G = 0, p = 0.5, σ = 1: {values}; ∞ on an atom"
    )
    return Check(error < 1e-7 and bool(np.isinf(atom[0]) and np.isfinite(atom[1])), detail)


def _smoothness_symbolic() -> Check:
    far = sp.Symbol("D", positive=True)  # | |G| − v |, so that sympy knows its sign
    high = ((X + SIGMA) ** P - (X - SIGMA) ** P) / (
        2 * SIGMA
    )  # the slope above the noise; below it, from the mean
    bends = sp.diff(high, X).subs(X, SIGMA + far), sp.diff(uniform_mean(), X, 2).subs(SIGMA, X + far)
    claimed = P * ((X + SIGMA) ** (P - 1) - far ** (P - 1)) / (2 * SIGMA)
    ends = ((X, SIGMA + far),), ((SIGMA, X + far),)
    uniform = [sp.simplify(b - claimed.subs(end)) == 0 for b, end in zip(bends, ends, strict=True)]
    mixture = all(
        sp.gammasimp(
            mean(sp.powsimp(-2 * X**P * sp.diff(f, X)), sp.Integer(1)) / (2 * P * mean(X ** (P - 1), f))
        )
        == 1
        for f in (NORMAL, STUDENT)
    )
    at_zero = sp.simplify(sp.diff(uniform_mean(), X).subs(X, 0) / SIGMA ** (P - 1)) == 1
    half = sp.Rational(1, 2)
    bare = sp.limit(half * X ** (half - 1), X, 0) == sp.oo
    detail = (
        "uniform noise: ∂ slope/∂G ∝ |G+v|^(p−1) − |G−v|^(p−1); its mixtures with weight −2v·f'(v) give e^(−|x|^b) and "
        "Student-t; uniform at G = 0: σ^(p−1); p·G^(p−1) → ∞ without noise"
    )
    return Check(bool(all(uniform) and mixture and at_zero and bare), detail)


def smoothness_gap(factor: Callable[[float, float, NoiseLaw], float]) -> tuple[float, float]:
    """Smallest and largest of `factor`(p, G_max, law) over the steepest chord of E φ_p on [−G_max, G_max], σ = 1."""
    ratios = []
    for name in DENSITIES:
        law = parse_law(name)
        for power in (0.3, 0.7, 1.5, 2.4):
            for largest in (0.3, 2.0):
                ends = [*np.linspace(-largest, largest, 11), *(np.array([-1e-4, 1e-4])), largest - 1e-4]
                values = mean_map(power, sorted(ends), 1.0, law)
                chord = float(np.max(np.diff(values) / np.diff(sorted(ends))))
                ratios.append(factor(power, largest, law) / chord)
    return min(ratios), max(ratios)


def exact_factor(power: float, largest: float, law: NoiseLaw) -> float:
    """`effective_smoothness` at σ = 1."""
    return float(effective_smoothness(power, 1.0, largest, law))


def _smoothness_numeric() -> Check:
    low, high = smoothness_gap(exact_factor)
    binary = effective_smoothness(0.5, 1.0, [0.5, 1.0], parse_law("binary"))
    bare = float(effective_smoothness(0.5, 0.0, 1.0, parse_law("uniform")))
    uniform = effective_smoothness([0.5, 2.0], 1e-4, 1e-2, parse_law("uniform"))
    passed = low > 1 - 1e-9 and high < 1.01 and bool(np.isinf(binary[1]) and np.isfinite(binary[0]))
    passed &= math.isinf(bare) and bool(np.allclose(uniform, [100.0, 0.02], rtol=1e-12))
    detail = (
        f"factor/steepest chord from {low:.6f} to {high:.6f}; uniform σ = 1e-4, p = 0.5: {uniform[0]:.6g}"
    )
    return Check(bool(passed), f"{detail}; binary noise and p < 1: ∞ for G_max >= σ")


def _smoothness_rigorous() -> Check:
    def bend(p: arb, z: arb) -> arb:  # of the slope ∝ 1F1((1−p)/2; ½; −z), z = (G/σ)²/2, over p − 1
        return (-z).hypgeom_1f1((3 - p) / 2, arb(3) / 2)

    def positive(p: arb, z: arb) -> arb:  # the same, by Kummer's transformation
        return (-z).exp() * z.hypgeom_1f1(p / 2, arb(3) / 2)

    corners = [(arb(p), arb(z)) for p in (0.02, 0.9, 2.7, 6.0) for z in (0.01, 2.0, 6.0)]
    with precision(128):
        same = all(bend(*corner).overlaps(positive(*corner)) for corner in corners)
    passed, boxes = proved(lambda p, z: bool(positive(p, z) > 0), [(0.02, 6.0), (0.0, 6.0)], most=20_000)
    near, more = proved(lambda p, z: bool(bend(p, z) > 0), [(0.1, 3.0), (0.0, 2.0)], most=20_000)
    detail = "Gaussian noise: d slope/d(G²) has the sign of p − 1, p in [0.02, 6], |G| <= 3.4σ"
    return Check(same and passed and near, f"{detail} ({boxes + more} boxes)")


def two_point_centre(power: sp.Expr, half_odds: sp.Expr) -> sp.Expr:
    """`m_p = sinh(λ(1−1/p))/cosh(λ/p)`, λ = ½·ln((1−Q)/Q); in sympy, or in balls."""
    up, down = half_odds * (1 - 1 / power), half_odds / power
    return up.sinh() / down.cosh() if isinstance(half_odds, arb) else sp.sinh(up) / sp.cosh(down)


def _stalling_symbolic() -> Check:
    m, k = sp.symbols("m k", positive=True)
    upper, lower = sp.exp(HALF_ODDS), sp.exp(-HALF_ODDS)
    # Q(a−m)^p = (1−Q)(m+b)^p is a − m = k(m + b) with k = ((1−Q)/Q)^{1/p}
    (root,) = sp.solve(upper - m - k * (m + lower), m)
    claimed = two_point_centre(P, HALF_ODDS)
    gap = (root.subs(k, sp.exp(2 * HALF_ODDS / P)) - claimed).rewrite(sp.exp)
    solved = sp.simplify(gap) == 0
    limits = [
        sp.simplify(sp.limit(claimed.subs(HALF_ODDS, 1).rewrite(sp.exp), P, end, side) - value) == 0
        for end, side, value in ((0, "+", -sp.exp(-1)), (1, "+", 0), (sp.oo, "-", (sp.E - sp.exp(-1)) / 2))
    ]
    power_of = (SIGMA - X) ** (P + 1)  # on ξ > m; on the other side by reflection
    convex = sp.simplify(sp.diff(power_of, X, 2) - P * (P + 1) * (SIGMA - X) ** (P - 1)) == 0
    first = sp.simplify(sp.diff(power_of, X) + (P + 1) * (SIGMA - X) ** P) == 0
    detail = (
        "d E|ξ−m|^(p+1)/dm = −(p+1)·E φ_p(ξ−m), strictly convex; two points: m_p = sinh(λ(1−1/p))/cosh(λ/p), λ = "
        "½·ln((1−Q)/Q); p → 0 the likelier point (the median), p = 1 the mean, p → ∞ the mid-range"
    )
    return Check(bool(solved and all(limits) and convex and first), detail)


def skewed_samples() -> Empirical:
    """The 199 quantiles of an exponential law: skewed, and with the mean, median and mid-range well apart."""
    return Empirical(-np.log1p(-np.arange(1, 200) / 200))


def centre_error(stall: Callable[[float, NoiseLaw], float]) -> float:
    """Largest distance of −`stall`(p, law) from the minimiser of E|ξ−m|^{p+1}, over skewed laws and powers."""
    errors = []
    for law in (parse_law("two-point:0.1"), parse_law("two-point:0.8"), skewed_samples()):
        for power in (0.5, 1.0, 1.2, 3.0):

            def loss(m: float, law: NoiseLaw = law, power: float = power) -> float:
                unit = max(1.0, abs(m))
                mirror = law if m <= 0 else law.reflected()  # E|ξ − m| = E|−m + ξ|
                return float(unit ** (power + 1) * mirror.absolute_moment(power + 1, abs(m) / unit, 1 / unit))

            found = minimize_scalar(loss, bounds=(-law.reach, law.reach), options={"xatol": 1e-10})
            errors.append(abs(found.x + stall(power, law)))
    return float(max(errors))


def _stalling_numeric() -> Check:
    error = centre_error(lambda power, law: float(stalling_gradient(power, 1.0, law)))
    law, samples = parse_law("two-point:0.1"), skewed_samples()
    powers = np.array([0.5, 0.8, 1.0, 1.2, 2.0])
    stall = stalling_gradient(powers, 1.0, law)
    beside = [mean_map(powers, stall + step, 1.0, law) for step in (-1e-6, 1e-6)]
    middle = (samples.samples[0] + samples.samples[-1]) / 2
    near_median, mean_point, near_middle = -stalling_gradient([0.01, 1.0, 10.0], 1.0, samples)
    passed = error < 1e-6 and bool(np.all(beside[0] < 0) and np.all(beside[1] > 0))
    passed &= abs(near_median - np.median(samples.samples)) < 1e-6 and abs(mean_point) < 1e-12
    passed &= bool(0.7 * middle < near_middle < middle)
    table = ", ".join(f"p = {p:g}: {g + 0.0:.4f}" for p, g in zip(powers, stall, strict=True))
    return Check(
        bool(passed), f"G₀/σ under two points, Q = 0.1: {table}; −m_p by minimisation to {error:.0e}"
    )


def centre_proved(
    centre: Callable[[arb, arb], arb], probability: float, margin: float = 0.02
) -> tuple[bool, int]:
    """Prove that E φ_p(ξ − m) has the sign of `centre`(p, λ) − m for p in [0.2, 6] and every m between the points."""
    with precision(128):
        odds = (arb(1) - probability) / probability
        upper, half_odds = odds.sqrt(), odds.log() / 2
        lower = 1 / upper

        def statement(p: arb, m: arb) -> bool:
            # of ln(Q(a−m)^p) − ln((1−Q)(m+b)^p)
            value = p * ((upper - m).log() - (m + lower).log()) - 2 * half_odds
            gap = centre(p, half_odds) - m
            return bool((value > 0 and gap > 0) or (value < 0 and gap < 0) or abs(gap) < margin)

        inside = (float(-lower) + 1e-6, float(upper) - 1e-6)
        return proved(statement, [(0.2, 6.0), inside], most=40_000)


def _stalling_rigorous() -> Check:
    done = [centre_proved(two_point_centre, q) for q in (0.1, 0.7)]
    with precision(128):
        half_odds = arb(9).log() / 2
        root = enclosed_root(lambda m: ((3 - m) / (m + arb(1) / 3)).log() / 2 - 2 * half_odds, -0.33, 2.9)
        inside = root.overlaps(two_point_centre(arb("0.5"), half_odds))
    boxes = sum(count for _, count in done)
    detail = f"E φ_p(ξ−m) has the sign of m_p − m, p in [0.2, 6], Q = 0.1 and 0.7 ({boxes} boxes)"
    return Check(
        all(ok for ok, _ in done) and inside, f"{detail}; Q = 0.1, p = 0.5: G₀/σ = {-float(root):.10f}"
    )


DISTORTION: tuple[Claim, ...] = (
    our_claim(
        "mean-map-slope",
        "E φ_p(G+σξ) changes with G at the rate p·E|G+σξ|^(p−1): at G = 0 positive and finite for every p under noise "
        "of bounded density, where φ_p alone has slope 0 (p > 1) or ∞ (p < 1), and ∞ for p < 1 where an atom makes "
        "g = 0.",
        "equality",
        _slope_symbolic,
        _slope_numeric,
    ),
    our_claim(
        "effective-smoothness",
        "Under symmetric unimodal noise E φ_p(∇F+σξ) is Lipschitz with at most L times pσ^(p−1)E|ξ|^(p−1) for p < 1 "
        "(uniform: σ^(p−1)), and L times the slope at the largest gradient for p > 1; without noise no constant "
        "serves p < 1.",
        "tight",
        _smoothness_symbolic,
        _smoothness_numeric,
        _smoothness_rigorous,
    ),
    our_claim(
        "stalling-point",
        "E φ_p(G+σξ) vanishes at one G only, −σ·argmin_m E|ξ−m|^(p+1): at −σ times the median of ξ for p → 0, its mean "
        "for p = 1, its mid-range for p → ∞. So under skewed noise p ≠ 1 in general stops where G is not 0.",
        "equality",
        _stalling_symbolic,
        _stalling_numeric,
        _stalling_rigorous,
    ),
    *POWERED_NOISE,
)
