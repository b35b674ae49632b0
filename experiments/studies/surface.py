"""The loss over power, memory of the second moment and batch size: step 4 of results/causes/design.md, continued.

Seeds are paired. Losses are averaged over the learning rates, but where best settings are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from experiments.statistics import SeedMean, equivalence_p_value, mean_over_seeds
from experiments.studies.completed import losses_at, read_completed
from experiments.studies.memory import POWER, SMALLEST_EFFECT, USUAL
from experiments.sweeps.results import Summary
from gradpower.tools.labels import Label
from theory.numerics.inputs import Array

_ALPHA = 0.05


@dataclass(frozen=True)
class SurfaceRow:
    """One batch size and β2."""

    batch_size: int
    beta2: float
    memory: SeedMean
    """At p = 1, loss at this β2 less that at 0.95."""
    changes: dict[float, SeedMean]
    """By power: loss less that at p = 1."""


@dataclass(frozen=True)
class BestAgainstBest:
    """The best p ≠ 1 less the best p = 1; power, β2 and rate are chosen on half of the seeds, judged on the others."""

    batch_size: int
    change: SeedMean
    chosen: tuple[tuple[float, float, float], ...]
    """(p, β2, rate) of p ≠ 1, then of p = 1, from the first half of the seeds, then from the second."""

    @property
    def equivalence(self) -> float | None:
        """p-value of a change of `SMALLEST_EFFECT` or more."""
        return equivalence_p_value(self.change, SMALLEST_EFFECT)

    @property
    def label(self) -> Label:
        """That a power lowers the loss of tuned Adam."""
        if self.change.high is None or self.change.low is None:
            return Label.INCONCLUSIVE
        if self.change.high < 0:
            return Label.REPRODUCED
        equal = self.equivalence is not None and self.equivalence <= _ALPHA
        return Label.NOT_REPRODUCED if equal or self.change.low > 0 else Label.INCONCLUSIVE


@dataclass(frozen=True)
class Surface:
    """What the two studies say."""

    rows: tuple[SurfaceRow, ...]
    slope: SeedMean
    """Of the change by p = 1.2 at batch 2, in ln(1 − β2): below 0 if its gain fades as the memory grows."""
    exchange: dict[float, tuple[float, float, float]]
    """By β2: how many times as long a memory lowers the loss of p = 1 as far as p = 1.2 does, NaN if none does; the
    lowest and the highest if one seed is left out."""
    best: tuple[BestAgainstBest, ...]


def read_surface(surface: Path, batches: Path) -> Surface:
    """Read the two studies from their summaries; InputError as from `read_completed`."""
    small, larger = (
        read_completed(path, f"causes-{name}")
        for path, name in ((surface, "memory-surface"), (batches, "memory-batch"))
    )
    sizes = [(small, 2), *((larger, size) for size in _tried(larger, "training.batch_size"))]
    memories = _tried(small, "optimizer.beta2")
    plain, powered = (
        np.array([losses_at(small, power=p, beta2=beta2) for beta2 in memories]) for p in (1.0, POWER)
    )
    logs = np.log1p(-np.array(memories))
    slopes = np.polyfit(logs, powered - plain, 1)[0]
    return Surface(
        tuple(row for summary, size in sizes for row in _rows(summary, size)),
        mean_over_seeds(slopes),
        {beta2: _exchange(logs, plain, powered, memories.index(beta2)) for beta2 in (0.9, USUAL)},
        tuple(_best_against_best(summary, size) for summary, size in sizes),
    )


def _tried(summary: Summary, field: str) -> list[float]:
    return sorted({float(arm.values[field]) for arm in summary.arms})


def _at(summary: Summary, size: float) -> dict[str, float]:
    return {"batch_size": size} if "training.batch_size" in summary.arms[0].values else {}


def _rows(summary: Summary, size: float) -> list[SurfaceRow]:
    powers, at = _tried(summary, "optimizer.power"), _at(summary, size)
    usual = losses_at(summary, power=1.0, beta2=USUAL, **at)
    rows = []
    for beta2 in _tried(summary, "optimizer.beta2"):
        losses = {p: losses_at(summary, power=p, beta2=beta2, **at) for p in powers}
        changes = {p: mean_over_seeds(of_p - losses[1.0]) for p, of_p in losses.items() if p != 1}
        rows.append(SurfaceRow(int(size), beta2, mean_over_seeds(losses[1.0] - usual), changes))
    return rows


def _exchange(logs: Array, plain: Array, powered: Array, start: int) -> tuple[float, float, float]:
    """Return by what factor to lengthen the memory at p = 1; all losses have shape (memories, seeds)."""
    seeds = np.arange(plain.shape[1])
    kept = [seeds, *(seeds[seeds != left_out] for left_out in seeds)]
    factors = [_factor(logs, plain[:, own].mean(1), powered[start, own].mean(), start) for own in kept]
    return factors[0], min(factors[1:]), max(factors[1:])


def _factor(logs: Array, losses: Array, wanted: float, start: int) -> float:
    """Return the factor of the memory from `start` on to the first place where linear interpolation has the loss."""
    for i in range(start, len(losses) - 1):
        here, there = losses[i], losses[i + 1]
        if here >= wanted >= there and here > there:
            place = logs[i] + (logs[i + 1] - logs[i]) * (here - wanted) / (here - there)
            return float(np.exp(logs[start] - place))
    return float("nan")


def _best_against_best(summary: Summary, size: float) -> BestAgainstBest:
    powers, memories, rates = (
        _tried(summary, f"optimizer.{name}") for name in ("power", "beta2", "learning_rate")
    )
    losses = {
        (p, beta2, rate): losses_at(summary, power=p, beta2=beta2, learning_rate=rate, **_at(summary, size))
        for p, beta2, rate in product(powers, memories, rates)
    }
    seeds = np.arange(len(summary.study.seeds))
    half = seeds < len(seeds) // 2
    chosen, differences = [], []
    for choosing in (half, ~half):
        mean = {cell: float(values[choosing].mean()) for cell, values in losses.items()}
        powered, plain = (
            min((c for c in mean if (c[0] != 1) == other), key=mean.__getitem__) for other in (True, False)
        )
        chosen += [powered, plain]
        differences.append((losses[powered] - losses[plain])[~choosing])
    return BestAgainstBest(int(size), mean_over_seeds(np.concatenate(differences)), tuple(chosen))
