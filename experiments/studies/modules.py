"""Which modules the gain of p = 1.2 comes from: step 5 of results/causes/design.md.

The power of the head, of the embedding and of all else is 1 or 1.2; losses are averaged over the learning rates,
seeds are paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.statistics import SeedMean, adjusted_p_values, mean_over_seeds
from experiments.studies.completed import losses_at, read_completed
from gradpower.tools.labels import Label

POWER = 1.2
_ALPHA = 0.05
# Powers of all else, of the embedding and of the head.
_CELLS = {
    "head": (1.0, 1.0, POWER),
    "embedding": (1.0, POWER, 1.0),
    "all else": (POWER, 1.0, 1.0),
    "embedding and head": (1.0, POWER, POWER),
    "everywhere": (POWER, POWER, POWER),
}
ENDPOINTS = ("head", "embedding", "all else")


@dataclass(frozen=True)
class ModulesStudy:
    """What p = 1.2 in some modules changes of the loss with p = 1 everywhere."""

    changes: dict[str, SeedMean]
    """By module; the first three are the endpoints."""
    adjusted: dict[str, float | None]
    """p-values of the endpoints, with Holm's correction."""

    @property
    def gains(self) -> list[str]:
        """The endpoints at which a loss below that of p = 1 is shown."""
        return [name for name in ENDPOINTS if self.changes[name].mean < 0 and self._shown(name)]

    @property
    def label(self) -> Label:
        """Of the noise model's prediction that p = 1.2 raises the loss in the head and in the embedding."""
        if "head" in self.gains or "embedding" in self.gains:
            return Label.NOT_REPRODUCED
        raised = [self._shown(name) for name in ("head", "embedding")]
        return Label.REPRODUCED if all(raised) else Label.IN_PART if any(raised) else Label.INCONCLUSIVE

    @property
    def measured_label(self) -> Label:
        """Of the measured gradients' prediction that p = 1.2 lowers the loss in the head alone."""
        if not self._shown("head"):
            return Label.INCONCLUSIVE
        return Label.REPRODUCED if "head" in self.gains else Label.NOT_REPRODUCED

    def _shown(self, name: str) -> bool:
        p = self.adjusted[name]
        return p is not None and p <= _ALPHA


def read_modules(path: Path) -> ModulesStudy:
    """Read the study from its summary; InputError if it is not there or arms are missing or diverged."""
    summary = read_completed(path, "causes-modules")
    start = losses_at(summary, power=1.0, embedding_power=1.0, head_power=1.0)
    changes = {
        name: mean_over_seeds(
            losses_at(summary, power=rest, embedding_power=embedding, head_power=head) - start
        )
        for name, (rest, embedding, head) in _CELLS.items()
    }
    adjusted = adjusted_p_values([changes[name].p_value for name in ENDPOINTS])
    return ModulesStudy(changes, dict(zip(ENDPOINTS, adjusted, strict=True)))
