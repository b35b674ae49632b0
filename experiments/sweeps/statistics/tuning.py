"""The loss of each arm at its own tuned learning rate, without the bias of having chosen it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from experiments.sweeps.statistics.optima import GridBest, QuadraticBest, grid_best, quadratic_best


@dataclass(frozen=True)
class Tuned:
    """Losses at the tuned learning rate.

    Attributes
    ----------
    grid : GridBest
        The rate with the lowest mean over all seeds, and whether it is an edge of the grid.
    quadratic : QuadraticBest
        The minimum of a parabola in the logarithm of the rate through all means.
    rates : tuple of (float or None)
        For each seed, the rate that is best in the mean of the other seeds; None if each diverged in one of them.
    losses : tuple of float
        Each seed's loss at that rate; +inf if it diverged there.
    optimism : float or None
        Mean of these losses minus the lowest mean loss: how much the plain choice flatters, in the mean at least 0.
    method : str
        "leave one out"; "one rate": nothing to choose; "one seed": chosen on itself, hence biased downward.
    """

    grid: GridBest
    quadratic: QuadraticBest
    rates: tuple[float | None, ...]
    losses: tuple[float, ...]
    optimism: float | None
    method: str


def tune(rates: ArrayLike, losses: ArrayLike, *, alpha: float = 0.05, rng: Generator) -> Tuned:
    """Choose the learning rate for each seed by the other seeds.

    The lowest of several noisy means is lower than what the chosen rate is worth, the more so the more rates were
    tried; an arm with a finer grid would gain from it. A seed's loss at a rate chosen by the others has no such bias:
    it is that of a rate tuned on one seed less. The seeds' losses are then nearly, not exactly, independent, as
    any two choices share seeds.

    Parameters
    ----------
    rates : array_like
        Increasing, shape (rates,).
    losses : array_like
        Shape (seeds, rates); +inf where a run diverged.
    alpha : float
        Intervals have 1−α.
    rng : Generator
        For the bootstrap.

    Examples
    --------
    >>> tuned = tune([1e-3, 2e-3], [[3.0, 2.9], [3.1, 3.2], [3.2, 3.0]], rng=np.random.default_rng(0))
    >>> tuned.rates, tuned.losses
    ((0.002, 0.002, 0.001), (2.9, 3.2, 3.2))
    """
    x, y = np.asarray(rates, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    grid = grid_best(x, y, rng=rng)
    quadratic = quadratic_best(x, y, alpha=alpha, rng=rng)
    seeds = len(y)
    if seeds == 1 or x.size == 1:
        chosen = np.full(seeds, int(np.argmin(y.mean(0))))
        method = "one rate" if x.size == 1 else "one seed"
    else:
        # Not (sum − own): +inf must stay where the other seeds have it, and only there.
        chosen = np.array([int(np.argmin(np.delete(y, seed, axis=0).mean(0))) for seed in range(seeds)])
        method = "leave one out"
    others_finite = [
        bool(np.isfinite(np.delete(y, s, axis=0)[:, column]).all()) or method != "leave one out"
        for s, column in enumerate(chosen)
    ]
    own = np.where(others_finite, y[np.arange(seeds), chosen], np.inf)
    lowest = float(y.mean(0).min())
    return Tuned(
        grid,
        quadratic,
        tuple(float(x[c]) if fine else None for c, fine in zip(chosen, others_finite, strict=True)),
        tuple(own.tolist()),
        float(own.mean()) - lowest if np.isfinite(lowest) and np.isfinite(own).all() else None,
        method,
    )
