"""All studies of results/causes: why p = 1.2 gains, in steps of one design."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from experiments.studies.batch_size import Reading, read_deciding
from experiments.studies.branching import Branching, read_branching
from experiments.studies.completed import Found, read_if_completed
from experiments.studies.head import HeadChanges, read_head_batch, read_signs
from experiments.studies.head_memory import HeadMemory, read_head_memory
from experiments.studies.memory import BestRates, MemoryStudy, read_best_rates, read_memory
from experiments.studies.memory_samples import MemorySamples, read_memory_samples
from experiments.studies.modules import MemoryByModule, PowerByModule, read_memory_modules, read_modules
from experiments.studies.rare_tokens import RareTokens, read_rare_tokens
from experiments.studies.stability import Stability, read_stability
from experiments.studies.surface import Surface, read_surface


@dataclass(frozen=True)
class Causes:
    """What each study says; None where it has not been run to its end."""

    memory: MemoryStudy | None = None
    modules: PowerByModule | None = None
    tokens: RareTokens | None = None
    head_batch: HeadChanges | None = None
    branching: Branching | None = None
    signs: HeadChanges | None = None
    stability: Stability | None = None
    head_memory: HeadMemory | None = None
    memory_modules: MemoryByModule | None = None
    larger: MemoryStudy | None = None
    surface: Surface | None = None
    memory_samples: MemorySamples | None = None
    batch: Reading | None = None
    batch_web: Reading | None = None
    best_rates: BestRates | None = None


def read_causes(folder: Path) -> Causes:
    """Read the summaries in a folder; InputError if one is damaged or of another study, or has diverged arms."""

    def found(read: Callable[..., Found], *names: str) -> Found | None:
        return read_if_completed(read, *(folder / f"{name}.json" for name in names))

    return Causes(
        found(read_memory, "memory"),
        found(read_modules, "modules"),
        found(read_rare_tokens, "modules", "tokens"),
        found(read_head_batch, "head-batch"),
        found(read_branching, "branching", "memory"),
        found(read_signs, "signs"),
        found(read_stability, "stability", "sharpness"),
        found(read_head_memory, "head-memory"),
        found(read_memory_modules, "memory-modules"),
        found(partial(read_memory, name="causes-larger"), "larger"),
        found(read_surface, "memory-surface", "memory-batch") or found(read_surface, "memory-surface"),
        found(read_memory_samples, "memory-samples"),
        found(read_deciding, "batch"),
        found(partial(read_deciding, name="causes-batch-web"), "batch-web"),
        found(read_best_rates, "memory-rate", "memory-surface"),
    )
