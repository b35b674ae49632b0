"""Whether a longer memory of the second moment does what p = 1.2 does: steps 4 and 12 of results/causes/design.md.

Losses are averaged over the learning rates; seeds are paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from experiments.statistics import Contrasts, SeedMean, equivalence_p_value, mean_over_seeds, one_sided
from experiments.studies.completed import losses_at, read_ended, tried
from experiments.sweeps.results import Summary
from experiments.sweeps.study import Study
from gradpower.tools.errors import require
from gradpower.tools.labels import Label
from theory.numerics.inputs import Array

# β2: what language models are trained with, and the best one of step 1 at this batch size
USUAL, BEST = 0.95, 0.99
POWER = 1.2
SMALLEST_EFFECT = 0.01  # nats a token
_ALPHA = 0.05
_HEAD = "optimizer.head_power"


@dataclass(frozen=True)
class MemoryRow:
    """One batch size and β2."""

    batch_size: int
    beta2: float
    loss: float
    """Mean loss at p = 1."""
    losses: dict[float, SeedMean]
    """By power: loss less that at p = 1 and β2 = 0.95."""
    changes: dict[float, SeedMean]
    """By power: loss less that at p = 1 and this β2 …"""
    by_rate: dict[float, tuple[SeedMean, ...]]
    """… and the same at each learning rate."""


@dataclass(frozen=True)
class MemoryStudy:
    """What the study says of the claim that at β2 = 0.99 nothing is left of what p = 1.2 gains at 0.95."""

    study: Study
    rates: tuple[float, ...]
    rows: tuple[MemoryRow, ...]
    longer: SeedMean
    """Loss at p = 1 and β2 = 0.99 less that at p = 1.2 and 0.95."""
    interaction: SeedMean
    """What p = 1.2 changes at β2 = 0.99 less what it changes at 0.95."""
    p_value: float
    """Of an interaction above 0, one-sided: the primary test."""
    equivalence: float | None
    """p-value of a change by the power of `SMALLEST_EFFECT` or more at β2 = 0.99."""
    head: SeedMean | None = None
    """What p = 1.2 in the head alone changes at β2 = 0.95, where it was tried."""
    diverged: int = 0

    @property
    def label(self) -> Label:
        """Reproduced if there is a gain at 0.95 and both tests reject, in part if only the primary one does."""
        usual = next(row.changes[POWER] for row in self.rows if row.beta2 == USUAL)
        if self.p_value <= _ALPHA and (usual.high or 0.0) < 0:
            equal = self.equivalence is not None and self.equivalence <= _ALPHA
            return Label.REPRODUCED if equal else Label.IN_PART
        below = self.interaction.high is not None and self.interaction.high < SMALLEST_EFFECT
        return Label.NOT_REPRODUCED if below else Label.INCONCLUSIVE


def read_memory(path: Path, name: str = "causes-memory") -> MemoryStudy:
    """Read the study, or that of the larger model, from its summary; InputError if it is another's or arms are missing.

    A diverged arm counts as one that has learnt nothing.
    """
    summary, diverged = read_ended(path, name)
    losses = partial(_losses, summary)

    def change(beta2: float) -> Array:
        return losses(POWER, beta2) - losses(1.0, beta2)

    interaction = mean_over_seeds(change(BEST) - change(USUAL))
    return MemoryStudy(
        summary.study,
        tuple(tried(summary, "optimizer.learning_rate")),
        tuple(memory_rows(summary, 2)),
        mean_over_seeds(losses(1.0, BEST) - losses(POWER, USUAL)),
        interaction,
        one_sided(interaction, 1),
        equivalence_p_value(mean_over_seeds(change(BEST)), SMALLEST_EFFECT),
        mean_over_seeds(losses(1.0, USUAL, head_power=POWER) - losses(1.0, USUAL))
        if _HEAD in summary.arms[0].values
        else None,
        diverged,
    )


class BestRates(Contrasts):
    """Each memory at its best rate, 5.66e-3 at β2 = 0.95 and 2.83e-3 at 0.99: step 15 of results/causes/design.md.

    "P" is what p = 1.2 changes at β2 = 0.95, "M" what β2 = 0.99 changes at p = 1, "best" p = 1.2 at β2 = 0.95 less β2 =
    0.99 at p = 1; "power: 0.99" is what p = 1.2 changes at β2 = 0.99 and 5.66e-3.
    """

    def label(self, name: str) -> Label:
        """That the power (P), or a longer memory (M), gains."""
        return self.side(name, -1, SMALLEST_EFFECT)


def read_best_rates(path: Path, surface: Path) -> BestRates:
    """Read the study, and the surface for the other rate, from their summaries; InputError as from `read_memory`."""
    summary, diverged = read_ended(path, "causes-memory-rate")
    others, _ = read_ended(surface, "causes-memory-surface")
    require(others.study.seeds == summary.study.seeds, "study", path, "one with the seeds of the surface")
    usual, powered = (_losses(summary, p, USUAL) for p in (1.0, POWER))
    longer = _losses(others, 1.0, BEST, learning_rate=2.83e-3)
    numbers = {
        "P": powered - usual,
        "M": longer - usual,
        "best": powered - longer,
        "power: 0.99": _losses(summary, POWER, BEST) - _losses(summary, 1.0, BEST),
    }
    return BestRates.of(numbers, ("P", "M"), diverged)


def memory_rows(summary: Summary, size: float) -> list[MemoryRow]:
    """Return the rows of one batch size, which all arms have if none is among their values."""
    at = {"batch_size": size} if "training.batch_size" in summary.arms[0].values else {}

    def losses(power: float, beta2: float, **others: float) -> Array:
        return _losses(summary, power, beta2, **at, **others)

    powers, rates = (tried(summary, f"optimizer.{name}") for name in ("power", "learning_rate"))
    others = [p for p in powers if p != 1]
    return [
        MemoryRow(
            int(size),
            beta2,
            float(losses(1.0, beta2).mean()),
            {p: mean_over_seeds(losses(p, beta2) - losses(1.0, USUAL)) for p in powers},
            {p: mean_over_seeds(losses(p, beta2) - losses(1.0, beta2)) for p in others},
            {
                p: tuple(
                    mean_over_seeds(
                        losses(p, beta2, learning_rate=rate) - losses(1.0, beta2, learning_rate=rate)
                    )
                    for rate in rates
                )
                for p in others
            },
        )
        for beta2 in tried(summary, "optimizer.beta2")
    ]


def _losses(summary: Summary, power: float, beta2: float, **others: float) -> Array:
    """Return the losses by seed with one power in all modules, but for what is told."""
    head = {"head_power": power} if _HEAD in summary.arms[0].values else {}
    return losses_at(summary, **({"power": power, "beta2": beta2} | head | others))
