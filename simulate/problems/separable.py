"""Sums over coordinates: Geman–McClure's function, bounded and non-convex, and the noisy quadratic."""

import numpy as np

from simulate.problems.base import Problem
from theory.numerics.inputs import Array

_SUP_SLOPE = 3 * np.sqrt(3) / 16  # sup of t/(1+t²)², at t² = 1/3


class Separable(Problem):
    """`F(θ) = Σ_i (κ_i/2)·θ_i²/(1+θ_i²)`, curvatures κ_i log-spaced from 1 down to 10⁻³.

    Each term is the redescending estimator of S. Geman and D. McClure, "Statistical methods for tomographic image
    reconstruction" (1987); such sums are the usual non-convex regulariser, for example in S. Reddi et al.,
    "Stochastic variance reduction for nonconvex optimization" (2016).

    F'' = κ(1−3θ²)/(1+θ²)³ per coordinate, largest in magnitude at 0: L = max κ = 1, attained. |∂_iF| =
    κ|θ|/(1+θ²)² is largest at θ² = 1/3: κ·3√3/16, attained. F* = F(0) = 0. All coordinates start at 2, beyond
    the inflection.

    >>> problem = Separable(3)
    >>> problem.gradient(problem.start).round(5).tolist()
    [0.08, 0.00253, 8e-05]
    """

    def __init__(self, dimension: int) -> None:
        self.name = f"separable:{dimension}"
        self._set(np.logspace(0, -3, dimension))

    def _set(self, curvatures: Array) -> None:
        self.parameters = curvatures[:, None]
        self.start = np.full(curvatures.size, 2.0)
        self.smoothness = float(curvatures.max())
        self.largest_gradient = _SUP_SLOPE * curvatures

    def value(self, theta: Array) -> Array:
        """F(θ)."""
        square = theta**2
        return np.tensordot(self.parameters[:, 0] / 2, square / (1 + square), axes=1)

    @staticmethod
    def fill_gradient(theta: Array, parameters: Array, gradient: Array) -> None:
        """`∂_iF = κ_i·θ_i/(1+θ_i²)²`."""
        for i in range(theta.shape[0]):
            for lane in range(theta.shape[1]):
                t = theta[i, lane]
                w = 1.0 + t * t
                gradient[i, lane] = parameters[i, 0] * t / (w * w)


class GemanMcClure(Separable):
    """`F(θ) = θ²/(1+θ²)` in one dimension: `Separable` with κ = 2.

    L = 2 and sup|F'| = 3√3/8, both attained; F* = 0. S. Geman and D. McClure, "Statistical methods for tomographic
    image reconstruction" (1987).

    >>> problem = GemanMcClure()
    >>> problem.start_value, problem.gradient(problem.start).tolist()
    (0.8, [0.16])
    """

    name = "geman-mcclure"

    def __init__(self) -> None:
        self._set(np.array([2.0]))


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
