"""Whether p = 1.2, and a longer memory of v, gain most on rare tokens: step 6 of results/causes/design.md.

Differences of the final loss of the targets in each tenth, from the rarest tokens (1) to the most frequent (10).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.statistics import SeedMean, mean_over_seeds
from experiments.studies.completed import arms_at, read_completed
from experiments.sweeps.results import Summary
from gradpower.tools.errors import require
from theory.numerics.inputs import Array

AT_RATE = 2.83e-3
TENTHS = np.arange(1, 11)


@dataclass(frozen=True)
class Profile:
    """What one change does to the loss of each tenth, and the slope of that in the tenth, over seeds."""

    by_tenth: tuple[SeedMean, ...]
    slope: SeedMean


@dataclass(frozen=True)
class RareTokens:
    """The two changes, each from p = 1 at β2 = 0.95."""

    power: Profile
    """p = 1.2."""
    memory: Profile
    """β2 = 0.99."""
    correlation: float
    """Over tenths, of the two mean differences, each of other seeds."""


def read_rare_tokens(modules: Path, tokens: Path) -> RareTokens:
    """Read both studies from their summaries; InputError if arms are missing, or say nothing of tenths."""
    at_usual, at_best = read_completed(modules, "causes-modules"), read_completed(tokens, "causes-tokens")
    seeds = [summary.study.seeds for summary in (at_usual, at_best)]
    require(seeds[0] == seeds[1], "study", tokens, f"one of the seeds of {modules}")
    start = _tenths(at_usual, power=1.0, embedding_power=1.0, head_power=1.0, learning_rate=AT_RATE)
    power = _tenths(at_usual, power=1.2, embedding_power=1.2, head_power=1.2, learning_rate=AT_RATE) - start
    memory = _tenths(at_best, power=1.0) - start
    # Both changes are from the same runs: those of other seeds share nothing.
    halves = [(slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))]
    correlations = [np.corrcoef(power[a].mean(axis=0), memory[b].mean(axis=0))[0, 1] for a, b in halves]
    return RareTokens(_profile(power), _profile(memory), float(np.mean(correlations)))


def _tenths(summary: Summary, **values: float) -> Array:
    """Return the loss of each tenth by seed, shape (seeds, 10)."""
    rows = [arm.loss_by_frequency for arm in arms_at(summary, **values)]
    known = all(row is not None and None not in row for row in rows)
    require(known, "study", summary.study.name, "one whose arms have a loss in every tenth of the targets")
    return np.array(rows, dtype=np.float64)


def _profile(change: Array) -> Profile:
    slopes = np.polyfit(TENTHS, change.T, 1)[0]
    return Profile(tuple(map(mean_over_seeds, change.T)), mean_over_seeds(slopes))
