"""Two one-dimensional problems started far from the minimum: where the gradient is tiny, and where it is full."""

import math

import numpy as np

from simulate.problems.base import Problem
from simulate.problems.elementary import exp2
from theory.numerics.inputs import Array

_HALF_OVER_LN_2 = 0.5 / math.log(2)


class Plateau(Problem):
    """`F(θ) = 1 − exp(−θ²/2)`, started at θ = 5, where the gradient is 2e-5.

    The loss of J. Dennis and R. Welsch, "Techniques for nonlinear least squares and robust regression" (1978).
    F' = θ·e^{−θ²/2}, sup|F'| = e^{−1/2} at θ = 1. F'' = (1−θ²)·e^{−θ²/2} is 1 at 0 and at least −2e^{−3/2}:
    L = 1, attained. F* = F(0) = 0.

    >>> problem = Plateau()
    >>> f"{problem.gradient(problem.start)[0]:.2e}"
    '1.86e-05'
    """

    name = "plateau"
    start = np.array([5.0])
    smoothness = 1.0
    largest_gradient = np.array([math.exp(-0.5)])

    def value(self, theta: Array) -> Array:
        """F(θ)."""
        return np.asarray(-np.expm1(-(theta[0] ** 2) / 2))

    @staticmethod
    def fill_gradient(theta: Array, parameters: Array, gradient: Array) -> None:
        """`F' = θ·exp(−θ²/2)`."""
        for lane in range(theta.shape[1]):
            t = theta[0, lane]
            gradient[0, lane] = t * exp2(-_HALF_OVER_LN_2 * t * t)


class PseudoHuber(Problem):
    """`F(θ) = √(1+θ²) − 1`, convex, started at θ = 100: a slope of nearly 1 for a long way.

    The smooth form of the loss of P. Huber, "Robust estimation of a location parameter" (1964), in P. Charbonnier
    et al., "Deterministic edge-preserving regularization in computed imaging" (1997). F' = θ/√(1+θ²): sup|F'| = 1,
    approached at infinity. F'' = (1+θ²)^{−3/2}: L = 1, attained at 0. F* = F(0) = 0.

    >>> problem = PseudoHuber()
    >>> problem.gradient(problem.start).round(5).tolist()
    [0.99995]
    """

    name = "pseudo-huber"
    start = np.array([100.0])
    smoothness = 1.0
    largest_gradient = np.array([1.0])

    def value(self, theta: Array) -> Array:
        """F(θ), without cancellation near 0."""
        square = theta[0] ** 2
        return np.asarray(square / (1 + np.sqrt(1 + square)))

    @staticmethod
    def fill_gradient(theta: Array, parameters: Array, gradient: Array) -> None:
        """`F' = θ/√(1+θ²)`."""
        for lane in range(theta.shape[1]):
            t = theta[0, lane]
            gradient[0, lane] = t / np.sqrt(1.0 + t * t)
