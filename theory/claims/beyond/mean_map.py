"""The mean map G ↦ E φ_p(G + σξ): its slope, what it does to smoothness, and where it vanishes under skewed noise.

Differentiating under the expectation gives the slope `p·E|G + σξ|^{p−1}`. For uniform noise of half-width v it is
`[φ_p(G+v) − φ_p(G−v)]/(2v)`, whose own derivative `p(|G+v|^{p−1} − |G−v|^{p−1})/(2v)` has for G > 0 the sign of p − 1.
A symmetric unimodal density f is a mixture of uniform ones, `f(x) = ∫_{|x|}^∞ (−2v f'(v))·dv/(2v)`, so the same holds
for it: the slope is largest at G = 0 for p < 1 and at the largest |G| for p > 1.

Since φ_p is the derivative of |·|^{p+1}/(p+1), the mean map vanishes at −σ times the minimiser of E|ξ − m|^{p+1}.
"""

from functools import partial
from itertools import pairwise, product

import numpy as np
import sympy as sp
from flint import arb
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from theory.adagrad.distortion import effective_smoothness, mean_map, mean_map_slope, stalling_gradient
from theory.claims.beyond.noise_shape import NORMAL, SIGMA, STUDENT, P, X, mean, parts_hold
from theory.claims.claim import BEYOND, Finding, Findings, boxed, claim, numeric, symbolic, vanish
from theory.laws import Empirical, NoiseLaw, parse_law
from theory.numerics.balls import enclosed_root, precision, proved

HALF_ODDS = sp.Symbol("lambda", positive=True)  # ½·ln((1−Q)/Q)
DENSITIES = ("uniform", "gaussian", "laplace", "generalized-normal:4", "student-t:5")


def uniform_mean() -> sp.Expr:
    """`E φ_p(G + σξ)` for uniform noise with 0 < G < σ, by integrating both signs of g."""
    t = sp.Symbol("t", positive=True)
    up, down = (sp.integrate(t**P, (t, 0, end)) for end in (SIGMA + X, SIGMA - X))
    return (up - down) / (2 * SIGMA)


def slope_error(names: tuple[str, ...]) -> float:
    """Largest |∫ slope dG / (change of E φ_p) − 1| over powers and stretches of G, σ = 1."""
    errors = []
    stretches = pairwise((-1.7, -1.0, -1 / 3, 0.0, 1.0))  # atoms make g = 0 at some of the ends
    for law, power, (low, high) in product(map(parse_law, names), (0.4, 1.2, 2.5), stretches):
        slope = partial(mean_map_slope, power, noise_scale=1.0, law=law)
        area = quad(lambda g, slope=slope: float(slope(g)), low, high, limit=200, epsrel=1e-9)
        change = np.diff(mean_map(power, [low, high], 1.0, law))[0]
        errors.append(abs(area[0] / change - 1))
    return float(max(errors))


@claim("mean-map-slope", BEYOND, "equality")
def slope() -> Findings:
    """E φ_p(G+σξ) changes with G at the rate p·E|G+σξ|^(p−1): at G = 0 positive and finite for every p under noise of
    bounded density, where φ_p alone has slope 0 (p > 1) or ∞ (p < 1), and ∞ for p < 1 where an atom makes g = 0."""
    t = sp.Symbol("t", positive=True)
    absolute = sum(sp.integrate(t ** (P - 1), (t, 0, end)) for end in (SIGMA + X, SIGMA - X)) / (2 * SIGMA)
    uniform = vanish(sp.diff(uniform_mean(), X) - P * absolute)
    # Gaussian: d·1F1(a; 3/2; −d²/2) differentiates to 1F1(a; 1/2; −d²/2), term by term, and so do their fronts
    n, half = sp.Symbol("n", integer=True, nonnegative=True), sp.Rational(1, 2)
    terms = (2 * n + 1) * sp.gamma(n + half) * sp.gamma(3 * half) / (sp.gamma(n + 3 * half) * sp.gamma(half))
    fronts = 2 ** ((P + 1) / 2) * sp.gamma(P / 2 + 1) / (P * 2 ** ((P - 1) / 2) * sp.gamma(P / 2))
    gaussian = [sp.gammasimp(ratio) == 1 for ratio in (terms, fronts)]
    detail = "by differentiation: uniform and Gaussian noise at any G, e^(−|x|^b) and Student-t at G = 0"
    yield symbolic(detail, uniform, *gaussian, parts_hold(NORMAL), parts_hold(STUDENT))
    error = slope_error(("uniform", "gaussian", "student-t:5", "binary", "two-point:0.1"))
    steep = {name: mean_map_slope(0.5, 0.0, 1.0, parse_law(name)) for name in DENSITIES}
    table = ", ".join(f"{name} {slope:.3f}" for name, slope in steep.items())
    on_atom, beside = mean_map_slope(0.5, [1.0, 1 + 1e-12], 1.0, parse_law("binary"))
    detail = f"∫ slope dG is the change of E φ_p to {error:.0e}; at G = 0, p = 0.5, σ = 1: {table}"
    yield numeric(f"{detail}; ∞ on an atom", error < 1e-7, np.isinf(on_atom), np.isfinite(beside))


def smoothness_gap() -> tuple[float, float]:
    """Smallest and largest of `effective_smoothness` over the steepest chord of E φ_p on [−G_max, G_max], σ = 1."""
    ratios = []
    for law, power, largest in product(map(parse_law, DENSITIES), (0.3, 0.7, 1.5, 2.4), (0.3, 2.0)):
        ends = sorted([*np.linspace(-largest, largest, 11), -1e-4, 1e-4, largest - 1e-4])
        chord = float(np.max(np.diff(mean_map(power, ends, 1.0, law)) / np.diff(ends)))
        ratios.append(float(effective_smoothness(power, 1.0, largest, law)) / chord)
    return min(ratios), max(ratios)


def gaussian_bend() -> Finding:
    """Prove that under Gaussian noise the slope grows with |G| for p > 1 and falls for p < 1."""

    def bend(p: arb, z: arb) -> arb:  # of the slope ∝ 1F1((1−p)/2; ½; −z), z = (G/σ)²/2, over p − 1
        return (-z).hypgeom_1f1((3 - p) / 2, arb(3) / 2)

    def positive(p: arb, z: arb) -> arb:  # the same, by Kummer's transformation
        return (-z).exp() * z.hypgeom_1f1(p / 2, arb(3) / 2)

    corners = product(map(arb, (0.02, 0.9, 2.7, 6.0)), map(arb, (0.01, 2.0, 6.0)))
    with precision(128):
        same = all(bend(*corner).overlaps(positive(*corner)) for corner in corners)
    return boxed(
        "Gaussian noise: d slope/d(G²) has the sign of p − 1, p in [0.02, 6], |G| <= 3.4σ ({boxes} boxes)",
        proved(lambda p, z: positive(p, z) > 0, [(0.02, 6.0), (0.0, 6.0)], most=20_000),
        proved(lambda p, z: bend(p, z) > 0, [(0.1, 3.0), (0.0, 2.0)], most=20_000),
        besides=same,
    )


@claim("effective-smoothness", BEYOND, "tight")
def smoothness() -> Findings:
    """Under symmetric unimodal noise E φ_p(∇F+σξ) is Lipschitz with at most L times pσ^(p−1)E|ξ|^(p−1) for p < 1
    (uniform: σ^(p−1)), and L times the slope at the largest gradient for p > 1; without noise no constant serves p <
    1."""
    far, half = sp.Symbol("D", positive=True), sp.Rational(1, 2)  # | |G| − v |, so that sympy knows its sign
    above = ((X + SIGMA) ** P - (X - SIGMA) ** P) / (2 * SIGMA)  # the slope; below the noise from the mean
    claimed = P * ((X + SIGMA) ** (P - 1) - far ** (P - 1)) / (2 * SIGMA)
    bends = (
        (sp.diff(above, X) - claimed).subs(X, SIGMA + far),
        (sp.diff(uniform_mean(), X, 2) - claimed).subs(SIGMA, X + far),
    )
    mixtures = [
        mean(sp.powsimp(-2 * X**P * sp.diff(f, X)), sp.Integer(1)) / (2 * P * mean(X ** (P - 1), f))
        for f in (NORMAL, STUDENT)
    ]
    yield symbolic(
        "uniform noise: ∂ slope/∂G ∝ |G+v|^(p−1) − |G−v|^(p−1); its mixtures with weight −2v·f'(v) give e^(−|x|^b) and "
        "Student-t; uniform at G = 0: σ^(p−1); p·G^(p−1) → ∞ without noise",
        vanish(*bends),
        *(sp.gammasimp(mixture) == 1 for mixture in mixtures),
        sp.simplify(sp.diff(uniform_mean(), X).subs(X, 0) / SIGMA ** (P - 1)) == 1,
        sp.limit(half * X ** (half - 1), X, 0) == sp.oo,
    )
    low, high = smoothness_gap()
    inside, on_atom = effective_smoothness(0.5, 1.0, [0.5, 1.0], parse_law("binary"))
    uniform = effective_smoothness([0.5, 2.0], 1e-4, 1e-2, parse_law("uniform"))
    yield numeric(
        f"factor/steepest chord from {low:.6f} to {high:.6f}; uniform σ = 1e-4, p = 0.5: {uniform[0]:.6g}; binary "
        "noise and p < 1: ∞ for G_max >= σ",
        1 - 1e-9 < low <= high < 1.01,
        np.isinf(on_atom) and np.isfinite(inside),
        np.isinf(effective_smoothness(0.5, 0.0, 1.0, parse_law("uniform"))),
        np.allclose(uniform, [100.0, 0.02], rtol=1e-12),
    )
    yield gaussian_bend()


def two_point_centre(power: sp.Expr, half_odds: sp.Expr) -> sp.Expr:
    """`m_p = sinh(λ(1−1/p))/cosh(λ/p)`, λ = ½·ln((1−Q)/Q); in sympy, or in balls."""
    up, down = half_odds * (1 - 1 / power), half_odds / power
    return up.sinh() / down.cosh() if isinstance(half_odds, arb) else sp.sinh(up) / sp.cosh(down)


def skewed_samples() -> Empirical:
    """The 199 quantiles of an exponential law: skewed, and with the mean, median and mid-range well apart."""
    return Empirical(-np.log1p(-np.arange(1, 200) / 200))


def centre_error() -> float:
    """Largest distance of −`stalling_gradient` from the minimiser of E|ξ−m|^{p+1}, over skewed laws and powers."""
    errors = []
    laws = (parse_law("two-point:0.1"), parse_law("two-point:0.8"), skewed_samples())
    for law, power in product(laws, (0.5, 1.0, 1.2, 3.0)):

        def loss(m: float, law: NoiseLaw = law, power: float = power) -> float:
            unit = max(1.0, abs(m))
            mirror = law if m <= 0 else law.reflected()  # E|ξ − m| = E|−m + ξ|
            return float(unit ** (power + 1) * mirror.absolute_moment(power + 1, abs(m) / unit, 1 / unit))

        best = minimize_scalar(loss, bounds=(-law.reach, law.reach), options={"xatol": 1e-10})
        errors.append(abs(best.x + float(stalling_gradient(power, 1.0, law))))
    return float(max(errors))


def centre_proved(probability: float, margin: float = 0.02) -> tuple[bool, int]:
    """Prove that E φ_p(ξ − m) has the sign of m_p − m for p in [0.2, 6] and every m between the points."""
    with precision(128):
        odds = (arb(1) - probability) / probability
        upper, half_odds = odds.sqrt(), odds.log() / 2
        lower = 1 / upper

        def statement(p: arb, m: arb) -> bool:
            # of ln(Q(a−m)^p) − ln((1−Q)(m+b)^p)
            value = p * ((upper - m).log() - (m + lower).log()) - 2 * half_odds
            gap = two_point_centre(p, half_odds) - m
            return bool((value > 0 and gap > 0) or (value < 0 and gap < 0) or abs(gap) < margin)

        inside = (float(-lower) + 1e-6, float(upper) - 1e-6)
        return proved(statement, [(0.2, 6.0), inside], most=40_000)


@claim("stalling-point", BEYOND, "equality")
def stalling() -> Findings:
    """E φ_p(G+σξ) vanishes at one G only, −σ·argmin_m E|ξ−m|^(p+1): at −σ times the median of ξ for p → 0, its mean
    for p = 1, its mid-range for p → ∞. So under skewed noise p ≠ 1 in general stops where G is not 0."""
    m, k = sp.symbols("m k", positive=True)
    upper, lower = sp.exp(HALF_ODDS), sp.exp(-HALF_ODDS)
    # Q(a−m)^p = (1−Q)(m+b)^p is a − m = k(m + b) with k = ((1−Q)/Q)^{1/p}
    (root,) = sp.solve(upper - m - k * (m + lower), m)
    claimed = two_point_centre(P, HALF_ODDS)
    one = claimed.subs(HALF_ODDS, 1).rewrite(sp.exp)
    differences = (
        (root.subs(k, sp.exp(2 * HALF_ODDS / P)) - claimed).rewrite(sp.exp),
        sp.limit(one, P, 0, "+") + sp.exp(-1),
        sp.limit(one, P, 1, "+"),
        sp.limit(one, P, sp.oo, "-") - (sp.E - sp.exp(-1)) / 2,
    )
    yield symbolic(
        "d E|ξ−m|^(p+1)/dm = −(p+1)·E φ_p(ξ−m), strictly convex; two points: m_p = sinh(λ(1−1/p))/cosh(λ/p), λ = "
        "½·ln((1−Q)/Q); p → 0 the likelier point (the median), p = 1 the mean, p → ∞ the mid-range",
        vanish(*differences),
    )
    error = centre_error()
    law, samples = parse_law("two-point:0.1"), skewed_samples()
    powers = np.array([0.5, 0.8, 1.0, 1.2, 2.0])
    stall = stalling_gradient(powers, 1.0, law)
    below, above = (mean_map(powers, stall + step, 1.0, law) for step in (-1e-6, 1e-6))
    middle = (samples.samples[0] + samples.samples[-1]) / 2
    near_median, mean_point, near_middle = -stalling_gradient([0.01, 1.0, 10.0], 1.0, samples)
    centres = abs(near_median - np.median(samples.samples)) < 1e-6, abs(mean_point) < 1e-12
    changes = np.all((below < 0) & (above > 0))
    table = ", ".join(f"p = {p:g}: {g + 0.0:.4f}" for p, g in zip(powers, stall, strict=True))
    detail = f"G₀/σ under two points, Q = 0.1: {table}; −m_p by minimisation to {error:.0e}"
    yield numeric(detail, error < 1e-6, changes, *centres, 0.7 * middle < near_middle < middle)
    with precision(128):
        half_odds = arb(9).log() / 2
        root = enclosed_root(lambda m: ((3 - m) / (m + arb(1) / 3)).log() / 2 - 2 * half_odds, -0.33, 2.9)
        inside = root.overlaps(two_point_centre(arb("0.5"), half_odds))
    detail = "E φ_p(ξ−m) has the sign of m_p − m, p in [0.2, 6], Q = 0.1 and 0.7 ({boxes} boxes); Q = 0.1, p = 0.5:"
    detail = f"{detail} G₀/σ = {-float(root):.10f}"
    yield boxed(detail, centre_proved(0.1), centre_proved(0.7), besides=inside)
