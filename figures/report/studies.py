"""The numbers of the report's sections on training studies; their prose is in templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.noise.measurement import Measurement
from experiments.noise.replay import ALL, CONTROL, POWERS, PredictedPower
from experiments.noise.tables import power_text
from experiments.recipes.model_size import model_size
from experiments.statistics import SeedMean
from experiments.studies.batch_size import BATCH, BatchSizeStudy
from experiments.studies.memory import MemoryStudy
from experiments.studies.modules import ModulesStudy
from experiments.studies.rare_tokens import RareTokens
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


@dataclass(frozen=True)
class NoiseRow:
    """What the gradients of a module call for."""

    module: str
    powers: list[str]
    """Best power by batch size."""
    power: float
    """√(S/S(1)) of p = 1.2 at the smallest batch …"""
    symmetrised: float
    """… and with random signs of the noise."""
    shape: float | None


def noise_section(found: Measurement | None) -> str:
    """Return the Markdown of the section; None stands for what was not measured."""
    if found is None:
        return render("noise", label=Label.NOT_ATTEMPTED)
    sizes = found.settings.batch_sizes
    shapes = {row.module: row.shape for row in found.modules}
    by_module: dict[str, list[PredictedPower]] = {}
    for row in found.predictions:
        by_module.setdefault(row.module, []).append(row)
    for own in by_module.values():
        own.sort(key=lambda row: row.batch_size)
    rows = [
        NoiseRow(
            module,
            [power_text(row) for row in own],
            own[0].equivalent[POWERS.tolist().index(CONTROL)],
            own[0].symmetrised,
            shapes.get(module),
        )
        for module, own in by_module.items()
    ]
    return render(
        "noise",
        label=noise_label(by_module[ALL]),
        sizes=sorted(sizes),
        control=CONTROL,
        rows=rows,
        beta2=found.recipe.beta2,
        parameters=model_size(found.recipe.model).total,
    )


def noise_label(found: Sequence[PredictedPower]) -> Label:
    """Return the label of a best power that falls from above 1 to below 1, from the powers by batch size."""
    small, large = found[0], found[-1]
    if not (small.resolved and large.resolved):
        return Label.INCONCLUSIVE
    if small.high < large.low:
        return Label.NOT_REPRODUCED
    if small.low <= 1 or small.low <= large.high:
        return Label.INCONCLUSIVE
    return Label.REPRODUCED if large.high < 1 else Label.IN_PART


def memory_section(found: MemoryStudy | None) -> str:
    """Return the Markdown of the section; None stands for a study that was not made."""
    if found is None:
        return render("memory", label=Label.NOT_ATTEMPTED)
    return render(
        "memory", label=found.label, study=found, parameters=model_size(found.study.recipe.model).total
    )


def where_section(modules: ModulesStudy | None, tokens: RareTokens | None) -> str:
    """Return the Markdown of the section; None stands for studies that were not made."""
    if modules is None:
        return render("where", label=Label.NOT_ATTEMPTED)
    return render("where", label=modules.label, modules=modules, tokens=tokens)
