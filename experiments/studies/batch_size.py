"""Figures 2 and 6: whether the best power falls from above 1 to below 1 as the batch grows.

A study is read by the slope dL/d ln p at p = 1 of each seed's parabola in ln p, which is negative where p > 1 is
better. The rule is step 3 of results/causes/design.md, written for the study that is to decide; the earlier study,
results/batch_size, is read by it at three choices of the learning rate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from experiments.statistics import SeedMean, crossing_test, mean_over_seeds, one_sided, slopes
from experiments.studies.completed import arms_at, losses_at, read_completed, read_ended
from experiments.sweeps.analysis import Analysis, Group
from experiments.sweeps.judge import judged
from experiments.sweeps.results import Summary
from experiments.sweeps.study import Study
from gradpower.tools.labels import Label
from theory.numerics.inputs import Array

PARTS = "batch_size/pocket"  # in results
BATCH, RATE = "training.batch_size", "optimizer.learning_rate"
_ALPHA = 0.05
_SMALLEST_CHANGE = 0.05  # of the slope, from the smallest batch to the largest


@dataclass(frozen=True)
class Reading:
    """What one study, at one choice of learning rates, says of the claim."""

    analysis: Analysis
    joint: float
    """p-value of a slope below 0 at the smallest batch and above 0 at the largest (intersection–union)."""
    falls: float
    """p-value of the crossing test: the best power is lower at the largest batch."""
    change: SeedMean
    """Slope at the largest batch less that at the smallest: above 0 if the preference for p > 1 fades."""
    diverged: int = 0
    """Runs that count as ones that have learnt nothing."""

    @property
    def label(self) -> Label:
        """By the declared rule."""
        if self.joint <= _ALPHA:
            return Label.REPRODUCED
        if self.falls <= _ALPHA:
            return Label.IN_PART
        if self.change.high is not None and self.change.high < _SMALLEST_CHANGE:
            return Label.NOT_REPRODUCED
        return Label.INCONCLUSIVE


@dataclass(frozen=True)
class BatchSizeStudy:
    """The earlier study: as run, at one rate for all batch sizes, and averaged over rates."""

    study: Study
    as_run: Reading
    one_rate: Reading
    averaged: Reading
    cells: tuple[int, int]
    """At the smallest batch: cells of rate × seed in which p = 1.2 has the lower loss than p = 1, and all of them."""
    same_size: SeedMean
    """There, the loss of p = 1.2 less that of p = 1 at the lower rate that makes its updates as large."""

    @property
    def label(self) -> Label:
        """What the three readings say, if they agree."""
        labels = {reading.label for reading in (self.as_run, self.one_rate, self.averaged)}
        return labels.pop() if len(labels) == 1 else Label.INCONCLUSIVE


def read_study_of_batches(analysis: Analysis) -> Reading:
    """Read a study of at least three powers within two or more batch sizes, all of whose arms are completed."""
    powers = [value.value for value in analysis.groups[0].values]
    small, large = (_losses(analysis.groups[end]) for end in (0, -1))
    first, last = (slopes(powers, table, 1.0) for table in (small, large))
    return Reading(
        analysis,
        max(one_sided(mean_over_seeds(first), -1), one_sided(mean_over_seeds(last), 1)),
        crossing_test(powers, small, large).falls,
        mean_over_seeds(last - first),
    )


def read_deciding(path: Path, name: str = "causes-batch") -> Reading:
    """Read the study that decides, or that on a second text; InputError if arms are missing.

    A diverged arm counts as one that has learnt nothing.
    """
    summary, diverged = read_ended(path, name)
    return replace(read_study_of_batches(judged(summary)), diverged=diverged)


def read_batch_size(folder: Path) -> BatchSizeStudy:
    """Read the earlier study from a folder's main.json, one-rate.json, tuned.json; InputError if one is missing."""
    main = read_completed(folder / "main.json", "batch-size-pocket")
    one_rate, tuned = (
        read_completed(folder / f"{part}.json", f"batch-size-{part}-pocket") for part in ("one-rate", "tuned")
    )
    averaged = replace(tuned.study, rule=replace(tuned.study.rule, learning_rate="averaged"))
    return BatchSizeStudy(
        main.study,
        read_study_of_batches(judged(main)),
        read_study_of_batches(judged(one_rate)),
        read_study_of_batches(judged(replace(tuned, study=averaged))),
        _cells(tuned),
        _same_size(read_completed(folder / "damping.json", "batch-size-damping-pocket")),
    )


def _losses(group: Group) -> Array:
    return np.array([value.losses for value in group.values], dtype=np.float64).T


def _cells(tuned: Summary) -> tuple[int, int]:
    """Count the rates × seeds of the smallest batch at which p = 1.2 has the lower loss."""
    smallest = min(arm.values[BATCH] for arm in tuned.arms)
    powered, plain = (
        np.array([arm.loss for arm in arms_at(tuned, power=p, batch_size=smallest)]) for p in (1.2, 1.0)
    )
    return int((powered < plain).sum()), len(plain)


def _same_size(damping: Summary) -> SeedMean:
    """Compare at two pairs of rates, p = 1.2 at the higher and p = 1 at the lower one of each."""
    smallest = min(arm.values[BATCH] for arm in damping.arms)
    low, middle, high = sorted({arm.values[RATE] for arm in arms_at(damping, batch_size=smallest)})
    changes = [
        losses_at(damping, batch_size=smallest, power=1.2, learning_rate=above)
        - losses_at(damping, batch_size=smallest, power=1.0, learning_rate=below)
        for below, above in ((low, middle), (middle, high))
    ]
    return mean_over_seeds(np.mean(changes, axis=0))
