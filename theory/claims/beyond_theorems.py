"""What Section 4.2's bounds leave out: is Adagrad slower, or only its bound; and what holds without R.

The bound of `theory.adagrad.relative_noise` answers the first question,
`theory.adagrad.convergence.second_moment_bound` the second.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import sympy as sp
from flint import arb

from theory.adagrad.alignment import alignment, high_noise_alignment
from theory.adagrad.convergence import second_moment_bound
from theory.adagrad.powered_noise import high_noise_quality
from theory.adagrad.relative_noise import relative_noise_bound
from theory.adam.moments import power_moments
from theory.claims.claim import Check, Claim, our_claim
from theory.claims.convergence_theorems import LARGEST_GRADIENT, SIZES, STEPS, outcomes
from theory.laws import Binary, NoiseLaw, TwoPoint, parse_law
from theory.numerics.balls import precision
from theory.numerics.inputs import Array

P, T, A, Y, EPS = sp.symbols("p T A y epsilon", positive=True)


def relative_exponent(power: sp.Expr) -> sp.Expr:
    """−d ln/d ln T of the square of the bound under relative noise, up to ln T: of (A·T^{−1/(p+1)})², A ∝ T^{…}."""
    return sp.simplify(-2 * ((1 - power) / (2 * (power + 1)) - 1 / (power + 1)))


def _relative_symbolic() -> Check:
    rate = relative_exponent(P) == 1
    # Hölder: Σ|G|^{2p} <= (Σ|G|^{p+1})^{2p/(p+1)}·T^{1−2p/(p+1)}, and the last exponent is twice that of A.
    hoelder = sp.simplify((1 - 2 * P / (P + 1)) - (1 - P) / (P + 1)) == 0
    at_floor = (sp.sqrt(EPS) / A) ** (1 / P)
    half = sp.simplify(sp.powdenest(A * at_floor**P - sp.sqrt(EPS), force=True)) == 0
    inside = sp.log(1 + A * Y**P / sp.sqrt(EPS))
    bend = sp.simplify(sp.diff(inside, Y, 2).subs({A: 1, EPS: 1}))
    concave = all(
        bend.subs(P, p).subs(Y, y) < 0 for p in (sp.Rational(1, 5), 1) for y in (sp.Rational(1, 10), 10)
    )
    return Check(
        bool(rate and hoelder and half and concave),
        "A·T^(−1/(p+1)) = κ^p/√T for every p: the exponent of the squares is 1 whatever p; Hölder, "
        "y^{p+1}/(Ay^p+√ε) >= (y−y₀)/2A from A·y₀^p = √ε on, and Jensen's concavity are as stated in "
        "theory.adagrad.relative_noise",
    )


# r and the probability of the upper atom: 1 + rξ changes sign in the last three, and is skewed in the last two.
RELATIVE = ((0.0, 0.5), (0.3, 0.5), (0.9, 0.5), (3.0, 0.5), (1.0, 0.2), (3.0, 0.8))


def largest_relative_share(factor: float = 1.0) -> tuple[float, int]:
    """The largest share of `factor` times the bound over outcomes of two-point noise, T <= STEPS; and the cases."""
    worst, cases, steps = 0.0, 0, np.arange(1, STEPS + 1)
    for power, (noise, probability), (eta, epsilon) in product((0.2, 0.5, 1.0), RELATIVE, SIZES):
        _, powers = outcomes(power, noise, eta, epsilon, relative=True, probability=probability)
        law = TwoPoint(probability)
        largest = max(1 + noise * law.upper, abs(1 - noise * law.lower))
        bound = relative_noise_bound(
            steps,
            power,
            alignment=alignment(power, noise, law),
            largest_factor=largest,
            gap=0.5,
            learning_rate=eta,
            smoothness=2,
            gradient_bound=LARGEST_GRADIENT * largest,
            epsilon=epsilon,
        )
        # E[x^{1/(p+1)}] <= (E x)^{1/(p+1)}, so this asks for more than the bound says.
        worst = max(worst, float(np.max(powers ** (1 / (power + 1)) / (factor * bound))))
        cases += 1
    return worst, cases


def _relative_numeric() -> Check:
    worst, cases = largest_relative_share()
    against = float(alignment(0.5, 5.0, TwoPoint(0.2)))
    return Check(
        worst <= 1 and against < 0,
        f"{cases} settings, T <= {STEPS}, all outcomes of two-point noise, skewed and with 1+rξ < 0 among them: "
        f"at most {worst:.3f} of the bound (a test of consistency); c > 0 is needed: {against:.3f} for "
        "two-point:0.2, r = 5, p = ½",
    )


def run_without_noise(power: float, steps: int = 100_000) -> tuple[float, float]:
    """Exponents of `(1/T·Σ‖∇F‖²)` and of `(1/T·Σ|∇F|^{p+1})^{2/(p+1)}` over the last decade: F = √(1+θ²)−1, η = 1."""
    theta, v, sums, at = 3.0, 0.0, np.zeros(2), []
    for t in range(1, steps + 1):
        g = theta / (1 + theta * theta) ** 0.5
        sums += (g * g, abs(g) ** (power + 1))
        psi = abs(g) ** power * (1 if g > 0 else -1)
        v += psi * psi
        theta -= psi / (v + 1e-8) ** 0.5
        if t in (steps // 10, steps):
            at.append(sums / t)
    square, powered = np.log10(at[0] / at[1])
    return float(square), float(powered * 2 / (power + 1))


def _slower_symbolic() -> Check:
    adagrad = relative_exponent(sp.Integer(1))
    return Check(
        not adagrad > sp.Rational(1, 2),
        "refuted: without noise Assumption 4.6 holds with c = 1 for every p, and the bound of claim "
        f"`relative-noise` on Adagrad, p = 1, has the exponent {adagrad} in ‖∇F‖², up to ln T",
    )


def _slower_numeric() -> Check:
    found = {p: run_without_noise(p)[1] for p in (0.25, 0.5, 1.0)}
    shown = ", ".join(f"{value:.3f} at p = {p:g}" for p, value in found.items())
    return Check(
        abs(found[0.5] / found[1.0] - 4 / 3) < 0.1,
        f"refuted: no noise, c = 1, exponent of (mean |∇F|^(p+1))^(2/(p+1)): {shown}; the claim asks for 1.333 "
        "between the last two",
    )


def bounded_sum(learning_rate: float = 1.0, steps: int = 200) -> arb:
    """An upper bound on Σ_t θ_t² over all t for Adagrad on F = θ²/2, θ_0 = 1, ε = 1e-8, certain.

    After N steps in balls, v <= v_N + rest as long as `rest`, the sum still to come, is at most 1: then every later
    step shrinks θ by a factor in [0, 1 − η/√(v_N + 1 + ε)], so that `rest <= θ_N²·√(v_N+1+ε)/η`.
    """
    theta, v, epsilon = arb(1), arb(0), arb("1e-8")
    for _ in range(steps):
        v += theta**2
        theta *= 1 - learning_rate / (v + epsilon).sqrt()
    rest = theta**2 * (v + 1 + epsilon).sqrt() / learning_rate
    return v + rest if rest < 1 and learning_rate < v.sqrt() else arb("inf")


def _slower_rigorous() -> Check:
    with precision(256):
        total = bounded_sum(0.5)
    return Check(
        not bool(total < 100),
        f"refuted: Adagrad on θ²/2 without noise, η = ½: Σ‖∇F‖² over all t is below {float(total.upper()):.4f}, "
        "so that the average falls like 1/T, twice the exponent of its bound",
    )


def _second_symbolic() -> Check:
    r, b, s, eta, gap, curvature, d, log = sp.symbols("R B s eta Delta L d Lambda", positive=True)
    front = 2 * b / (s * eta * sp.sqrt(T)) * (gap + (2 * eta * b / s + eta**2 * curvature / 2) * d * log)
    paper = (
        2 * r**P / (s * eta * sp.sqrt(T)) * (gap + (2 * eta * r**P / s + eta**2 * curvature / 2) * d * log)
    )
    same = sp.simplify(front.subs(b, r**P) - paper) == 0
    x, y = sp.symbols("x y", positive=True)  # Cauchy–Schwarz for |G| = (G²/√ṽ)^{1/2}·ṽ^{1/4}
    split = sp.simplify(sp.sqrt(x**2 / sp.sqrt(y)) * y ** sp.Rational(1, 4) - x) == 0
    return Check(
        bool(same and split),
        "Theorem 4.11 with R^p → B; E ln(1+v/ε) <= ln(1+TB²/ε) (Jensen), (E|G|)² <= E[G²/√(ṽ+ε)]·√(TB²+ε) "
        "(Cauchy–Schwarz, Jensen), and Lemma C.1 with √(E φ_p²) <= B",
    )


def largest_second_moment_share(factor: float = 1.0) -> tuple[float, int]:
    """As `largest_relative_share`, for the bound without R, g = G ± σ; and the cases."""
    worst, cases, steps = 0.0, 0, np.arange(1, STEPS + 1)
    for power, noise, (eta, epsilon) in product((0.5, 1.0, 2.0), (0.8, 5.0), SIZES):
        squares, _ = outcomes(power, noise, eta, epsilon, relative=False)
        moment = float(power_moments(power, LARGEST_GRADIENT, noise, Binary()).second)
        bound = second_moment_bound(
            steps,
            alignment=high_noise_alignment(power, noise, LARGEST_GRADIENT, Binary()),
            second_moment=moment,
            gap=0.5,
            learning_rate=eta,
            smoothness=2,
            epsilon=epsilon,
        )
        # (E|G|)² <= E G², so this asks for more than the bound says.
        worst, cases = max(worst, float(np.max(squares / (factor * bound.total)))), cases + 1
    return worst, cases


def _second_numeric() -> Check:
    worst, cases = largest_second_moment_share()
    return Check(
        worst <= 1, f"{cases} settings, T <= {STEPS}, all outcomes: at most {worst:.3f} of the bound"
    )


def bound_ratios(law: NoiseLaw, powers: tuple[float, ...], noise: float = 1e3) -> tuple[Array, Array]:
    """The bound without R at power p over that at p = 1, at σ/|∇F| = `noise` and equal logarithms.

    Returns
    -------
    at_best_rate : ndarray
        Of the start and curvature terms, at the best learning rate of each power.
    variance : ndarray
        Of the variance term, which does not depend on the learning rate.
    """
    best, variance = [], []
    for power in (1.0, *powers):
        s = high_noise_alignment(power, noise, 1.0, law)
        root = float(power_moments(power, 1.0, noise, law).rms)
        bound = second_moment_bound(
            1e12,
            alignment=s,
            second_moment=root**2,
            gap=1,
            learning_rate=np.geomspace(1e-9, 1e9, 2000),
            smoothness=1,
            epsilon=1e-100 * root**2,
        )
        best.append(float(np.min(bound.start + bound.curvature)))
        variance.append(float(np.min(bound.variance)))
    return np.array(best[1:]) / best[0], np.array(variance[1:]) / variance[0]


def _constant_symbolic() -> Check:
    b, s, eta, gap, curvature, log = sp.symbols("B s eta Delta L Lambda", positive=True)
    terms = 2 * b / s * (gap / eta + eta * curvature / 2 * log)
    best = sp.simplify(
        terms.subs(eta, sp.sqrt(2 * gap / (curvature * log))) - 2 * b / s * sp.sqrt(2 * gap * curvature * log)
    )
    variance = sp.simplify(2 * b / s * (2 * b / s) * log - (2 * b / s) ** 2 * log)
    uniform = sp.sqrt(3 / (2 * P + 1))  # B/s over its value at p = 1
    slope = sp.simplify(sp.diff(sp.log(uniform), P) + 1 / (2 * P + 1))
    return Check(
        best == 0 and slope == 0 and variance == 0,
        "start and curvature are (2B/s)·[Δ/η + ηLΛ/2], at the best η (2B/s)·√(2ΔLΛ), variance is (2B/s)²·Λ, and "
        "B/s → σ/Q(p) as |∇F|/σ → 0; for uniform noise Q(1)/Q(p) = √(3/(2p+1)) falls, while ρ = (R/σ)^(p−1) rises",
    )


def _constant_numeric() -> Check:
    powers, rows, passed = (0.5, 1.2, 2.0), [], True
    for name in ("uniform", "gaussian", "laplace", "binary"):
        law = parse_law(name)
        expected = high_noise_quality(1.0, law) / high_noise_quality(powers, law)
        at_best_rate, variance = bound_ratios(law, powers)
        passed &= bool(
            np.allclose(at_best_rate, expected, rtol=2e-3) and np.allclose(variance, expected**2, rtol=4e-3)
        )
        rows.append(f"{', '.join(f'{value:.3f}' for value in at_best_rate)} {name}")
    return Check(
        passed,
        f"σ/|∇F| = 1000, p = 0.5, 1.2, 2 over p = 1, start and curvature: {'; '.join(rows)}: Q(1)/Q(p) to 0.2 %, "
        "and the variance term its square",
    )


BEYOND_THEOREMS: tuple[Claim, ...] = (
    our_claim(
        "relative-noise",
        "F L-smooth, g = ∇F(1+rξ), |1+rξ| bounded, c = E φ_p(1+rξ) > 0: for every p in (0, 1], Adagrad included, "
        "(E[(1/T·Σ|∇_iF|^(p+1))^(1/(p+1))])² is at most of the order ln²T/T.",
        "upper",
        _relative_symbolic,
        _relative_numeric,
    ),
    our_claim(
        "4.8-faster",
        "The paper's 'faster', read as a statement about Adagrad itself and not its bound: wherever Assumption "
        "4.6 holds Adagrad has the exponent 1/2 in ‖∇F‖², so that AdagradPower's is 2/(p+1) times Adagrad's.",
        "lower",
        _slower_symbolic,
        _slower_numeric,
        _slower_rigorous,
        expected="fails",
    ),
    our_claim(
        "second-moment",
        "Without R, with B² >= E φ_p² and (C1): (1/T)ΣΣ_i(E|∇_iF|)² is below Theorem 4.11's bound with √(B²+ε/T), "
        "B for R^p.",
        "upper",
        _second_symbolic,
        _second_numeric,
    ),
    our_claim(
        "noise-constant",
        "At high noise and equal logarithms the bound without R (claim second-moment) has Q(1)/Q(p) times "
        "Adagrad's start and curvature terms at the best η, and the square of that times its variance term; for "
        "uniform noise √(3/(2p+1)), where ρ > 1.",
        "asymptotic",
        _constant_symbolic,
        _constant_numeric,
    ),
)
