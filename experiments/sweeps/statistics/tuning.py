"""The loss of each arm at its own tuned learning rate: what is tested, and an estimate without the choice's bias."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from experiments.sweeps.statistics.optima import GridBest, QuadraticBest, grid_best, quadratic_best
from theory.numerics.inputs import Array


@dataclass(frozen=True)
class Tuned:
    """Losses at the tuned learning rate.

    Attributes
    ----------
    grid : GridBest
        The rate with the lowest mean over all seeds, and whether it is an edge of the grid.
    quadratic : QuadraticBest
        The minimum of a parabola in the logarithm of the rate through all means.
    tried : tuple of float
        All rates of the grid: only values with the same ones can be tested against each other.
    rate : float
        The rate best in the mean of all seeds; of those with the fewest diverged seeds if none has all.
    losses : tuple of float
        Each seed's loss at that rate, which are tested; +inf if it diverged there. Their mean flatters.
    held_out_rates : tuple of (float or None)
        For each seed, the rate that is best in the mean of the other seeds; None if each diverged in one of them.
    held_out : tuple of float
        Each seed's loss at the rate of the others, which are an estimate only, without a test; +inf if it diverged.
    optimism : float or None
        Mean of the held-out losses minus the lowest mean loss: how much the plain choice flatters, in the mean at
        least 0.
    method : str
        How the held-out losses were found: "leave one out"; "one rate": nothing to choose; "one seed": chosen on
        itself, hence biased downward.
    """

    grid: GridBest
    quadratic: QuadraticBest
    tried: tuple[float, ...]
    rate: float
    losses: tuple[float, ...]
    held_out_rates: tuple[float | None, ...]
    held_out: tuple[float, ...]
    optimism: float | None
    method: str


def best_rate(losses: Array) -> int:
    """Return the column with the lowest mean, of those with the fewest rows at +inf; the first of several.

    >>> best_rate(np.array([[3.0, 2.9, 1.0], [3.0, 3.0, np.inf]]))
    1
    """
    diverged = np.isinf(losses)
    fewest = diverged.sum(0) == diverged.sum(0).min()
    # Where a column without any finite loss is left, all columns left are such.
    sums = np.where(diverged, 0.0, losses).sum(0)
    return int(np.argmin(np.where(fewest, sums, np.inf)))


def tune(rates: ArrayLike, losses: ArrayLike, *, alpha: float = 0.05, rng: Generator) -> Tuned:
    """Choose the learning rate, once by all seeds for a test, and for each seed by the others for an estimate.

    The lowest of several noisy means is lower than what the chosen rate is worth, the more so the more rates were
    tried. Between two values with the same grid of rates this cancels where there is no difference: the paired t test
    of their losses, each at the rate best in the mean of all seeds, rejects at level 0.05 in 0.02 to 0.05 of simulated
    studies of 3 or 5 seeds, for flat and curved losses. Between different grids it has no level. A seed's loss at a
    rate chosen by the others has no such bias: it is that of a rate tuned on one seed less. But choices that share
    seeds correlate these losses, 0.13 to 0.34 in simulations, and a t test that takes them as independent has level
    0.07 to 0.14 instead of 0.05. Hence the first are tested, and the second reported.

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
    >>> tuned.rate, tuned.losses
    (0.002, (2.9, 3.2, 3.0))
    >>> tuned.held_out_rates, tuned.held_out
    ((0.002, 0.002, 0.001), (2.9, 3.2, 3.2))
    """
    x, y = np.asarray(rates, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    grid = grid_best(x, y, rng=rng)
    quadratic = quadratic_best(x, y, alpha=alpha, rng=rng)
    chosen = best_rate(y)
    held_out_rates, held_out, method = _held_out(x, y)
    lowest = float(y.mean(0).min())
    known = np.isfinite(lowest) and np.isfinite(held_out).all()
    return Tuned(
        grid,
        quadratic,
        tuple(x.tolist()),
        float(x[chosen]),
        tuple(y[:, chosen].tolist()),
        held_out_rates,
        tuple(held_out.tolist()),
        float(held_out.mean()) - lowest if known else None,
        method,
    )


def _held_out(x: Array, y: Array) -> tuple[tuple[float | None, ...], Array, str]:
    """Return for each seed the rate that the others choose and the loss there, and the method."""
    seeds = len(y)
    if seeds == 1 or x.size == 1:
        column = int(np.argmin(y.mean(0)))
        return (float(x[column]),) * seeds, y[:, column], "one rate" if x.size == 1 else "one seed"
    # Not (sum − own): +inf must stay where the other seeds have it, and only there.
    means = np.stack([np.delete(y, seed, axis=0).mean(0) for seed in range(seeds)])
    chosen = means.argmin(1)
    fine = np.isfinite(means.min(1))
    rates = tuple(float(x[c]) if known else None for c, known in zip(chosen, fine, strict=True))
    return rates, np.where(fine, y[np.arange(seeds), chosen], np.inf), "leave one out"
