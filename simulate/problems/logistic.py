"""Logistic regression with a non-convex regulariser, on generated data."""

import math

import numpy as np

from simulate.problems.base import Problem
from simulate.problems.elementary import exp2
from theory.numerics.inputs import Array

_DATA_SEED = 1958
_SAMPLES = 4  # a coordinate
_REGULARISER = 0.05
_ROOM = 1 + 1e-9  # for the rounding of an eigenvalue
_INVERSE_LN_2 = 1 / math.log(2)


class Logistic(Problem):
    """`F(θ) = (1/n)·Σ_j ln(1 + exp(−a_j·θ)) + λ·Σ_i θ_i²/(1+θ_i²)`, n = 4d, λ = 0.05.

    a_j is a label ±1 times Gaussian features of variance 1/d; labels follow a logistic model, data come from a fixed
    seed. Logistic regression is D. Cox, "The regression analysis of binary sequences" (1958); with this regulariser
    it is the usual smooth non-convex test, for example in S. Reddi et al., "Stochastic variance reduction for
    nonconvex optimization" (2016).

    ln(1+e^{−z}) has derivative −1/(1+e^z) in (−1, 0) and second derivative in (0, ¼]; for θ²/(1+θ²) they are at
    most 3√3/8 and 2 in magnitude. Hence |∂_iF| <= Σ_j|a_ji|/n + λ·3√3/8 and L <= λ_max(AᵀA)/(4n) + 2λ. Both are
    upper bounds, and F* >= 0 is a lower bound.

    >>> problem = Logistic(20)
    >>> round(problem.start_value, 4)
    0.6931
    """

    def __init__(self, dimension: int) -> None:
        self.name = f"logistic:{dimension}"
        generator = np.random.default_rng(_DATA_SEED)
        features = generator.standard_normal((_SAMPLES * dimension, dimension)) / math.sqrt(dimension)
        truth = 3 * generator.standard_normal(dimension)
        positive = generator.random(len(features)) < 1 / (1 + np.exp(-features @ truth))
        self.parameters = np.where(positive, 1.0, -1.0)[:, None] * features
        self.start = np.zeros(dimension)
        curvature = np.linalg.norm(features, 2) ** 2 / (4 * len(features))
        self.smoothness = float(curvature * _ROOM + 2 * _REGULARISER)
        self.largest_gradient = np.abs(features).mean(axis=0) * _ROOM + _REGULARISER * 3 * math.sqrt(3) / 8

    def value(self, theta: Array) -> Array:
        """F(θ)."""
        margins = np.tensordot(self.parameters, theta, axes=1)
        square = theta**2
        loss = np.logaddexp(0.0, -margins).mean(axis=0)
        return np.asarray(loss + _REGULARISER * (square / (1 + square)).sum(axis=0))

    @staticmethod
    def fill_gradient(theta: Array, parameters: Array, gradient: Array) -> None:
        """`∂_iF = −(1/n)·Σ_j a_ji/(1 + exp(a_j·θ)) + 2λθ_i/(1+θ_i²)²`."""
        samples, lanes = parameters.shape[0], theta.shape[1]
        for i in range(theta.shape[0]):
            for lane in range(lanes):
                t = theta[i, lane]
                w = 1.0 + t * t
                gradient[i, lane] = 2.0 * _REGULARISER * t / (w * w)
        weight = np.empty(lanes)
        for j in range(samples):
            weight[:] = 0.0
            for i in range(theta.shape[0]):
                for lane in range(lanes):
                    weight[lane] += parameters[j, i] * theta[i, lane]
            for lane in range(lanes):
                # Beyond a margin of 700 the weight is 0 to the last bit of any sum.
                margin = min(weight[lane], 700.0)
                weight[lane] = 1.0 / (samples * (1.0 + exp2(_INVERSE_LN_2 * margin)))
            for i in range(theta.shape[0]):
                for lane in range(lanes):
                    gradient[i, lane] -= parameters[j, i] * weight[lane]
