"""Does a longer memory gain because v then averages more gradients? Step 14 of results/causes/design.md.

Losses are averaged over the learning rates; seeds are paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.statistics import Endpoints, SeedMean, mean_over_seeds
from experiments.studies.completed import losses_at, read_ended
from experiments.studies.memory import POWER, SMALLEST_EFFECT
from gradpower.tools.labels import Label

_ARMS = {"A": ("first:2", 0.95), "M": ("first:2", 0.9875), "S": ("split:2", 0.95)}


@dataclass(frozen=True)
class MemorySamples:
    """The usual v (A), one of a longer memory (M), and one of more gradients a step (S)."""

    changes: dict[str, SeedMean]
    """At p = 1, loss of M and S less that of A."""
    powers: dict[str, SeedMean]
    """By arm, loss at p = 1.2 less that at p = 1."""
    endpoints: Endpoints
    """M, H and R of the design."""
    diverged: int
    """Runs that did, and count as if they had learnt nothing."""

    @property
    def label(self) -> Label:
        """That a longer memory gains because v averages more gradients: more than half of its gain."""
        if not self.endpoints.shown("M", -1):
            return Label.INCONCLUSIVE
        if self.endpoints.shown("H", -1):
            return Label.REPRODUCED
        return Label.NOT_REPRODUCED if self.endpoints.shown("H", 1) else Label.INCONCLUSIVE

    @property
    def power_label(self) -> Label:
        """That more gradients in v do what the power does."""
        if self.endpoints.shown("R", 1):
            return Label.REPRODUCED
        high = self.endpoints.means["R"].high
        return Label.NOT_REPRODUCED if high is not None and high < SMALLEST_EFFECT else Label.INCONCLUSIVE


def read_memory_samples(path: Path) -> MemorySamples:
    """Read the study from its summary; InputError if it is another's, or arms are missing."""
    summary, diverged = read_ended(path, "causes-memory-samples")
    losses = {
        (name, p): losses_at(summary, moments=moments, beta2=beta2, power=p)
        for name, (moments, beta2) in _ARMS.items()
        for p in (1.0, POWER)
    }
    changes = {name: losses[name, 1.0] - losses["A", 1.0] for name in ("M", "S")}
    powers = {name: losses[name, POWER] - losses[name, 1.0] for name in _ARMS}
    endpoints = {
        "M": changes["M"],
        "H": changes["S"] - changes["M"] / 2,
        "R": powers["S"] - powers["A"],
    }
    return MemorySamples(
        {name: mean_over_seeds(change) for name, change in changes.items()},
        {name: mean_over_seeds(change) for name, change in powers.items()},
        Endpoints.of(endpoints),
        diverged,
    )
