"""Adam on powered gradients of the small network: its exact gradient plus noise of a chosen law."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from simulate.intervention.network import COORDINATES, TENSORS, initial_weights, loss_and_gradient
from theory.laws import NoiseLaw
from theory.numerics.inputs import Array

_TOGETHER = 16  # copies whose gradients are computed at once: as many as the cache holds


class Arm(NamedTuple):
    """One setting of the optimizer: p, the noise, the learning rate η, which falls linearly to 0, and β2.

    `level` is σ of every coordinate over the root mean square of its tensor's gradient at the initial weights.
    """

    power: float
    level: float
    rate: float
    beta2: float = 0.95


def descend(
    law: NoiseLaw,
    arms: Sequence[Arm],
    seeds: Sequence[int],
    steps: int,
    *,
    beta1: float = 0.9,
) -> tuple[Array, Array]:
    """Run Adam with ε = 0 on `φ_p(∇F + σ·ξ)` for every arm and seed; ξ is independent in every coordinate and step.

    Returns the exact loss at the last weights, shape (arms, seeds), and σ over the root mean square of the exact
    gradient, averaged over steps and seeds, shape (arms,).

    Arms of one seed have the same initial weights, and their noise is made of the same uniform numbers, as is that of
    other laws: differences between arms and laws have less noise than their losses.

    >>> from theory.laws import Uniform
    >>> loss, ratio = descend(Uniform(), [Arm(1.0, 1.0, 0.03), Arm(1.2, 1.0, 0.03)], [0, 1], steps=50)
    >>> loss.shape
    (2, 2)
    """
    generators = [np.random.default_rng([seed, 1]) for seed in seeds]
    start = np.concatenate([initial_weights(generator, 1) for generator in generators])
    power, level, rate, beta2 = np.transpose(arms)[..., None, None]
    scale = level * _tensor_rms(loss_and_gradient(start)[1])
    weights = np.repeat(start[None], len(arms), axis=0)
    first, second = np.zeros((2, *weights.shape))
    ratio = np.zeros(len(arms))
    for step in range(steps):
        chance = np.stack([generator.random(COORDINATES) for generator in generators])
        gradient = _evaluated(weights)[1]
        rms = np.sqrt((gradient**2).mean(axis=-1))
        ratio += (np.sqrt((scale**2).mean(axis=-1)) / rms).mean(axis=-1) / steps
        gradient = gradient + scale * law.quantile(chance)
        powered = np.sign(gradient) * np.abs(gradient) ** power
        first = beta1 * first + (1 - beta1) * powered
        second = beta2 * second + (1 - beta2) * powered**2
        update = first / (1 - beta1 ** (step + 1)) / np.sqrt(second / (1 - beta2 ** (step + 1)))
        weights = weights - rate * (1 - step / steps) * update
    return _evaluated(weights)[0], ratio


def _tensor_rms(gradient: Array) -> Array:
    """The root mean square of each coordinate's tensor, shape (copies, 442)."""
    squares = [(gradient[:, k == TENSORS] ** 2).mean(axis=1) for k in range(4)]
    return np.asarray(np.sqrt(squares)[TENSORS].T)


def _evaluated(weights: Array) -> tuple[Array, Array]:
    """F and ∇F at weights of shape (arms, seeds, 442)."""
    flat = weights.reshape(-1, COORDINATES)
    parts = [loss_and_gradient(flat[i : i + _TOGETHER]) for i in range(0, len(flat), _TOGETHER)]
    losses, gradients = (np.concatenate(part) for part in zip(*parts, strict=True))
    return losses.reshape(weights.shape[:2]), gradients.reshape(weights.shape)
