"""The numbers of the report's section on Section 4.2; its prose is templates/convergence.md.j2 and convergence/."""

from __future__ import annotations

import numpy as np

from figures.report import convergence_answers as answers
from figures.report.render import render
from simulate.problems import parse_problem
from simulate.questions import ConvergenceResults, bounds, extremes, unbounded


def convergence_section(results: ConvergenceResults | None) -> str:
    """Return the Markdown of the section; None stands for what was not computed."""
    if results is None:
        return render("convergence", size=None)
    studies = results.studies
    return render(
        "convergence",
        size=results.provenance.config,
        try_out="--quick" in results.provenance.command,
        problems=_problems(),
        answers=[
            answers.bounds_answer(studies.bounds),
            answers.rates_answer(studies.rates),
            answers.gains_answer(studies.gains),
            answers.tuned_answer(studies.gains),
            answers.extremes_answer(studies.extremes),
            answers.unbounded_answer(studies.unbounded),
        ],
    )


def headlines(section: str) -> str:
    r"""Return the headings of a section, each with its paragraphs that begin in bold: for the terminal.

    >>> print(headlines("## A\n\ntext\n\n### 1. Is it so?\n\n**Yes.** It is.\n\n| a table |"))
    ### 1. Is it so?
    <BLANKLINE>
    **Yes.** It is.
    """
    return "\n\n".join(part for part in section.split("\n\n") if part.startswith(("### ", "**")))


def _problems() -> list[list[str]]:
    rows = []
    for name in sorted({*bounds.PROBLEMS, *unbounded.PROBLEMS, *extremes.PROBLEMS}):
        problem = parse_problem(name)
        formula = (type(problem).__doc__ or "").strip().split("\n\n")[0]
        largest = float(np.max(problem.largest_gradient))
        shown = f"{largest:.3g}" if np.isfinite(largest) else "∞"
        rows.append([name, " ".join(formula.split()), f"{problem.smoothness:.3g}", shown])
    return rows
