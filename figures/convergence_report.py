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
    if "--quick" in results["provenance"].get("command", ""):
        introduction = f"**A try-out of a few seconds: these numbers mean nothing.** {introduction}"
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
        f"measurement is {min(slack):.2g} at least, {median(slack):.2g} in the median and {max(slack):.1g} at most.",
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
    squares = [row["square_exponent"] for row in fading if row["power"] < 1]
    sparse = max(
        abs(row["exponent"] - row["theorem_exponent"]) for row in rows if row["noise"] == "fixed, sparse"
    )
    spread = _spread([row for row in rows if row["noise"] in ("fixed, uniform", "fixed, Gaussian")])
    headline = (
        "Adagrad was fast already where noise fades with the gradient; under sparse noise the gain is real"
        if min(adagrad) > 0.75 and sparse < 0.1 and spread < 0.2
        else "The exponents follow neither picture throughout"
    )
    return Answer(
        "Low noise: does the exponent move from 1/2 towards 1/(p+1), or was Adagrad fast already?",
        f"{headline}. The exponent of ((1/T)Σ‖∇F‖_{{p+1}}^{{p+1}})^(2/(p+1)), the quantity of Theorem 4.8: "
        "without noise or "
        f"with relative noise {_range(adagrad)} for Adagrad, not the 1/2 of its bound, and {_range(fast)} for "
        "every power "
        f"(in the common measure ‖∇F‖² p < 1 has {_range(squares)}, no faster than Adagrad); under noise of "
        "fixed size with "
        f"a density the power changes it by {spread:.2f} at most; under sparse noise, where the gradient often comes "
        f"through undisturbed, it is 1/(p+1) to within {sparse:.2f}.",
        ["problem", "noise", "4.6 holds", *(f"p = {p:g}" for p in powers)],
        [*table, theorem],
    )


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


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
    bounded = [row for row in paper if row["rho"] is not None]
    wrong = ", ".join(
        row["law"]
        for row in bounded
        if (row["rho"] > 1 and row["shared_high"] < 1) or (row["rho"] < 1 and row["shared_low"] > 1)
    )
    off = [abs(row["shared"] / row["quality"] - 1) for row in shown if row["power"] != 1]
    return Answer(
        "High noise: is the gain the predicted constant, and for which laws does it reverse?",
        f"At p = {_PAPER_POWER:g} and σ = {_HIGH:g}·max|∇F| the average of ‖∇F‖² over Adagrad's is: gain "
        f"{gain or 'none'}; "
        f"loss {loss or 'none'}; neither, within error: {even or 'none'}. Theorem 4.11's ρ has the wrong sign for "
        f"{wrong or 'none'} noise and does not exist for unbounded noise. Q(1)/Q(p), the inverse gain in drift "
        "over RMS of "
        f"Section 4.1, is off by {median(off):.1%} in the median over laws and powers, {max(off):.0%} at worst.",
        ["law", "average over Adagrad's", *(f"p = {p:g}" for p in powers)],
        table,
    )


def _tuned(rows: Sequence[Row]) -> Answer:
    noisy = [row for row in rows if row["noise_to_signal"] >= 3 and row["power"] != 1]
    inside = [row for row in noisy if not row["at_edge"]]
    off = [abs(row["tuned"] / row["quality"] - 1) for row in inside]
    outside = sum(not row["tuned_low"] <= row["quality"] <= row["tuned_high"] for row in inside)
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
    most = max(abs(row["shared"] - 1) for row in paper)
    headline = "Nearly all" if moved < 0.2 * most else "Part of it"
    return Answer(
        "At the best step size of each power, not at a shared one, what is left?",
        f"{headline}: at p = {_PAPER_POWER:g} tuning moves the ratio by {moved:.3f} at most, where ratios "
        "differ from 1 by "
        f"up to {most:.3f}. What the power changes is the signal-to-noise ratio of the update, not its size. Over "
        f"{len(off)} settings with σ >= 3·max|∇F| the tuned ratio differs from Q(1)/Q(p) by {median(off):.1%} "
        "in the median "
        f"and {max(off):.0%} at worst, by more than its error in {outside}: Q is the leading order, for T → ∞.",
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
            ", ".join(row["at_edge"]) or "none",
        ]
        for row in rows
    ]
    last = {(row["laws"], row["goal"]): row for row in rows}
    helps, hurts = _instance(last["any", "helps most"]), _instance(last["symmetric", "hurts most"])
    return Answer(
        "In which instance does p ≠ 1 help most, in which does it hurt most?",
        f"The search found as most helpful {helps}; as most harmful under symmetric noise {hurts}, and with "
        "skewed noise "
        f"allowed {_instance(last['any', 'hurts most'])}. A power at the end of its range (last column) says "
        "that the "
        "extreme lies beyond; a search proves no optimum.",
        [
            "laws",
            "goal",
            "problem",
            "law",
            "σ/max∇F",
            "p",
            "T",
            "average over Adagrad's, both tuned",
            "at an end",
        ],
        table,
    )


def _instance(row: Row) -> str:
    return (
        f"p = {row['power']:.2f} under {row['law']} noise on {row['problem']} (ratio {row['ratio']:.2g} after "
        f"{row['steps']:g} steps)"
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
        f"measurement at least; with the largest |g| seen in place of sup|∇F| also on the noisy quadratic "
        f"({violated} violations in {len(rows)} arms)."
        if violated == 0
        else f"The bound without R is violated in {violated} of {len(rows)} arms.",
        ["problem", "law", "largest gradient seen", "bound/measured", *(f"p = {p:g}" for p in powers)],
        table,
    )
