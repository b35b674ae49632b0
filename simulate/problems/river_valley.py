"""A river valley: steep walls across, a gentle slope along, and a bend in the river."""

import numpy as np

from simulate.problems.base import Problem
from theory.numerics.inputs import Array

_SLOPE, _WALL, _BEND = 0.05, 1.0, 0.5


class RiverValley(Problem):
    """`F(x, y) = α·h(x) + β·h(u)` with `h(t) = √(1+t²) − 1`, `u = y − b·h(x)`; α = 0.05, β = 1, b = 0.5.

    The river is the curve u = 0, which descends slowly towards x = 0 and bends there. After K. Wen et al.,
    "Understanding warmup-stable-decay learning rates: a river valley loss landscape perspective" (2024), here with
    bounded gradients.

    h' = t/√(1+t²) lies in (−1, 1) and h'' = (1+t²)^{−3/2} in (0, 1]. Hence ∂_xF = h'(x)·(α − βb·h'(u)) with
    supremum α + βb, and ∂_yF = β·h'(u) with supremum β, both approached at infinity. The Hessian is
    (α − βb·h'(u))·h''(x)·e_x e_xᵀ + β·h''(u)·n nᵀ with n = (−b·h'(x), 1), |n|² <= 1 + b²: its norm is at most
    L = α + βb + β(1 + b²). Both terms of F are non-negative and vanish at (0, 0) only: F* = 0.

    >>> problem = RiverValley()
    >>> problem.gradient(problem.start).round(3).tolist()
    [0.395, 0.894]
    >>> problem.gradient(np.zeros(2)).tolist()
    [0.0, 0.0]
    """

    name = "river-valley"
    start = np.array([-10.0, _BEND * (np.sqrt(101.0) - 1) + 2.0])  # upstream, two above the river
    smoothness = _SLOPE + _WALL * _BEND + _WALL * (1 + _BEND**2)
    largest_gradient = np.array([_SLOPE + _WALL * _BEND, _WALL])

    def value(self, theta: Array) -> Array:
        """F(x, y)."""

        def h(t: Array) -> Array:
            return np.asarray(t**2 / (1 + np.sqrt(1 + t**2)))

        return np.asarray(_SLOPE * h(theta[0]) + _WALL * h(theta[1] - _BEND * h(theta[0])))

    @staticmethod
    def fill_gradient(theta: Array, parameters: Array, gradient: Array) -> None:
        """`(h'(x)·(α − βb·h'(u)), β·h'(u))`."""
        for lane in range(theta.shape[1]):
            x = theta[0, lane]
            root = np.sqrt(1.0 + x * x)
            u = theta[1, lane] - _BEND * (x * x / (1.0 + root))
            wall = _WALL * u / np.sqrt(1.0 + u * u)
            gradient[0, lane] = x / root * (_SLOPE - _BEND * wall)
            gradient[1, lane] = wall
