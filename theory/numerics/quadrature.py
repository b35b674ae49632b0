"""Quadrature for expectations over g = location + scale·ξ, graded towards every singular point.

All that the theory needs of a noise law are expectations of even and odd functions of g that are smooth in ln|g|:
`E|g|^q`, `E sign(g)|g|^p`, `E e^{−s|g|^{2p}}`. They are sums over one set of nodes, a `FoldedRule`:

    E h(|g|) = Σ_i even_i·h(x_i),      E sign(g)·h(|g|) = Σ_i odd_i·h(x_i).

Folding the two signs analytically, `odd = f_g(x) − f_g(−x)`, is what keeps the drift free of cancellation when the
mean is far below the noise. Panels are Gauss–Legendre in the logarithm of the distance to the nearest singular
point, where the integrands are analytic in a strip; the panel width follows from the strip, so the error is
geometric in the number of nodes.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from theory.numerics.inputs import Array

PANEL_NODES = 32
_GAUSS_X, _GAUSS_W = np.polynomial.legendre.leggauss(PANEL_NODES)
LOG_NEGLIGIBLE = (
    37.0  # e^{-37} < 2^{-53}: what lies this far down in a logarithm cannot be seen in a float64 sum
)


@dataclass(frozen=True)
class FoldedRule:
    """Nodes and weights for even and odd functions of a random gradient."""

    log_magnitude: Array
    """`ln x_i`, the nodes on the |g| axis (−inf for g = 0); shape (n,)."""
    even: Array
    """Weights of `E h(|g|)`, shape (n,); they sum to 1."""
    odd: Array
    """Weights of `E sign(g)·h(|g|)`, shape (n,)."""

    def signed_moment(self, power: float) -> float:
        """`E sign(g)|g|^p`."""
        return float(self.odd @ np.exp(power * self.log_magnitude))

    def absolute_moment(self, order: float) -> float:
        """`E|g|^q`."""
        return float(self.even @ np.exp(order * self.log_magnitude))


def panel_width(power: float, sharpness: float = 1.0) -> float:
    """Panel width on a logarithmic axis for the integrands `exp(−e^{2py})` and `exp(−e^{by})`.

    Both stay bounded for |Im y| < π/(2·rate), rate = max(2p, b). On a panel of half-width 3/rate the Bernstein
    ellipse that touches this strip has parameter ρ = 1.65: the Gauss error ρ^{−64} is about 1e-14. `sharpness` is b,
    the largest logarithmic rate of the density itself (2 for a Gaussian).
    """
    return min(6.0 / max(2.0 * power, sharpness), 2.4)


def graded_panels(low: float, high: float, width: float) -> tuple[Array, Array]:
    """Gauss–Legendre nodes and weights on [low, high] of a log axis, panels widening downwards.

    At depth d below `high` the mass is e^{−d} of the whole, so a panel there may be wider by 1 + d/12 without being
    seen at 1e-15; `low` may be −inf, which means 'until negligible'.
    """
    low = max(low, high - LOG_NEGLIGIBLE)
    if not low < high:
        return np.empty(0), np.empty(0)
    edges = [high]
    while edges[-1] > low:
        edges.append(edges[-1] - width * (1 + (high - edges[-1]) / 12))
    ends = high - (high - np.array(edges)) * (high - low) / (high - edges[-1])
    half = -np.diff(ends)[:, None] / 2
    centre = (ends[:-1] + ends[1:])[:, None] / 2
    return (centre + half * _GAUSS_X).ravel(), (half * _GAUSS_W).ravel()


def widening_panels(high: float, width: float, turn: float = 0.0) -> tuple[Array, Array]:
    """Panels from −∞ to `high`: graded below `turn`, and of equal width above, where mass need not grow like e^y."""
    parts = [graded_panels(-math.inf, min(high, turn), width)]
    edges = np.linspace(turn, high, math.ceil(max(high - turn, 0.0) / width) + 1)
    parts += [graded_panels(low, top, width) for low, top in pairwise(edges)]
    nodes, weights = zip(*parts, strict=True)
    return np.concatenate(nodes), np.concatenate(weights)


def atoms(values: Array, weights: Array) -> FoldedRule:
    """Return the rule of a discrete law of g: no quadrature error at all."""
    with np.errstate(divide="ignore"):
        log_magnitude = np.log(np.abs(values))
    return FoldedRule(log_magnitude, weights, np.sign(values) * weights)


def compress(rule: FoldedRule, width: float, nodes: int = 20) -> FoldedRule:
    """Replace many atoms by few nodes that integrate functions smooth in ln|g| equally well.

    On each log panel the atoms are moved to Chebyshev points with Lagrange weights, which is exact for polynomials
    of degree < `nodes` in ln|g|; on panels of a fifth of the Gauss width the interpolation error is below 1e-14.
    """
    finite = np.isfinite(rule.log_magnitude)
    y, even, odd = rule.log_magnitude[finite], rule.even[finite], rule.odd[finite]
    step = width / 5
    panel = np.floor((y - y.min()) / step).astype(int)
    angles = (np.arange(nodes) + 0.5) * np.pi / nodes
    points, barycentric = np.cos(angles), (-1.0) ** np.arange(nodes) * np.sin(angles)
    parts = [(rule.log_magnitude[~finite], rule.even[~finite], rule.odd[~finite])]
    for index in np.unique(panel):
        inside = panel == index
        centre = y.min() + (index + 0.5) * step
        gap = ((y[inside] - centre) / (step / 2))[:, None] - points
        hit = np.abs(gap) < 1e-15
        basis = np.where(hit.any(axis=1, keepdims=True), hit, barycentric / np.where(hit, 1.0, gap))
        basis /= basis.sum(axis=1, keepdims=True)
        parts.append((centre + points * step / 2, even[inside] @ basis, odd[inside] @ basis))
    return FoldedRule(*(np.concatenate(column) for column in zip(*parts, strict=True)))
