"""Assumptions 4.4, 4.6 and 4.9 on a test problem: their constants, or where they fail."""

import math
from dataclasses import dataclass

import numpy as np

from simulate.adagrad.descent import NoiseKind
from simulate.problems import Problem
from theory.adagrad.assumptions import alignment, high_noise_alignment
from theory.laws import NoiseLaw, Sparse


@dataclass(frozen=True)
class NoisyProblem:
    """A test problem under noise: g_i = ∂_iF + σ_i·ξ, σ_i = r·gradient_scale_i (additive) or r·|∂_iF| (multiplicative).

    >>> from simulate.problems import parse_problem
    >>> from theory.laws import Binary, Uniform
    >>> NoisyProblem(parse_problem("pseudo-huber"), Binary(), "additive", 0.5).largest_gradient
    1.5
    >>> round(NoisyProblem(parse_problem("pseudo-huber"), Binary(), "additive", 2.0).high_noise_constant(3), 6)  # 3·σ²
    12.0
    >>> round(NoisyProblem(parse_problem("plateau"), Uniform(), "multiplicative", 0.3).low_noise_constant(0.5), 4)
    0.9962
    """

    problem: Problem
    law: NoiseLaw
    noise: NoiseKind
    noise_to_signal: float

    @property
    def fades(self) -> bool:
        """Whether there is no noise where there is no gradient."""
        return self.noise == "multiplicative" or self.noise_to_signal == 0

    @property
    def largest_gradient(self) -> float:
        """sup|g_i| over points, coordinates and noise: R of Assumption 4.4, infinite if there is none."""
        reach = self.noise_to_signal * self.law.reach if self.noise_to_signal else 0.0
        largest = self.problem.largest_gradient
        scale = largest if self.noise == "multiplicative" else self.problem.gradient_scale
        return float(np.max(largest + scale * reach))

    def low_noise_constant(self, power: float) -> float:
        """The best c of Assumption 4.6 over all coordinates and points, p < 1; not positive if it fails.

        Under additive noise some |∂_iF| are arbitrarily small, and c is the limit of a_p(r) as r → ∞: for symmetric
        noise the probability that ξ is exactly 0, which only sparse noise has. Skewed noise turns E φ_p against small
        gradients.
        """
        if self.noise_to_signal == 0 or power == 1:
            return 1.0
        law = self.law
        if self.noise == "multiplicative":
            # φ_p(G(1 + rξ)) = φ_p(G)·φ_p(1 + rξ): the same for both signs of G
            return float(alignment(power, self.noise_to_signal, law))
        if not law.symmetric:
            return -math.inf if abs(law.signed_moment(power, 0.0, 1.0)) > 1e-12 else 0.0
        return 1 - law.probability if isinstance(law, Sparse) else 0.0

    def high_noise_constant(self, power: float) -> float:
        """The best s of Assumption 4.9 (C1) over all coordinates and points; not positive if it fails.

        Noise in proportion to the gradient has `∇F·E φ_p = a_p·|∇F|^{p+1}`, far below any s·|∇F|² at small gradients
        for p > 1; so it is without noise.
        """
        if power == 1:
            return 1.0
        if self.fades:
            return 0.0
        sigma = self.noise_to_signal * self.problem.gradient_scale
        # s is σ^{p−1} times a function of sup|∂_iF|/σ_i, which most problems have in common for all coordinates.
        ratios = [float(f"{ratio:.12g}") for ratio in self.problem.largest_gradient / sigma]
        distinct, coordinate = np.unique(ratios, return_inverse=True)
        unit = high_noise_alignment(power, 1.0, distinct, self.law)
        return float(np.min(sigma ** (power - 1) * unit[coordinate]))

    def rho(self, power: float) -> float:
        """ρ = R^{p−1}/s of Assumption 4.9 (C2); infinite if (C1) fails."""
        s = self.high_noise_constant(power)
        return self.largest_gradient ** (power - 1) / s if s > 0 else math.inf
