"""Adam's expected update as a table over the power, the signal-to-noise ratio and ε, for sums over many coordinates.

With g = μ + σξ, d = μ/σ and x = ln ε − p·ln σ the exact stationary update of `theory.adam.update` is a function of
(p, d, x) only: E u(p, d, x) and E u²(p, d, x). They are smooth in p, ln d and x, and are tabulated on a coarse grid of
splines.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.interpolate import BarycentricInterpolator, CubicSpline
from scipy.special import gammainc, gammaincinv

from gradpower.tools.errors import InputError, require
from theory.adam.laplace import Memory, integrate_over_epsilon
from theory.laws import GeneralizedNormal, NoiseLaw, Uniform
from theory.numerics.inputs import Array, decay
from theory.numerics.quadrature import FoldedRule, atoms

_LOWEST, _HIGHEST = -5.0, 4.0  # ln d: below, E u is linear in d; above, the noise is hardly felt
_EPSILONS = np.arange(-21.0, 21.1, 1.0)  # x: below, ε is not felt; above, E u ∝ 1/ε
EPSILONS = np.arange(-21.0, 21.1, 0.5)
_NODES = 7  # powers, below which a table is made at each, and otherwise interpolated from so many
_CELL = 0.08  # width in ln|ξ| of the cells that an atom stands for
_SPACING = 0.1
FINE = np.arange(-5.0, 5.0 + _SPACING / 2, _SPACING)  # ln d where sums over coordinates look the table up


class SymmetricAtoms(NoiseLaw):
    """±ξ_k with probability w_k/2 each: a symmetric law thinned out to what a table needs, scaled to unit variance.

    Parameters
    ----------
    magnitudes, weights : ndarray
        ξ_k > 0 and w_k > 0, any scale.

    Examples
    --------
    >>> law = SymmetricAtoms(np.array([1.0, 3.0]), np.array([1.0, 1.0]))
    >>> float((law.weights * law.magnitudes**2).sum().round(12))
    1.0
    """

    name = "atoms"

    def __init__(self, magnitudes: Array, weights: Array) -> None:
        self.weights = weights / weights.sum()
        self.magnitudes = magnitudes / np.sqrt(self.weights @ magnitudes**2)

    @classmethod
    def of_samples(cls, samples: Array) -> SymmetricAtoms:
        """Return the law of samples and their negatives, those of similar |ξ| as one atom at their root mean square.

        Raises
        ------
        InputError
            If all samples are 0.
        """
        magnitude = np.abs(np.asarray(samples, dtype=np.float64)).ravel()
        largest = float(magnitude.max(initial=0.0))
        require(largest > 0, "samples", "only zeros", "noise that varies")
        # What lies below e^{−12} of the largest adds nothing to any moment but that of order 0.
        cell = np.floor(np.log(np.maximum(magnitude / largest, 6e-6)) / _CELL).astype(np.int64)
        cell -= cell.min()
        count = np.bincount(cell).astype(np.float64)
        square = np.bincount(cell, (magnitude / largest) ** 2)
        kept = count > 0
        return cls(np.maximum(np.sqrt(square[kept] / count[kept]), 1e-12), count[kept])

    @classmethod
    def of_shape(cls, shape: float) -> SymmetricAtoms:
        """Return the generalized-normal law of this shape, its mass and variance cell by cell exact."""
        law = GeneralizedNormal(shape)
        reach = float(gammaincinv(3 / shape, 1 - 1e-13)) ** (1 / shape)
        edges = np.exp(np.arange(np.log(reach), np.log(reach) - 14.0, -_CELL)[::-1]) ** law.shape
        edges = np.concatenate([[0.0], edges])
        mass, square = (np.diff(gammainc(k / shape, edges)) for k in (1, 3))
        kept = mass > 0
        return cls(np.sqrt(square[kept] / mass[kept]), mass[kept])

    def sample(self, generator: np.random.Generator, size: int | tuple[int, ...]) -> Array:
        """Draw ξ."""
        signs = 2.0 * generator.integers(0, 2, size) - 1.0
        return np.asarray(signs * generator.choice(self.magnitudes, size, p=self.weights), dtype=np.float64)

    def density(self, noise: Array) -> Array:
        """Raise InputError: atoms have no density."""
        raise InputError("law", self.name, "a law with a density")

    def score(self, noise: Array) -> Array:
        """Raise InputError: atoms have no score."""
        raise InputError("law", self.name, "a law with a density")

    def noisy_rule(self, location: float, scale: float, power: float) -> FoldedRule:
        """The atoms on both sides; what the two have in common is taken out of the odd weights by folding."""
        below, above = location - scale * self.magnitudes, location + scale * self.magnitudes
        return atoms(np.concatenate([below, above]), np.tile(self.weights / 2, 2))


@dataclass(frozen=True, eq=False)
class UpdateTable:
    """`E u/d` and `E u²` of Adam's stationary update on φ_p(g), g = μ + σξ, d = μ/σ.

    Attributes
    ----------
    powers : ndarray, shape (P,)
        p.
    log_signal : ndarray, shape (D,)
        ln d.
    drift : ndarray, shape (P, D, X)
        ln(E u·√(1 + 1/d²)), with x = ln ε − p·ln σ along the last axis.
    size : ndarray, shape (P, D, X)
        ln √(E u²).
    """

    powers: Array
    log_signal: Array
    drift: Array
    size: Array

    @cached_property
    def fine(self) -> tuple[Array, Array]:
        """`E u` and `E u²` at `FINE` and `EPSILONS`, shapes (P, len(FINE), len(EPSILONS))."""
        inside = np.clip(FINE, self.log_signal[0], self.log_signal[-1])
        drift, size = (
            CubicSpline(_EPSILONS, CubicSpline(self.log_signal, values, axis=1)(inside), axis=2)(EPSILONS)
            for values in (self.drift, self.size)
        )
        d = np.exp(FINE)[:, None]
        return np.exp(drift) * d / np.hypot(1.0, d), np.exp(2 * size)


def update_table(
    law: NoiseLaw, powers: Array, *, beta1: float = 0.9, beta2: float = 0.95, scale: float = 1.0
) -> UpdateTable:
    """Tabulate the exact update of `theory.adam.update.exact_update` for a symmetric law.

    Parameters
    ----------
    law : NoiseLaw
        Symmetric, and finite in its moments; `SymmetricAtoms` is the fastest.
    powers : ndarray, shape (P,)
        p in (0, 10], increasing. More than 7 are interpolated from 7 Chebyshev points.
    beta1, beta2 : float
        Adam's.
    scale : float
        The table's σ is the law's over this: √3 makes it the standard deviation of the uniform law.

    Examples
    --------
    >>> from theory.adam.update import exact_update
    >>> table = update_table(Uniform(), np.array([1.2]))
    >>> at = int(np.argmin(np.abs(FINE - np.log(0.1))))
    >>> exact = exact_update(1.2, float(np.exp(FINE[at])), 1.0, Uniform(), epsilon=0.0).drift
    >>> bool(abs(table.fine[0][0, at, 0] / exact - 1) < 1e-4)
    True
    """
    memory = Memory(decay("beta1", beta1), decay("beta2", beta2), np.inf)
    # The uniform law has a kink where the noise begins to change the sign of g.
    step = 0.25 if isinstance(law, Uniform) else 0.5
    log_signal = np.arange(_LOWEST, _HIGHEST + step / 2, step)
    powers = np.asarray(powers, dtype=np.float64)
    nodes = powers if powers.size <= _NODES else _chebyshev(float(powers[0]), float(powers[-1]))
    largest = float(nodes[-1])

    def column(point: float) -> Array:
        d = float(np.exp(point))
        unit = max(d, scale)
        rule = law.folded_rule(d / unit, scale / unit, largest)
        values = [
            integrate_over_epsilon(rule, float(p), _EPSILONS - float(p) * np.log(unit), memory) for p in nodes
        ]
        drift, size = np.log(np.maximum(np.array(values), 1e-300)).transpose(1, 0, 2)
        return np.stack([drift + np.log(np.hypot(1.0, d) / d), size])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        drift, size = np.array(list(pool.map(column, log_signal))).transpose(1, 2, 0, 3)
    if nodes is not powers:
        onto = BarycentricInterpolator(nodes, np.eye(_NODES))(powers)
        drift, size = (np.einsum("pn,ndx->pdx", onto, values) for values in (drift, size))
    return UpdateTable(powers, log_signal, drift, size)


def _chebyshev(low: float, high: float) -> Array:
    points = np.polynomial.chebyshev.chebpts2(_NODES)
    return np.asarray((low + high) / 2 + (high - low) / 2 * points)


def at_epsilon(values: Array, x: Array, order: int) -> Array:
    """Interpolate `values` along their last axis, that of ε, to x; beyond the table they fall as ε^{−order}."""
    inside = np.clip(x, EPSILONS[0], EPSILONS[-1])
    found = values @ _cardinal_splines()(inside).T
    return np.asarray(found * np.exp(-order * np.maximum(x - EPSILONS[-1], 0.0)))


@lru_cache(maxsize=1)
def _cardinal_splines() -> CubicSpline:
    """The splines that are 1 at one of `EPSILONS` and 0 at the others."""
    return CubicSpline(EPSILONS, np.eye(EPSILONS.size))


def smoothing(width: float, *, odd: bool) -> Array:
    """The matrix that averages a function of d, odd or even, over Gaussian noise of standard deviation `width` in d.

    Acts on values at d = e^FINE; between them, and down to d = 0, the function over d^odd is taken as linear in ln d.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    d = np.exp(FINE)[:, None]
    moved = d + width * nodes
    size = np.maximum(np.abs(moved), 1e-300)
    place = np.clip((np.log(size) - FINE[0]) / _SPACING, 0.0, FINE.size - 1.000001)
    low = place.astype(np.int64)
    share = place - low
    matrix = np.zeros((FINE.size, FINE.size))
    rows = np.broadcast_to(np.arange(FINE.size)[:, None], low.shape)
    for column, part in ((low, 1 - share), (low + 1, share)):
        scale = moved / np.exp(FINE[column]) if odd else 1.0
        np.add.at(matrix, (rows, column), weights / weights.sum() * part * scale)
    return matrix
