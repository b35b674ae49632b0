"""Adam's expected update on measured gradients themselves: no law, no common shape, skewness and all.

Adam is run over the micro-batch gradients of one half, in random order; its last update, bias-corrected, is an update
on independent draws of the true noise. Times the mean of the other half, it is unbiased for μ_i·E u_i(p) at that step,
whatever the noise. The price is noise of its own, and a step number that the measurement's length limits.
"""

from __future__ import annotations

import numpy as np

from gradpower.tools.errors import InputError, whole
from theory.measured.micro_batch_gradients import MicroBatchGradients
from theory.numerics.inputs import Array
from theory.prediction.predicted_power import AdamSettings, Sums

FEWEST_STEPS = 8
_ORDERS = 4
_TILE = 2**14


def direct_steps(data: MicroBatchGradients, ratio: int) -> int:
    """Return the steps that Adam can take over a half, with batches of `ratio` micro-batches."""
    return data.half // ratio


def direct_sums(
    data: MicroBatchGradients,
    ratio: int,
    powers: Array,
    adam: AdamSettings,
    *,
    clip_factor: float = 1.0,
    seed: int = 0,
) -> Sums:
    """`Σ μ̂_A·u(p)` and `Σ u(p)²` of Adam run over half B, and with the halves exchanged, averaged over 4 orders.

    Parameters
    ----------
    data : MicroBatchGradients
        The measurement.
    ratio : int
        Micro-batches whose mean is one gradient, B/b.
    powers : ndarray, shape (P,)
        p.
    adam : AdamSettings
        Adam's.
    clip_factor : float
        What clipping multiplies gradients of this size by.
    seed : int
        Of the orders.

    Raises
    ------
    InputError
        If a half has fewer than 8 such gradients.

    Examples
    --------
    >>> data = MicroBatchGradients("head", np.random.default_rng(0).uniform(-1, 3, (32, 2000)), 2000)
    >>> sums = direct_sums(data, 1, np.array([1.0]), AdamSettings())
    >>> bool(0.6 < sums.decrease[0, 0] / 2000 < 0.7), sums.decrease.shape
    (True, (9, 1))
    """
    steps = direct_steps(data, whole("ratio", ratio))
    if steps < FEWEST_STEPS:
        raise InputError("ratio", ratio, f"at most {data.half // FEWEST_STEPS}: {FEWEST_STEPS} steps a half")
    halves = [_batches(data, half, ratio, steps) * clip_factor for half in (0, 1)]
    weights = _Weights(steps, data.groups, adam, np.random.default_rng(seed))
    epsilon = np.exp(adam.log_epsilon(powers))
    decrease = np.zeros((data.groups + 1, powers.size))
    square = np.zeros_like(decrease)
    for low in range(0, halves[0].shape[1], _TILE):
        part = [half[:, low : low + _TILE] for half in halves]
        for own, other in (part, part[::-1]):
            means = weights.present @ other / clip_factor
            log_size, sign = np.log(np.maximum(np.abs(own), 1e-300)), np.sign(own)
            for index, p in enumerate(powers):
                powered = sign * np.exp(p * log_size)
                first, second = weights.first @ powered, weights.second @ powered**2
                update = first / (np.sqrt(second) + epsilon[index])
                update = update.reshape(data.groups + 1, _ORDERS, -1)
                decrease[:, index] += np.einsum("jod,jd->j", update, means)
                square[:, index] += np.einsum("jod,jod->j", update, update)
    scale = data.weight / (2 * _ORDERS)
    return Sums(decrease * scale, square * scale)


def _batches(data: MicroBatchGradients, half: int, ratio: int, steps: int) -> Array:
    rows = np.arange(half, len(data.gradients), 2)[: steps * ratio]
    grouped = data.gradients[rows].astype(np.float64).reshape(steps, ratio, -1)
    return np.asarray(grouped.mean(axis=1))


class _Weights:
    """Adam's weights of the steps of a half, for each left-out group and each order."""

    def __init__(self, steps: int, groups: int, adam: AdamSettings, generator: np.random.Generator) -> None:
        orders = [generator.permutation(steps) for _ in range(_ORDERS)]
        present = np.ones((groups + 1, steps))
        for group in range(groups):
            present[group + 1, group::groups] = 0.0
        first: list[Array] = []
        second: list[Array] = []
        for row in present:
            for order in orders:
                for beta, found in ((adam.beta1, first), (adam.beta2, second)):
                    kept = order[row[order] > 0]
                    weights = np.zeros(steps)
                    weights[kept] = beta ** np.arange(kept.size, dtype=np.float64)
                    found.append(weights / weights.sum())
        self.first, self.second = np.array(first), np.array(second)
        self.present = present / present.sum(axis=1, keepdims=True)
