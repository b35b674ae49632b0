"""The noisy quadratic: no bound on its gradients, hence outside the theorems."""

from __future__ import annotations

import numpy as np

from simulate.problems.base import Problem
from theory.numerics.inputs import Array


class Quadratic(Problem):
    """`F(θ) = ½ Σ_i θ_i²/i`, started at θ_i = 1.

    The noisy quadratic model of G. Zhang et al., "Which algorithmic choices matter at which batch sizes? Insights
    from a noisy quadratic model" (2019), with its spectrum 1/i. L = 1, attained; F* = 0; |∂_iF| has no bound.

    >>> problem = Quadratic(4)
    >>> problem.gradient(problem.start).round(3).tolist()
    [1.0, 0.5, 0.333, 0.25]
    """

    def __init__(self, dimension: int) -> None:
        self.name = f"quadratic:{dimension}"
        self.start = np.ones(dimension)
        self.smoothness = 1.0
        self.largest_gradient = np.full(dimension, np.inf)
        self.parameters = 1 / np.arange(1.0, dimension + 1)[:, None]

    def value(self, theta: Array) -> Array:
        """F(θ)."""
        return np.tensordot(self.parameters[:, 0] / 2, theta**2, axes=1)

    @staticmethod
    def fill_gradient(theta: Array, parameters: Array, gradient: Array) -> None:
        """`∂_iF = θ_i/i`."""
        for i in range(theta.shape[0]):
            for lane in range(theta.shape[1]):
                gradient[i, lane] = parameters[i, 0] * theta[i, lane]
