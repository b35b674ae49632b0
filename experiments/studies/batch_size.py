"""The study of Figures 2 and 6: whether the best power falls from above 1 to below 1 as the batch grows.

Its design, written before the runs, is results/batch_size/design.md; its parts, beside their declarations, are
results/batch_size/pocket. What counts is the slope dL/d ln p at p = 1: negative where p > 1 is better.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from experiments.statistics import SeedMean, crossing_test, mean_over_seeds, paired_difference, slopes, tune
from experiments.sweeps.analysis import Analysis, Group
from experiments.sweeps.judge import analyse
from experiments.sweeps.results import ArmResult, read_summary
from experiments.sweeps.study import RATE, Study
from gradpower.tools.errors import InputError, require
from gradpower.tools.labels import Label
from gradpower.tools.reading import DAMAGED, one_line
from theory.numerics.inputs import Array

POWER, BATCH = "optimizer.power", "training.batch_size"
CONTROLS = {
    "tuned": "learning rate tuned on the other seeds",
    "lower": "equal steps: p = 1 at a lower rate",
    "higher": "equal steps: p at a higher rate",
    "one-rate": "one learning rate for all batch sizes",
    "half-life": "β2 by half-life in tokens",
    "epsilon": "ε^p",
    "clip": "clip after the power",
    "offset": "(|g| + 1e-8)^p",
}
"""The controls, in words; `lower` and `higher` are the two of the part damping."""
_PARTS = ("main", "one-rate", "tuned", "damping", "half-life", "epsilon", "clip", "offset")
_ALPHA = 0.05
Parts = Mapping[str, Sequence[ArmResult]]
Losses = dict[int, float]


@dataclass(frozen=True)
class ByBatch:
    """The comparison of powers at every batch size.

    `falls` is the crossing test's p-value of a best power that is lower at the largest batch than at the smallest,
    `falls_near_one` that over the powers from 0.8 to 1.2 alone; `change` that of the slope at p = 1 between them:
    positive if the preference for p > 1 fades.
    """

    analysis: Analysis
    falls: float
    falls_near_one: float
    change: SeedMean

    @property
    def groups(self) -> tuple[Group, ...]:
        """By batch size."""
        return self.analysis.groups

    @property
    def crosses(self) -> bool:
        """Whether p > 1 is better at the smallest batch, p < 1 at the largest, and the best power falls."""
        small, large = _slope(self.groups[0]), _slope(self.groups[-1])
        sides = (small.high or 0.0) < 0 < (large.low or 0.0)
        return sides and self.falls <= _ALPHA


@dataclass(frozen=True)
class RateAveraged:
    """p = 1.2 less p = 1 at the smallest batch, mean over rates; and of how many rates × seeds p = 1.2 is lower."""

    cells: int
    lower: int
    difference: SeedMean


@dataclass(frozen=True)
class Control:
    """The loss at a power less that at p = 1 with a control, and what the control changes of it.

    `name` is a key of `CONTROLS`; `as_run` is the mean difference without it in the same seeds, and `change` is paired:
    without spread where both are the same runs.
    """

    name: str
    batch_size: int
    power: float
    difference: SeedMean
    as_run: float
    change: SeedMean


@dataclass(frozen=True)
class Noise:
    """Gradient noise of a kind of module at p = 1, early (1 % of the training) and at the end: means over batch sizes.

    `ratios` are σ/|μ| of micro-batches of two sequences; `shapes` those of the fitted generalized-normal law: 2 for
    Gaussian noise, 1 for Laplace, less for heavier tails.
    """

    module: str
    ratios: tuple[float, float]
    shapes: tuple[float, float]


@dataclass(frozen=True)
class BatchSizeStudy:
    """What the study says; `best_rates` are those at p = 1, `detectable` is found with probability 0.8 (median)."""

    label: Label
    study: Study
    as_run: ByBatch
    one_rate: ByBatch
    rate_averaged: RateAveraged
    best_rates: dict[int, float]
    controls: tuple[Control, ...]
    noise: tuple[Noise, ...]
    detectable: float


def read_batch_size(folder: Path) -> BatchSizeStudy:
    """Judge the study from main.json, one-rate.json and so on, and noise.json in a folder.

    Raises InputError if a part is not there or not finished.
    """
    for part in (*_PARTS, "noise"):
        allowed = f"one with {part}.json in it, as results/batch_size/pocket"
        require((folder / f"{part}.json").is_file(), "folder", folder, allowed)
    summaries = {part: read_summary(folder / f"{part}.json") for part in _PARTS}
    studies = {part: summary.study for part, summary in summaries.items()}
    parts = {part: summary.arms for part, summary in summaries.items()}
    for part, study in studies.items():
        name = "-".join(["batch-size", *([] if part == "main" else [part]), "pocket"])
        completed = {result.fingerprint for result in parts[part] if result.loss is not None}
        whole = {arm.fingerprint for arm in study.arms()} <= completed
        allowed = f"the study {name} with all its arms completed"
        require(study.name == name and whole, "folder", folder / f"{part}.json", allowed)
    as_run, one_rate = (_by_batch(studies[part], parts[part]) for part in ("main", "one-rate"))
    tuned = analyse(studies["tuned"], parts["tuned"])
    return BatchSizeStudy(
        verdict(as_run, one_rate),
        studies["main"],
        as_run,
        one_rate,
        _rate_averaged(parts["tuned"], _batches(as_run)[0]),
        {batch: _best_rate(group) for batch, group in zip(_batches(tuned), tuned.groups, strict=True)},
        _controls(parts, _batches(as_run)),
        _noise(folder / "noise.json"),
        median(c.detectable for c in as_run.analysis.comparisons if c.detectable is not None),
    )


def verdict(as_run: ByBatch, one_rate: ByBatch) -> Label:
    """Return the label of the paper's claim: the best power falls as the batch grows, from above 1 to below 1.

    Not reproduced unless the preference for p > 1 fades, as run and at one rate. If it does: reproduced if the best
    power crosses 1 at both, inconclusive if at one of them, in part if at neither.
    """
    both = (as_run, one_rate)
    if not all((reading.change.low or 0.0) > 0 for reading in both):
        return Label.NOT_REPRODUCED
    labels = (Label.IN_PART, Label.INCONCLUSIVE, Label.REPRODUCED)
    return labels[sum(reading.crosses for reading in both)]


def _by_batch(study: Study, results: Sequence[ArmResult]) -> ByBatch:
    analysis = analyse(study, results)
    powers = [value.value for value in analysis.groups[0].values]
    small, large = (_table(analysis.groups[end]) for end in (0, -1))
    first, last = (slopes(powers, table, 1.0) for table in (small, large))
    near = np.array([0.8 <= power <= 1.2 for power in powers])
    falls, falls_near_one = (
        crossing_test(np.array(powers)[keep], small[:, keep], large[:, keep]).falls
        for keep in (np.ones_like(near), near)
    )
    return ByBatch(analysis, falls, falls_near_one, mean_over_seeds(last - first))


def _table(group: Group) -> Array:
    return np.array([value.losses for value in group.values], dtype=np.float64).T


def _slope(group: Group) -> SeedMean:
    assert group.slope is not None  # five seeds and eight powers have one
    return group.slope


def _batches(found: ByBatch | Analysis) -> list[int]:
    return [int(str(group.within)) for group in found.groups]


def _best_rate(group: Group) -> float:
    return next(value.tuned.rate for value in group.values if value.value == 1.0 and value.tuned is not None)


def _rate_averaged(tuned: Sequence[ArmResult], batch: int) -> RateAveraged:
    rows = [list(_from_one(tuned, batch, 1.2, rate, rate).values()) for rate in _rates(tuned, batch)]
    table = np.array(rows)
    return RateAveraged(table.size, int((table < 0).sum()), mean_over_seeds(table.mean(axis=0)))


def _controls(parts: Parts, batches: Sequence[int]) -> tuple[Control, ...]:
    rows = []
    for batch in (batches[0], batches[-1]):
        for power in (1.2, 0.8):
            plain = _from_one(parts["main"], batch, power)
            for name in CONTROLS:
                found = _controlled(name, parts, batch, power)
                if found:
                    same = [plain[seed] for seed in found]
                    change = paired_difference(list(found.values()), same)
                    difference = mean_over_seeds(list(found.values()))
                    if name == "tuned":
                        # each seed's rate is chosen on the others: their losses depend on each other
                        difference, change = (SeedMean(m.seeds, m.mean) for m in (difference, change))
                    rows.append(Control(name, batch, power, difference, float(np.mean(same)), change))
    return tuple(rows)


def _controlled(name: str, parts: Parts, batch: int, power: float) -> Losses:
    """Return the differences from p = 1 with a control by seed; none if it has no such power."""
    if name == "tuned":
        ours, theirs = (_held_out(parts["tuned"], batch, p) for p in (power, 1.0))
        return {seed: ours[seed] - theirs[seed] for seed in ours}
    if name not in ("lower", "higher"):
        return _from_one(parts[name], batch, power)
    lower, own, higher = _rates(parts["damping"], batch)
    rates = (own, lower) if name == "lower" else (higher, own)
    return _from_one(parts["damping"], batch, power, *rates)


def _rates(results: Sequence[ArmResult], batch: int) -> list[float]:
    return sorted({result.values[RATE] for result in results if result.values[BATCH] == batch})


def _losses(results: Sequence[ArmResult], batch: int, power: float, rate: float | None = None) -> Losses:
    return {
        result.seed: result.loss
        for result in results
        if (result.values[BATCH], result.values[POWER]) == (batch, power)
        and rate in (None, result.values.get(RATE))
        and result.loss is not None
    }


def _held_out(tuned: Sequence[ArmResult], batch: int, power: float) -> Losses:
    """Return each seed's loss at the rate that is best for the other seeds: its own choice would flatter."""
    rates = _rates(tuned, batch)
    columns = [_losses(tuned, batch, power, rate) for rate in rates]
    seeds = sorted(columns[0])
    table = np.array([[column[seed] for column in columns] for seed in seeds])
    return dict(zip(seeds, tune(rates, table).held_out, strict=True))


def _from_one(
    results: Sequence[ArmResult],
    batch: int,
    power: float,
    rate: float | None = None,
    baseline_rate: float | None = None,
) -> Losses:
    """Return the loss at a power less that at p = 1 by seed, each at a rate; at all of them if none is given."""
    ours, theirs = _losses(results, batch, power, rate), _losses(results, batch, 1.0, baseline_rate)
    return {seed: ours[seed] - theirs[seed] for seed in sorted(ours)}


def _noise(path: Path) -> tuple[Noise, ...]:
    """Read noise.json, measured at four snapshots of the runs at p = 1."""
    try:
        modules = [
            (
                row["share"],
                module["module"],
                float(module["noise_to_signal"]),
                float(module["shape"]["shape"]),
            )
            for row in json.loads(path.read_bytes())["measurements"]
            for module in row["modules"]
        ]
        ends = [end(share for share, *_ in modules) for end in (min, max)]
    except (LookupError, *DAMAGED) as error:
        raise InputError("folder", path, f"gradient noise along runs ({one_line(error)})") from None
    found = []
    for kind in dict.fromkeys(name for _, name, *_ in modules):
        ratios, shapes = zip(
            *(
                np.mean([row[2:] for row in modules if row[:2] == (end, kind)], axis=0).tolist()
                for end in ends
            ),
            strict=True,
        )
        found.append(Noise(kind, ratios, shapes))
    return tuple(found)
