"""The numbers of the report's section on the intervention; its prose is templates/intervention.md.j2."""

from __future__ import annotations

from experiments.studies.chosen_noise import ChosenNoise
from figures.report.render import render
from figures.style import grouped
from simulate.intervention.study import InterventionResults, calibrated


def intervention_section(results: InterventionResults | None, llama: ChosenNoise | None = None) -> str:
    """Return the Markdown of the section, with that on the language model; None stands for a study not made."""
    strong = [cell for cell in results.cells if cell.changes[0].strong] if results else []
    if results is None or not strong:
        return render("intervention", label=None, llama=llama)
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
        llama=llama,
    )
