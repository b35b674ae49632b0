"""Whether the gain of p = 1.2 in the head fades as the batch grows: step 7 of results/causes/design.md.

Losses are averaged over the learning rates; seeds are paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.statistics import SeedMean, mean_over_seeds, one_sided
from experiments.studies.completed import losses_at, read_completed
from gradpower.tools.labels import Label

POWER = 1.2
_ALPHA = 0.05
_SMALLEST_EFFECT = 0.01


@dataclass(frozen=True)
class HeadByBatch:
    """What p = 1.2 in the head alone changes of the loss."""

    changes: dict[int, SeedMean]
    """By batch size, from the smallest on."""
    fades: SeedMean
    """The change at the largest batch less that at the smallest."""
    p_values: tuple[float, float, float]
    """One-sided: a gain at the smallest batch; fading; a gain at the middle one. Each counts if those before reject."""

    @property
    def label(self) -> Label:
        """By the declared rule, of a gain that fades."""
        gain, fading, _ = self.p_values
        if gain <= _ALPHA:
            return Label.REPRODUCED if fading <= _ALPHA else Label.IN_PART
        first = next(iter(self.changes.values()))
        none = first.low is not None and first.low > -_SMALLEST_EFFECT
        return Label.NOT_REPRODUCED if none else Label.INCONCLUSIVE


def read_head_batch(path: Path) -> HeadByBatch:
    """Read the study from its summary; InputError if it is not there or arms are missing or diverged."""
    summary = read_completed(path, "causes-head-batch")
    sizes = sorted({int(arm.values["training.batch_size"]) for arm in summary.arms})
    found = {
        size: losses_at(summary, batch_size=size, head_power=POWER)
        - losses_at(summary, batch_size=size, head_power=1.0)
        for size in sizes
    }
    small, middle, large = (mean_over_seeds(found[size]) for size in sizes)
    fades = mean_over_seeds(found[sizes[-1]] - found[sizes[0]])
    tests = one_sided(small, -1), one_sided(fades, 1), one_sided(middle, -1)
    return HeadByBatch(dict(zip(sizes, (small, middle, large), strict=True)), fades, tests)
