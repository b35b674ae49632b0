"""A law with heavy tails and p* > 1: 'only noise lighter-tailed than the Gaussian' is false of all laws.

A thousandth of Laplace noise of scale 2 mixed into uniform noise on [−1, 1] leaves it symmetric and unimodal, gives it
tails above every Gaussian's and a kurtosis of 5, and still the best power is 1.42: the bulk of the law decides, not its
tails. What does hold is the criterion of `theory.claims.beyond.tails`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import sympy as sp
from flint import arb

from theory.claims.beyond.noise_shape import P, X
from theory.claims.beyond.tails import quality_slope
from theory.claims.claim import BEYOND, Findings, claim, numeric, rigorous, show, symbolic
from theory.numerics.balls import enclosed_root, precision


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


def survives(law: UniformWithTail) -> bool:
    """Whether the law leaves 'p* > 1 only for lighter tails' standing: certain kurtosis > 3 and slope > 0 refute it."""
    return not (law.kurtosis > 3 and law.slope(arb(1)) > 0)


@claim("only-lighter-tails", BEYOND, "upper", expected="fails")
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
    detail = ", ".join(f"{slope:+.4f} at p = {p:g}" for p, slope in slopes.items())
    detail = f"refuted: 99.9 % uniform + 0.1 % Laplace(2), d ln Q/dp by quadrature: {detail}"
    yield numeric(detail, not slopes[1.2] > 0 > slopes[1.6])
    with precision(128):
        standing = survives(COUNTEREXAMPLE)
        best = enclosed_root(COUNTEREXAMPLE.slope, 1.0, 3.0)
        kurtosis, slope = COUNTEREXAMPLE.kurtosis, COUNTEREXAMPLE.slope(arb(1))
    yield rigorous(
        f"refuted by 99.9 % uniform + 0.1 % Laplace(2): kurtosis {float(kurtosis):.4f}, "
        f"d ln Q/dp = {float(slope):.4f} > 0 at p = 1, p* = {best.str(12, radius=False)}",
        standing,
    )


if __name__ == "__main__":
    show(globals())
