"""The numbers of the report's section on the intervention; its prose is templates/intervention.md.j2."""

from __future__ import annotations

from figures.report.render import render
from figures.style import grouped
from gradpower.tools.labels import Label
from simulate.intervention.study import InterventionResults, calibrate


def intervention_section(results: InterventionResults | None) -> str:
    """Return the Markdown of the section; None stands for a study that was not made."""
    strong = [cell for cell in results.cells if cell.changes[0].strong] if results else []
    if results is None or not strong:
        return render("intervention", label=Label.NOT_ATTEMPTED)
    by_law = grouped(strong, lambda cell: cell.changes[0].law)
    sets = {
        "strong, all but binary (post hoc)": [cell for cell in strong if cell.changes[0].law != "binary"],
        **{f"strong, {law}": cells for law, cells in by_law.items()},
        "weaker, all laws": [cell for cell in results.cells if not cell.changes[0].strong],
    }
    declared = calibrate(strong)
    return render(
        "intervention",
        label=declared.label,
        declared=declared,
        design=results.provenance.config,
        calibrations={name: calibrate(cells) for name, cells in sets.items() if cells},
        laws=list(by_law),
    )
