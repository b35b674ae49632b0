"""The power that measured gradients call for, by feeding them to Adam again.

K steps of Adam at rate η lower the loss by η·K·Σ_i μ_i·E u_i, and noise raises it by ½η²·K·Σ_i h_i·LRV_i, with μ the
gradient, u the update, LRV its long-run variance and h the curvature. At its best rate a setting is worth

    S = (Σ_i μ_i·E u_i)² / Σ_i h_i·LRV_i,

and √(S/S') says how many times less noise it is worth than another. Here the model stands still; u is computed by
Adam from micro-batches drawn at random, with all that binds a coordinate's signal, its noise and the other coordinates;
μ comes from other micro-batches, so that Σ μ_i·ū_i is not biased by noise that both share. h_i ∝ σ_i², the diagonal
of the Fisher matrix. Nothing is assumed of the noise's law: a law that is added to the signal
(`theory.adam.noise_equivalent`) calls for another power where large gradients carry the signal, as in the rows of the
head.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import stdtrit

from gradpower.tools.errors import require
from theory.measured.micro_batch_gradients import MicroBatchGradients, jackknife_error
from theory.numerics.inputs import Array

POWERS = np.array([0.4, 0.6, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.7, 2.0])
CONTROL = 1.2  # the power that is tried on noise with random signs, and on noise alone, too
ALL = "all"
BLOCKS, LONGEST = 8, 1000  # steps of a block at most: from β2 = 0.99 on, LRV lacks what is remembered longer
_ONE = int(np.flatnonzero(POWERS == 1.0)[0])
# The settings after the powers: p = 1 and 1.2 with random signs of the noise, and with the noise alone.
_TURNED, _ALONE = (len(POWERS), len(POWERS) + 1), (len(POWERS) + 2, len(POWERS) + 3)


@dataclass(frozen=True)
class Optimizer:
    """Adam as the run has it."""

    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    clip_norm: float | None = None
    """Largest norm of a step's gradient before the power."""


@dataclass(frozen=True)
class PredictedPower:
    """What is best for a batch size, in sequences, of one module or of all together ("all")."""

    batch_size: int
    module: str
    power: float
    """p* within the range of `POWERS` at the run's β2, and its 95 % interval, by jackknife over micro-batches."""
    low: float
    high: float
    at_edge: bool
    """Whether p* sits at an end of the range: the best power lies there or beyond."""
    resolved: bool
    """Whether Σ μ_i·E u_i at p = 1 is more than two standard errors above 0; if not, p* of "all" means nothing."""
    equivalent: tuple[float, ...]
    """√(S/S(1)) at `POWERS`: the power is worth noise so many times smaller."""
    symmetrised: float
    """The same at p = 1.2 with a random sign of the noise about the mean, in each entry and step: its size stays, but
    large gradients carry no signal any more."""
    noise_alone: tuple[float, float]
    """Σ μ_i·E u_i of the noise without its mean, at p = 1 and 1.2, over that of the gradients at p = 1: Adam's bias
    under skewed noise (`theory.adam.noise_bias`), below 0 where it is against the signal. Clipping, by the norm of
    gradient and noise together, leaves the noise a small mean."""
    noise_alone_errors: tuple[float, float]
    """Their jackknife standard errors."""


def predict(
    modules: Sequence[MicroBatchGradients],
    batch_size: int,
    micro_batch_size: int,
    optimizer: Optimizer = Optimizer(),
    *,
    seed: int = 0,
    progress: Callable[[], None] = lambda: None,
) -> list[PredictedPower]:
    """Return what is best for a batch size: of all modules together, then of each by itself.

    The modules, whose gradients vary, are of the same micro-batches, of `micro_batch_size` sequences; so many as make
    up a batch are averaged, drawn with replacement. `progress` is called after each of the jackknife's groups.

    Examples
    --------
    >>> noise = np.random.default_rng(0).laplace(size=(64, 500))
    >>> whole, _ = predict([MicroBatchGradients("head", 0.1 + noise, 500)], 8, 8)
    >>> whole.power < 0.9  # Laplace noise, added to the signal, calls for a small power
    True
    """
    require(modules, "modules", "none", "at least one")
    together = max(1, round(batch_size / micro_batch_size))
    first = modules[0]
    sums = []
    for left_out in [np.zeros(0, dtype=np.int64), *first.left_out]:
        halves = [np.setdiff1d(np.concatenate(first.members(half)), left_out) for half in (0, 1)]
        parts = [
            _replayed(modules, a, b, together, optimizer, np.random.default_rng([seed, batch_size]))
            for a, b in (halves, halves[::-1])
        ]
        sums.append(np.sum(parts, axis=0))
        progress()
    signal, noise = np.moveaxis(np.array(sums), 1, 0)  # each (J + 1, settings, modules)
    groups = [(ALL, slice(None)), *((module.name, slice(k, k + 1)) for k, module in enumerate(modules))]
    return [
        _prediction(name, signal[..., k].sum(-1), noise[..., k].sum(-1), batch_size) for name, k in groups
    ]


def _prediction(name: str, signal: Array, noise: Array, batch_size: int) -> PredictedPower:
    """Of sums of shape (J + 1, settings): of all micro-batches, then without each group."""
    # √S; below 0 where the drift is against the gradient, 0 where nothing moves
    progress = signal / np.sqrt(np.maximum(noise, np.finfo(float).tiny))
    powers = progress[:, : POWERS.size]
    best, *without = (_best(row) for row in powers)
    margin = float(stdtrit(len(progress) - 2, 0.975) * jackknife_error(np.array(without)))
    ends = (float(POWERS[0]), float(POWERS[-1]))
    return PredictedPower(
        batch_size,
        name,
        best,
        max(ends[0], best - margin),
        min(ends[1], best + margin),
        best in ends,
        bool(signal[0, _ONE] > 2 * jackknife_error(signal[1:, _ONE])),
        tuple((powers[0] / powers[0, _ONE]).tolist()),
        float(progress[0, _TURNED[1]] / progress[0, _TURNED[0]]),
        *_noise_alone(signal[:, list(_ALONE)] / signal[:, [_ONE]]),
    )


def _noise_alone(shares: Array) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the shares at both powers, and their errors, of rows as in `_prediction`."""
    errors = [jackknife_error(column) for column in shares[1:].T]
    return (float(shares[0, 0]), float(shares[0, 1])), (float(errors[0]), float(errors[1]))


def _best(progress: Array) -> float:
    """The maximiser of the spline through values at `POWERS`; an end only if nothing inside is larger."""
    curve = CubicSpline(POWERS, progress)
    points = np.array([POWERS[0], POWERS[-1], *curve.derivative().roots(extrapolate=False)])
    return float(points[np.argmax(curve(points))])


def _replayed(
    modules: Sequence[MicroBatchGradients],
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    together: int,
    optimizer: Optimizer,
    generator: np.random.Generator,
) -> Array:
    """Return Σ μ_i·ū_i and Σ h_i·LRV_i, shape (2, settings, modules).

    Settings are all powers, then p = 1 and `CONTROL` on noise with random signs, and on noise alone. μ is the mean
    over the micro-batches a; Adam's gradients are drawn from b. LRV comes from means of blocks, which are many times
    as long as its memory.
    """
    sampled = [m.gradients.shape[1] for m in modules]
    shares = [m.coordinates / count for m, count in zip(modules, sampled, strict=True)]
    weights = np.repeat(shares, sampled).astype(np.float32)
    ends = np.cumsum(sampled)[:-1]
    drawn = np.concatenate([m.gradients[b] for m in modules], axis=1).astype(np.float32)
    signal = weights * np.concatenate([m.gradients[a].mean(axis=0) for m in modules])
    curvature, centre = weights * drawn.var(axis=0), drawn.mean(axis=0)
    powers = np.append(POWERS, [1.0, CONTROL, 1.0, CONTROL]).astype(np.float32)[:, None]
    kept = np.array([optimizer.beta1, optimizer.beta2], dtype=np.float32)
    new = 1 - kept
    memory = 1 / (1 - optimizer.beta2)
    size, warmup = (min(max(100, round(times * memory)), LONGEST) for times in (10, 3))
    first, second, block = np.zeros((3, len(powers), drawn.shape[1]), dtype=np.float32)
    means = []
    for step in range(1, warmup + BLOCKS * size + 1):
        # The same numbers whatever is left out: what the jackknife compares has this noise in common.
        rows = (generator.random(together) * len(b)).astype(int)
        gradient = drawn[rows].mean(axis=0)
        noise = gradient - centre
        if optimizer.clip_norm is not None:
            norm = float(np.sqrt(np.sum(weights * gradient**2)))
            clip = min(1.0, optimizer.clip_norm / (norm + 1e-6))
            gradient, noise = clip * gradient, clip * noise
        signs = generator.integers(0, 2, size=len(gradient), dtype=np.int8) * np.float32(2) - 1
        turned = centre + signs * (gradient - centre)
        parts = (gradient, powers[:-4]), (turned, powers[-4:-2]), (noise, powers[-2:])
        powered = np.concatenate([_powered(values, own) for values, own in parts])
        first = kept[0] * first + new[0] * powered
        second = kept[1] * second + new[1] * powered**2
        if step > warmup:
            corrected = second / (1 - optimizer.beta2**step)
            block += first / (np.sqrt(corrected) + np.float32(optimizer.epsilon))
            if (step - warmup) % size == 0:
                means.append(block / size)
                block = np.zeros_like(block)
    drift, variance = np.mean(means, axis=0), size * np.var(means, axis=0, ddof=1)
    return np.array(
        [
            [part.sum(axis=1) for part in np.split(values, ends, axis=1)]
            for values in (signal * drift, curvature * variance)
        ]
    ).transpose(0, 2, 1)


def _powered(gradient: NDArray[np.float32], powers: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(divide="ignore"):
        powered: NDArray[np.float32] = np.sign(gradient) * np.exp(powers * np.log(np.abs(gradient)))
    return powered
