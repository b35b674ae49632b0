"""The simplest skewed law: two atoms of unequal weight, mean 0 and variance 1."""

from __future__ import annotations

import math

import numpy as np
from flint import arb

from theory.laws.base import NoiseLaw
from theory.laws.bounded import Binary
from theory.numerics.balls import certified
from theory.numerics.inputs import Array, shape_of
from theory.numerics.quadrature import FoldedRule, atoms


class TwoPoint(NoiseLaw):
    """ξ = √((1−Q)/Q) with probability Q, and −√(Q/(1−Q)) otherwise; binary noise at Q = ½.

    A small Q makes the noise a rare, large push upwards against a frequent, small one downwards, as a gradient to
    which few samples of a batch contribute. The skewness is (1−2Q)/√(Q(1−Q)).

    Parameters
    ----------
    probability : float
        Q in [0.001, 0.999], the probability of the upper atom.

    Attributes
    ----------
    upper, lower : float
        √((1−Q)/Q) and √(Q/(1−Q)), both positive; their product is 1.
    """

    def __init__(self, probability: float) -> None:
        self.probability = shape_of("two-point", probability, 0.001, 0.999)
        self.name = f"two-point:{self.probability:g}"
        self.symmetric = self.probability == 0.5
        self.upper = math.sqrt((1 - self.probability) / self.probability)
        self.lower = math.sqrt(self.probability / (1 - self.probability))
        self.reach = max(self.upper, self.lower)

    def reflected(self) -> NoiseLaw:
        """Two points again, with 1 − Q for Q."""
        return self if self.symmetric else TwoPoint(1 - self.probability)

    def sample(self, generator: np.random.Generator, size: int | tuple[int, ...]) -> Array:
        """Draw ξ."""
        return np.where(generator.random(size) < self.probability, self.upper, -self.lower)

    def quantile(self, chance: Array) -> Array:
        """The upper value above 1 − Q."""
        return np.where(chance > 1 - self.probability, self.upper, -self.lower)

    def noisy_rule(self, location: float, scale: float, power: float) -> FoldedRule:
        """Two atoms."""
        values = np.array([location + scale * self.upper, location - scale * self.lower])
        return atoms(values, np.array([self.probability, 1 - self.probability]))

    def signed_moment(self, power: float, location: float, scale: float) -> float:
        """`Q(μ+σa)^p + (1−Q)·sgn(μ−σb)|μ−σb|^p`, a and b the two atoms; in balls, as the two terms may cancel."""
        if power == 1:  # no precision would show that the sum is exactly the mean
            return location
        return self._sum(power, location, scale, signed=True)

    def absolute_moment(self, order: float, location: float, scale: float) -> float:
        """`Q(μ+σa)^q + (1−Q)|μ−σb|^q`."""
        return self._sum(order, location, scale, signed=False)

    def _sum(self, order: float, location: float, scale: float, *, signed: bool) -> float:
        if self.symmetric:  # where the lower value or the sum can be exactly 0
            binary = Binary()
            moment = binary.signed_moment if signed else binary.absolute_moment
            return moment(order, location, scale)

        def formula() -> arb:
            q = arb(self.probability)
            up, down = location + scale * ((1 - q) / q).sqrt(), location - scale * (q / (1 - q)).sqrt()
            return q * up ** arb(order) + (1 - q) * (down.sgn() if signed else 1) * abs(down) ** arb(order)

        return certified(formula)
