"""The drift and RMS of Adam's update on φ_p(g_t): the β → 1 limit, and exact at any β and any step."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from gradpower.tools.errors import require, whole
from theory.adam.moments import unit_moments
from theory.adam.update_integral import Memory, integrate
from theory.laws import NoiseLaw
from theory.numerics.inputs import Array, decay, nonnegative, positive, power_in_range
from theory.numerics.quadrature import FoldedRule


@dataclass(frozen=True)
class Update:
    """Mean and root mean square of Adam's update u."""

    drift: Array
    """`E u`."""
    rms: Array
    """`√(E u²)`."""

    @property
    def drift_to_rms(self) -> Array:
        """`E u/√(E u²)`: progress per unit of movement."""
        with np.errstate(divide="ignore", invalid="ignore"):  # 0/0 when both are below the range of float64
            return np.asarray(self.drift / self.rms)


def limit_update(
    power: ArrayLike, mean: ArrayLike, noise_scale: ArrayLike, law: NoiseLaw, *, epsilon: ArrayLike = 1e-8
) -> Array:
    """`u∞(p) = E φ_p(g)/(√(E φ_p(g)²) + ε)`, the limit β1, β2 → 1 of Section 4.1.

    The law needs a moment of order 2p.

    >>> from theory.laws import Uniform
    >>> float(limit_update(1.2, 1e-6, 0.0, Uniform()).round(6))
    0.863193
    """
    unit, moments = unit_moments(power, mean, noise_scale, law)
    with np.errstate(over="ignore"):
        scaled_epsilon = nonnegative("epsilon", epsilon) * unit ** -np.asarray(power, dtype=np.float64)
    return moments.first / (moments.rms + scaled_epsilon)


def exact_update(
    power: ArrayLike,
    mean: ArrayLike,
    noise_scale: ArrayLike,
    law: NoiseLaw,
    *,
    beta1: float = 0.9,
    beta2: float = 0.95,
    epsilon: ArrayLike = 1e-8,
    step: int | None = None,
) -> Update:
    """Drift and RMS of Adam's update on φ_p(g), exact at finite β (`adam.update_integral`), to about 1e-11.

    That holds for σ/μ <= 1e4. The betas are in [0, 0.999999]; a `step` t >= 1 comes with Adam's bias corrections, and
    stationarity if none is given. No moment of g need exist: at a finite step, and at stationarity if β1² < β2, the
    update is bounded. If not, and under power-law tails, its own moments can be infinite (`update_moment`): an E|u|
    that is infinite is an InputError.

    >>> from theory.laws import Uniform
    >>> update = exact_update(1.2, 1e-6, 1e-5, Uniform())
    >>> f"{update.drift:.6f} {update.rms:.6f}"
    '0.172541 0.276211'
    """
    steps = np.inf if step is None else whole("step", step)
    memory = Memory(decay("beta1", beta1), decay("beta2", beta2), steps)
    p, mu, sigma, eps = np.broadcast_arrays(
        power_in_range("power", power),
        positive("mean", mean),
        nonnegative("noise_scale", noise_scale),
        nonnegative("epsilon", epsilon),
    )

    def one(index: tuple[int, ...]) -> tuple[float, float]:
        exponent, mean, scale, offset = (float(value[index]) for value in (p, mu, sigma, eps))
        order = update_moment(law, exponent, memory) if scale > 0 else np.inf
        allowed = "one whose tails leave the mean of u finite at these β (or a finite step)"
        require(order > 1, "law", law.name, allowed)
        rule, log_epsilon = in_units(law, exponent, mean, scale, offset)
        # with ε this far above √v the update is m/ε to the last bit, so a larger ε only divides it further
        largest = min(log_epsilon, 300.0)
        drift, rms = integrate(rule, exponent, largest, memory)
        share = np.exp(largest - log_epsilon) if log_epsilon > largest else 1.0
        return drift * share, rms * share if order > 2 else np.inf

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        values = np.array(list(pool.map(one, np.ndindex(p.shape)))).reshape((*p.shape, 2))
    return Update(values[..., 0], values[..., 1])


def update_moment(law: NoiseLaw, power: float, memory: Memory) -> float:
    """Order below which the update has finite moments: at stationarity `ν/(2p)·ln β2/ln(√β2/β1)`, or infinity.

    A value x that is alone large enough to dominate v, k steps later, makes |u| = w_k/√ω_k ∝ (β1/√β2)^k. Under tails
    P(|g| > x) ∝ x^{−ν} that has a probability ∝ β2^{kν/(2p)}, so E|u|^n is a geometric series in
    (β1/√β2)^n·β2^{ν/(2p)}.
    """
    if not (np.isfinite(law.moment_limit) and np.isinf(memory.step) and min(memory.beta1, memory.beta2) > 0):
        return float(np.inf)
    growth = np.log(memory.beta1) - np.log(memory.beta2) / 2
    return float(-law.moment_limit / (2 * power) * np.log(memory.beta2) / growth if growth > 0 else np.inf)


def in_units(
    law: NoiseLaw, power: float, mean: float, noise_scale: float, epsilon: float
) -> tuple[FoldedRule, float]:
    """The nodes and ln ε in units of max(μ, σ); powers of similar size share the nodes of 1, √2, 2, 2√2, …."""
    unit = max(mean, noise_scale)
    log_epsilon = float(np.log(epsilon) - power * np.log(unit)) if epsilon > 0 else -np.inf
    shared = float(2 ** (np.ceil(2 * np.log2(max(power, 1.0))) / 2))
    return _rule(law, mean / unit, noise_scale / unit, shared), log_epsilon


@lru_cache(maxsize=64)
def _rule(law: NoiseLaw, location: float, scale: float, power: float) -> FoldedRule:
    return law.folded_rule(location, scale, power)
