"""Noise that is mostly absent: 0 with probability 1 − Q, else one of two opposite values."""

import math

import numpy as np

from theory.laws.base import NoiseLaw
from theory.laws.bounded import Binary
from theory.numerics.inputs import Array, shape_of
from theory.numerics.quadrature import FoldedRule, atoms


class Sparse(NoiseLaw):
    """ξ = ±1/√Q with `probability` Q/2 each, and 0 otherwise, Q in [0.001, 1]: unit variance; binary noise at Q = 1.

    The simplest additive noise under which Assumption 4.6 holds: however small the gradient, it comes through
    undisturbed with probability 1 − Q.
    """

    def __init__(self, probability: float) -> None:
        self.probability = shape_of("sparse", probability, 0.001, 1.0)
        self.name = f"sparse:{self.probability:g}"
        self.reach = 1 / math.sqrt(self.probability)

    def sample(self, generator: np.random.Generator, size: int | tuple[int, ...]) -> Array:
        """Draw ξ."""
        position = generator.random(size)
        sign = np.where(position < self.probability / 2, -self.reach, self.reach)
        return np.where(position < self.probability, sign, 0.0)

    def quantile(self, chance: Array) -> Array:
        """−1/√Q below Q/2, 1/√Q above 1 − Q/2."""
        beyond = np.abs(2 * chance - 1) > 1 - self.probability
        return np.where(beyond, np.sign(chance - 0.5) * self.reach, 0.0)

    def noisy_rule(self, location: float, scale: float, power: float) -> FoldedRule:
        """Three atoms."""
        jump, q = scale * self.reach, self.probability
        values = np.array([location + jump, location - jump, location])
        return atoms(values, np.array([q / 2, q / 2, 1 - q]))

    def moment(self, order: float, location: float, scale: float, *, odd: bool) -> float:
        """`Q·E[binary, σ/√Q] + (1−Q)·μ^q`."""
        jump, q = scale * self.reach, self.probability
        unit = max(location, jump)
        noisy = unit**order * Binary().moment(order, location / unit, jump / unit, odd=odd)
        return float(q * noisy + ((1 - q) * location**order if q < 1 else 0.0))
