"""The numbers of the report's section on the intervention; its prose is templates/intervention.md.j2."""

from __future__ import annotations

from dataclasses import dataclass

from figures.report.render import render
from gradpower.tools.labels import Label
from simulate.intervention.study import Calibration, InterventionResults, calibrate


@dataclass(frozen=True)
class CalibrationRow:
    """A set of changes, and their calibration."""

    name: str
    found: Calibration


def intervention_section(results: InterventionResults | None) -> str:
    """Return the Markdown of the section; None stands for a study that was not made."""
    if results is None:
        return render("intervention", label=Label.NOT_ATTEMPTED)
    strong = [cell for cell in results.cells if cell.changes[0].strong]
    weak = [cell for cell in results.cells if not cell.changes[0].strong]
    laws = dict.fromkeys(cell.changes[0].law for cell in strong)
    rows = [CalibrationRow("strong, all laws", calibrate(strong))]
    rows += [
        CalibrationRow(f"strong, {law}", calibrate([c for c in strong if c.changes[0].law == law]))
        for law in laws
    ]
    rows += [CalibrationRow("weaker, all laws", calibrate(weak))] if weak else []
    return render("intervention", label=rows[0].found.label, design=results.provenance.config, rows=rows)
