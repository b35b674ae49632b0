"""Noise given by its quantile function: a law of one's own in two functions, or any of scipy.stats."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from gradpower.tools.errors import InputError, require
from theory.laws.base import NoiseLaw
from theory.numerics.inputs import Array
from theory.numerics.quadrature import LOG_NEGLIGIBLE, FoldedRule, atoms, compress, graded_panels, panel_width

Function = Callable[[Array], Array]
_WIDTH = 0.35  # of the panels in the logarithm of the distance from 0, 1 and the probability of g < 0


class QuantileLaw(NoiseLaw):
    """A continuous law by its quantile function and its distribution function, which may be numeric.

    Expectations are integrals over u in (0, 1) of functions of ξ = quantile(u), by panels that are graded towards u = 0
    and 1, where tails or edges are, and towards the u where g changes its sign. Accurate to about 1e-9 for light tails
    where the functions are analytic in between and accurate themselves. Under heavy tails high moments are less so, to
    about 1e-3 near the last that exists, as 1 − u rounds. At high noise the drift loses the digits of σ/μ.

    `quantile` takes probabilities in (0, 1), and `cumulative`, the probability of being below ξ, must undo it; the rest
    is as in `NoiseLaw`.

    >>> from scipy.stats import logistic
    >>> law = QuantileLaw("logistic", logistic.ppf, logistic.cdf, symmetric=True)
    >>> round(law.absolute_moment(2, 0.0, 1.0), 9)  # π²/3
    3.289868134
    """

    def __init__(
        self,
        name: str,
        quantile: Function,
        cumulative: Function,
        *,
        symmetric: bool = False,
        moment_limit: float = float("inf"),
        reach: float = float("inf"),
    ) -> None:
        self.name, self.symmetric, self.moment_limit, self.reach = name, symmetric, moment_limit, reach
        self._quantile, self._cumulative = quantile, cumulative
        chance = np.array([0.05, 0.3, 0.5, 0.8, 0.99])
        noise = self.quantile(chance)
        mirrored = not symmetric or np.allclose(self.quantile(1 - chance), -noise, atol=1e-6)
        require(mirrored, "symmetric", symmetric, "False: these quantiles are not symmetric about 0")
        undone = np.allclose(cumulative(noise), chance, atol=1e-6)
        require(undone, "law", name, "quantile and cumulative that undo each other")

    def reflected(self) -> NoiseLaw:
        """The law of −ξ."""
        if self.symmetric:
            return self
        return QuantileLaw(
            f"reflected {self.name}",
            lambda u: -self._quantile(np.minimum(1 - u, np.nextafter(1.0, 0.0))),
            lambda x: 1 - self._cumulative(-x),
            moment_limit=self.moment_limit,
            reach=self.reach,
        )

    def sample(self, generator: np.random.Generator, size: int | tuple[int, ...]) -> Array:
        """Draw ξ: the quantile function of uniform numbers."""
        return self.quantile(generator.random(size))

    def quantile(self, chance: Array) -> Array:
        """The function given."""
        return np.asarray(self._quantile(chance), dtype=np.float64)

    def noisy_rule(self, location: float, scale: float, power: float) -> FoldedRule:
        """Nodes in u, graded towards 0, 1 and the probability that g < 0."""
        negative = float(self._cumulative(np.array(-location / scale)))
        ends = sorted({0.0, min(max(negative, 0.0), 1.0), 1.0})
        chances, weights = [], []
        for low, high in pairwise(ends):
            half = (high - low) / 2
            y, weight = graded_panels(np.log(half) - LOG_NEGLIGIBLE, float(np.log(half)), _WIDTH)
            distance = np.exp(y)
            chances += [low + distance, high - distance]
            weights += [weight * distance] * 2
        u, w = np.concatenate(chances), np.concatenate(weights)
        inside = (u > 0) & (u < 1)
        noise = self.quantile(u[inside])
        if not np.all(np.isfinite(noise)):
            raise InputError("law", self.name, "a quantile function that is finite in (0, 1)")
        rule = atoms(location + scale * noise, w[inside] / w[inside].sum())
        return compress(rule, panel_width(power))  # to the 1e-15 that the nodes themselves have


def triangular() -> QuantileLaw:
    """Density 1 − |ξ| on [−1, 1]: the mean of two uniform variables; σ is the half-width."""

    def quantile(u: Array) -> Array:
        edge = 1 - np.sqrt(2 * np.minimum(u, 1 - u))
        return np.asarray(np.where(u < 0.5, -edge, edge))

    def cumulative(x: Array) -> Array:
        tail = np.maximum(1 - np.abs(x), 0.0) ** 2 / 2
        return np.asarray(np.where(x < 0, tail, 1 - tail))

    return QuantileLaw("triangular", quantile, cumulative, symmetric=True, reach=1.0)


def arcsine() -> QuantileLaw:
    """Density 1/(π√(1 − ξ²)) on (−1, 1), a sine at a random time: most at its ends; σ is the half-width."""
    return QuantileLaw(
        "arcsine",
        lambda u: np.sin(np.pi * (u - 0.5)),
        lambda x: 0.5 + np.arcsin(np.clip(x, -1, 1)) / np.pi,
        symmetric=True,
        reach=1.0,
    )
