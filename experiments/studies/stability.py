"""Whether the stability edge explains the gain of p = 1.2: step 10 of results/causes/design.md.

A run is unstable if it diverges, or ends `UNSTABLE` nats or more above the lowest loss of its power and seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.statistics import SeedMean, mean_over_seeds
from experiments.studies.completed import arms_at, read_completed, tried
from experiments.sweeps.results import Summary
from experiments.sweeps.study import Setting
from gradpower.tools.labels import Label
from theory.numerics.inputs import Array

POWERS = (0.8, 1.0, 1.2)
RATE = 2.83e-3  # of the runs whose sharpness is measured
UNSTABLE = 0.3


@dataclass(frozen=True)
class Stability:
    """Where training becomes unstable, and how far from there the runs that gain are."""

    highest: dict[float, tuple[float, ...]]
    """By power, the highest stable rate of each seed."""
    shifts: dict[float, SeedMean]
    """ln of the highest stable rate at p = 0.8 and 1.2, less that at p = 1."""
    rate: float
    """At which the sharpness is measured."""
    sharpness: dict[float, tuple[float, float]]
    """By power, the least and the largest η·|λ| over evaluations and seeds."""
    edge: float
    """2(1 + β1)/(1 − β1): above, Adam is unstable on a quadratic."""

    @property
    def label(self) -> Label:
        """Of the edge as the cause: not reproduced if the runs at p = 1 are far from it by both measures."""
        far = self.sharpness[1.0][1] < self.edge / 2 and min(self.highest[1.0]) >= 2 * RATE
        return Label.NOT_REPRODUCED if far else Label.INCONCLUSIVE


def read_stability(rates: Path, sharpness: Path) -> Stability:
    """Read both studies from their summaries; InputError if arms are missing, or diverged in the second."""
    swept = read_completed(rates, "causes-stability", diverged=True)
    measured = read_completed(sharpness, "causes-sharpness")
    highest = {power: highest_stable(swept, power=power) for power in POWERS}
    shifts = {p: mean_over_seeds(np.log(highest[p] / highest[1.0])) for p in POWERS if p != 1}
    products = {}
    for power in POWERS:
        rows = [row["sharpness"] for arm in arms_at(measured, power=power) for row in arm.evaluations]
        products[power] = RATE * np.abs(np.array(rows, dtype=np.float64))
    beta1 = measured.study.recipe.optimizer.beta1
    return Stability(
        {power: tuple(found.tolist()) for power, found in highest.items()},
        shifts,
        RATE,
        {power: (float(found.min()), float(found.max())) for power, found in products.items()},
        2 * (1 + beta1) / (1 - beta1),
    )


def highest_stable(summary: Summary, **values: Setting) -> Array:
    """Return the highest stable learning rate of the arms with some values, by seed."""
    rates = tried(summary, "optimizer.learning_rate")
    losses = [[arm.loss for arm in arms_at(summary, learning_rate=rate, **values)] for rate in rates]
    diverged_last = np.array([[np.inf if loss is None else loss for loss in own] for own in losses])
    return _highest_stable(np.array(rates), diverged_last)


def _highest_stable(rates: Array, losses: Array) -> Array:
    """Return the highest rate below the first unstable one, by seed; rates below the best one count as stable.

    >>> _highest_stable(np.array([1.0, 2.0, 4.0]), np.array([[3.4, 3.0], [3.0, 3.4], [3.9, 3.1]]))
    array([2., 1.])
    """
    beyond = np.arange(len(rates))[:, None] > losses.argmin(axis=0)
    unstable = beyond & (losses >= losses.min(axis=0) + UNSTABLE)
    first = np.where(unstable.any(axis=0), unstable.argmax(axis=0), len(rates))
    return np.asarray(rates[first - 1])
