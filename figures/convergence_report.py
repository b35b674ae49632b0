"""Section 4.2 in the report: notation, problems, and six questions with their answers, from the result file alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.table import Table

from figures.convergence_answers import Answer, answers
from figures.markdown import markdown_table
from simulate.problems import parse_problem
from simulate.questions import bounds, extremes, unbounded

_NOTATION = """\
Notation: g_i = ∇_iF + noise, the noise of scale σ_i with the law of ξ ("additive": σ_i = r·sup|∂_iF| fixed;
"multiplicative", or relative: σ_i = r·|∇_iF|); |g_i| <= R; η the learning rate, T the number of steps, d of
coordinates. *Assumption 4.4*: F >= F*, L-smooth, |g_i| <= R. *Assumption 4.6* (p < 1): ∇_iF·E φ_p(g_i) >=
c·|∇_iF|^(p+1). *Assumption 4.9* (p > 1): (C1) ∇_iF·E φ_p(g_i) >= s·|∇_iF|², (C2) ρ = R^(p−1)/s <= 1. *Drift
over RMS* of the powered gradient at high noise is Q(p)·∇F/σ, Q(p) = p·E|ξ|^(p−1)/√(E|ξ|^(2p)), so that
Q(1)/Q(p) < 1 is a gain over Adagrad. In the claims ψ = φ_p(g), v the sum of the ψ² up to this step, ṽ the same
with the last ψ² replaced by its mean. The problems:"""


def convergence_parts(results: Mapping[str, Any] | None) -> list[str]:
    """Return the Markdown of Section 4.2."""
    heading = "## Convergence (Section 4.2)"
    if results is None:
        return [heading, "Not computed here yet: `gradpower convergence` does it, in a few minutes."]
    size = results["provenance"]["config"]
    introduction = (
        "AdagradPower simulated against Theorems 4.5, 4.8 and 4.11, whose statements, lemmas, assumptions and "
        f"examples are among the claims below. `gradpower convergence` repeats all of it: {size['seeds']} runs an "
        "arm (twice as many where learning rates are tuned, half to tune and half to judge), T = "
        f"{size['steps']:g} ({size['long_steps']:g} for exponents; fewer in many dimensions); ± and [ ] are 95% "
        "intervals over runs. `gradpower simulate adagrad` runs any single arm. The tables are excerpts of "
        "`results/convergence.json`."
    )
    if "--quick" in results["provenance"].get("command", ""):
        introduction = f"**A try-out of a few seconds: these numbers mean nothing.** {introduction}"
    parts = [heading, introduction, _NOTATION, _problems()]
    for number, answer in enumerate(answers(results), start=1):
        parts += [f"### {number}. {answer.question}", f"**{answer.verdict}**", answer.note]
        parts.append(markdown_table(answer.headings, answer.rows))
    return [part for part in parts if part]


def _problems() -> str:
    table = []
    for name in sorted({*bounds.PROBLEMS, *unbounded.PROBLEMS, *extremes.PROBLEMS}):
        problem = parse_problem(name)
        said = (type(problem).__doc__ or "").strip().split("\n\n")[0]
        largest = float(np.max(problem.largest_gradient))
        bound = f"{largest:.3g}" if np.isfinite(largest) else "∞"
        table.append([name, " ".join(said.split()), f"{problem.smoothness:.3g}", bound])
    return markdown_table(["problem", "F", "L", "sup|∂F|"], table)


def table_of_answers(found: Sequence[Answer]) -> Table:
    """Return the verdicts as a table for the terminal."""
    table = Table(title="Convergence: six questions", title_justify="left", box=SIMPLE, show_lines=True)
    table.add_column("question", max_width=32)
    table.add_column("answer")
    for number, answer in enumerate(found, start=1):
        table.add_row(f"{number}. {answer.question}", answer.verdict)
    return table
