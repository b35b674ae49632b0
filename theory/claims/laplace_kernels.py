"""The Laplace kernels that make the exact update one-dimensional.

`1/(√v+ε) = ∫₀^∞ e^{−sv} h₁(s) ds`, `h₁ = 1/√(πs) − ε·e^{ε²s}erfc(ε√s)`, and `1/(√v+ε)² = ∫₀^∞ e^{−sv} h₂(s) ds`,
`h₂ = −∂h₁/∂ε`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import mpmath as mp
import sympy as sp
from flint import acb, arb

from theory.claims.claim import Check, Claim
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


def _kernel_symbolic() -> Check:
    second = sp.simplify(sp.diff(H1, EPS) + H2) == 0
    square = sp.simplify(sp.diff(1 / (sp.sqrt(V) + EPS), EPS) + 1 / (sp.sqrt(V) + EPS) ** 2) == 0
    return Check(
        is_kernel(H1) and bool(second and square),
        "antiderivative of e^(−sv)h₁ by parts, its ends give 1/(√v+ε); h₂ = −∂h₁/∂ε gives 1/(√v+ε)²",
    )


def _kernel_numeric() -> Check:
    worst = mp.mpf(0)
    kernels = [sp.lambdify((S, EPS), kernel, "mpmath") for kernel in (H1, H2)]
    for v, epsilon in itertools.product((1e-3, 1.0, 50.0), (1e-4, 0.3, 4.0)):
        for order, kernel in enumerate(kernels, 1):
            nodes = [mp.mpf(10) ** k / mp.sqrt(v) for k in (-12, -2, -1, 0, 1)]

            def integrand(
                x: mp.mpf, h: Callable[..., mp.mpf] = kernel, v: float = v, e: float = epsilon
            ) -> mp.mpf:
                return 2 * x * mp.exp(-v * x * x) * h(x * x, e)

            value = mp.quad(integrand, nodes)
            worst = max(worst, abs(value * (mp.sqrt(v) + epsilon) ** order - 1))
    small = bool(worst < 1e-9)
    return Check(
        small,
        f"9 pairs (v, ε), v from 1e-3 to 50, ε from 1e-4 to 4: relative error {'<' if small else '>='} 1e-9",
    )


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

    end = arb(reach) / v.sqrt()
    tail = (
        (-(arb(reach) ** 2)).exp() * 2 / v
    )  # above ∫ 2e^{−vx²}/√π beyond reach/√v, and above 2x in place of 2/√π
    tail = tail + tail * v.sqrt()
    return acb.integral(integrand, 0, end) + acb(tail.union(-tail))


def _kernel_rigorous() -> Check:
    passed, radius = True, 0.0
    with precision(128):
        for v, epsilon, order in itertools.product(("0.1", "1", "30"), ("0.001", "0.5", "3"), (1, 2)):
            enclosure = kernel_enclosure(arb(v), arb(epsilon), order).real
            exact = 1 / (arb(v).sqrt() + arb(epsilon)) ** order
            passed &= bool(enclosure.overlaps(exact))
            radius = max(radius, float(enclosure.rad()))
    return Check(
        passed and radius < 1e-25,
        "9 pairs (v, ε), both kernels: certified quadrature encloses the value, radius < 1e-25",
    )


LAPLACE_KERNELS: tuple[Claim, ...] = (
    Claim(
        id="laplace-kernels",
        statement="1/(√v+ε) and 1/(√v+ε)² are the Laplace transforms of h₁ = 1/√(πs) − ε·e^(ε²s)erfc(ε√s) and "
        "h₂ = −∂h₁/∂ε.",
        place="beyond the paper",
        source="ours",
        kind="equality",
        expected="holds",
        symbolic=_kernel_symbolic,
        numeric=_kernel_numeric,
        rigorous=_kernel_rigorous,
    ),
)
