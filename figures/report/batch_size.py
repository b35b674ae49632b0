"""The numbers of the report's section on Figures 2 and 6; its prose is templates/batch_size.md.j2."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from experiments.recipes.model_size import model_size
from experiments.statistics import SeedMean
from experiments.studies.batch_size import CONTROLS, BatchSizeStudy, Control
from experiments.sweeps.analysis import Group
from figures.report.render import render
from gradpower.tools.labels import Label


@dataclass(frozen=True)
class BatchRow:
    """A batch size: how it was run, and what was found as run (`own`) and at one rate (`one`)."""

    size: int
    steps: int
    rate: float
    own: Group
    one: Group
    at: dict[float, SeedMean]
    """Loss less that of p = 1 as run, by power."""


@dataclass(frozen=True)
class ControlRow:
    """A control and a power, at the smallest and at the largest batch."""

    name: str
    small: Control
    large: Control


def batch_size_section(found: BatchSizeStudy | None) -> str:
    """Return the Markdown of the section; None stands for a study that was not made."""
    if found is None:
        return render("batch_size", label=Label.NOT_ATTEMPTED)
    controls = control_rows(found)
    changes = [row.change for row in found.controls if row.change.low is not None]
    return render(
        "batch_size",
        label=found.label,
        study=found,
        parameters=model_size(found.study.recipe.model).total,
        batches=batch_rows(found),
        counts=Counter(comparison.decision for comparison in found.as_run.analysis.comparisons),
        controls=controls,
        changes=len(changes),
        sure=sum((change.low or 0.0) > 0 or (change.high or 0.0) < 0 for change in changes),
    )


def batch_rows(found: BatchSizeStudy) -> list[BatchRow]:
    """Return a row for each batch size."""
    recipes = {arm.recipe.training.batch_size: arm.recipe for arm in found.study.arms()}
    return [
        BatchRow(
            size,
            recipe.training.steps,
            recipe.optimizer.learning_rate,
            own,
            one,
            {each.value: each.difference for each in own.comparisons if each.difference},
        )
        for (size, recipe), own, one in zip(
            sorted(recipes.items()), found.as_run.groups, found.one_rate.groups, strict=True
        )
    ]


def control_rows(found: BatchSizeStudy) -> list[ControlRow]:
    """Return a row for each power and control."""
    small, large = sorted({row.batch_size for row in found.controls})
    by_place = {(row.batch_size, row.power, row.name): row for row in found.controls}
    return [
        ControlRow(CONTROLS[name], row, by_place[large, power, name])
        for (batch, power, name), row in by_place.items()
        if batch == small
    ]
