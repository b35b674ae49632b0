"""Whether a longer memory of the head does what p = 1.2 does there: step 11 of results/causes/design.md.

β2 of all else and of the head is 0.95 or 0.99, the power of the head 1 or 1.2; seeds are paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from experiments.statistics import Contrasts, SeedMean, mean_over_seeds
from experiments.studies.completed import arms_at, losses_at, read_completed
from experiments.sweeps.results import Summary
from gradpower.tools.errors import require
from gradpower.tools.labels import Label
from theory.numerics.inputs import Array

POWER, MEMORIES = 1.2, (0.95, 0.99)


@dataclass(frozen=True)
class HeadMemory:
    """What power and memory of the head change, alone and together."""

    plain: dict[tuple[float, float], float]
    """Mean loss at p = 1, by β2 of all else and of the head."""
    changes: dict[tuple[float, float], SeedMean]
    """What p = 1.2 in the head changes of it."""
    endpoints: Contrasts
    """A to D of the design."""
    elsewhere: SeedMean
    """What β2 = 0.99 of all else but the head changes, at p = 1; not declared."""
    rarest: float
    """Mean ln(predicted/actual number) of the rarest tenth at p = 1 and β2 = 0.95."""

    @property
    def label(self) -> Label:
        """That memory replaces the power in the head."""
        replaced, still_gains = self.endpoints.shown("C", 1), self.endpoints.shown("A", -1)
        if replaced:
            return Label.IN_PART if still_gains else Label.REPRODUCED
        return Label.NOT_REPRODUCED if still_gains else Label.INCONCLUSIVE

    @property
    def bias_label(self) -> Label:
        """Of the theory's bias: memory gains in the head, and the power lets rare tokens be expected more often."""
        if self.endpoints.shown("D", -1) or self.endpoints.shown("B", 1):
            return Label.NOT_REPRODUCED
        shown = self.endpoints.shown("D", 1), self.endpoints.shown("B", -1)
        return Label.REPRODUCED if all(shown) else Label.IN_PART if any(shown) else Label.INCONCLUSIVE


def read_head_memory(path: Path) -> HeadMemory:
    """Read the study from its summary; InputError as from `read_completed`."""
    summary = read_completed(path, "causes-head-memory")
    cells = list(product(MEMORIES, MEMORIES))
    plain, powered = (
        {(rest, head): losses_at(summary, beta2=rest, head_beta2=head, head_power=p) for rest, head in cells}
        for p in (1.0, POWER)
    )
    changes = {cell: powered[cell] - plain[cell] for cell in cells}
    usual, longer, everywhere = (0.95, 0.95), (0.95, 0.99), (0.99, 0.99)
    rarest = _rarest(summary, 1.0)
    endpoints = {
        "A": changes[everywhere],
        "B": plain[longer] - plain[usual],
        "C": changes[longer] - changes[usual],
        "D": _rarest(summary, POWER) - rarest,
    }
    return HeadMemory(
        {cell: float(losses.mean()) for cell, losses in plain.items()},
        {cell: mean_over_seeds(change) for cell, change in changes.items()},
        Contrasts.of(endpoints),
        mean_over_seeds(plain[0.99, 0.95] - plain[usual]),
        float(rarest.mean()),
    )


def _rarest(summary: Summary, power: float) -> Array:
    """Return ln(predicted/actual number) of the rarest tenth by seed, at β2 = 0.95 everywhere."""
    rows = [
        arm.calibration_by_frequency
        for arm in arms_at(summary, beta2=0.95, head_beta2=0.95, head_power=power)
    ]
    known = all(row is not None and row[0] is not None for row in rows)
    require(known, "study", summary.study.name, "one whose arms say how often each tenth is predicted")
    return np.array([row[0] for row in rows if row is not None], dtype=np.float64)
