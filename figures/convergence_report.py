"""Section 4.2 in the report: six questions, each with its command, numbers and verdict, from the result file alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from rich.box import SIMPLE
from rich.table import Table

from figures.markdown import markdown_table

Row = Mapping[str, Any]
_HIGH, _GAIN_PROBLEM = 10.0, "pseudo-huber"  # where questions 3 and 4 are read
_PAPER_POWER = 1.2


class Answer(NamedTuple):
    """A question, its verdict in a sentence or two, and the table behind it."""

    question: str
    verdict: str
    headings: list[str]
    rows: list[list[str]]


def answers(results: Mapping[str, Any]) -> list[Answer]:
    """Return the six answers from a convergence result file."""
    studies = results["studies"]
    return [
        _bounds(studies["bounds"]),
        _rates(studies["rates"]),
        _gains(studies["gains"]),
        _tuned(studies["gains"]),
        _extremes(studies["extremes"]),
        _unbounded(studies["unbounded"]),
    ]


def convergence_parts(results: Mapping[str, Any] | None) -> list[str]:
    """Return the Markdown of Section 4.2."""
    heading = "## Convergence (Section 4.2)"
    if results is None:
        return [heading, "Not computed here yet: `gradpower convergence` does it, in a few minutes."]
    size = results["provenance"]["config"]
    introduction = (
        "AdagradPower simulated against Theorems 4.5, 4.8 and 4.11, whose statements, lemmas, assumptions and "
        "examples "
        f"are among the claims below. `gradpower convergence` repeats all of it: {size['seeds']} runs an arm "
        "(twice as "
        f"many where learning rates are tuned, half to tune and half to judge), T = {size['steps']:g} "
        f"({size['long_steps']:g} for exponents; fewer in many dimensions); ± and [ ] are 95% intervals over runs. "
        "`gradpower simulate adagrad` runs any single arm. The tables are excerpts of `results/convergence.json`."
    )
    parts = [heading, introduction]
    for number, answer in enumerate(answers(results), start=1):
        parts += [
            f"### {number}. {answer.question}",
            f"**{answer.verdict}**",
            markdown_table(answer.headings, answer.rows),
        ]
    return parts


def table_of_answers(found: Sequence[Answer]) -> Table:
    """Return the verdicts as a table for the terminal."""
    table = Table(title="Convergence: six questions", title_justify="left", box=SIMPLE, show_lines=True)
    table.add_column("question", max_width=32)
    table.add_column("answer")
    for number, answer in enumerate(found, start=1):
        table.add_row(f"{number}. {answer.question}", answer.verdict)
    return table


def _several(rows: Sequence[Row], *names: str) -> list[tuple[Any, ...]]:
    """The different values of some fields, in order."""
    return list(dict.fromkeys(tuple(row[name] for name in names) for row in rows))


def _where(rows: Sequence[Row], **fields: Any) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in fields.items())]


def _bounds(rows: Sequence[Row]) -> Answer:
    bounded = [row for row in rows if "slack" in row]
    violated = sum(row["violated"] for row in bounded)
    table = []
    for theorem, noise, law in _several(bounded, "theorem", "noise", "law"):
        own = _where(bounded, theorem=theorem, noise=noise, law=law)
        slacks = [row["slack"] for row in own]
        powers = ", ".join(f"{p:g}" for p in sorted({row["power"] for row in own}))
        ends = f"{min(slacks):.3g} to {max(slacks):.3g}"
        broken = str(sum(row["violated"] for row in own))
        table.append(
            [theorem, f"{noise}, {law}", powers, str(len(own)), broken, ends, f"{median(slacks):.3g}"]
        )
    held = "None of the bounds is violated" if violated == 0 else f"{violated} bounds are violated"
    slack = [row["slack"] for row in bounded]
    return Answer(
        "Do the bounds hold wherever the assumptions do, and how loose are they?",
        f"{held} in {len(bounded)} arms over {len(_several(bounded, 'problem'))} problems. They are loose: "
        "bound over "
        f"measurement is {min(slack):.2g} at least, {median(slack):.2g} in the median and {max(slack):.1g} at most, "
        "and grows with the power.",
        ["theorem", "noise", "powers", "arms", "violated", "bound/measured at T", "median"],
        table,
    )


def _rates(rows: Sequence[Row]) -> Answer:
    table = []
    for problem, noise in _several(rows, "problem", "noise"):
        own = sorted(_where(rows, problem=problem, noise=noise), key=lambda row: row["power"])
        cells = [f"{row['exponent']:.3f} ± {row['half_width']:.3f}" for row in own]
        table.append([problem, noise, "yes" if own[0]["assumption_4_6"] else "no", *cells])
    powers = sorted({row["power"] for row in rows})
    theorem = ["Theorem 4.8's bound", "", "", *(f"{1 / (p + 1):.3f}" for p in powers)]
    fading = [row for row in rows if row["noise"] in ("none", "relative, uniform")]
    adagrad = [row["exponent"] for row in fading if row["power"] == 1]
    fast = [row["exponent"] for row in fading]
    sparse = max(
        abs(row["exponent"] - row["theorem_exponent"]) for row in rows if row["noise"] == "fixed, sparse"
    )
    spread = _spread([row for row in rows if row["noise"] in ("fixed, uniform", "fixed, Gaussian")])
    return Answer(
        "Low noise: does the exponent move from 1/2 towards 1/(p+1), or was Adagrad fast already?",
        f"Adagrad was fast already where noise fades with the gradient: its exponent is {min(adagrad):.2f} to "
        f"{max(adagrad):.2f}, not the 1/2 of its bound, and every power has {min(fast):.2f} to {max(fast):.2f}. "
        "Under "
        f"noise of fixed size with a density the power changes the exponent by {spread:.2f} at most. Only under "
        "sparse "
        "noise, where the gradient often comes through undisturbed, do the exponents follow 1/(p+1), to within "
        f"{sparse:.2f}: there the gain is real.",
        ["problem", "noise", "4.6 holds", *(f"p = {p:g}" for p in powers)],
        [*table, theorem],
    )


def _spread(rows: Sequence[Row]) -> float:
    """The largest change of an exponent by the power, within a problem and noise."""
    changes: list[float] = []
    for problem, noise in _several(rows, "problem", "noise"):
        own = [row["exponent"] for row in _where(rows, problem=problem, noise=noise)]
        changes.append(max(own) - min(own))
    return max(changes)


def _interval(row: Row, name: str) -> str:
    return f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"


def _gains(rows: Sequence[Row]) -> Answer:
    shown = _where(rows, problem=_GAIN_PROBLEM, noise_to_signal=_HIGH)
    powers = sorted({row["power"] for row in shown} - {1.0})
    table = []
    for (law,) in _several(shown, "law"):
        own = {row["power"]: row for row in _where(shown, law=law)}
        rho = [f"{own[p]['rho']:.3f}" if own[p]["rho"] is not None else "∞" for p in powers]
        table += [
            [law, "measured, Adagrad's η", *(_interval(own[p], "shared") for p in powers)],
            ["", "drift/RMS, Q(1)/Q(p)", *(f"{own[p]['quality']:.3f}" for p in powers)],
            ["", "Theorem 4.11's ρ", *rho],
        ]
    paper = [row for row in shown if row["power"] == _PAPER_POWER]
    gain = ", ".join(f"{row['law']} {row['shared']:.3f}" for row in paper if row["shared_high"] < 1)
    loss = ", ".join(f"{row['law']} {row['shared']:.3f}" for row in paper if row["shared_low"] > 1)
    even = ", ".join(row["law"] for row in paper if row["shared_low"] <= 1 <= row["shared_high"])
    wrong = ", ".join(
        row["law"] for row in paper if row["rho"] is not None and (row["rho"] - 1) * (row["shared"] - 1) < 0
    )
    return Answer(
        "High noise: is the gain the predicted constant, and for which laws does it reverse?",
        f"At p = {_PAPER_POWER:g} and σ = {_HIGH:g}·max|∇F| the average of ‖∇F‖² over Adagrad's is: gain "
        f"{gain or 'none'}; "
        f"loss {loss or 'none'}; neither, within error: {even or 'none'}. The constant is not ρ, which has the "
        "wrong sign "
        f"for {wrong or 'none'} noise and does not exist for unbounded noise; it is Q(1)/Q(p), the inverse gain "
        "in drift "
        "over RMS, the theory of Section 4.1.",
        ["law", "average over Adagrad's", *(f"p = {p:g}" for p in powers)],
        table,
    )


def _tuned(rows: Sequence[Row]) -> Answer:
    noisy = [row for row in rows if row["noise_to_signal"] >= 3 and row["power"] != 1]
    inside = [row for row in noisy if not row["at_edge"]]
    off = [abs(row["tuned"] / row["quality"] - 1) for row in inside if row["power"] <= 2]
    table = []
    for problem, law, ratio in _several(noisy, "problem", "law", "noise_to_signal"):
        own = [
            row
            for row in _where(noisy, problem=problem, law=law, noise_to_signal=ratio)
            if row["power"] in (0.5, _PAPER_POWER, 2.0)
        ]
        cells = [_interval(row, "tuned") + (" *" if row["at_edge"] else "") for row in own]
        table.append([problem, law, f"{ratio:g}", *cells])
    paper = [row for row in inside if row["power"] == _PAPER_POWER]
    moved = max(abs(row["tuned"] - row["shared"]) for row in paper)
    return Answer(
        "At the best step size of each power, not at a shared one, what is left?",
        f"Nearly all: at p = {_PAPER_POWER:g} tuning moves the ratio by {moved:.3f} at most. Over {len(off)} "
        "settings with "
        f"σ >= 3·max|∇F| and p <= 2 the tuned ratio is Q(1)/Q(p) to within {median(off):.1%} in the median and "
        f"{max(off):.0%} at worst: a change of direction, not of step size.",
        ["problem", "law", "σ/max∇F", "p = 0.5", f"p = {_PAPER_POWER:g}", "p = 2"],
        table,
    )


def _extremes(rows: Sequence[Row]) -> Answer:
    table = [
        [
            row["laws"],
            row["goal"],
            row["problem"],
            row["law"],
            f"{row['noise_to_signal']:.3g}",
            f"{row['power']:.3f}",
            f"{row['steps']:g}",
            f"{row['ratio']:.3g} [{row['ratio_low']:.3g}, {row['ratio_high']:.3g}]",
        ]
        for row in rows
    ]
    last = {(row["laws"], row["goal"]): row for row in rows}
    helps, hurts = last["symmetric", "helps most"], last["symmetric", "hurts most"]
    skewed = last["any", "hurts most"]
    return Answer(
        "In which instance does p ≠ 1 help most, in which does it hurt most?",
        f"Under symmetric noise the search ends at p = {helps['power']:.2f} and {helps['law']} noise on "
        f"{helps['problem']}, "
        f"ratio {helps['ratio']:.2g}, and at p = {hurts['power']:.2f} and {hurts['law']} noise on "
        f"{hurts['problem']}, ratio "
        f"{hurts['ratio']:.2g}. With skewed noise allowed the worst is {skewed['law']} at p = "
        f"{skewed['power']:.2f}, ratio "
        f"{skewed['ratio']:.2g} after {skewed['steps']:g} steps.",
        ["laws", "goal", "problem", "law", "σ/max∇F", "p", "T", "average over Adagrad's, both tuned"],
        table,
    )


def _unbounded(rows: Sequence[Row]) -> Answer:
    violated = sum(row["violated"] for row in rows)
    proved = [row for row in rows if row["bound_is_proved"]]
    slacks = [row["slack"] for row in proved]
    table = []
    for problem, law in _several(rows, "problem", "law"):
        own = [
            r
            for r in _where(rows, problem=problem, law=law, learning_rate=1.0)
            if r["noise_to_signal"] == _HIGH
        ]
        cells = [f"{row['measured']:.3g} ± {2 * row['standard_error']:.1g}" for row in own]
        table.append([problem, law, f"{own[0]['largest_gradient']:.3g}", f"{own[0]['slack']:.3g}", *cells])
    powers = sorted({row["power"] for row in rows})
    return Answer(
        "What happens without a bound on the gradients?",
        f"No theorem of the paper speaks, but nothing breaks: every step is at most η. The bound that needs only "
        f"E φ_p² (claim `second-moment`) holds in all {len(proved)} arms with bounded ∇F, {min(slacks):.2g} "
        "times the "
        f"measurement at least; with the largest gradient on the path for sup|∇F| also on the noisy quadratic "
        f"({violated} violations in {len(rows)} arms)."
        if violated == 0
        else f"The bound without R is violated in {violated} of {len(rows)} arms.",
        ["problem", "law", "largest gradient seen", "bound/measured", *(f"p = {p:g}" for p in powers)],
        table,
    )
