"""The exact update at finite β: Laplace kernels and the factorised expectation.

`1/(√v+ε) = ∫₀^∞ e^{−sv} h₁(s) ds`, `h₁ = 1/√(πs) − ε·e^{ε²s}erfc(ε√s)`, and `1/(√v+ε)² = ∫₀^∞ e^{−sv} h₂(s) ds`,
`h₂ = −∂h₁/∂ε`. So E m/(√v+ε) is an integral over s of E m·e^{−sv}, and that, for independent g_t, is a sum of products
of one-dimensional expectations (`theory.adam.update`).
"""

from itertools import product, starmap
from typing import Any

import mpmath as mp
import numpy as np
import sympy as sp
from flint import acb, arb

from theory.adam.update import exact_update
from theory.claims.claim import BEYOND, Findings, claim, numeric, rigorous, symbolic, vanish
from theory.laws import parse_law
from theory.numerics.balls import precision

S, V, EPS = sp.symbols("s v epsilon", positive=True)
H1 = 1 / sp.sqrt(sp.pi * S) - EPS * sp.exp(EPS**2 * S) * sp.erfc(EPS * sp.sqrt(S))
H2 = (1 + 2 * EPS**2 * S) * sp.exp(EPS**2 * S) * sp.erfc(EPS * sp.sqrt(S)) - 2 * EPS * sp.sqrt(S / sp.pi)


def is_kernel(kernel: sp.Expr) -> bool:
    """Whether `∫₀^∞ e^{−sv}·kernel ds = 1/(√v+ε)`, from the antiderivative, by parts, and its values at both ends."""
    root = sp.erf(sp.sqrt(V * S)) / sp.sqrt(V)
    decaying = sp.exp(-(V - EPS**2) * S) * sp.erfc(EPS * sp.sqrt(S))
    primitive = root + (EPS * decaying + EPS**2 * root) / (V - EPS**2)
    # as s → ∞ the decaying part, below e^{−sv}, vanishes and erf → 1
    end = (1 / sp.sqrt(V)) * (1 + EPS**2 / (V - EPS**2))
    integrand = sp.expand(sp.diff(primitive, S) - sp.exp(-S * V) * kernel)
    return vanish(integrand, end - primitive.subs(S, 0) - 1 / (sp.sqrt(V) + EPS))


def first_kernel(z: acb) -> acb:
    """`√s·h₁(s)` for z = ε√s."""
    return 1 / acb(arb.pi().sqrt()) - z * (z * z).exp() * z.erfc()


def kernel_enclosure(v: arb, epsilon: arb, order: int, reach: float = 8.0) -> acb:
    """Enclose `∫₀^∞ e^{−sv} h(s) ds` by certified quadrature in x = √s.

    `0 <= h₁ <= 1/√(πs)` and `0 <= h₂ <= 1` bound the tail.
    """

    def integrand(x: acb, _: bool) -> acb:
        z, first = x * epsilon, first_kernel(x * epsilon)
        second = x * ((z * z).exp() * z.erfc() - 2 * z * first)
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
    detail = "antiderivative of e^(−sv)h₁ by parts, its ends give 1/(√v+ε); h₂ = −∂h₁/∂ε gives 1/(√v+ε)²"
    yield symbolic(detail, is_kernel(H1), vanish(sp.diff(H1, EPS) + H2))
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


def factorises(steps: int = 2) -> bool:
    """Whether the first two moments of m under e^{−sv} factorise as claimed, for two-valued x.

    `E m·e^{−sv} = N·Π a` and `E m²·e^{−sv} = (V + N²)·Π a` with `N = Σ w_k B_k`, `V = Σ w_k² C_k`.
    """
    x, q = sp.symbols("x1 x2", real=True), sp.Symbol("q", positive=True)
    chance = (q, 1 - q)
    w, a, decay = (sp.symbols(f"{name}1:{steps + 1}") for name in "wae")
    # e^{−sω_k x_i²}, the second one such that E e^{−sω_k x²} is the symbol a_k
    e = [(decay[k], (a[k] - q * decay[k]) / (1 - q)) for k in range(steps)]
    b = [sum(chance[i] * x[i] * e[k][i] for i in (0, 1)) / a[k] for k in range(steps)]
    c = [sum(chance[i] * x[i] ** 2 * e[k][i] for i in (0, 1)) / a[k] - b[k] ** 2 for k in range(steps)]
    first = sum(w[k] * b[k] for k in range(steps))
    second = sum(w[k] ** 2 * c[k] for k in range(steps)) + first**2
    differences = [-first * sp.prod(a), -second * sp.prod(a)]
    for outcome in product((0, 1), repeat=steps):
        weight = sp.prod([chance[i] * e[k][i] for k, i in enumerate(outcome)])
        m = sum(w[k] * x[i] for k, i in enumerate(outcome))
        differences = [difference + weight * m**n for n, difference in enumerate(differences, 1)]
    return all(sp.expand(sp.expand(difference)) == 0 for difference in differences)


def _weights(beta: Any, steps: int) -> list[Any]:
    """The weights of the last gradients, newest first, with bias correction; in float64, or in balls."""
    return [(1 - beta) * beta**k / (1 - beta**steps) for k in range(steps)]


def enumeration_error(power: float, ratio: float, epsilon: float) -> float:
    """Relative error of `exact_update` at step 10 under binary noise, against all 2¹⁰ outcomes."""
    signs = np.array(list(product((-1.0, 1.0), repeat=10)))
    x = np.sign(1 + ratio * signs) * np.abs(1 + ratio * signs) ** power
    u = (x @ _weights(0.9, 10)) / (np.sqrt(x**2 @ _weights(0.95, 10)) + epsilon)
    value = exact_update(power, 1.0, ratio, parse_law("binary"), epsilon=epsilon, step=10)
    drift, rms = float(u.mean()), float(np.sqrt((u**2).mean()))
    return max(abs(float(value.drift) / drift - 1), abs(float(value.rms) / rms - 1))


def two_step_error(power: float, ratio: float, epsilon: float) -> float:
    """Relative error of `exact_update` at step 2 under uniform noise, against a double integral by Gauss–Legendre."""
    w, omega = _weights(0.9, 2), _weights(0.95, 2)
    cut = max(-1.0, -1 / ratio)  # where g changes sign; |g|^p is smooth in t with |g| ∝ t⁴ on either side
    nodes, weights = np.polynomial.legendre.leggauss(60)
    t, dt = (nodes + 1) / 2, weights / 2
    pieces = [(end - cut) * np.stack([t**4, 4 * t**3 * dt]) for end in (-1.0, 1.0) if end != cut]
    offset, measure = np.concatenate(pieces, axis=1)
    base = 1 + ratio * cut  # 0 if the sign changes inside
    g, measure = base + ratio * offset, np.abs(measure) / 2
    x = np.sign(g) * np.abs(g) ** power
    m = w[0] * x[:, None] + w[1] * x
    root = np.sqrt(omega[0] * x[:, None] ** 2 + omega[1] * x**2)
    drift = float(measure @ (m / (root + epsilon)) @ measure)
    value = exact_update(power, 1.0, ratio, parse_law("uniform"), epsilon=epsilon, step=2)
    return abs(float(value.drift) / drift - 1)


def formula_enclosure(values: tuple[arb, arb], w: list[arb], omega: list[arb], epsilon: arb) -> arb:
    """Enclose `∫ h₁ Σ_k w_k E[x e^{−sω_k x²}] Π_{j≠k} E e^{−sω_j x²} ds` for x one of two values, ½ each, in √s."""

    def integrand(x: acb, _: bool) -> acb:
        decays = [[(-x * x * o * value * value).exp() / 2 for value in values] for o in omega]
        total = acb(0)
        for k, weight in enumerate(w):
            term = weight * sum(value * e for value, e in zip(values, decays[k], strict=True))
            for j, decay in enumerate(decays):
                term = term * (sum(decay) if j != k else 1)
            total += term
        return 2 * first_kernel(x * epsilon) * total

    reach, slowest = arb(8), min(float(abs(value)) for value in values)
    end = reach / arb(slowest)  # Σω = 1, so the integrand is below 2·max|x|·e^{−(x·slowest)²}
    tail = 2 * max(float(abs(value)) for value in values) * (-(reach**2)).exp() / slowest
    return (acb.integral(integrand, 0, end) + acb(arb(tail).union(-arb(tail)))).real


def enumeration_enclosure(values: tuple[arb, arb], w: list[arb], omega: list[arb], epsilon: arb) -> arb:
    """Enclose E m/(√v+ε) over all outcomes."""
    total: arb = arb(0)
    for outcome in product(values, repeat=len(w)):
        m = sum((wk * x for wk, x in zip(w, outcome, strict=True)), arb(0))
        v = sum((ok * x * x for ok, x in zip(omega, outcome, strict=True)), arb(0))
        total += m / (v.sqrt() + epsilon) / 2 ** len(w)
    return total


@claim("exact-update", BEYOND, "equality")
def update() -> Findings:
    """At any β the mean and mean square of Adam's update are one-dimensional integrals of products over the steps: E u
    = ∫ h₁ Σ_k w_k B_k Π_j a_j ds."""
    detail = (
        "two-valued x, 2 and 3 steps, symbolic weights: E m·e^(−sv) = N·Π a, E m²·e^(−sv) = (V + N²)·Π a, "
        "N = Σ w_k B_k, V = Σ w_k² C_k"
    )
    yield symbolic(detail, factorises(2), factorises(3))
    binary = starmap(enumeration_error, product((0.3, 1.2, 3.0), (0.5, 10.0, 100.0), (0.0, 1e-4, 0.3)))
    uniform = starmap(two_step_error, product((0.5, 1.2), (0.5, 3.0, 30.0), (1e-3, 0.3)))
    small = max(*binary, *uniform) < 1e-11
    yield numeric(
        "drift and RMS at step 10 against all 2¹⁰ outcomes of binary noise (27 settings), drift at step 2 against a "
        f"double integral under uniform noise (12): relative error {'<' if small else '>='} 1e-11",
        small,
    )
    enclosed = []
    with precision(128):
        w, omega = _weights(arb("0.9"), 3), _weights(arb("0.95"), 3)
        for low, epsilon in product(map(arb, ("-0.8", "-0.3", "0.5")), map(arb, ("0", "0.01", "0.5"))):
            settings = ((low, arb("1.2")), w, omega, epsilon)
            by_formula, direct = formula_enclosure(*settings), enumeration_enclosure(*settings)
            enclosed += [by_formula.overlaps(direct), by_formula.rad() < 1e-20, direct.rad() < 1e-20]
    detail = "3 steps of two-valued x, 9 settings: the enclosed integral and the enumeration overlap, radius < 1e-20"
    yield rigorous(detail, *enclosed)
