"""The simplest skewed law: two atoms of unequal weight, mean 0 and variance 1."""

import math

import numpy as np
from flint import arb

from theory.laws.base import NoiseLaw
from theory.laws.bounded import Binary
from theory.numerics.balls import certified
from theory.numerics.inputs import Array, shape_of
from theory.numerics.quadrature import FoldedRule, atoms


class TwoPoint(NoiseLaw):
    """ξ = `upper` = √((1−Q)/Q) with `probability` Q, and −`lower` = −√(Q/(1−Q)) otherwise; binary noise at Q = ½.

    A small Q, from [0.001, 0.999], makes the noise a rare, large push upwards against a frequent, small one downwards,
    as a gradient to which few samples of a batch contribute. The skewness is (1−2Q)/√(Q(1−Q)).
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

    def moment(self, order: float, location: float, scale: float, *, odd: bool) -> float:
        """`Q(μ+σa)^q + (1−Q)·[sgn(μ−σb)]·|μ−σb|^q`, a and b the two atoms; in balls, as the two terms may cancel."""
        if odd and order == 1:  # no precision would show that the sum is exactly the mean
            return location
        if self.symmetric:  # where the lower value or the sum can be exactly 0
            return Binary().moment(order, location, scale, odd=odd)

        def formula() -> arb:
            q = arb(self.probability)
            up, down = location + scale * ((1 - q) / q).sqrt(), location - scale * (q / (1 - q)).sqrt()
            return q * up ** arb(order) + (1 - q) * (down.sgn() if odd else 1) * abs(down) ** arb(order)

        return certified(formula)
