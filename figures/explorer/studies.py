"""What the explorer shows of the studies: series of marks with bars, in views that the reader chooses from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.statistics import SeedMean
from experiments.studies.batch_size import PARTS, Reading, read_batch_size
from experiments.studies.causes import read_causes
from figures.adam import intervention
from figures.style import grouped
from figures.training import where
from simulate.intervention.study import STRONG, Change

Place = float | tuple[str, float]
"""On a numeric axis, or a category with a shift to the side."""


@dataclass(frozen=True)
class Mark:
    """A value at a place with the ends of its bars, and its name in the tooltip."""

    x: Place
    y: float
    label: str
    low: float
    high: float
    left: Place
    right: Place
    hollow: bool = False


@dataclass(frozen=True)
class Series:
    """Marks of one look, and values of single seeds."""

    name: str
    marks: tuple[Mark, ...]
    seeds: tuple[tuple[Place, float], ...] = ()


View = tuple[Series, ...]

_CAUSES = {
    "modules": "modules that have p = 1.2",
    "tenths": "tenths of the tokens: 1 rarest, 10 most frequent",
    "head": "p = 1.2 in the head",
}


def batch_views(results: Path) -> dict[str, View]:
    """Losses less that of p = 1 against p, by batch size, at three choices of the learning rate."""
    study = read_batch_size(results / PARTS)
    return {
        "as run": _by_batch(study.as_run),
        "one rate for all batch sizes": _by_batch(study.one_rate),
        "averaged over rates": _by_batch(study.averaged),
    }


def cause_views(results: Path) -> dict[str, View]:
    """Changes of the loss by p = 1.2 or a longer memory; studies that are not completed are left out."""
    found = read_causes(results / "causes")
    views = {}
    study = found.surface or found.memory
    for size, own in grouped(study.rows if study else (), lambda row: row.batch_size).items():
        views[f"memory of v, batch {size}: change from p = 1, β2 = 0.95"] = _by_condition(
            {f"p = {p:g}": {f"β2 = {row.beta2:g}": row.losses[p] for row in own} for p in own[0].losses}
        )
    panels = where.changes(found)
    return views | {title: _by_condition(panels[name]) for name, title in _CAUSES.items() if name in panels}


def intervention_views(results: Path) -> dict[str, View]:
    """Measured against predicted changes of the loss, in 1e-3 nats, by the law of the noise."""
    changes = intervention.read([results / "intervention" / "intervention.json"])
    return {
        name: tuple(
            Series(law, tuple(map(_comparison, own)))
            for law, own in grouped(
                [each for each in changes if each.strong == strong], lambda each: each.law
            ).items()
        )
        for name, strong in (
            (f"strong noise: mean σ/|∇F| ≥ {STRONG:g}", True),
            (f"weaker noise: mean σ/|∇F| < {STRONG:g}", False),
        )
    }


def stretched(nats: float) -> float:
    """Return where a change of the loss is drawn: about linear up to 5e-3 nats, and logarithmic far above.

    >>> [round(stretched(change), 2) for change in (0.0, 0.005, -0.5)]
    [0.0, 0.88, -5.3]
    """
    return math.asinh(nats / 5e-3)


def _by_batch(reading: Reading) -> View:
    series, groups = [], reading.analysis.groups
    for index, group in enumerate(groups):
        shift = 1.012 ** (index - len(groups) // 2)  # side by side, so that bars do not cover each other
        start = reading.analysis.rule.baseline
        tested = {each.value: each.difference for each in group.comparisons if each.difference}
        means = {start: SeedMean(len(reading.analysis.seeds), 0.0), **tested}
        marks = tuple(_mark(shift * p, f"p = {p:g}", means[p]) for p in sorted(means))
        seeds = tuple((shift * each.value, loss) for each in group.comparisons for loss in each.differences)
        series.append(Series(f"batch {group.within}", marks, seeds))
    return tuple(series)


def _by_condition(panel: Mapping[str, Mapping[Any, SeedMean]]) -> View:
    shifts = 0.2 * (np.arange(len(panel)) - (len(panel) - 1) / 2)  # side by side
    return tuple(
        Series(name, tuple(_mark((str(place), shift), str(place), mean) for place, mean in means.items()))
        for shift, (name, means) in zip(shifts.tolist(), panel.items(), strict=True)
    )


def _mark(x: Place, label: str, mean: SeedMean) -> Mark:
    low, high = (mean.mean if end is None else end for end in (mean.low, mean.high))
    return Mark(x, mean.mean, label, low, high, x, x)


def _comparison(change: Change) -> Mark:
    label = (
        f"p = {change.power:g}: measured {1e3 * change.measured:+.2f} ± {1e3 * change.measured_error:.2f}, "
        f"predicted {1e3 * change.predicted:+.2f} ± {1e3 * change.predicted_error:.2f} (1e-3 nats)"
    )
    return Mark(
        stretched(change.predicted),
        stretched(change.measured),
        label,
        stretched(change.measured - change.measured_error),
        stretched(change.measured + change.measured_error),
        stretched(change.predicted - change.predicted_error),
        stretched(change.predicted + change.predicted_error),
        hollow=change.power < 1,
    )
