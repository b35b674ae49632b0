"""The loss of each value at its own tuned learning rate: what is tested, and an estimate without the choice's bias."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gradpower.tools.errors import InputError
from theory.numerics.inputs import Array


@dataclass(frozen=True)
class Tuned:
    """Losses at the tuned learning rate.

    Attributes
    ----------
    rate : float
        The rate best in the mean of all seeds; of those with the fewest diverged seeds if none has all.
    at_edge : bool
        It is the first or last of the grid: a better one may lie beyond.
    losses : tuple of float
        Each seed's loss at that rate, which are tested; +inf if it diverged there. Their mean flatters.
    held_out : tuple of float
        Each seed's loss at the rate that is best for the others: an estimate only, without a test; +inf if it diverged
        there, or every rate did for another seed. With one seed, or one rate, the losses themselves.
    """

    rate: float
    at_edge: bool
    losses: tuple[float, ...]
    held_out: tuple[float, ...]


def best_column(losses: Array) -> int:
    """Return the column with the lowest mean, of those with the fewest rows at +inf; the first of several.

    >>> best_column(np.array([[3.0, 2.9, 1.0], [3.0, 3.0, np.inf]]))
    1
    """
    diverged = np.isinf(losses)
    fewest = diverged.sum(0) == diverged.sum(0).min()
    # Where a column without any finite loss is left, all columns left are such.
    sums = np.where(diverged, 0.0, losses).sum(0)
    return int(np.argmin(np.where(fewest, sums, np.inf)))


def tune(rates: ArrayLike, losses: ArrayLike) -> Tuned:
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

    Raises
    ------
    InputError
        If the rates do not increase, or the losses do not fit them or are NaN or −inf.

    Examples
    --------
    >>> tuned = tune([1e-3, 2e-3], [[3.0, 2.9], [3.1, 3.2], [3.2, 3.0]])
    >>> tuned.rate, tuned.losses, tuned.held_out
    (0.002, (2.9, 3.2, 3.0), (2.9, 3.2, 3.2))
    """
    x, y = np.asarray(rates, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if x.ndim != 1 or not x.size or not np.all(np.isfinite(x)) or np.any(np.diff(x) <= 0):
        raise InputError("rates", x.tolist(), "one or more increasing numbers")
    if y.ndim != 2 or not len(y) or y.shape[1] != x.size or np.any(np.isnan(y) | (y == -np.inf)):
        raise InputError("losses", y.tolist(), f"numbers or +inf, shape (seeds, {x.size})")
    chosen = best_column(y)
    return Tuned(
        float(x[chosen]),
        chosen in (0, x.size - 1),
        tuple(y[:, chosen].tolist()),
        tuple(_held_out(y, chosen).tolist()),
    )


def _held_out(losses: Array, chosen: int) -> Array:
    """Return each seed's loss at the rate that the other seeds choose."""
    if 1 in losses.shape:
        return losses[:, chosen]
    # Not (sum − own): +inf must stay where the other seeds have it, and only there.
    means = np.stack([np.delete(losses, seed, axis=0).mean(0) for seed in range(len(losses))])
    found: Array = np.where(
        np.isfinite(means.min(1)), losses[np.arange(len(losses)), means.argmin(1)], np.inf
    )
    return found
