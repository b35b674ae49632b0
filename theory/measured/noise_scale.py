"""The gradient-noise scale, B_simple = S/|G|² (McCandlish et al. 2018), from gradient norms at two batch sizes."""

import math
from dataclasses import dataclass

import numpy as np

from gradpower.tools.errors import InputError, require
from theory.numerics.inputs import Array

_STUDENT = 1.96


@dataclass(frozen=True)
class NoiseScale:
    """Signal, noise and their ratio."""

    signal: float
    """|G|², the squared norm of the expected gradient; unbiased, and so negative where noise hides it."""
    noise: float
    """S, the trace of the covariance of one sequence's gradient."""
    simple: float
    """B_simple = S/|G|² in sequences; NaN where |G|² is not positive."""
    interval: tuple[float, float]
    """95 %, by Fieller's theorem; up to infinity where |G|² is not resolved from 0."""


def noise_scale_of_norms(small: Array, large: Array, b: int, B: int) -> NoiseScale:
    """Estimate from the squared norms of independent gradients at two batch sizes b < B.

        |G|² = (B·|G_B|² − b·|G_b|²)/(B − b),    S = (|G_b|² − |G_B|²)/(1/b − 1/B),

    with the mean squared norm of each size, two or more, in place of |G_b|² and |G_B|².

    >>> rng = np.random.default_rng(0)
    >>> norms = {n: ((0.1 + rng.standard_normal((500, 100)) / np.sqrt(n)) ** 2).sum(1) for n in (1, 8)}
    >>> estimate = noise_scale_of_norms(norms[1], norms[8], 1, 8)
    >>> round(estimate.noise), estimate.interval[0] < 100 < estimate.interval[1]
    (100, True)
    """
    require(b < B, "B", B, f"more than b = {b}")
    if min(len(small), len(large)) < 2:
        raise InputError("norms", min(len(small), len(large)), "two or more of each size")
    m_b, m_B = float(np.mean(small)), float(np.mean(large))
    v_b, v_B = (float(np.var(n, ddof=1)) / len(n) for n in (small, large))
    scale = 1 / b - 1 / B
    signal, noise = (B * m_B - b * m_b) / (B - b), (m_b - m_B) / scale
    v_signal, v_noise = (B**2 * v_B + b**2 * v_b) / (B - b) ** 2, (v_b + v_B) / scale**2
    simple = noise / signal if signal > 0 else math.nan
    bounds = _fieller(signal, noise, v_signal, v_noise, -(b * v_b + B * v_B) / (B - b) / scale)
    return NoiseScale(signal, noise, simple, bounds)


def _fieller(
    signal: float, noise: float, v_signal: float, v_noise: float, both: float
) -> tuple[float, float]:
    """The ratios θ = S/|G|² with |S − θ|G|²| <= 1.96 standard errors of it, and θ > 0.

    A signal below 0 comes from noise alone: it excludes no large ratio.
    """
    t = _STUDENT**2
    a = signal**2 - t * v_signal
    half, c = signal * noise - t * both, noise**2 - t * v_noise
    discriminant = half**2 - a * c
    if discriminant < 0:  # then every ratio is allowed
        return 0.0, math.inf
    root = math.sqrt(discriminant)
    if a > 0:
        return (max(0.0, (half - root) / a), max(0.0, (half + root) / a)) if signal > 0 else (0.0, math.inf)
    # |G|² may be 0: ratios from some value on, written so that it is finite for a → 0
    low = c / (half + root) if half + root > 0 else math.inf
    return max(0.0, low), math.inf
