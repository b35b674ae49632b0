"""The numbers of the report's section on the intervention; its prose is templates/intervention.md.j2."""

from __future__ import annotations

from experiments.statistics import Contrasts
from experiments.studies.chosen_noise import ChosenNoise
from figures.report.render import render
from figures.style import grouped
from gradpower.tools.errors import require
from simulate.intervention.study import Cell, InterventionResults, calibrated
from theory.measured.calibration import Calibration


def memory_under_noise(results: InterventionResults) -> Contrasts:
    """Test what β2 = 0.99 changes at p = 1 under generalized normal noise; changes under other laws are reported.

    InputError if the run has several levels.
    """
    levels = results.provenance.config.levels
    require(len(levels) == 1, "levels", levels, "one level of the noise")
    numbers = {
        change.law: seeds
        for cell in results.cells
        for change, seeds in zip(cell.changes, cell.measured, strict=True)
        if (change.power, change.beta2) == (1.0, 0.99)
    }
    return Contrasts.of(numbers, [law for law in numbers if law.startswith("generalized-normal")])


def _memory_slopes(results: InterventionResults) -> dict[str, Calibration]:
    """Calibrate all changes, those of each law, and those of memories that are short against the runs."""
    by_law = grouped(results.cells, lambda cell: cell.changes[0].law)
    short = [_without(cell, 0.999) for cell in results.cells]
    sets = {"all": results.cells, **by_law, "all but β2 = 0.999": short}
    return {name: calibrated(cells) for name, cells in sets.items()}


def _without(cell: Cell, beta2: float) -> Cell:
    """Leave out the changes at one β2."""
    kept = [place for place, change in enumerate(cell.changes) if change.beta2 != beta2]
    parts = (tuple(part[place] for place in kept) for part in (cell.measured, cell.predicted))
    return Cell(tuple(cell.changes[place] for place in kept), *parts)


def intervention_section(
    results: InterventionResults | None,
    llama: ChosenNoise | None = None,
    memories: InterventionResults | None = None,
) -> str:
    """Return the Markdown of the section, with the language model and other memories; None: a study not made."""
    strong = [cell for cell in results.cells if cell.changes[0].strong] if results else []
    other = {
        "llama": llama,
        "memory": memory_under_noise(memories).all_lower() if memories else None,
        "memories": [change for cell in memories.cells for change in cell.changes] if memories else [],
        "memory_slopes": _memory_slopes(memories) if memories else {},
    }
    if results is None or not strong:
        return render("intervention", label=None, **other)
    by_law = grouped(strong, lambda cell: cell.changes[0].law)
    sets = {
        "strong, all but binary (post hoc)": [cell for cell in strong if cell.changes[0].law != "binary"],
        **{f"strong, {law}": cells for law, cells in by_law.items()},
        "weaker, all laws": [cell for cell in results.cells if not cell.changes[0].strong],
    }
    declared = calibrated(strong)
    return render(
        "intervention",
        label=declared.label,
        declared=declared,
        design=results.provenance.config,
        calibrations={name: calibrated(cells) for name, cells in sets.items() if cells},
        laws=list(by_law),
        **other,
    )
