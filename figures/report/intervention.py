"""The numbers of the report's section on the intervention; its prose is templates/intervention.md.j2."""

from __future__ import annotations

from dataclasses import dataclass

from figures.report.render import render
from gradpower.tools.labels import Label
from simulate.intervention.study import Calibration, Cell, InterventionResults, calibrate


@dataclass(frozen=True)
class CalibrationRow:
    """A set of changes, and their calibration."""

    name: str
    found: Calibration


def intervention_section(results: InterventionResults | None) -> str:
    """Return the Markdown of the section; None stands for a study that was not made."""
    strong = [cell for cell in results.cells if cell.changes[0].strong] if results else []
    if results is None or not strong:
        return render("intervention", label=Label.NOT_ATTEMPTED)
    weak = [cell for cell in results.cells if not cell.changes[0].strong]
    by_law: dict[str, list[Cell]] = {}
    for cell in strong:
        by_law.setdefault(cell.changes[0].law, []).append(cell)
    others = [cell for law, cells in by_law.items() if law != "binary" for cell in cells]
    rows = [CalibrationRow("strong, all but binary (post hoc)", calibrate(others))] if others else []
    rows += [CalibrationRow(f"strong, {law}", calibrate(cells)) for law, cells in by_law.items()]
    rows += [CalibrationRow("weaker, all laws", calibrate(weak))] if weak else []
    declared = calibrate(strong)
    return render(
        "intervention",
        label=declared.label,
        declared=declared,
        design=results.provenance.config,
        rows=rows,
        laws=list(by_law),
    )
