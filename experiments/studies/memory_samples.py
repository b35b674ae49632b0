"""Does a longer memory gain because v then averages more gradients? Step 14 of results/causes/design.md.

Losses are averaged over the learning rates; seeds are paired.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.statistics import Contrasts
from experiments.studies.completed import arms_at, losses_at, read_ended
from experiments.studies.memory import POWER, SMALLEST_EFFECT
from experiments.sweeps.results import Summary
from experiments.sweeps.study import Setting
from gradpower.tools.labels import Label
from theory.numerics.inputs import Array

_ARMS = {"A": ("first:2", 0.95), "M": ("first:2", 0.9875), "S": ("split:2", 0.95)}


class MemorySamples(Contrasts):
    """The usual v (A), one of a longer memory (M), and one of more gradients a step (S).

    "M" and "S" are what they change at p = 1, "power: A" and so on what p = 1.2 changes, "H" and "R" the design's;
    "update: A" and so on are the RMS of the update at p = 1, averaged over the evaluations.
    """

    @property
    def label(self) -> Label:
        """That a longer memory gains because v averages more gradients: more than half of its gain."""
        return self.side("H", -1) if self.shown("M", -1) else Label.INCONCLUSIVE

    @property
    def power_label(self) -> Label:
        """That more gradients in v do what the power does: both gain, and the power gains less with them."""
        if self.shown("power: A", -1) and self.shown("S", -1) and self.shown("R", 1):
            return Label.REPRODUCED
        high = self.means["R"].high if self.shown("power: A", -1) else None
        return Label.NOT_REPRODUCED if high is not None and high < SMALLEST_EFFECT else Label.INCONCLUSIVE


def read_memory_samples(path: Path) -> MemorySamples:
    """Read the study from its summary; InputError if it is another's, or arms are missing."""
    summary, diverged = read_ended(path, "causes-memory-samples")
    losses = {
        (name, p): losses_at(summary, moments=moments, beta2=beta2, power=p)
        for name, (moments, beta2) in _ARMS.items()
        for p in (1.0, POWER)
    }
    longer, more = (losses[name, 1.0] - losses["A", 1.0] for name in ("M", "S"))
    powers = {f"power: {name}": losses[name, POWER] - losses[name, 1.0] for name in _ARMS}
    numbers = {"M": longer, "S": more, "H": more - longer / 2, "R": powers["power: S"] - powers["power: A"]}
    updates = {
        f"update: {name}": _mean_updates(summary, moments=moments, beta2=beta2, power=1.0)
        for name, (moments, beta2) in _ARMS.items()
    }
    return MemorySamples.of(numbers | powers | updates, ("M", "S", "H", "R", "power: A"), diverged)


def _mean_updates(summary: Summary, **values: Setting) -> Array:
    """Return the mean RMS of the updates at the evaluations by seed, of those that have one; 0 if none has."""
    sizes = [
        [size for each in arm.evaluations if (size := each.get("update_rms")) is not None]
        for arm in arms_at(summary, **values)
    ]
    means = [float(np.mean(own)) if own else 0.0 for own in sizes]
    by_seed: Array = np.array(means).reshape(len(summary.study.seeds), -1).mean(axis=1)
    return by_seed
