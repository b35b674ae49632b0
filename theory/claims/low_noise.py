"""Proposition 4.2: the update when the noise is far below the signal, under uniform noise."""

from __future__ import annotations

import numpy as np
import sympy as sp

from theory.adam.optimum import optimal_power
from theory.adam.propositions import low_noise_update
from theory.adam.update import limit_update
from theory.claims.claim import Check, Claim
from theory.claims.leading_order import (
    WEIGHT,
    P,
    remainder_proved,
    series,
    worst_errors,
)
from theory.laws import Uniform

_RATIOS = (0.3, 0.1, 0.03, 0.01, 1e-3)
_MU, _EPS = sp.symbols("mu epsilon", positive=True)
_F = _MU**P / (_MU**P + _EPS)


def _leading_symbolic() -> Check:
    first, second = series(low_noise=True)
    coefficient = sp.factor(sp.expand(first - WEIGHT * second / 2))
    ok = sp.simplify(coefficient - (P * (P - 1) - WEIGHT * P * (2 * P - 1)) / 6) == 0
    return Check(ok, f"u∞/f = 1 + ({coefficient})·r² + O(r⁴), w = f: the correction vanishes as r → 0")


def _leading_numeric() -> Check:
    errors = worst_errors(True, _RATIOS, 2.0)
    order = np.log(errors[-2] / errors[-1]) / np.log(_RATIOS[-2] / _RATIOS[-1])
    table = ", ".join(f"{e:.1e} at r={x:g}" for x, e in zip(_RATIOS, errors, strict=True))
    powers = np.linspace(0.05, 5, 50)
    agrees = np.allclose(
        limit_update(powers, 1e-6, 1e-10, Uniform()), low_noise_update(powers, 1e-6), rtol=5e-8
    )
    detail = f"largest relative error over p <= 2 and every μ, ε: {table}; it falls like r^{order:.2f}"
    return Check(bool(agrees and abs(order - 2) < 0.02), detail)


def _decreasing_symbolic() -> Check:
    derivative = sp.simplify(sp.diff(_F, P))
    expected = _EPS * _MU**P * sp.log(_MU) / (_MU**P + _EPS) ** 2
    ok = sp.simplify(derivative - expected) == 0
    return Check(
        ok, "f′ = εμ^p·ln μ/(μ^p+ε)²: negative for 0 < μ < 1 and ε > 0 (positive for μ > 1, zero for ε = 0)"
    )


def _decreasing_numeric() -> Check:
    powers = np.linspace(0.01, 10, 500)
    drops = [
        np.diff(low_noise_update(powers, mean, epsilon=epsilon)).max()
        for mean in (1e-30, 1e-6, 1e-2, 0.999)
        for epsilon in (1e-12, 1e-8, 1e-4, 1.0)
    ]
    rises = np.diff(low_noise_update(powers, 1.5)).min() > 0
    return Check(
        bool(max(drops) <= 0 and rises),
        "16 pairs (μ, ε), μ up to 0.999: never rises on 500 powers in (0, 10]",
    )


def _supremum_symbolic() -> Check:
    limit = sp.limit(_F, P, 0, "+")
    gap = sp.simplify(1 / (1 + _EPS) - _F - _EPS * (1 - _MU**P) / ((1 + _EPS) * (_MU**P + _EPS)))
    ok = sp.simplify(limit - 1 / (1 + _EPS)) == 0 and gap == 0
    return Check(ok, "f → 1/(1+ε) as p → 0, and 1/(1+ε) − f(p) = ε(1−μ^p)/((1+ε)(μ^p+ε)) > 0: not attained")


def _supremum_numeric() -> Check:
    gaps = [1 / (1 + e) - float(low_noise_update(1e-9, 1e-6, epsilon=e)) for e in (1e-12, 1e-8, 1e-4)]
    ok = all(-1e-15 <= gap < 1e-8 for gap in gaps)
    return Check(ok, "at p = 1e-9 the gap to 1/(1+ε) is below 1e-8 for ε = 1e-12, 1e-8, 1e-4")


def edge_threshold(mean: float = 1e-6, epsilon: float = 1e-8) -> float:
    """Noise-to-signal ratio up to which the supremum of u∞ itself sits at p → 0, under uniform noise."""
    low, high = 1.0, 2.0
    while high - low > 1e-7:
        middle = (low + high) / 2
        best = optimal_power(mean, middle * mean, Uniform(), epsilon=epsilon, method="limit")
        low, high = (middle, high) if best.at_edge == "low" else (low, middle)
    return (low + high) / 2


def _edge_symbolic() -> Check:
    root, epsilon = sp.symbols("M epsilon", positive=True)  # M = √(E φ_p²)
    ceiling = root / (root + epsilon)
    ok = sp.simplify(sp.diff(ceiling, root) - epsilon / (root + epsilon) ** 2) == 0
    return Check(
        ok,
        "E φ_p <= √(E φ_p²) = M (Cauchy–Schwarz), M <= 1 if μ+σ <= 1, and M/(M+ε) increases: "
        "u∞ <= 1/(1+ε), its value at p → 0 if σ <= μ",
    )


def _edge_numeric() -> Check:
    edges = [
        optimal_power(mean, ratio * mean, Uniform(), epsilon=epsilon, method="limit").at_edge
        for mean in (1e-9, 1e-6, 1e-2)
        for ratio in (0.0, 0.1, 0.5, 1.0)
        for epsilon in (1e-12, 1e-8, 1e-4)
    ]
    thresholds = ", ".join(f"{edge_threshold(epsilon=e):.4f} for ε={e:g}" for e in (1e-8, 1e-4, 1e-2))
    detail = f"p* at the left edge in 36 settings with r <= 1; at μ=1e-6 the edge wins up to r = {thresholds}"
    return Check(set(edges) == {"low"}, detail)


LOW_NOISE: tuple[Claim, ...] = (
    Claim(
        id="4.2-leading-order",
        statement="For σ ≪ μ the update is u∞ = f(p)(1+o(1)) with f(p) = μ^p/(μ^p+ε).",
        place="Proposition 4.2",
        source="paper",
        kind="asymptotic",
        expected="holds",
        symbolic=_leading_symbolic,
        numeric=_leading_numeric,
        rigorous=lambda: remainder_proved(True, 0.5, 5.0, 0.1),
    ),
    Claim(
        id="4.2-decreasing",
        statement="f decreases in p (for 0 < μ ≪ 1, as in Example 4.1).",
        place="Proposition 4.2",
        source="paper",
        kind="tight",
        expected="holds",
        symbolic=_decreasing_symbolic,
        numeric=_decreasing_numeric,
    ),
    Claim(
        id="4.2-supremum",
        statement="The supremum of f is 1/(1+ε), approached as p → 0.",
        place="Proposition 4.2",
        source="paper",
        kind="tight",
        expected="holds",
        symbolic=_supremum_symbolic,
        numeric=_supremum_numeric,
    ),
    Claim(
        id="4.2-edge",
        statement="At low noise the best power of the update u∞ itself sits at p → 0.",
        place="Figure 7",
        source="paper",
        kind="upper",
        expected="holds with a condition",
        symbolic=_edge_symbolic,
        numeric=_edge_numeric,
        region=lambda: "σ <= μ, and gradients that stay below 1: μ + σ <= 1",
        paper_value="left edge (two curves)",
    ),
)
