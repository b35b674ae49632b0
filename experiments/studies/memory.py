"""Whether a longer memory of the second moment does what p = 1.2 does: steps 4 and 12 of results/causes/design.md.

Losses are averaged over the learning rates; seeds are paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.statistics import SeedMean, equivalence_p_value, mean_over_seeds, one_sided
from experiments.studies.completed import losses_at, read_ended, tried
from experiments.sweeps.study import Study
from gradpower.tools.labels import Label
from theory.numerics.inputs import Array

# β2: what language models are trained with, and the best one of step 1 at this batch size
USUAL, BEST = 0.95, 0.99
POWER = 1.2
SMALLEST_EFFECT = 0.01  # nats a token
_ALPHA = 0.05


@dataclass(frozen=True)
class MemoryRow:
    """One β2: what it does by itself, and what the power does at it."""

    beta2: float
    loss: float
    """Mean loss at p = 1."""
    power: SeedMean
    """Loss at p = 1.2 less that at p = 1 …"""
    by_rate: tuple[SeedMean, ...]
    """… and the same at each learning rate."""
    memory: SeedMean
    """At p = 1, loss at this β2 less that at 0.95."""
    both: SeedMean
    """Loss at p = 1.2 and this β2 less that at p = 1 and 0.95."""


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
        usual = next(row.power for row in self.rows if row.beta2 == USUAL)
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
    by_head = "optimizer.head_power" in summary.arms[0].values
    rates = tried(summary, "optimizer.learning_rate")

    def losses(power: float, beta2: float, **others: float) -> Array:
        head = {"head_power": power} if by_head else {}
        return losses_at(summary, **({"power": power, "beta2": beta2} | head | others))

    def change(beta2: float, **others: float) -> Array:
        return losses(POWER, beta2, **others) - losses(1.0, beta2, **others)

    start = losses(1.0, USUAL)
    rows = tuple(
        MemoryRow(
            beta2,
            float(losses(1.0, beta2).mean()),
            mean_over_seeds(change(beta2)),
            tuple(mean_over_seeds(change(beta2, learning_rate=rate)) for rate in rates),
            mean_over_seeds(losses(1.0, beta2) - start),
            mean_over_seeds(losses(POWER, beta2) - start),
        )
        for beta2 in tried(summary, "optimizer.beta2")
    )
    interaction = mean_over_seeds(change(BEST) - change(USUAL))
    return MemoryStudy(
        summary.study,
        tuple(rates),
        rows,
        mean_over_seeds(losses(1.0, BEST) - losses(POWER, USUAL)),
        interaction,
        one_sided(interaction, 1),
        equivalence_p_value(mean_over_seeds(change(BEST)), SMALLEST_EFFECT),
        mean_over_seeds(losses(1.0, USUAL, head_power=POWER) - start) if by_head else None,
        diverged,
    )
