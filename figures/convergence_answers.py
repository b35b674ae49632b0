"""The six questions of Section 4.2, each answered from the rows of its study: verdict, table and note."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from figures.exponents import exponents_of_decades
from simulate.adagrad.descent import NoiseKind
from simulate.adagrad.problem_assumptions import high_noise_constant, largest_noisy_gradient
from simulate.problems import parse_problem
from theory.laws import parse_law

Row = Mapping[str, Any]
_HIGH, _GAIN_PROBLEM = 10.0, "pseudo-huber"  # where questions 3 and 4 are read
_PAPER_POWER = 1.2
_UNBOUNDED_RATE = 10.0  # where question 6 is read


class Answer(NamedTuple):
    """A question, its verdict in a sentence or two, the table behind it, and what the table shows."""

    question: str
    verdict: str
    headings: list[str]
    rows: list[list[str]]
    note: str = ""


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


def _several(rows: Sequence[Row], *names: str) -> list[tuple[Any, ...]]:
    """The different values of some fields, in order."""
    return list(dict.fromkeys(tuple(row[name] for name in names) for row in rows))


def _where(rows: Sequence[Row], **fields: Any) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in fields.items())]


def _bounds(rows: Sequence[Row]) -> Answer:
    bounded = [row for row in rows if "slack" in row]
    violated = sum(row["violated"] for row in bounded)
    table = []
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in bounded:
        groups.setdefault((row["theorem"], row["noise"], row["law"], _assumption(row)), []).append(row)
    for (theorem, noise, law, assumption), own in groups.items():
        slacks = [row["slack"] for row in own]
        powers = ", ".join(f"{p:g}" for p in sorted({row["power"] for row in own}))
        ends = f"{min(slacks):.3g} to {max(slacks):.3g}"
        broken, telling = (str(sum(row["violated"] for row in own)), str(sum(map(_says_something, own))))
        cells = [theorem, f"{noise}, {law}", powers, assumption, str(len(own)), broken]
        table.append([*cells, ends, f"{median(slacks):.3g}", telling])
    held = "None of the bounds is violated" if violated == 0 else f"{violated} bounds are violated"
    telling_slack = [row["slack"] for row in bounded if _says_something(row)]
    size = (
        f"over these the slack, bound over measurement, is {min(telling_slack):.3g} at least and "
        f"{median(telling_slack):.3g} in the median"
        if telling_slack
        else "so that the comparison tells nothing"
    )
    return Answer(
        "Do the bounds hold wherever the assumptions do, and how loose are they?",
        f"{held} in {len(bounded)} arms over {len(_several(bounded, 'problem'))} problems. Of them "
        f"{len(telling_slack)} say something: they lie below the largest value that the average can take at all, "
        f"sup‖∇F‖²; {size}.",
        [
            "theorem",
            "noise",
            "powers",
            "assumption",
            "arms",
            "violated",
            "bound/measured at T",
            "median",
            "below sup‖∇F‖²",
        ],
        table,
        'Assumption: the one that holds; "(C1)": Theorem 4.11\'s proof needs no more, its gain does (ρ > 1, or p < 1).',
    )


def _says_something(row: Row) -> bool:
    """Whether the bound lies below what the average cannot exceed in any case, the supremum of what is averaged."""
    order = row["power"] + 1 if row["theorem"] == "4.8" else 2.0
    return bool(row["bound"] < np.sum(parse_problem(row["problem"]).largest_gradient ** order))


def _assumption(row: Row) -> str:
    """The assumption that the noise of an arm satisfies on its problem."""
    if row["theorem"] != "4.11":
        return {"4.5": "4.4", "4.8": "4.6"}[row["theorem"]]
    rho = _problem_rho(row["problem"], row["power"], row["noise_to_signal"], row["law"], row["noise"])
    return "4.9" if row["power"] > 1 and rho <= 1 + 1e-9 else "(C1)"


@cache
def _problem_rho(problem: str, power: float, ratio: float, law: str, noise: NoiseKind) -> float:
    chosen, noise_law = parse_problem(problem), parse_law(law)
    s = high_noise_constant(chosen, power, ratio, noise_law, noise)
    bound = largest_noisy_gradient(chosen, ratio, noise_law, noise)
    return float(bound ** (power - 1) / s)


def _rates(rows: Sequence[Row]) -> Answer:
    table = []
    for problem, noise in _several(rows, "problem", "noise"):
        own = sorted(_where(rows, problem=problem, noise=noise), key=lambda row: row["power"])
        cells = [f"{row['exponent']:.3f} ± {row['half_width']:.3f}" for row in own]
        table.append([problem, noise, "yes" if own[0]["assumption_4_6"] else "no", *cells])
    powers = sorted({row["power"] for row in rows})
    theorem = ["Theorem 4.8's bound", "", "", *(f"{1 / (p + 1):.3f}" for p in powers)]
    ratios = _several(rows, "noise", "noise_to_signal")
    fading = [row for row in rows if row["noise"] in ("none", "relative, uniform")]
    adagrad = [row["exponent"] for row in fading if row["power"] == 1]
    fast = [row["exponent"] for row in fading]
    squares = [row["square_exponent"] for row in fading if row["power"] < 1]
    sparse = max(
        abs(row["exponent"] - row["theorem_exponent"]) for row in rows if row["noise"] == "fixed, sparse"
    )
    spread = _spread([row for row in rows if row["noise"] in ("fixed, uniform", "fixed, Gaussian")])
    compared = "no faster than" if max(squares) <= max(adagrad) else "faster in places than"
    drift = max(abs(late - early) for early, late in (exponents_of_decades(row["curve"]) for row in rows))
    headline = (
        "Adagrad was fast already where noise fades with the gradient; under sparse noise the gain is real"
        if min(adagrad) > 0.75 and sparse < 0.1 and spread < 0.2
        else "The exponents follow neither picture throughout"
    )
    return Answer(
        "Low noise: does the exponent move from 1/2 towards 1/(p+1), or was Adagrad fast already?",
        f"{headline}. The exponent of ((1/T)Σ‖∇F‖_{{p+1}}^{{p+1}})^(2/(p+1)), the quantity of Theorem 4.8: "
        f"without noise or with relative noise {_range(adagrad)} for Adagrad, not the 1/2 of its bound, and "
        f"{_range(fast)} for every power (in the common measure ‖∇F‖² p < 1 has {_range(squares)}, {compared} "
        f"Adagrad); under noise of fixed size with a density the power changes it by {spread:.2f} at most; under "
        f"sparse noise, where the gradient often comes through undisturbed, it is 1/(p+1) to within {sparse:.2f}.",
        ["problem", "noise", "4.6 holds", *(f"p = {p:g}" for p in powers)],
        [*table, theorem],
        "Exponents with their noise ratios r: "
        + ", ".join(f"{noise} {r:g}" for noise, r in ratios)
        + f". ± is over runs; from the last decade but one to the last exponents still drift by up to {drift:.2f} "
        "(`docs/convergence_exponents.png`).",
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
    points = f"points the wrong way for {wrong} noise and " if wrong else ""
    off = [abs(row["shared"] / row["quality"] - 1) for row in shown if row["power"] != 1]
    return Answer(
        "High noise: is the gain the predicted constant, and for which laws does it reverse?",
        f"At p = {_PAPER_POWER:g} and σ = {_HIGH:g}·max|∇F| the average of ‖∇F‖² over Adagrad's is: gain "
        f"{gain or 'none'}; loss {loss or 'none'}; neither, within error: {even or 'none'}. Theorem 4.11's ρ "
        f"{points}does not exist for unbounded noise. Q(1)/Q(p), the inverse gain in drift over RMS of Section "
        f"4.1, is off by {median(off):.1%} in the median over laws and powers, {max(off):.0%} at worst.",
        ["law", "average over Adagrad's", *(f"p = {p:g}" for p in powers)],
        table,
        f"On {_GAIN_PROBLEM}, σ = {_HIGH:g}·max|∇F|, at Adagrad's best learning rate for every power; below 1 a "
        "gain.",
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
    same = sum(row["learning_rate"] == row["adagrad_rate"] for row in paper)
    double = [row for row in inside if row["power"] == 2.0]
    at_two = max(abs(row["tuned"] / row["shared"] - 1) for row in double)
    headline = "Nearly all" if moved < 0.2 * most else "Part of it"
    return Answer(
        "At the best step size of each power, not at a shared one, what is left?",
        f"{headline}: at p = {_PAPER_POWER:g}, where ratios differ from 1 by up to {most:.3f}, tuning moves them "
        f"by {moved:.3f} at most (in {same} of {len(paper)} settings both powers have the same best point of the "
        f"grid of learning rates, two an octave), at p = 2 by {at_two:.0%} at most. What the power changes is the "
        f"signal-to-noise ratio of the update, not its size. Over {len(off)} settings with σ >= 3·max|∇F| the "
        f"tuned ratio differs from Q(1)/Q(p) by {median(off):.1%} in the median and {max(off):.0%} at worst, by "
        f"more than its error in {outside}: Q is the leading order, for T → ∞.",
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
        f"skewed noise allowed {_instance(last['any', 'hurts most'])}. A power at the end of its range (last "
        "column) says that the extreme lies beyond; a search proves no optimum.",
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
    moved = [
        row for row in rows if row["bound_is_proved"] and row["measured"] < 0.5 * _supremum(row["problem"])
    ]
    slacks = [row["slack"] for row in moved]
    table = []
    for problem, law in _several(rows, "problem", "law"):
        own = [
            row
            for row in _where(rows, problem=problem, law=law, learning_rate=_UNBOUNDED_RATE)
            if row["noise_to_signal"] == _HIGH
        ]
        cells = [f"{row['measured']:.3g} ± {2 * row['standard_error']:.1g}" for row in own]
        table.append([problem, law, f"{own[0]['largest_gradient']:.3g}", f"{own[0]['slack']:.3g}", *cells])
    powers = sorted({row["power"] for row in rows})
    held = (
        f"The bound that needs only E φ_p² (claim `second-moment`) is violated in none of {len(rows)} arms"
        if violated == 0
        else f"The bound without R is violated in {violated} of {len(rows)} arms"
    )
    size = (
        f" and {min(slacks):.2g} times the measurement at least in the {len(slacks)} that have moved"
        if slacks
        else ""
    )
    return Answer(
        "What happens without a bound on the gradients?",
        f"No theorem of the paper speaks, but nothing breaks: every step is at most η. {held}{size}; on the noisy "
        "quadratic, where ∇F has no bound either, the largest |g| seen stands in for sup|∇F|, and nothing is "
        "proved.",
        [
            "problem",
            "law",
            "largest gradient seen",
            "bound/measured, p = 0.5",
            *(f"p = {p:g}" for p in powers),
        ],
        table,
        f"(1/T)Σ‖∇F‖² at σ = {_HIGH:g}·max|∇F|, η = {_UNBOUNDED_RATE:g}; ± two standard errors.",
    )


def _supremum(problem: str) -> float:
    """sup‖∇F‖², or a bound on it."""
    return float(np.sum(parse_problem(problem).largest_gradient ** 2))
