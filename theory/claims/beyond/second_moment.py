"""What holds for gradients without a bound R: `theory.adagrad.bounds.second_moment_bound`."""

import numpy as np
import sympy as sp

from theory.adagrad.assumptions import high_noise_alignment
from theory.adagrad.bounds import BoundConstants, second_moment_bound
from theory.adagrad.powered_noise import high_noise_quality
from theory.adam.moments import power_moments
from theory.claims.claim import BEYOND, Findings, claim, numeric, symbolic, vanish
from theory.claims.theorem_4_11 import THEOREM
from theory.claims.theorems import COUNT, LOG, STEEPEST, STEPS, Runs, constants, outcomes
from theory.laws import Binary, NoiseLaw, parse_law
from theory.numerics.inputs import Array

P, T = sp.symbols("p T", positive=True)


def _share(power: float, noise: float, eta: float, epsilon: float) -> Array:
    squares, _ = outcomes(power, noise, eta, epsilon, relative=False)
    s = high_noise_alignment(power, noise, STEEPEST, Binary())
    moment = power_moments(power, STEEPEST, noise, Binary()).second
    bound = second_moment_bound(COUNT, constants(eta, epsilon), alignment=s, second_moment=moment)
    # (E|G|)² <= E G², so this asks for more than the bound says.
    return squares / bound.total


RUNS = Runs(_share, (0.5, 1.0, 2.0), (0.8, 5.0))


@claim("second-moment", BEYOND, "upper")
def second() -> Findings:
    """Without R, with B² >= E φ_p² and (C1): (1/T)ΣΣ_i(E|∇_iF|)² is below Theorem 4.11's bound with √(B²+ε/T), B for
    R^p."""
    r, b, s, eta, gap, curvature, d = sp.symbols("R B c eta Delta L d", positive=True)
    front = 2 * b / (s * eta * sp.sqrt(T)) * (gap + (2 * eta * b / s + eta**2 * curvature / 2) * d * LOG)
    detail = (
        "Theorem 4.11 with R^p → B; E ln(1+v/ε) <= ln(1+TB²/ε) (Jensen), (E|G|)² <= E[G²/√(ṽ+ε)]·√(TB²+ε) "
        "(Cauchy–Schwarz, Jensen), and Lemma C.1 with √(E φ_p²) <= B"
    )
    yield symbolic(detail, vanish(sp.expand(front.subs(b, r**P) - THEOREM.bound)))
    worst = RUNS.largest_share()
    detail = f"{RUNS.count} settings, T <= {STEPS}, all outcomes: at most {worst:.3f} of the bound"
    yield numeric(detail, worst <= 1)


def bound_ratios(law: NoiseLaw, powers: tuple[float, ...], noise: float = 1e3) -> tuple[Array, Array]:
    """The bound without R at power p over that at p = 1, at σ/|∇F| = `noise` and equal logarithms.

    First of the start and curvature terms, at the best learning rate of each power; then of the variance term, which
    does not depend on it.
    """
    best, variance, rates = [], [], np.geomspace(1e-9, 1e9, 2000)
    for power in (1.0, *powers):
        square = float(power_moments(power, 1.0, noise, law).rms) ** 2
        constants = BoundConstants(gap=1, learning_rate=rates, smoothness=1, epsilon=1e-100 * square)
        s = high_noise_alignment(power, noise, 1.0, law)
        bound = second_moment_bound(1e12, constants, alignment=s, second_moment=square)
        best.append(float(np.min(bound.start + bound.curvature)))
        variance.append(float(np.min(bound.variance)))
    return np.array(best[1:]) / best[0], np.array(variance[1:]) / variance[0]


@claim("noise-constant", BEYOND, "asymptotic")
def constant() -> Findings:
    """At high noise and equal logarithms the bound without R (claim second-moment) has Q(1)/Q(p) times Adagrad's start
    and curvature terms at the best η, and the square of that times its variance term; for uniform noise √(3/(2p+1)),
    where ρ > 1."""
    b, s, eta, gap, curvature, log = sp.symbols("B s eta Delta L Lambda", positive=True)
    terms = 2 * b / s * (gap / eta + eta * curvature / 2 * log)
    least = 2 * b / s * sp.sqrt(2 * gap * curvature * log)
    best = terms.subs(eta, sp.sqrt(2 * gap / (curvature * log))) - least
    uniform = sp.sqrt(3 / (2 * P + 1))  # B/s over its value at p = 1
    slope = sp.diff(sp.log(uniform), P) + 1 / (2 * P + 1)
    detail = (
        "start and curvature are (2B/s)·[Δ/η + ηLΛ/2], at the best η (2B/s)·√(2ΔLΛ), variance is (2B/s)²·Λ, and "
        "B/s → σ/Q(p) as |∇F|/σ → 0; for uniform noise Q(1)/Q(p) = √(3/(2p+1)) falls, while ρ = (R/σ)^(p−1) rises"
    )
    yield symbolic(detail, vanish(best, slope))
    powers, rows, close = (0.5, 1.2, 2.0), [], []
    for name in ("uniform", "gaussian", "laplace", "binary"):
        law = parse_law(name)
        expected = high_noise_quality(1.0, law) / high_noise_quality(powers, law)
        at_best_rate, variance = bound_ratios(law, powers)
        close.append(np.allclose(at_best_rate, expected, rtol=2e-3))
        close.append(np.allclose(variance, expected**2, rtol=4e-3))
        rows.append(f"{', '.join(f'{value:.3f}' for value in at_best_rate)} {name}")
    yield numeric(
        f"σ/|∇F| = 1000, p = 0.5, 1.2, 2 over p = 1, start and curvature: {'; '.join(rows)}: Q(1)/Q(p) to 0.2 %, "
        "and the variance term its square",
        *close,
    )
