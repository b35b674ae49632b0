"""The noise that a power is worth, q(p): Adam's drift over many steps against its long-run variance.

Over T steps of independent gradients the sum of the updates has mean T·E u and variance T·LRV, with the long-run
variance `LRV = Σ_k Cov(u_t, u_{t+k})` over all lags k: momentum makes steps alike, so it is not Var u. With
m_{t+k} = β1^k·m_t + m', v_{t+k} = β2^k·v_t + v', where m' and v' hold the k newer gradients, and h, N, V, G as in
`theory.adam.update_integral`,

    E u_t u_{t+k} = ∫ h(s)·e^{G_k(s)}·[β1^k·A₂(sβ2^k) + N_k(s)·A₁(sβ2^k)] ds,
    A₁(b) = ∫ h(s)·(N·e^G)(s + b) ds,    A₂(b) = ∫ h(s)·((V + N²)·e^G)(s + b) ds,
    N_k(s) = N(s) − β1^k·N(sβ2^k),       G_k(s) = G(s) − G(sβ2^k).
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from gradpower.tools.errors import InputError, require
from theory.adam.update import in_units, update_moment
from theory.adam.update_integral import Memory, Sums, kernel1, sums_along_grid
from theory.laws import NoiseLaw
from theory.numerics.inputs import Array, decay, nonnegative, positive, power_in_range

_SPACING = 0.2  # in ln s, as in `theory.adam.update_integral`
_LEAST_RATIO = 0.1  # σ/μ below which the covariances are lost in the rounding of (E u)²
PURE_NOISE = 1e-8  # μ/σ that stands for noise without limit: the drift is proportional to it there


@dataclass(frozen=True)
class LongRun:
    """Adam's stationary update on φ_p(g)."""

    drift: float
    """`E u`."""
    variance: float
    """The long-run variance."""

    @property
    def progress(self) -> float:
        """`E u/√LRV`, the signal-to-noise ratio of the sum of updates per √step."""
        return self.drift / float(np.sqrt(self.variance))


def long_run_update(
    power: float,
    mean: float,
    noise_scale: float,
    law: NoiseLaw,
    *,
    beta1: float = 0.9,
    beta2: float = 0.95,
    epsilon: float = 0.0,
) -> LongRun:
    """Drift and long-run variance of Adam's stationary update on φ_p(g), exact to about 1e-7.

    σ >= 0.1 μ, and E u² must be finite.

    >>> from theory.laws import Uniform
    >>> round(long_run_update(1.2, 1e-3, 1.0, Uniform()).variance, 4)
    0.9888
    """
    power, mean = float(power_in_range("power", power)), float(positive("mean", mean))
    memory = Memory(decay("beta1", beta1), decay("beta2", beta2), np.inf)
    require(
        noise_scale >= _LEAST_RATIO * mean, "noise_scale", noise_scale, f"at least {_LEAST_RATIO} of the mean"
    )
    require(beta2 > 0 or beta1 == 0, "beta2", beta2, "above 0 where beta1 is: m/|g| has no mean square")
    allowed = "one whose tails leave the mean square of u finite at these β"
    require(update_moment(law, power, memory) > 2, "law", law.name, allowed)
    rule, log_epsilon = in_units(law, power, mean, noise_scale, float(nonnegative("epsilon", epsilon)))
    products = _Products(sums_along_grid(rule, power, log_epsilon, memory), log_epsilon, memory)
    # All lags at first, then ever fewer, until β^k is 1e-12: the covariances are smooth in k.
    slowest = max(beta1, beta2)
    last = int(np.ceil(np.log(1e-12) / np.log(slowest))) if slowest > 0 else 1
    late = 64 + np.geomspace(1, last, 60).round()
    lags = np.unique(np.concatenate([np.arange(64), late])).astype(np.int64)
    covariance = np.array([products.at_lag(int(k)) for k in lags]) - products.drift**2
    every = CubicSpline(lags, covariance)(np.arange(lags[-1] + 1))
    return LongRun(products.drift, float(2 * every.sum() - every[0]))


def noise_equivalent(
    power: float,
    law: NoiseLaw,
    *,
    beta1: float = 0.9,
    beta2: float = 0.95,
    noise_to_signal: float = float("inf"),
) -> float:
    """The q for which Adam on φ_p(g) at noise σ makes the progress of p = 1 at noise σ/q; ε = 0.

    Progress is `E u/√LRV`: all that a tuned learning rate leaves of the update's first two moments. Without a limit to
    the noise, `q(p) = [κ(p)/√LRV(p)]/[κ(1)/√LRV(1)]` with κ the drift per unit of μ/σ. q > 1: the power helps.

    `noise_to_signal` is σ/μ >= 1. The law must be symmetric: else its noise alone would drift.

    >>> from theory.laws import Laplace, Uniform
    >>> round(noise_equivalent(1.2, Uniform()), 3), round(noise_equivalent(1.2, Laplace()), 3)
    (1.06, 0.92)
    """
    require(law.symmetric, "law", law.name, "a symmetric law")
    require(noise_to_signal >= 1, "noise_to_signal", noise_to_signal, "a number >= 1, or inf")

    def run(p: float, ratio: float) -> LongRun:
        return long_run_update(p, 1.0, ratio, law, beta1=beta1, beta2=beta2)

    if np.isinf(noise_to_signal):
        limits = [run(p, 1 / PURE_NOISE) for p in (power, 1.0)]
        growth = run(power, 0.1 / PURE_NOISE).drift / limits[0].drift
        allowed = (
            "a law without an atom at 0, or a finite noise_to_signal: its drift is not proportional to μ"
        )
        require(abs(growth / 10 - 1) < 0.01, "law", law.name, allowed)
        return limits[0].progress / limits[1].progress
    target = run(power, noise_to_signal).progress

    def excess(log_q: float) -> float:
        return run(1.0, noise_to_signal * float(np.exp(-log_q))).progress - target

    low, high = -np.log(4.0), min(np.log(4.0), float(np.log(noise_to_signal / _LEAST_RATIO)) - 1e-9)
    if excess(low) > 0 or excess(high) < 0:
        raise InputError("power", power, "one whose effect equals a change of σ by at most a factor 4")
    return float(np.exp(brentq(excess, low, high, xtol=1e-9)))


class _Products:
    """Means of u_t·u_{t+k}, from smooth functions of ln s on a coarse grid."""

    def __init__(self, sums: Sums, log_epsilon: float, memory: Memory) -> None:
        self.memory = memory
        log_s = sums.t - np.log(memory.newest(memory.beta2))
        self._left, self._right = float(log_s[0]), float(log_s[-1])
        self._first_log_product = float(sums.log_product[0])
        self._curves = CubicSpline(log_s, np.stack([sums.log_product, sums.first, sums.variance], axis=1))
        grid = np.arange(self._left, self._right, _SPACING)
        z = np.exp(np.minimum(log_epsilon + grid / 2, 345.0))
        weight = _SPACING * kernel1(z) * np.exp(grid / 2)  # h(s) ds
        weight[0] *= 1 + 1 / np.expm1(_SPACING / 2)  # the continuation to the left, where only √s varies
        self.grid, self.weight = grid, weight
        log_product, first, variance = self._at(np.logaddexp(grid[:, None], grid))
        mass = np.exp(log_product)
        integrals = np.stack([(mass * first) @ weight, (mass * (variance + first**2)) @ weight], axis=1)
        self._a1_a2 = CubicSpline(grid, integrals)
        self.log_product, self.first, _ = self._at(grid)
        self.drift = float((self.first * np.exp(self.log_product)) @ weight)

    def _at(self, log_s: Array) -> tuple[Array, Array, Array]:
        """G, N, V: left of the grid G falls off as s, and N and V are constant."""
        log_product, first, variance = np.moveaxis(
            self._curves(np.clip(log_s, self._left, self._right)), -1, 0
        )
        falling = self._first_log_product * np.exp(np.minimum(log_s - self._left, 0.0))
        return np.where(log_s < self._left, falling, log_product), first, variance

    def at_lag(self, lag: int) -> float:
        """`E u_t u_{t+k}`."""
        share, moved = self.memory.beta1**lag, self.grid + lag * np.log(max(self.memory.beta2, 1e-300))
        older_product, older_first, _ = self._at(moved)
        a1, a2 = self._a1_a2(np.maximum(moved, self._left)).T
        newer = np.exp(self.log_product - older_product)
        return float((newer * (share * a2 + (self.first - share * older_first) * a1)) @ self.weight)
