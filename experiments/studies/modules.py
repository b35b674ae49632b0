"""Which modules gain from p = 1.2, and which from a longer memory: steps 5 and 13 of results/causes/design.md.

The power of the head, of the embedding and of all else is 1 or 1.2, or their β2 is 0.95 or 0.99. Losses are averaged
over the learning rates, seeds are paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.statistics import SeedMean, adjusted_p_values, mean_over_seeds
from experiments.studies.completed import losses_at, read_completed
from gradpower.tools.labels import Label
from theory.numerics.inputs import Array

_ALPHA = 0.05
# Which of all else, the embedding and the head have the other power, or memory.
_CELLS = {
    "head": (False, False, True),
    "embedding": (False, True, False),
    "all else": (True, False, False),
    "embedding and head": (False, True, True),
    "everywhere": (True, True, True),
}
ENDPOINTS = ("head", "embedding", "all else")


@dataclass(frozen=True)
class ModulesStudy:
    """What a setting in some modules alone changes of the loss, by module; the first three are the endpoints."""

    changes: dict[str, SeedMean]
    adjusted: dict[str, float | None]
    """p-values of the endpoints, with Holm's correction."""

    @property
    def gains(self) -> list[str]:
        """The endpoints at which a lower loss is shown."""
        return [name for name in ENDPOINTS if self.changes[name].mean < 0 and self._shown(name)]

    def _shown(self, name: str) -> bool:
        p = self.adjusted[name]
        return p is not None and p <= _ALPHA


class PowerByModule(ModulesStudy):
    """Of p = 1.2 instead of 1."""

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


class MemoryByModule(ModulesStudy):
    """Of β2 = 0.99 instead of 0.95, at p = 1."""

    @property
    def label(self) -> Label:
        """Of the measured gradients' prediction that the head gains, and all but embedding and head does not."""
        head, rest = ("head" in self.gains, "all else" in self.gains)
        if head:
            return Label.IN_PART if rest else Label.REPRODUCED
        return Label.NOT_REPRODUCED if rest else Label.INCONCLUSIVE


def read_modules(path: Path) -> PowerByModule:
    """Read the study of the power from its summary; InputError as from `read_completed`."""
    return PowerByModule(*_read(path, "causes-modules", "power", (1.0, 1.2)))


def read_memory_modules(path: Path) -> MemoryByModule:
    """Read the study of the memory from its summary; InputError as from `read_completed`."""
    return MemoryByModule(*_read(path, "causes-memory-modules", "beta2", (0.95, 0.99)))


def _read(
    path: Path, study: str, field: str, values: tuple[float, float]
) -> tuple[dict[str, SeedMean], dict[str, float | None]]:
    summary = read_completed(path, study)
    names = (field, f"embedding_{field}", f"head_{field}")

    def losses(*others: bool) -> Array:
        return losses_at(summary, **{name: values[other] for name, other in zip(names, others, strict=True)})

    start = losses(False, False, False)
    changes = {name: mean_over_seeds(losses(*cell) - start) for name, cell in _CELLS.items()}
    adjusted = adjusted_p_values([changes[name].p_value for name in ENDPOINTS])
    return changes, dict(zip(ENDPOINTS, adjusted, strict=True))
