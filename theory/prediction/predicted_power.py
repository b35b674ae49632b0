"""The power that measured gradient noise calls for, at a tuned learning rate.

K steps of Adam at rate η lower the loss by η·K·Σ_i μ_i·E u_i, and noise raises it by ½η²·K·Σ_i h_i·LRV_i, with h_i the
curvature and LRV the long-run variance of the update (`theory.adam.long_run`). At its best rate a power is worth

    S(p) = (Σ_i μ_i·E u_i)² / Σ_i h_i·LRV_i.

Here h_i ∝ σ_i², the diagonal of the Fisher matrix, and noise is strong: E u_i = κ(p, b)·μ_i/σ_i and LRV_i = LRV(p, b)
for noise of shape b. So S(p) = (Σ_m κ(p, b_m)·A_m)² / Σ_m LRV(p, b_m)·N_m over modules m, with A = Σ μ_i²/σ_i and
N = Σ σ_i². √(S(p)/S(1)) is the q of `theory.adam.long_run.noise_equivalent`: the power is worth noise q times smaller.

What is taken for granted: independent gradients within Adam's memory; a symmetric generalized-normal law for each
module, whose excess kurtosis falls as 1/B; σ_i ≫ |μ_i| (else effects are smaller, see `noise_equivalent`); ε → 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline, RectBivariateSpline
from scipy.special import stdtrit

from gradpower.tools.errors import require
from theory.adam.long_run import PURE_NOISE, long_run_update
from theory.laws import GeneralizedNormal
from theory.measured.micro_batch_gradients import MicroBatchGradients, jackknife_error
from theory.measured.shape_fit import HIGHEST_SHAPE, LOWEST_SHAPE, ShapeFit, averaged_shape
from theory.numerics.inputs import Array

POWERS = np.linspace(0.3, 2.0, 35)
ALL = "all"
_LOG_SHAPES = np.log(np.geomspace(LOWEST_SHAPE, HIGHEST_SHAPE, 15))
_COARSE_POWERS = np.linspace(0.3, 2.0, 9)


@dataclass(frozen=True, eq=False)
class ModuleNoise:
    """What the prediction needs of a module."""

    name: str
    shape: float
    """b of its noise at the micro-batches' size."""
    shape_error: float
    signal: Array
    """`Σ μ_i²/σ_i` and `Σ σ_i²` over its coordinates, shape (J + 1,): of all micro-batches, then without each group."""
    noise: Array

    @classmethod
    def of(cls, data: MicroBatchGradients, fit: ShapeFit) -> ModuleNoise:
        """Sum over the sampled coordinates; μ_i² is the product of two independent means."""
        varies = data.sigma.min(axis=0) > 0
        a, b, sigma = (values[:, varies] for values in (*data.means, data.sigma))
        weight = data.coordinates / data.gradients.shape[1]
        signal, noise = (weight * part.sum(axis=1) for part in (a * b / sigma, sigma**2))
        return cls(data.name, fit.shape, float(np.nan_to_num(fit.error)), signal, noise)


@dataclass(frozen=True)
class PredictedPower:
    """The best power for a batch size, in sequences, of one module or of all together ("all")."""

    batch_size: int
    module: str
    power: float
    """p* within the range of `POWERS`, and its 95 % interval: jackknife over micro-batches, and the shapes' errors."""
    low: float
    high: float
    at_edge: bool
    """Whether p* sits at an end of the range: the best power lies there or beyond."""
    resolved: bool
    """Whether the signal Σ μ_i²/σ_i is more than two standard errors above 0; if not, p* of "all" means nothing."""
    equivalent: tuple[float, ...]
    """q at `POWERS`: the power p acts as noise q times smaller."""


def predict(
    modules: Sequence[ModuleNoise],
    batch_size: int,
    micro_batch_size: int,
    *,
    beta1: float = 0.9,
    beta2: float = 0.95,
) -> list[PredictedPower]:
    """Predict the best power for a batch size: of all modules together, then of each by itself.

    The modules are of the same micro-batches, of `micro_batch_size` sequences; `batch_size` is B asked about.

    >>> ones = np.ones(9)
    >>> whole, *_ = predict([ModuleNoise("head", 1.0, 0.0, ones, ones)], 8, 8)
    >>> whole.power, whole.at_edge  # Laplace noise calls for the smallest power
    (0.3, True)
    """
    require(modules, "modules", "none", "at least one")
    response = _response(beta1, beta2)
    ratio = batch_size / micro_batch_size
    groups = [(ALL, list(modules)), *((module.name, [module]) for module in modules)]
    return [_prediction(name, group, batch_size, ratio, response) for name, group in groups]


def _prediction(
    name: str, modules: Sequence[ModuleNoise], batch_size: int, ratio: float, response: Splines
) -> PredictedPower:
    shapes = np.array([averaged_shape(module.shape, ratio) for module in modules])
    signal, noise = (np.array([getattr(m, part) for m in modules]) for part in ("signal", "noise"))
    scores = _scores(response, shapes, signal, noise)
    best, *without = (_best(row) for row in scores)
    squares = [float(jackknife_error(np.array(without))) ** 2]
    for index, module in enumerate(modules):  # the shapes' errors are independent
        ends = []
        for moved in (module.shape - module.shape_error, module.shape + module.shape_error):
            shape = averaged_shape(float(np.clip(moved, LOWEST_SHAPE, HIGHEST_SHAPE)), ratio)
            others = np.where(np.arange(len(shapes)) == index, shape, shapes)
            ends.append(_best(_scores(response, others, signal, noise)[0]))
        squares.append(((ends[1] - ends[0]) / 2) ** 2)
    margin = float(stdtrit(scores.shape[0] - 2, 0.975) * np.sqrt(sum(squares)))
    total = signal.sum(axis=0)
    return PredictedPower(
        batch_size,
        name,
        best,
        max(float(POWERS[0]), best - margin),
        min(float(POWERS[-1]), best + margin),
        best in (POWERS[0], POWERS[-1]),
        bool(total[0] > 2 * jackknife_error(total[1:])),
        tuple(np.sqrt(scores[0] / CubicSpline(POWERS, scores[0])(1.0)).tolist()),
    )


def _best(scores: Array) -> float:
    """The maximiser of the spline through the scores at `POWERS`; an end only if nothing inside is larger."""
    curve = CubicSpline(POWERS, scores)
    points = np.array([POWERS[0], POWERS[-1], *curve.derivative().roots(extrapolate=False)])
    return float(points[np.argmax(curve(points))])


Splines = tuple[RectBivariateSpline, RectBivariateSpline]


@lru_cache(maxsize=4)
def _response(beta1: float, beta2: float) -> Splines:
    """The logarithms of κ and LRV of generalized-normal noise, smooth in ln b and p."""
    tables = np.empty((2, _LOG_SHAPES.size, _COARSE_POWERS.size))
    for i, law in enumerate(map(GeneralizedNormal, np.exp(_LOG_SHAPES).tolist())):
        for j, power in enumerate(_COARSE_POWERS.tolist()):
            update = long_run_update(power, PURE_NOISE, 1.0, law, beta1=beta1, beta2=beta2)
            tables[:, i, j] = update.drift, update.variance
    drift, variance = (RectBivariateSpline(_LOG_SHAPES, _COARSE_POWERS, table) for table in np.log(tables))
    return drift, variance


def _scores(response: Splines, shapes: Array, signal: Array, noise: Array) -> Array:
    """S at `POWERS`, shape (J + 1, powers), from shapes (M,) and sums (M, J + 1)."""
    order = np.argsort(shapes)
    drift, variance = tables = np.empty((2, len(shapes), POWERS.size))
    for table, spline in zip(tables, response, strict=True):
        table[order] = np.exp(spline(np.log(shapes[order]), POWERS))
    return np.asarray((signal.T @ drift) ** 2 / (noise.T @ variance))
