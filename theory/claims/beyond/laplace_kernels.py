"""The Laplace kernels that make the exact update one-dimensional.

`1/(√v+ε) = ∫₀^∞ e^{−sv} h₁(s) ds`, `h₁ = 1/√(πs) − ε·e^{ε²s}erfc(ε√s)`, and `1/(√v+ε)² = ∫₀^∞ e^{−sv} h₂(s) ds`,
`h₂ = −∂h₁/∂ε`.
"""

from __future__ import annotations

from itertools import product, starmap

import mpmath as mp
import sympy as sp
from flint import acb, arb

from theory.claims.claim import BEYOND, Findings, claim, numeric, rigorous, show, symbolic
from theory.numerics.balls import precision

S, V, EPS = sp.symbols("s v epsilon", positive=True)
H1 = 1 / sp.sqrt(sp.pi * S) - EPS * sp.exp(EPS**2 * S) * sp.erfc(EPS * sp.sqrt(S))
H2 = (1 + 2 * EPS**2 * S) * sp.exp(EPS**2 * S) * sp.erfc(EPS * sp.sqrt(S)) - 2 * EPS * sp.sqrt(S / sp.pi)


def antiderivative() -> sp.Expr:
    """Of `e^{−sv}h₁(s)` in s, by parts."""
    root = sp.erf(sp.sqrt(V * S)) / sp.sqrt(V)
    decaying = sp.exp(-(V - EPS**2) * S) * sp.erfc(EPS * sp.sqrt(S))
    return root + (EPS * decaying + EPS**2 * root) / (V - EPS**2)


def is_kernel(kernel: sp.Expr) -> bool:
    """Whether `∫₀^∞ e^{−sv}·kernel ds = 1/(√v+ε)`, from the antiderivative and its values at both ends."""
    primitive = antiderivative()
    if sp.simplify(sp.expand(sp.diff(primitive, S) - sp.exp(-S * V) * kernel)) != 0:
        return False
    # as s → ∞ the decaying part, below e^{−sv}, vanishes and erf → 1
    end = (1 / sp.sqrt(V)) * (1 + EPS**2 / (V - EPS**2))
    return bool(sp.simplify(end - primitive.subs(S, 0) - 1 / (sp.sqrt(V) + EPS)) == 0)


def kernel_enclosure(v: arb, epsilon: arb, order: int, reach: float = 8.0) -> acb:
    """Enclose `∫₀^∞ e^{−sv} h(s) ds` by certified quadrature in x = √s.

    `0 <= h₁ <= 1/√(πs)` and `0 <= h₂ <= 1` bound the tail.
    """

    def integrand(x: acb, _: bool) -> acb:
        z = x * epsilon
        scaled = (z * z).exp() * z.erfc()
        root = acb(arb.pi().sqrt())
        first, second = 1 / root - z * scaled, x * ((1 + 2 * z * z) * scaled - 2 * z / root)
        return 2 * (-x * x * v).exp() * (first if order == 1 else second)

    # above ∫ 2e^{−vx²}/√π beyond reach/√v, and above 2x in place of 2/√π
    tail = (-(arb(reach) ** 2)).exp() * 2 / v * (1 + v.sqrt())
    return acb.integral(integrand, 0, arb(reach) / v.sqrt()) + acb(tail.union(-tail))


def quadrature_error(v: float, epsilon: float, order: int) -> float:
    """Relative error of `∫₀^∞ e^{−sv} h(s) ds` by mpmath's quadrature in x = √s."""
    kernel = sp.lambdify((S, EPS), H1 if order == 1 else H2, "mpmath")
    nodes = [mp.mpf(10) ** k / mp.sqrt(v) for k in (-12, -2, -1, 0, 1)]
    value = mp.quad(lambda x: 2 * x * mp.exp(-v * x * x) * kernel(x * x, epsilon), nodes)
    return float(abs(value * (mp.sqrt(v) + epsilon) ** order - 1))


@claim("laplace-kernels", BEYOND, "equality")
def kernel() -> Findings:
    """1/(√v+ε) and 1/(√v+ε)² are the Laplace transforms of h₁ = 1/√(πs) − ε·e^(ε²s)erfc(ε√s) and h₂ = −∂h₁/∂ε."""
    second = sp.simplify(sp.diff(H1, EPS) + H2) == 0
    square = sp.simplify(sp.diff(1 / (sp.sqrt(V) + EPS), EPS) + 1 / (sp.sqrt(V) + EPS) ** 2) == 0
    detail = "antiderivative of e^(−sv)h₁ by parts, its ends give 1/(√v+ε); h₂ = −∂h₁/∂ε gives 1/(√v+ε)²"
    yield symbolic(detail, is_kernel(H1), second, square)
    small = max(starmap(quadrature_error, product((1e-3, 1.0, 50.0), (1e-4, 0.3, 4.0), (1, 2)))) < 1e-9
    detail = "9 pairs (v, ε), v from 1e-3 to 50, ε from 1e-4 to 4: relative error"
    yield numeric(f"{detail} {'<' if small else '>='} 1e-9", small)
    enclosed = []
    with precision(128):
        for v, e, order in product(map(arb, ("0.1", "1", "30")), map(arb, ("0.001", "0.5", "3")), (1, 2)):
            enclosure = kernel_enclosure(v, e, order).real
            enclosed += [enclosure.overlaps(1 / (v.sqrt() + e) ** order), enclosure.rad() < 1e-25]
    detail = "9 pairs (v, ε), both kernels: certified quadrature encloses the value, radius < 1e-25"
    yield rigorous(detail, *enclosed)


if __name__ == "__main__":
    show(globals())
