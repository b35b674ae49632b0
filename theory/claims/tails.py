"""Which noise asks for p > 1: the claim 'only noise lighter-tailed than the Gaussian', where it holds and where not.

At high noise as ε → 0, Q(p) = E[φ_p s]/√(E|ξ|^{2p}) with the score s = −f'/f, so that over y = |ξ|

    d ln Q/dp = E_A ln y − E_B ln y,   A ∝ y^p·s(y)·f(y),   B ∝ y^{2p}·f(y).

Where B/A ∝ y^p/s(y) increases in y, B dominates A and the slope is negative: for every p > 1 if the elasticity
κ = y·s'/s is nowhere above 1, that is, if −ln f is concave as a function of ξ². So it is for Laplace, Student-t and
logistic noise and for every mixture of centred Gaussians: p* <= 1. If −ln f is convex in ξ² and f is unimodal
(so that A is a measure), p* >= 1. Tails alone decide nothing: see `theory.claims.counterexample`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import sympy as sp
from flint import arb
from scipy.integrate import quad

from theory.adam.optimum import optimal_power
from theory.adam.update import limit_update
from theory.claims.claim import Check, Claim, our_claim
from theory.claims.noise_shape import (
    BELL_SHAPES,
    NORMAL,
    NU,
    STUDENT,
    B,
    P,
    X,
    expectation,
    mean,
    trigamma_positive,
)
from theory.laws import parse_law
from theory.numerics.balls import enclosed_root, precision, proved


def student_slope(power: arb, degrees: arb) -> arb:
    """`d ln Q/dp` for Student-t noise."""
    low = (power / 2 + 1).digamma() - (power + arb(1) / 2).digamma()
    high = (degrees / 2 - power).digamma() - ((degrees - power + 1) / 2).digamma()
    return (low + high) / 2


def _student_symbolic() -> Check:
    log_quality = sp.log(P) + sp.log(mean(X ** (P - 1), STUDENT)) - sp.log(mean(X ** (2 * P), STUDENT)) / 2
    slope = sp.diff(sp.expand_log(log_quality, force=True), P)
    half = sp.Rational(1, 2)
    pairs = ((P / 2 + 1, P + half), (NU / 2 - P, (NU - P + 1) / 2))
    claimed = sum(sp.digamma(low) - sp.digamma(high) for low, high in pairs) / 2
    k = sp.Symbol("k", positive=True)  # p/2, so that sympy sees ψ(k+1) = ψ(k) + 1/k
    same = sp.simplify(sp.expand_func((slope - claimed).subs(P, 2 * k))) == 0
    orders = [sp.simplify(low - high) for low, high in pairs]
    ordered = orders == [(1 - P) / 2, -(P + 1) / 2]
    at_one = sp.simplify(sp.expand_func(claimed.subs(P, 1).subs(NU, 2 * k + 2)) + 1 / (2 * k)) == 0
    detail = "2·d ln Q/dp = ψ(p/2+1) − ψ(p+½) + ψ(ν/2−p) − ψ((ν−p+1)/2) < 0 for p >= 1; −1/(ν−2) at p = 1"
    return Check(bool(same and ordered and at_one), detail)


def _student_numeric() -> Check:
    table = {nu: optimal_power(1.0, 1e5, parse_law(f"student-t:{nu}"), epsilon=0, method="limit") for nu in
             (1.5, 2, 3, 5, 10, 30, 100)}  # fmt: skip
    passed = all(best.power < 1 and len(best.local_maxima) <= 1 for best in table.values())
    return Check(passed, "p* at r = 1e5: " + ", ".join(f"ν = {nu} {b.power:.3f}" for nu, b in table.items()))


def _student_rigorous() -> Check:
    rising, boxes = trigamma_positive(0.01, 60.0)
    with precision(128):
        best = enclosed_root(lambda p: student_slope(p, arb(5)), 0.1, 1.0)
    ends = [student_slope(arb(1), arb(nu)) < 0 for nu in (2.01, 3.0, 1e3, 1e6)]
    detail = f"ψ' > 0 on [0.01, 60] ({boxes} boxes): the slope is negative; ν = 5: p* = {best.str(12, radius=False)}"
    return Check(rising and all(ends), detail)


def _elasticity(score: sp.Expr) -> sp.Expr:
    return sp.simplify(X * sp.diff(score, X) / score)


def slope_is_a_difference_of_means() -> bool:
    """Whether `d ln Q/dp = E_A ln y − E_B ln y`, differentiating under the integral sign."""
    y, f, s = sp.Symbol("y", positive=True), sp.Function("f")(X), sp.Function("s")(X)
    a, b = X**P * s * f, X ** (2 * P) * f

    def over(integrand: sp.Expr) -> sp.Expr:
        return sp.Integral(integrand.subs(X, y), (y, 0, sp.oo))

    slope = sp.diff(sp.log(over(a)) - sp.log(over(b)) / 2, P).doit(integrals=False)
    claimed = over(a * sp.log(X)) / over(a) - over(b * sp.log(X)) / over(b)
    return bool(sp.simplify(slope - claimed) == 0)


def _curvature_symbolic() -> Check:
    likelihood = X**P / sp.Function("s")(X)
    rate = sp.simplify(X * sp.diff(sp.log(likelihood), X) - (P - _elasticity(sp.Function("s")(X)))) == 0
    tau1, tau2, weight = sp.symbols("tau1 tau2 w", positive=True)
    u = sp.Symbol("u", positive=True)  # ξ²
    parts = (weight * sp.exp(-tau1 * u / 2), sp.exp(-tau2 * u / 2))
    potential = -sp.log(sum(parts))
    variance = parts[0] * parts[1] * (tau1 - tau2) ** 2 / sum(parts) ** 2
    mixture = sp.simplify(sp.diff(potential, u, 2) + variance / 4) == 0
    normal = sp.simplify(sp.diff(u ** (B / 2), u, 2) - B * (B - 2) / 4 * u ** (B / 2 - 2)) == 0
    student = sp.simplify(sp.diff(sp.log(1 + u), u, 2) + 1 / (1 + u) ** 2) == 0
    logistic = sp.simplify((_elasticity(sp.tanh(X / 2)) - X / sp.sinh(X)).rewrite(sp.exp)) == 0
    detail = (
        "slope = E_A ln y − E_B ln y, d ln(B/A)/d ln y = p − κ; d²(−ln f)/d(ξ²)²: −Var(τ)/4 for Gaussian mixtures, "
        "b(b−2)/4·ξ^(b−4) for e^(−|x|^b), negative for Student-t; κ = x/sinh x < 1 for the logistic law"
    )
    passed = slope_is_a_difference_of_means() and rate and mixture and normal and student and logistic
    return Check(bool(passed), detail)


def quality_slope(density: Callable[[float], float], power: float) -> float:
    """`d ln Q/dp = 1/p + E[|ξ|^{p−1} ln|ξ|]/E|ξ|^{p−1} − E[|ξ|^{2p} ln|ξ|]/E|ξ|^{2p}` by quadrature."""

    def log_mean(order: float) -> float:
        parts = np.zeros(2)
        for low in range(-60, 12, 4):
            for k in (0, 1):
                parts[k] += quad(
                    lambda t, k=k: t**k * math.exp((order + 1) * t) * density(math.exp(t)), low, low + 4
                )[0]
        return float(parts[1] / parts[0])

    return 1 / power + log_mean(power - 1) - log_mean(2 * power)


def _curvature_numeric() -> Check:
    concave: dict[str, Callable[[float], float]] = {
        "90 % N(0, 1) + 10 % N(0, 25)": lambda x: 0.9 * math.exp(-x * x / 2) + 0.02 * math.exp(-x * x / 50),
        "logistic": lambda x: math.exp(-x) / (1 + math.exp(-x)) ** 2,
        "hyperbolic": lambda x: math.exp(-math.sqrt(1 + x * x)),
    }
    worst = {name: max(quality_slope(f, p) for p in (1.0, 1.5, 3.0)) for name, f in concave.items()}
    convex = min(quality_slope(lambda x: math.exp(-x * x - x**4), p) for p in (0.3, 0.6, 1.0))
    detail = ", ".join(f"{name} <= {value:.3f}" for name, value in worst.items())
    return Check(
        max(worst.values()) < 0 < convex,
        f"d ln Q/dp over p in (1, 1.5, 3): {detail}; for e^(−x²−x⁴), p in (0.3, 0.6, 1): >= {convex:.3f}",
    )


def mixture_slope(power: arb, log_scale: arb, log_odds: arb) -> arb:
    """`d ln Q/dp` for N(0, 1) with odds e^{log_odds} of N(0, e^{2·log_scale}), an upper bound near p = 1."""

    def share(order: arb) -> arb:
        return 1 / (1 + (-log_odds - order * log_scale).exp())

    low, high = power / 2 + 1, power + arb(1) / 2
    gaussian = (
        -(power - 1) / 4 * arb(2).zeta(low.union(high))
    )  # half of ψ(low) − ψ(high), by the mean value theorem
    return gaussian + log_scale * (share(power - 1) - share(2 * power))


def _curvature_rigorous() -> Check:
    logistic, boxes = proved(lambda x: bool(x / x.sinh() < 1), [(0.05, 50.0)])
    mixed, more = proved(lambda *box: bool(mixture_slope(*box) < 0), [(1.0, 4.0), (0.2, 2.3), (-5.0, 5.0)])
    detail = "slope < 0 for mixtures of two Gaussians, p in [1, 4], scales 1.2 to 10, odds e^(−5) to e^5"
    return Check(
        logistic and mixed,
        f"κ < 1 for the logistic law on [0.05, 50] ({boxes} boxes); {detail} ({more} boxes)",
    )


def local_criterion(name: str) -> float:
    """`T = 1 + E ln|ξ| − E[ξ² ln|ξ|]/E ξ²` by quadrature."""
    law = parse_law(name)
    square = expectation(lambda x: x * x * np.log(x), law) / expectation(lambda x: x * x, law)
    return 1 + expectation(np.log, law) - square


def _local_symbolic() -> Check:
    moment, q = sp.Function("M"), sp.Symbol("q", positive=True)
    quality = sp.log(P) + sp.log(moment(P - 1)) - sp.log(moment(2 * P)) / 2
    slope = sp.diff(quality, P).subs(P, 1).doit()
    rate = sp.diff(moment(q), q) / moment(q)
    derived = sp.simplify(slope - 1 - rate.subs(q, 0).doit() + rate.subs(q, 2).doit()) == 0
    rate = sp.diff(sp.log(mean(X**q, NORMAL) / mean(sp.Integer(1), NORMAL)), q)
    t = 1 + sp.limit(rate, q, 0) - rate.subs(q, 2)
    gaussian, laplace = (sp.simplify(sp.expand_func(t.subs(B, b))) for b in (2, 1))
    return Check(
        bool(derived and gaussian == 0 and laplace == -sp.Rational(1, 2)),
        f"T = d ln Q/dp at p = 1, as d E|ξ|^q/dq = E|ξ|^q ln|ξ|; Gaussian T = {gaussian}, Laplace {laplace}",
    )


def _local_numeric() -> Check:
    step, passed, parts = 1e-3, True, []
    for name in BELL_SHAPES:
        u = limit_update([1 - step, 1 + step], 1.0, 1e5, parse_law(name), epsilon=0)
        t = local_criterion(name)
        passed &= abs(float(np.diff(np.log(u))[0]) / (2 * step) - t) < 1e-5
        parts.append(f"{name} {t + 0.0:.4f}".replace("-0.0000", "0.0000"))
    return Check(
        bool(passed), f"T by quadrature, equal to the slope of ln u∞ at r = 1e5 to 1e-5: {', '.join(parts)}"
    )


def _local_rigorous() -> Check:
    def statement(b: arb) -> bool:
        t = 1 + ((1 / b).digamma() - (3 / b).digamma()) / b
        return bool((t > 0 and b > 2) or (t < 0 and b < 2) or abs(b - 2) < 0.01)

    passed, boxes = proved(statement, [(0.5, 20.0)])
    return Check(
        passed, f"e^(−|x|^b), b in [0.5, 20]: T has the sign of b − 2 ({boxes} boxes, |b − 2| >= 0.01)"
    )


TAILS: tuple[Claim, ...] = (
    our_claim(
        "student-t-power",
        "For Student-t noise p* < 1 at high noise as ε → 0, for every ν: the update falls with p for all p >= 1.",
        "upper",
        _student_symbolic,
        _student_numeric,
        _student_rigorous,
    ),
    our_claim(
        "curvature-criterion",
        "At high noise as ε → 0, p* <= 1 if −ln f is concave in ξ² (Laplace, Student-t, logistic, every mixture of "
        "centred Gaussians), and p* >= 1 if it is convex and f unimodal (e^(−|x|^b) with b >= 2).",
        "upper",
        _curvature_symbolic,
        _curvature_numeric,
        _curvature_rigorous,
    ),
    our_claim(
        "local-criterion",
        "At high noise as ε → 0, raising p above 1 helps exactly if T = 1 + E ln|ξ| − E[ξ² ln|ξ|]/E ξ² > 0; "
        "for the Gaussian T = 0.",
        "equality",
        _local_symbolic,
        _local_numeric,
        _local_rigorous,
    ),
)
