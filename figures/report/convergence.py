"""The numbers of the report's section on Section 4.2; its prose is templates/convergence.md.j2 and convergence/.

Each of the six questions is answered from the rows of its study: a label, numbers and a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from statistics import median

import numpy as np

from figures.convergence.exponents import exponents_of_decades
from figures.report.render import render
from figures.style import grouped
from gradpower.tools.labels import Label
from simulate.adagrad.bounds import BoundedArm
from simulate.adagrad.problem_assumptions import NoisyProblem
from simulate.problems import parse_problem
from simulate.questions import ConvergenceResults, bounds, extremes, unbounded
from simulate.questions.extremes import Extreme
from simulate.questions.gains import Gain
from simulate.questions.rates import Exponents
from simulate.questions.unbounded import UnboundedArm
from theory.laws import parse_law

HIGH, GAIN_PROBLEM = 10.0, "pseudo-huber"  # where question 3 is read
PAPER_POWER = 1.2
UNBOUNDED_RATE = 10.0  # where question 6 is read
_FADING, _DENSE = ("none", "relative, uniform"), ("fixed, uniform", "fixed, Gaussian")


def convergence_section(results: ConvergenceResults | None) -> str:
    """Return the Markdown of the section; None stands for what was not computed."""
    if results is None:
        return render("convergence", size=None)
    studies = results.studies
    return render(
        "convergence",
        size=results.provenance.config,
        problems=_problems(),
        answers=[
            bounds_answer(studies.bounds),
            rates_answer(studies.rates),
            gains_answer(studies.gains),
            tuned_answer(studies.gains),
            extremes_answer(studies.extremes),
            unbounded_answer(studies.unbounded),
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


def _power_headings(rows: Sequence[BoundedArm | Exponents | Gain | UnboundedArm]) -> list[str]:
    return [f"p = {power:g}" for power in sorted({row.power for row in rows})]


def bounds_answer(rows: Sequence[BoundedArm]) -> str:
    """Question 1: violations, and the slacks of the bounds that say something."""
    bounded = [row for row in rows if row.slack is not None]
    violated = sum(row.violated for row in bounded)
    high = [row for row in bounded if _assumption(row) == "4.9"]
    groups = grouped(bounded, lambda row: (row.theorem, row.noise, row.law, _assumption(row)))
    return render(
        "convergence/1_bounds",
        label=Label.FAILS if violated else Label.HOLDS,
        violated=violated,
        arms=len(bounded),
        problems=len({row.problem for row in bounded}),
        telling=_telling(bounded),
        high=len(high),
        high_telling=len(_telling(high)),
        rows=[_bounds_row(*key, own) for key, own in groups.items()],
    )


def _bounds_row(theorem: str, noise: str, law: str, assumption: str, own: list[BoundedArm]) -> list[str]:
    slacks = [row.slack for row in own if row.slack is not None]
    powers = ", ".join(f"{power:g}" for power in sorted({row.power for row in own}))
    counts = [str(len(own)), str(sum(row.violated for row in own))]
    sizes = [f"{min(slacks):.3g} to {max(slacks):.3g}", f"{median(slacks):.3g}", str(len(_telling(own)))]
    return [theorem, f"{noise}, {law}", powers, assumption, *counts, *sizes]


def _telling(rows: Sequence[BoundedArm]) -> list[float]:
    """Slacks of the bounds that lie below what the average cannot exceed in any case."""
    slacks = []
    for row in rows:
        order = row.power + 1 if row.theorem == "4.8" else 2.0
        if row.bound is not None and row.slack is not None and row.bound < _supremum(row.problem, order):
            slacks.append(row.slack)
    return slacks


def _supremum(problem: str, order: float = 2.0) -> float:
    """Σ sup|∂_iF|^order, a bound on ‖∇F‖² and its like."""
    return float(np.sum(parse_problem(problem).largest_gradient ** order))


@cache
def _assumption(row: BoundedArm) -> str:
    """The assumption that the noise of an arm satisfies on its problem."""
    if row.theorem != "4.11":
        return {"4.5": "4.4", "4.8": "4.6"}[row.theorem]
    noisy = NoisyProblem(parse_problem(row.problem), parse_law(row.law), row.noise, row.noise_to_signal)
    return "4.9" if row.power > 1 and noisy.rho(row.power) <= 1 + 1e-9 else "(C1)"


def rates_answer(rows: Sequence[Exponents]) -> str:
    """Question 2: exponents where noise fades, and how the power changes them under noise of fixed size."""
    arms = grouped(rows, lambda row: (row.problem, row.noise))
    fading = [row for row in rows if row.noise in _FADING]
    decades = [exponents_of_decades(row.curve) for row in rows]
    table = [
        [problem, noise, "yes" if own[0].assumption_4_6 else "no"]
        + [f"{row.exponent:.3f} ± {row.half_width:.3f}" for row in own]
        for (problem, noise), own in arms.items()
    ]
    bound = [f"{1 / (power + 1):.3f}" for power in sorted({row.power for row in rows})]
    return render(
        "convergence/2_rates",
        label=rates_label(rows),
        adagrad=fading_exponents(rows),
        fast=[row.exponent for row in fading],
        squares=[row.square_exponent for row in fading if row.power < 1],
        spread=_spread(rows),
        sparse=_off_theorem(rows),
        drift=max(abs(late - early) for early, late in decades),
        noises=grouped(rows, lambda row: (row.noise, row.noise_to_signal)),
        columns=["problem", "noise", "4.6 holds", *_power_headings(rows)],
        rows=[*table, ["Theorem 4.8's bound", "", "", *bound]],
    )


def rates_label(rows: Sequence[Exponents]) -> Label:
    """Return the verdict on question 2: Adagrad is fast where noise fades, and sparse noise has the theorem's rate."""
    expected = min(fading_exponents(rows)) > 0.75 and _off_theorem(rows) < 0.1 and _spread(rows) < 0.2
    return Label.IN_PART if expected else Label.NOT_REPRODUCED


def fading_exponents(rows: Sequence[Exponents]) -> list[float]:
    """Return Adagrad's exponents where the noise fades with the gradient."""
    return [row.exponent for row in rows if row.noise in _FADING and row.power == 1]


def _spread(rows: Sequence[Exponents]) -> float:
    """How far the power changes the exponent under noise of fixed size that has a density."""
    dense = grouped((row for row in rows if row.noise in _DENSE), lambda row: (row.problem, row.noise))
    exponents = [[row.exponent for row in own] for own in dense.values()]
    return max(max(own) - min(own) for own in exponents)


def _off_theorem(rows: Sequence[Exponents]) -> float:
    """How far exponents under sparse noise are from Theorem 4.8's."""
    return max(abs(row.exponent - row.theorem_exponent) for row in rows if row.noise == "fixed, sparse")


def gains_answer(rows: Sequence[Gain]) -> str:
    """Question 3, at the paper's power: which laws gain, which lose, and how far Q(1)/Q(p) and ρ are right."""
    shown = [row for row in rows if (row.problem, row.noise_to_signal) == (GAIN_PROBLEM, HIGH)]
    others = [row for row in shown if row.power != 1]
    table = []
    for law, own in grouped(others, lambda row: row.law).items():
        table += [
            [law, "measured, Adagrad's η", *(_with_interval(row, "shared") for row in own)],
            ["", "drift/RMS, Q(1)/Q(p)", *(f"{row.quality:.3f}" for row in own)],
        ]
        if any(row.rho is not None for row in own):
            rho = [f"{row.rho:.3f}" if row.rho is not None else "∞" for row in own]
            table += [["", "Theorem 4.11's ρ", *rho]]
    paper = [row for row in shown if row.power == PAPER_POWER]
    return render(
        "convergence/3_gains",
        high=HIGH,
        problem=GAIN_PROBLEM,
        power=PAPER_POWER,
        gain=[row for row in paper if row.shared_high < 1],
        loss=[row for row in paper if row.shared_low > 1],
        even=[row for row in paper if row.shared_low <= 1 <= row.shared_high],
        wrong=[row for row in paper if row.rho_is_wrong],
        off=[abs(row.shared / row.quality - 1) for row in others],
        columns=["law", "average over Adagrad's", *_power_headings(others)],
        rows=table,
    )


def _with_interval(row: Gain, ratio: str) -> str:
    """The ratio "shared" or "tuned", with its interval."""
    value, low, high = (getattr(row, ratio + end) for end in ("", "_low", "_high"))
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def tuned_answer(rows: Sequence[Gain]) -> str:
    """Question 4: how far tuning moves the ratios, and how far tuned ratios are from Q(1)/Q(p)."""
    noisy = [row for row in rows if row.noise_to_signal >= 3 and row.power != 1]
    inside = [row for row in noisy if not row.at_edge]
    paper = [row for row in inside if row.power == PAPER_POWER]
    shown = [row for row in noisy if row.power in (0.5, PAPER_POWER, 2.0) and row.noise_to_signal == HIGH]
    settings = grouped(shown, lambda row: (row.problem, row.law))
    most = max(abs(row.shared - 1) for row in paper)
    moved = max(abs(row.tuned - row.shared) for row in paper)
    return render(
        "convergence/4_tuned",
        label=Label.HOLDS if moved < 0.2 * most else Label.IN_PART,
        power=PAPER_POWER,
        most=most,
        moved=moved,
        moved_at_2=max(abs(row.tuned / row.shared - 1) for row in inside if row.power == 2.0),
        same=sum(row.learning_rate == row.adagrad_rate for row in paper),
        settings=len(paper),
        high=HIGH,
        off=[abs(row.tuned / row.quality - 1) for row in inside],
        outside=sum(not row.tuned_low <= row.quality <= row.tuned_high for row in inside),
        rows=[
            [problem, law, *(_with_interval(row, "tuned") + " *" * row.at_edge for row in own)]
            for (problem, law), own in settings.items()
        ],
    )


def extremes_answer(rows: Sequence[Extreme]) -> str:
    """Question 5: what was found, at the largest T."""
    last = {(row.laws, row.goal): row for row in rows}
    return render(
        "convergence/5_extremes",
        helps=last["any", "helps most"],
        hurts=last["symmetric", "hurts most"],
        hurts_any=last["any", "hurts most"],
        rows=rows,
    )


def unbounded_answer(rows: Sequence[UnboundedArm]) -> str:
    """Question 6: violations, and the slacks of the proved bounds of arms that have moved."""
    violated = sum(row.violated for row in rows)
    moved = [row for row in rows if row.bound_is_proved and row.measured < 0.5 * _supremum(row.problem)]
    shown = [row for row in rows if (row.learning_rate, row.noise_to_signal) == (UNBOUNDED_RATE, HIGH)]
    arms = grouped(shown, lambda row: (row.problem, row.law))
    return render(
        "convergence/6_unbounded",
        label=Label.FAILS if violated else Label.HOLDS,
        violated=violated,
        arms=len(rows),
        slacks=[row.slack for row in moved],
        high=HIGH,
        rate=UNBOUNDED_RATE,
        columns=[
            "problem",
            "law",
            "largest gradient seen",
            "bound/measured, p = 0.5",
            *_power_headings(rows),
        ],
        rows=[
            [problem, law, f"{own[0].largest_gradient:.3g}", f"{own[0].slack:.3g}"]
            + [f"{row.measured:.3g} ± {2 * row.standard_error:.1g}" for row in own]
            for (problem, law), own in arms.items()
        ],
    )
