"""Which modules the gain of p = 1.2 comes from: step 5 of results/causes/design.md.

The power of the embedding and the head ("ends") is 1 or 1.2, as is that of all else; losses are averaged over the
learning rates, seeds are paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.statistics import SeedMean, adjusted_p_values, mean_over_seeds
from experiments.studies.completed import judged_over, losses_at, read_completed
from gradpower.tools.labels import Label

MODULES = "causes/modules.json"  # in results
POWER = 1.2
_ALPHA = 0.05


@dataclass(frozen=True)
class ModulesStudy:
    """Losses less that with p = 1 everywhere, with p = 1.2 in some modules."""

    ends: SeedMean
    """At the ends alone."""
    rest: SeedMean
    """In all else alone."""
    both: SeedMean
    """Everywhere."""
    interaction: SeedMean
    """The last less the sum of the others."""
    adjusted: tuple[float | None, ...]
    """p-values of the first two, which are the endpoints, with Holm's correction."""

    @property
    def label(self) -> Label:
        """Of the noise model's prediction that p = 1.2 at the ends alone raises the loss."""
        p, change = self.adjusted[0], self.ends.mean
        if p is None or p > _ALPHA:
            return Label.INCONCLUSIVE
        return Label.REPRODUCED if change > 0 else Label.NOT_REPRODUCED

    @property
    def gain(self) -> Literal["in the ends", "in all else", "in both", "in neither alone"]:
        """Where a loss below that of p = 1 is shown."""
        shown = [
            p is not None and p <= _ALPHA and mean.mean < 0
            for p, mean in zip(self.adjusted, (self.ends, self.rest), strict=True)
        ]
        if all(shown):
            return "in both"
        return "in the ends" if shown[0] else "in all else" if shown[1] else "in neither alone"


def read_modules(path: Path) -> ModulesStudy:
    """Read the study from its summary; InputError if it is not there or arms are missing or diverged."""
    summary = read_completed(path)
    groups = judged_over("averaged", summary.study, summary.arms).groups
    plain, powered = (next(group for group in groups if group.within == p) for p in (1.0, POWER))
    start = losses_at(plain, 1.0)
    ends, rest, both = (
        losses_at(g, p) - start for g, p in ((plain, POWER), (powered, 1.0), (powered, POWER))
    )
    endpoints = mean_over_seeds(ends), mean_over_seeds(rest)
    adjusted = adjusted_p_values([mean.p_value for mean in endpoints], "holm")
    return ModulesStudy(
        *endpoints, mean_over_seeds(both), mean_over_seeds(both - ends - rest), tuple(adjusted)
    )
