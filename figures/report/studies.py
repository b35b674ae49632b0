"""The numbers of the report's sections on training studies; their prose is in templates."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.recipes.model_size import model_size
from experiments.statistics import SeedMean
from experiments.studies.batch_size import BATCH, BatchSizeStudy
from experiments.studies.memory import MemoryStudy
from experiments.sweeps.analysis import Group
from figures.report.render import render
from gradpower.tools.labels import Label


@dataclass(frozen=True)
class BatchRow:
    """A batch size as it was run."""

    size: int
    steps: int
    rate: float
    found: Group
    at: dict[float, SeedMean]
    """Loss less that of p = 1, by power."""


def batch_size_section(found: BatchSizeStudy | None) -> str:
    """Return the Markdown of the section; None stands for a study that was not made."""
    if found is None:
        return render("batch_size", label=Label.NOT_ATTEMPTED)
    recipes = {arm.values[BATCH]: arm.recipe for arm in found.study.arms()}
    batches = [
        BatchRow(
            size,
            recipe.training.steps,
            recipe.optimizer.learning_rate,
            group,
            {each.value: each.difference for each in group.comparisons if each.difference},
        )
        for (size, recipe), group in zip(sorted(recipes.items()), found.as_run.analysis.groups, strict=True)
    ]
    return render(
        "batch_size",
        label=found.label,
        study=found,
        batches=batches,
        readings={
            "as run": found.as_run,
            "one rate": found.one_rate,
            "averaged over rates": found.averaged,
        },
        parameters=model_size(found.study.recipe.model).total,
    )


def memory_section(found: MemoryStudy | None) -> str:
    """Return the Markdown of the section; None stands for a study that was not made."""
    if found is None:
        return render("memory", label=Label.NOT_ATTEMPTED)
    return render(
        "memory", label=found.label, study=found, parameters=model_size(found.study.recipe.model).total
    )
