"""Which noise asks for p > 1: the claim 'only noise lighter-tailed than the Gaussian', where it holds and where not.

At high noise as ε → 0, Q(p) = E[φ_p s]/√(E|ξ|^{2p}) with the score s = −f'/f, so that over y = |ξ|

    d ln Q/dp = E_A ln y − E_B ln y,   A ∝ y^p·s(y)·f(y),   B ∝ y^{2p}·f(y).

Where B/A ∝ y^p/s(y) increases in y, B dominates A and the slope is negative: for every p > 1 if the elasticity
κ = y·s'/s is nowhere above 1, that is, if −ln f is concave as a function of ξ². So it is for Laplace, Student-t and
logistic noise and for every mixture of centred Gaussians: p* <= 1. If −ln f is convex in ξ² and f is unimodal
(so that A is a measure), p* >= 1.

Tails alone decide nothing. A thousandth of Laplace noise of scale 2 mixed into uniform noise on [−1, 1] leaves it
symmetric and unimodal, gives it tails above every Gaussian's and a kurtosis of 5, and still the best power is 1.42.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from flint import arb
from scipy.integrate import quad

from gradpower.tools.labels import Label
from theory.adam.update import limit_update
from theory.claims.beyond.noise_shape import BELL_SHAPES, NORMAL, B, P, X, mean
from theory.claims.claim import BEYOND, Findings, boxed, claim, numeric, rigorous, symbolic, vanish
from theory.numerics.balls import enclosed_root, precision, proved


def elasticity(score: sp.Expr) -> sp.Expr:
    """`κ = x·s'/s`."""
    return sp.simplify(X * sp.diff(score, X) / score)


def slope_is_a_difference_of_means() -> bool:
    """Whether `d ln Q/dp = E_A ln y − E_B ln y`, differentiating under the integral sign."""
    y, f, s = sp.Symbol("y", positive=True), sp.Function("f")(X), sp.Function("s")(X)
    a, b = X**P * s * f, X ** (2 * P) * f

    def over(integrand: sp.Expr) -> sp.Expr:
        return sp.Integral(integrand.subs(X, y), (y, 0, sp.oo))

    slope = sp.diff(sp.log(over(a)) - sp.log(over(b)) / 2, P).doit(integrals=False)
    claimed = over(a * sp.log(X)) / over(a) - over(b * sp.log(X)) / over(b)
    return vanish(slope - claimed)


def quality_slope(density: Callable[[Any], Any], power: float) -> float:
    """`d ln Q/dp = 1/p + E[|ξ|^{p−1} ln|ξ|]/E|ξ|^{p−1} − E[|ξ|^{2p} ln|ξ|]/E|ξ|^{2p}` by quadrature."""

    def log_mean(order: float) -> float:
        def integral(k: int) -> float:
            def integrand(t: float) -> float:
                return float(t**k * math.exp((order + 1) * t) * density(math.exp(t)))

            return math.fsum(quad(integrand, low, low + 4)[0] for low in range(-60, 12, 4))

        return integral(1) / integral(0)

    return 1 / power + log_mean(power - 1) - log_mean(2 * power)


def mixture_slope(power: arb, log_scale: arb, log_odds: arb) -> arb:
    """`d ln Q/dp` for N(0, 1) with odds e^{log_odds} of N(0, e^{2·log_scale}), an upper bound near p = 1."""

    def share(order: arb) -> arb:
        return 1 / (1 + (-log_odds - order * log_scale).exp())

    between = (power / 2 + 1).union(power + arb(1) / 2)
    # half of the difference of ψ, by the mean value theorem
    gaussian = -(power - 1) / 4 * arb(2).zeta(between)
    return gaussian + log_scale * (share(power - 1) - share(2 * power))


@claim("curvature-criterion", BEYOND, "upper")
def curvature() -> Findings:
    """At high noise as ε → 0, p* <= 1 if −ln f is concave in ξ² (Laplace, Student-t, logistic, every mixture of
    centred Gaussians), and p* >= 1 if it is convex and f unimodal (e^(−|x|^b) with b >= 2)."""
    s, (tau1, tau2, weight, u) = sp.Function("s")(X), sp.symbols("tau1 tau2 w u", positive=True)  # u = ξ²
    one, other = weight * sp.exp(-tau1 * u / 2), sp.exp(-tau2 * u / 2)
    variance = one * other * (tau1 - tau2) ** 2 / (one + other) ** 2
    differences = (
        X * sp.diff(sp.log(X**P / s), X) - (P - elasticity(s)),
        sp.diff(-sp.log(one + other), u, 2) + variance / 4,
        sp.diff(u ** (B / 2), u, 2) - B * (B - 2) / 4 * u ** (B / 2 - 2),
        sp.diff(sp.log(1 + u), u, 2) + 1 / (1 + u) ** 2,
        (elasticity(sp.tanh(X / 2)) - X / sp.sinh(X)).rewrite(sp.exp),
    )
    yield symbolic(
        "slope = E_A ln y − E_B ln y, d ln(B/A)/d ln y = p − κ; d²(−ln f)/d(ξ²)²: −Var(τ)/4 for Gaussian mixtures, "
        "b(b−2)/4·ξ^(b−4) for e^(−|x|^b), negative for Student-t; κ = x/sinh x < 1 for the logistic law",
        slope_is_a_difference_of_means(),
        vanish(*differences),
    )
    concave: dict[str, Callable[[float], float]] = {
        "90 % N(0, 1) + 10 % N(0, 25)": lambda x: 0.9 * math.exp(-x * x / 2) + 0.02 * math.exp(-x * x / 50),
        "logistic": lambda x: math.exp(-x) / (1 + math.exp(-x)) ** 2,
        "hyperbolic": lambda x: math.exp(-math.sqrt(1 + x * x)),
    }
    worst = {name: max(quality_slope(f, p) for p in (1.0, 1.5, 3.0)) for name, f in concave.items()}
    convex = min(quality_slope(lambda x: math.exp(-x * x - x**4), p) for p in (0.3, 0.6, 1.0))
    detail = ", ".join(f"{name} <= {value:.3f}" for name, value in worst.items())
    detail = f"d ln Q/dp over p in (1, 1.5, 3): {detail}; for e^(−x²−x⁴), p in (0.3, 0.6, 1): >= {convex:.3f}"
    yield numeric(detail, max(worst.values()) < 0 < convex)
    logistic, boxes = proved(lambda x: x / x.sinh() < 1, [(0.05, 50.0)])
    mixed, more = proved(lambda *box: mixture_slope(*box) < 0, [(1.0, 4.0), (0.2, 2.3), (-5.0, 5.0)])
    detail = "slope < 0 for mixtures of two Gaussians, p in [1, 4], scales 1.2 to 10, odds e^(−5) to e^5"
    detail = f"κ < 1 for the logistic law on [0.05, 50] ({boxes} boxes); {detail} ({more} boxes)"
    yield rigorous(detail, logistic, mixed)


def _narrow_mixture(share: float = 0.2, width: float = 1e-3) -> tuple[float, float]:
    """T and Q(2)/Q(1) of (1 − share)·U[−1, 1] + share·U[−width, width], in closed form."""
    scales = ((1 - share, 1.0), (share, width))

    def moment(q: float) -> float:
        return float(sum(w * a**q for w, a in scales)) / (q + 1)

    def logs(q: float) -> float:
        return float(sum(w * a**q * (math.log(a) / (q + 1) - 1 / (q + 1) ** 2) for w, a in scales))

    def quality(p: float) -> float:
        return p * moment(p - 1) / math.sqrt(moment(2 * p))

    return 1 + logs(0) - logs(2) / moment(2), quality(2.0) / quality(1.0)


@claim("local-criterion", BEYOND, "equality")
def local() -> Findings:
    """At high noise as ε → 0, raising p a little above 1 helps if T = 1 + E ln|ξ| − E[ξ² ln|ξ|]/E ξ² > 0, and harms if
    T < 0; for the Gaussian T = 0. Far from p = 1 it says nothing."""
    moment, q = sp.Function("M"), sp.Symbol("q", positive=True)
    quality = sp.log(P) + sp.log(moment(P - 1)) - sp.log(moment(2 * P)) / 2
    slope = sp.diff(quality, P).subs(P, 1).doit()
    rate = sp.diff(moment(q), q) / moment(q)
    derived = vanish(slope - 1 - rate.subs(q, 0).doit() + rate.subs(q, 2).doit())
    rate = sp.diff(sp.log(mean(X**q, NORMAL) / mean(sp.Integer(1), NORMAL)), q)
    t = 1 + sp.limit(rate, q, 0) - rate.subs(q, 2)
    gaussian, laplace = (sp.simplify(sp.expand_func(t.subs(B, b))) for b in (2, 1))
    detail = f"T = d ln Q/dp at p = 1, as d E|ξ|^q/dq = E|ξ|^q ln|ξ|; Gaussian T = {gaussian}"
    yield symbolic(f"{detail}, Laplace {laplace}", derived, gaussian == 0, laplace == -sp.Rational(1, 2))
    step, same, rows = 1e-3, [], []
    for law in BELL_SHAPES:
        u = limit_update([1 - step, 1 + step], 1.0, 1e5, law, epsilon=0)
        value = quality_slope(law.density, 1.0)
        same.append(abs(float(np.diff(np.log(u))[0]) / (2 * step) - value) < 1e-5)
        rows.append(f"{law.name} {value + 0.0:.4f}".replace("-0.0000", "0.0000"))
    detail = f"T by quadrature, equal to the slope of ln u∞ at r = 1e5 to 1e-5: {', '.join(rows)}"
    slope, far = _narrow_mixture()
    detail += f"; 0.8·U[−1, 1] + 0.2·U[−.001, .001] has T = {slope:.2f} and still Q(2) = {far:.3f}·Q(1)"
    yield numeric(detail, *same, slope < 0, far > 1)

    def statement(b: arb) -> bool:
        t = 1 + ((1 / b).digamma() - (3 / b).digamma()) / b
        return bool((t > 0 and b > 2) or (t < 0 and b < 2) or abs(b - 2) < 0.01)

    detail = "e^(−|x|^b), b in [0.5, 20]: T has the sign of b − 2 ({boxes} boxes, |b − 2| >= 0.01)"
    yield boxed(detail, proved(statement, [(0.5, 20.0)]))


@dataclass(frozen=True)
class UniformWithTail:
    """The law `(1−w)·Uniform[−1, 1] + w·Laplace(α)`: symmetric, unimodal, tails e^{−|x|/α}."""

    weight: arb  # w
    scale: arb  # α

    def moment(self, order: arb) -> arb:
        """`E|ξ|^q = (1−w)/(q+1) + w·α^q·Γ(q+1)`."""
        return (1 - self.weight) / (order + 1) + self.weight * self.scale**order * (order + 1).gamma()

    def log_moment(self, order: arb) -> arb:
        """`E[|ξ|^q·ln|ξ|]`, the derivative of `moment`."""
        tail = self.weight * self.scale**order * (order + 1).gamma()
        return tail * (self.scale.log() + (order + 1).digamma()) - (1 - self.weight) / (order + 1) ** 2

    def slope(self, power: arb) -> arb:
        """`d ln Q/dp`."""
        low, high = power - 1, 2 * power
        return 1 / power + self.log_moment(low) / self.moment(low) - self.log_moment(high) / self.moment(high)

    @property
    def kurtosis(self) -> arb:
        """`E ξ⁴/(E ξ²)²`; 3 for the Gaussian."""
        return self.moment(arb(4)) / self.moment(arb(2)) ** 2


COUNTEREXAMPLE = UniformWithTail(arb(1) / 1000, arb(2))


@claim("only-lighter-tails", BEYOND, "upper", expected=Label.FAILS)
def all_laws() -> Findings:
    """p* > 1 only for noise lighter-tailed than the Gaussian, said of all laws (by tails or by kurtosis)."""
    w, alpha = sp.symbols("w alpha", positive=True)
    moment = (1 - w) / (P + 1) + w * alpha**P * sp.gamma(P + 1)
    rate = sp.diff(moment, P) / moment
    t = 1 + rate.subs(P, 0) - rate.subs(P, 2)
    thin = {w: alpha**-3}  # then α → ∞: the tail's weight vanishes while the kurtosis explodes
    limit = sp.limit(sp.expand(sp.simplify(t.subs(thin))), alpha, sp.oo)
    tail = sp.limit(-(X / alpha) + X**2 / 2, X, sp.oo)  # ln of Laplace over Gaussian density
    kurtosis = sp.limit(sp.simplify((moment.subs(P, 4) / moment.subs(P, 2) ** 2).subs(thin)), alpha, sp.oo)
    yield symbolic(
        f"refuted: (1−w)·uniform + w·Laplace(α) with w = α⁻³, α → ∞ has the slope T → {limit} > 0 at p = 1, while its "
        "tails outweigh every Gaussian's and its kurtosis grows without bound",
        not (limit > 0 and tail == sp.oo and kurtosis > 3),
    )

    def density(x: float) -> float:
        return 0.999 / 2 * (x < 1) + 0.001 / 4 * math.exp(-x / 2)

    slopes = {p: quality_slope(density, p) for p in (1.0, 1.2, 1.6)}
    table = ", ".join(f"{slope:+.4f} at p = {p:g}" for p, slope in slopes.items())
    detail = f"refuted: 99.9 % uniform + 0.1 % Laplace(2), d ln Q/dp by quadrature: {table}"
    yield numeric(detail, not slopes[1.2] > 0 > slopes[1.6])
    with precision(128):
        best = enclosed_root(COUNTEREXAMPLE.slope, 1.0, 3.0)
        kurtosis, slope = COUNTEREXAMPLE.kurtosis, COUNTEREXAMPLE.slope(arb(1))
    yield rigorous(
        f"refuted by 99.9 % uniform + 0.1 % Laplace(2): kurtosis {float(kurtosis):.4f}, "
        f"d ln Q/dp = {float(slope):.4f} > 0 at p = 1, p* = {best.str(12, radius=False)}",
        not (kurtosis > 3 and slope > 0),
    )
