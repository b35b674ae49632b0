"""Propositions 4.2 and 4.3 as formulas: the leading-order update under uniform noise, and its best power."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import lambertw

from gradpower.tools.errors import InputError, require
from theory.numerics.inputs import Array, nonnegative, positive


def low_noise_update(power: ArrayLike, mean: ArrayLike, *, epsilon: ArrayLike = 1e-8) -> Array:
    """`f(p) = μ^p/(μ^p + ε)`, the update for σ ≪ μ (Proposition 4.2); decreasing in p when μ < 1.

    >>> float(low_noise_update(1.0, 1e-6).round(6))
    0.990099
    """
    signal = positive("mean", mean) ** positive("power", power)
    return signal / (signal + nonnegative("epsilon", epsilon))


def high_noise_update(
    power: ArrayLike, mean: ArrayLike, noise_scale: ArrayLike, *, epsilon: ArrayLike = 1e-8
) -> Array:
    """`(μ/σ)·f(p)`, `f(p) = σ^p/(σ^p/√(2p+1) + ε)`, the update for σ ≫ μ (Proposition 4.3).

    >>> float(high_noise_update(1.2, 1e-6, 1e-5).round(6))
    0.181052
    """
    p, sigma = positive("power", power), positive("noise_scale", noise_scale)
    f = 1 / (1 / np.sqrt(2 * p + 1) + nonnegative("epsilon", epsilon) * sigma**-p)
    return positive("mean", mean) / sigma * f


def _epsilon_log(noise_scale: float, epsilon: float) -> tuple[float, float]:
    """L = ln(1/σ) and εL; InputError unless σ < 1 and εL < 1, the proposition's condition."""
    sigma, eps = float(positive("noise_scale", noise_scale)), float(positive("epsilon", epsilon))
    require(sigma < 1, "noise_scale", sigma, "a number < 1: Proposition 4.3 needs ln(1/σ) > 0")
    log = -math.log(sigma)
    if eps * log >= 1:
        raise InputError("epsilon", eps, f"a number < {1 / log:.4g}: Proposition 4.3 needs ε·ln(1/σ) < 1")
    return log, eps * log


def high_noise_power(noise_scale: float, *, epsilon: float = 1e-8) -> float:
    """The maximiser of Proposition 4.3's f in closed form (ours; the paper gives bounds).

    `p* = ½[(3/L)·W₀((L/3)·e^{L/3}·(εL)^{−2/3}) − 1]`, L = ln(1/σ), from the stationarity `σ^p = εL(2p+1)^{3/2}`.

    >>> round(high_noise_power(1e-5), 4), round(high_noise_power(1e-4), 4)
    (1.2263, 1.5307)
    """
    log, epsilon_log = _epsilon_log(noise_scale, epsilon)
    argument = math.exp(math.log(log / 3) + log / 3 - 2 / 3 * math.log(epsilon_log))
    return float(3 / log * lambertw(argument).real - 1) / 2


def high_noise_power_bounds(noise_scale: float, *, epsilon: float = 1e-8) -> tuple[float, float]:
    """`ln(εL)/ln(σ/e³) <= p* <= ln(εL)/ln σ`, L = ln(1/σ) (Proposition 4.3).

    >>> low, high = high_noise_power_bounds(1e-5)
    >>> round(low, 4), round(high, 4)
    (1.1009, 1.3878)
    """
    log, epsilon_log = _epsilon_log(noise_scale, epsilon)
    return math.log(epsilon_log) / -(log + 3), math.log(epsilon_log) / -log
