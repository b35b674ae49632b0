"""Which modules gain from p = 1.2, and which from a longer memory: steps 5 and 13 of results/causes/design.md.

The power of the head, of the embedding and of all else is 1 or 1.2, or their β2 is 0.95 or 0.99. Losses are averaged
over the learning rates, seeds are paired.
"""

from __future__ import annotations

from pathlib import Path

from experiments.statistics import Contrasts
from experiments.studies.completed import losses_at, read_completed, read_ended
from experiments.sweeps.results import Summary
from gradpower.tools.labels import Label
from theory.numerics.inputs import Array

# Which of all else, the embedding and the head have the other power, or memory.
_CELLS = {
    "head": (False, False, True),
    "embedding": (False, True, False),
    "all else": (True, False, False),
    "embedding and head": (False, True, True),
    "everywhere": (True, True, True),
}
ENDPOINTS = ("head", "embedding", "all else")
_MORE = "head less all else"


class ModulesStudy(Contrasts):
    """What a setting in some modules alone changes of the loss."""

    @property
    def gains(self) -> list[str]:
        """The modules in which a lower loss is shown."""
        return [name for name in ENDPOINTS if self.shown(name, -1)]


class PowerByModule(ModulesStudy):
    """Of p = 1.2 instead of 1."""

    @property
    def label(self) -> Label:
        """Of the noise model's prediction that p = 1.2 raises the loss in the head and in the embedding."""
        if "head" in self.gains or "embedding" in self.gains:
            return Label.NOT_REPRODUCED
        raised = [self.shown(name, 1) for name in ("head", "embedding")]
        return Label.REPRODUCED if all(raised) else Label.IN_PART if any(raised) else Label.INCONCLUSIVE

    @property
    def measured_label(self) -> Label:
        """Of the measured gradients' prediction that p = 1.2 lowers the loss in the head alone."""
        if self.shown("head", 1):
            return Label.NOT_REPRODUCED
        return Label.REPRODUCED if "head" in self.gains else Label.INCONCLUSIVE


class MemoryByModule(ModulesStudy):
    """Of β2 = 0.99 instead of 0.95, at p = 1; one more endpoint, "head less all else"."""

    @property
    def label(self) -> Label:
        """Of the measured gradients' prediction that the head gains, and more than the matrices and norms do."""
        if "head" in self.gains:
            return Label.REPRODUCED if self.shown(_MORE, -1) else Label.IN_PART
        refuted = self.shown("head", 1) or "all else" in self.gains
        return Label.NOT_REPRODUCED if refuted else Label.INCONCLUSIVE


def read_modules(path: Path) -> PowerByModule:
    """Read the study of the power from its summary; InputError as from `read_completed`."""
    return PowerByModule.of(_changes(read_completed(path, "causes-modules"), "power", (1.0, 1.2)), ENDPOINTS)


def read_memory_modules(path: Path) -> MemoryByModule:
    """Read the study of the memory from its summary; InputError if it is another's, or arms are missing."""
    summary, diverged = read_ended(path, "causes-memory-modules")
    changes = _changes(summary, "beta2", (0.95, 0.99))
    changes[_MORE] = changes["head"] - changes["all else"]
    return MemoryByModule.of(changes, (*ENDPOINTS, _MORE), diverged)


def _changes(summary: Summary, field: str, values: tuple[float, float]) -> dict[str, Array]:
    """Return what the second value does in the modules of each cell, by seed."""
    names = (field, f"embedding_{field}", f"head_{field}")

    def losses(*others: bool) -> Array:
        return losses_at(summary, **{name: values[other] for name, other in zip(names, others, strict=True)})

    start = losses(False, False, False)
    return {name: losses(*cell) - start for name, cell in _CELLS.items()}
