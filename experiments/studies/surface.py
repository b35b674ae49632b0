"""The loss over power, memory of the second moment and batch size: step 4 of results/causes/design.md, continued.

Seeds are paired. Losses are averaged over the learning rates, but where best settings are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from experiments.statistics import SeedMean, equivalence_p_value, mean_over_seeds
from experiments.studies.completed import losses_at, read_ended, tried
from experiments.studies.memory import POWER, SMALLEST_EFFECT, USUAL, MemoryRow, memory_rows
from experiments.sweeps.results import Summary
from gradpower.tools.labels import Label
from theory.numerics.inputs import Array

_ALPHA = 0.05
Cell = tuple[float, float, float]
"""(p, β2, learning rate)."""


@dataclass(frozen=True)
class BestAgainstBest:
    """The loss of the best AdamPower less that of the best Adam, by `cross_fitted`."""

    batch_size: int
    change: SeedMean
    chosen: tuple[Cell, ...]
    """The cells of AdamPower and of Adam that half of the seeds chose, then those that the others did."""

    @property
    def equivalence(self) -> float | None:
        """p-value of a change of `SMALLEST_EFFECT` or more."""
        return equivalence_p_value(self.change, SMALLEST_EFFECT)

    @property
    def label(self) -> Label:
        """That a power lowers the loss of tuned Adam; declared at batch 2 only."""
        if self.change.high is None or self.change.low is None:
            return Label.INCONCLUSIVE
        if self.change.high < 0:
            return Label.REPRODUCED
        equal = self.equivalence is not None and self.equivalence <= _ALPHA
        return Label.NOT_REPRODUCED if equal or self.change.low > 0 else Label.INCONCLUSIVE


@dataclass(frozen=True)
class Surface:
    """What the studies say."""

    rows: tuple[MemoryRow, ...]
    slope: SeedMean
    """Of the change by p = 1.2 at batch 2, in ln(1 − β2): below 0 if it rises as the memory grows."""
    exchange: dict[float, SeedMean | None]
    """By β2: ln of how many times as long a memory lowers the loss of p = 1 as far as p = 1.2 does, by jackknife.

    None if, with all seeds or without one, p = 1.2 does not lower it, or no memory that was tried does as much."""
    best: tuple[BestAgainstBest, ...]
    diverged: int
    """Runs that did, and count as if they had learnt nothing."""


def read_surface(surface: Path, batches: Path | None = None) -> Surface:
    """Read the study, and that of larger batches; InputError if a summary is another's, or arms are missing."""
    small, diverged = read_ended(surface, "causes-memory-surface")
    sizes = [(small, 2.0)]
    if batches is not None:
        larger, more = read_ended(batches, "causes-memory-batch")
        sizes += [(larger, size) for size in tried(larger, "training.batch_size")]
        diverged += more
    memories = tried(small, "optimizer.beta2")
    plain, powered = (
        np.array([losses_at(small, power=p, beta2=beta2) for beta2 in memories]) for p in (1.0, POWER)
    )
    logs = np.log1p(-np.array(memories))
    return Surface(
        tuple(row for summary, size in sizes for row in memory_rows(summary, size)),
        mean_over_seeds(np.polyfit(logs, powered - plain, 1)[0]),
        {beta2: exchange(logs, plain, powered, memories.index(beta2)) for beta2 in (0.9, USUAL)},
        tuple(_best_against_best(summary, size) for summary, size in sizes),
        diverged,
    )


def exchange(logs: Array, plain: Array, powered: Array, start: int) -> SeedMean | None:
    """Return ln of the factor by which to lengthen the memory of p = 1; see `Surface.exchange`.

    `logs` are ln(1 − β2), falling, shape (memories,); losses have shape (memories, seeds); `start` is a memory's place.
    """
    seeds = np.arange(plain.shape[1])
    factors = np.array(
        [
            _log_factor(logs, plain[:, own].mean(1), float(powered[start, own].mean()), start)
            for own in (seeds, *(seeds[seeds != left_out] for left_out in seeds))
        ]
    )
    if np.isnan(factors).any():
        return None
    return mean_over_seeds(len(seeds) * factors[0] - (len(seeds) - 1) * factors[1:])


def _log_factor(logs: Array, losses: Array, wanted: float, start: int) -> float:
    """Return ln of the factor from `start` to the first memory whose loss, interpolated linearly, is the one wanted."""
    if wanted <= losses[start]:
        for i in range(start, len(losses) - 1):
            here, there = losses[i], losses[i + 1]
            if here >= wanted >= there and here > there:
                place = logs[i] + (logs[i + 1] - logs[i]) * (here - wanted) / (here - there)
                return float(logs[start] - place)
    return float("nan")


def cross_fitted(losses: Mapping[Cell, Array]) -> tuple[SeedMean, tuple[Cell, ...]]:
    """Return the loss of the best cell with p ≠ 1 less that of the best with p = 1, and the cells that were chosen.

    Half of the seeds choose both, by the lowest mean loss; the others judge them; then the halves change places. The t
    interval is approximate, as the two halves may judge different cells. Where all cells are equal and independent, it
    lies below 0 in up to 4.5 % of simulated studies of 4 and 8 seeds, instead of 2.5 %.
    """
    seeds = np.arange(len(next(iter(losses.values()))))
    half = seeds < len(seeds) // 2
    chosen, differences = [], []
    for choosing in (half, ~half):
        mean = {cell: float(values[choosing].mean()) for cell, values in losses.items()}
        powered, plain = (
            min((cell for cell in mean if (cell[0] != 1) == other), key=mean.__getitem__)
            for other in (True, False)
        )
        chosen += [powered, plain]
        differences.append((losses[powered] - losses[plain])[~choosing])
    return mean_over_seeds(np.concatenate(differences)), tuple(chosen)


def _best_against_best(summary: Summary, size: float) -> BestAgainstBest:
    at = {"batch_size": size} if "training.batch_size" in summary.arms[0].values else {}
    cells = product(*(tried(summary, f"optimizer.{name}") for name in ("power", "beta2", "learning_rate")))
    losses = {
        (p, beta2, rate): losses_at(summary, power=p, beta2=beta2, learning_rate=rate, **at)
        for p, beta2, rate in cells
    }
    return BestAgainstBest(int(size), *cross_fitted(losses))
