"""The two bounded laws of the paper: uniform (Example 4.1) and binary (Example 4.10)."""

import math

import numpy as np

from theory.laws.base import NoiseLaw
from theory.numerics.inputs import Array
from theory.numerics.quadrature import FoldedRule, graded_panels, panel_width


def _two_sided(order: float, ratio: float, sign: int) -> float:
    """`(1+ratio)^order + sign·(1−ratio)^order` for 0 <= ratio <= 1 without cancellation."""
    up = math.exp(order * math.log1p(ratio))
    if sign > 0:
        return up + math.pow(1 - ratio, order)
    return -up * math.expm1(-2 * order * math.atanh(ratio)) if ratio < 1 else up


class Uniform(NoiseLaw):
    """ξ uniform on [−1, 1]; σ is the half-width (Example 4.1)."""

    name = "uniform"
    reach = 1.0

    def sample(self, generator: np.random.Generator, size: int | tuple[int, ...]) -> Array:
        """Draw ξ."""
        return generator.uniform(-1.0, 1.0, size)

    def quantile(self, chance: Array) -> Array:
        """2u − 1."""
        return 2 * chance - 1

    def noisy_rule(self, location: float, scale: float, power: float) -> FoldedRule:
        """Panels on (0, |location−scale|), where both signs occur, and up to location + scale."""
        width = panel_width(power)
        ratio = min(location, scale) / max(location, scale)
        low, high = (math.log1p(-ratio) if ratio < 1 else -math.inf), math.log1p(ratio)
        y, weight = graded_panels(low, high, width)
        one_sign = weight * np.exp(y) / (2 * scale)
        if location >= scale:
            return FoldedRule(y, one_sign, one_sign)
        inner, weight = graded_panels(-math.inf, low, width)
        both_signs = weight * np.exp(inner) / scale
        even = np.concatenate([both_signs, one_sign])
        return FoldedRule(
            np.concatenate([inner, y]), even / even.sum(), np.concatenate([0 * both_signs, one_sign])
        )

    def moment(self, order: float, location: float, scale: float, *, odd: bool) -> float:
        """`[(μ+σ)^{q+1} ∓ |μ−σ|^{q+1}] / (2σ(q+1))`, plus if μ < σ and the moment is even."""
        sign = -1 if odd or location >= scale else 1
        return _two_sided(order + 1, min(location, scale), sign) / (2 * scale * (order + 1))


class Binary(NoiseLaw):
    """ξ = ±1 with probability ½; σ is the amplitude (Example 4.10)."""

    name = "binary"
    reach = 1.0

    def sample(self, generator: np.random.Generator, size: int | tuple[int, ...]) -> Array:
        """Draw ξ."""
        return 2.0 * generator.integers(0, 2, size).astype(np.float64) - 1.0

    def quantile(self, chance: Array) -> Array:
        """The sign of u − ½."""
        return np.where(chance < 0.5, -1.0, 1.0)

    def noisy_rule(self, location: float, scale: float, power: float) -> FoldedRule:
        """Two atoms."""
        ratio, sign = min(location, scale), 1.0 if location > scale else -1.0
        log_magnitude = np.array([math.log1p(ratio), math.log1p(-ratio) if ratio < 1 else -math.inf])
        return FoldedRule(log_magnitude, np.full(2, 0.5), np.array([0.5, 0.5 * sign]))

    def moment(self, order: float, location: float, scale: float, *, odd: bool) -> float:
        """`½[(μ+σ)^q ± |μ−σ|^q]`, minus if μ < σ and the moment is odd."""
        sign = -1 if odd and location <= scale else 1
        return _two_sided(order, min(location, scale), sign) / 2
