"""Proposition 4.2: the update when the noise is far below the signal, under uniform noise."""

from itertools import product

import numpy as np
import sympy as sp

from gradpower.tools.labels import Label
from theory.adam.optimum import optimal_power
from theory.adam.propositions import low_noise_update
from theory.adam.update import limit_update
from theory.claims.claim import Findings, claim, condition, numeric, symbolic, vanish
from theory.claims.leading_order import WEIGHT, P, remainder_proved, series, worst_errors
from theory.laws import Uniform

_RATIOS = (0.3, 0.1, 0.03, 0.01, 1e-3)
_MU, _EPS = sp.symbols("mu epsilon", positive=True)
_F = _MU**P / (_MU**P + _EPS)


@claim("4.2-leading-order", "Proposition 4.2", "asymptotic")
def leading() -> Findings:
    """For σ ≪ μ the update is u∞ = f(p)(1+o(1)) with f(p) = μ^p/(μ^p+ε)."""
    first, second = series(low_noise=True)
    ok = vanish(first - WEIGHT * second / 2 - (P * (P - 1) - WEIGHT * P * (2 * P - 1)) / 6)
    yield symbolic(
        "u∞/f = 1 + p·(p − 1 − w·(2p − 1))/6·r² + O(r⁴), w = f: the correction vanishes as r → 0", ok
    )
    errors = worst_errors(True, _RATIOS, 2.0)
    order = np.log(errors[-2] / errors[-1]) / np.log(_RATIOS[-2] / _RATIOS[-1])
    table = ", ".join(f"{e:.1e} at r={x:g}" for x, e in zip(_RATIOS, errors, strict=True))
    powers = np.linspace(0.05, 5, 50)
    exact = limit_update(powers, 1e-6, 1e-10, Uniform())
    agrees = np.allclose(exact, low_noise_update(powers, 1e-6), rtol=5e-8)
    detail = f"largest relative error over p <= 2 and every μ, ε: {table}; it falls like r^{order:.2f}"
    yield numeric(detail, agrees, abs(order - 2) < 0.02)
    yield remainder_proved(True, 0.5, 5.0, 0.1)


@claim("4.2-decreasing", "Proposition 4.2", "tight")
def decreasing() -> Findings:
    """f decreases in p (for 0 < μ ≪ 1, as in Example 4.1)."""
    slope = _EPS * _MU**P * sp.log(_MU) / (_MU**P + _EPS) ** 2
    detail = "f′ = εμ^p·ln μ/(μ^p+ε)²: negative for 0 < μ < 1 and ε > 0 (positive for μ > 1, zero for ε = 0)"
    yield symbolic(detail, vanish(sp.diff(_F, P) - slope))
    powers = np.linspace(0.01, 10, 500)
    corners = product((1e-30, 1e-6, 1e-2, 0.999), (1e-12, 1e-8, 1e-4, 1.0))
    drops = [np.diff(low_noise_update(powers, mean, epsilon=epsilon)).max() for mean, epsilon in corners]
    above_one = np.diff(low_noise_update(powers, 1.5)).min() > 0
    detail = "16 pairs (μ, ε), μ up to 0.999: never rises on 500 powers in (0, 10]"
    yield numeric(detail, max(drops) <= 0, above_one)


@claim("4.2-supremum", "Proposition 4.2", "tight")
def supremum() -> Findings:
    """The supremum of f is 1/(1+ε), approached as p → 0."""
    gap = 1 / (1 + _EPS) - _F - _EPS * (1 - _MU**P) / ((1 + _EPS) * (_MU**P + _EPS))
    detail = "f → 1/(1+ε) as p → 0, and 1/(1+ε) − f(p) = ε(1−μ^p)/((1+ε)(μ^p+ε)) > 0: not attained"
    yield symbolic(detail, vanish(sp.limit(_F, P, 0, "+") - 1 / (1 + _EPS), gap))
    gaps = [1 / (1 + e) - float(low_noise_update(1e-9, 1e-6, epsilon=e)) for e in (1e-12, 1e-8, 1e-4)]
    detail = "at p = 1e-9 the gap to 1/(1+ε) is below 1e-8 for ε = 1e-12, 1e-8, 1e-4"
    yield numeric(detail, all(-1e-15 <= gap < 1e-8 for gap in gaps))


def edge_threshold(mean: float = 1e-6, epsilon: float = 1e-8) -> float:
    """Noise-to-signal ratio up to which the supremum of u∞ itself sits at p → 0, under uniform noise."""
    low, high = 1.0, 2.0
    while high - low > 1e-7:
        middle = (low + high) / 2
        best = optimal_power(mean, middle * mean, Uniform(), epsilon=epsilon, method="limit")
        low, high = (middle, high) if best.at_edge == "low" else (low, middle)
    return (low + high) / 2


@claim(
    "4.2-edge", "Figure 7", "upper", expected=Label.HOLDS_WITH_CONDITION, paper_value="left edge (two curves)"
)
def edge() -> Findings:
    """At low noise the best power of the update u∞ itself sits at p → 0."""
    root, epsilon = sp.symbols("M epsilon", positive=True)  # M = √(E φ_p²)
    ceiling = root / (root + epsilon)
    yield symbolic(
        "E φ_p <= √(E φ_p²) = M (Cauchy–Schwarz), M <= 1 if μ+σ <= 1, and M/(M+ε) increases: "
        "u∞ <= 1/(1+ε), its value at p → 0 if σ <= μ",
        vanish(sp.diff(ceiling, root) - epsilon / (root + epsilon) ** 2),
    )
    edges = [
        optimal_power(mean, ratio * mean, Uniform(), epsilon=epsilon, method="limit").at_edge
        for mean, ratio, epsilon in product((1e-9, 1e-6, 1e-2), (0.0, 0.1, 0.5, 1.0), (1e-12, 1e-8, 1e-4))
    ]
    thresholds = ", ".join(f"{edge_threshold(epsilon=e):.4f} for ε={e:g}" for e in (1e-8, 1e-4, 1e-2))
    detail = f"p* at the left edge in 36 settings with r <= 1; at μ=1e-6 the edge wins up to r = {thresholds}"
    yield numeric(detail, set(edges) == {"low"})
    yield condition("σ <= μ, and gradients that stay below 1: μ + σ <= 1")
