"""The numbers of the report's sections on training studies; their prose is in templates."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.noise.measurement import Measurement
from experiments.noise.replay import ALL, CONTROL, POWERS, PredictedPower
from experiments.studies.batch_size import BatchSizeStudy, Reading
from experiments.studies.causes import Causes
from figures.report.render import render
from figures.style import grouped
from gradpower.tools.labels import Label


def batch_size_section(
    found: BatchSizeStudy | None, deciding: Reading | None = None, web: Reading | None = None
) -> str:
    """Return the Markdown of the section: of the earlier study, of that to decide, of that on a second text.

    None stands for a study that was not made.
    """
    later = {"deciding": deciding, "web": web}
    if found is None:
        return render("batch_size", label=Label.NOT_ATTEMPTED, **later)
    recipes = {arm.recipe.training.batch_size: arm.recipe for arm in found.study.arms()}
    batches = [
        (recipes[size], group, {each.value: each.difference for each in group.comparisons})
        for size, group in zip(sorted(recipes), found.as_run.analysis.groups, strict=True)
    ]
    readings = {"as run": found.as_run, "one rate": found.one_rate, "averaged over rates": found.averaged}
    return render("batch_size", label=found.label, study=found, batches=batches, readings=readings, **later)


def memory_section(found: Causes) -> str:
    """Return the Markdown of the section on the memory of the second moment."""
    return render("memory", found=found)


def noise_section(found: Measurement | None) -> str:
    """Return the Markdown of the section; None stands for what was not measured."""
    if found is None:
        return render("noise", label=Label.NOT_ATTEMPTED)
    by_module = grouped(found.predictions, lambda row: row.module)
    for own in by_module.values():
        own.sort(key=lambda row: row.batch_size)
    return render(
        "noise",
        label=noise_label(by_module[ALL]),
        found=found,
        by_module=by_module,
        shapes={row.module: row.shape for row in found.modules},
        control=CONTROL,
        place_of_control=POWERS.tolist().index(CONTROL),
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
