"""What the study of batch size and power says of the paper's Figure 6, by its declared rule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from experiments.sweeps.batch_size import word_of
from experiments.sweeps.contrasts import AS_RUN, NAMES
from experiments.sweeps.verdict import moves, primary_view

Data = Mapping[str, Any]
_FEWEST = 3
"""Seeds, of which a trend over three batch sizes can be significant."""
PAPER = 1.2
"""The paper's power."""


def verdict(found: Data) -> str:
    """Return the verdict in a few sentences: nothing but the count of runs while any are missing.

    The paper's claim has three parts: the best power falls with the batch size, from above 1 at the smallest, to below
    1 at the largest.

    Parameters
    ----------
    found : mapping
        From `figures.batch_size.collect`.
    """
    analysis, about = found["main"], found["about"]
    trend = _trend(analysis)
    if about["done"] < about["planned"]:
        return f"Not decided yet: {about['done']} of {about['planned']} runs are done."
    if trend is None or trend["grid"] is None or len(trend["seeds"]) < _FEWEST:
        return f"Not decided: these runs cannot show a trend. {analysis['verdict']}"
    parts = (
        _head(found, trend),
        _at_one_rate(found),
        _doubt(found),
        analysis["verdict"],
        _rates(found),
        _explained(found),
    )
    return " ".join(filter(None, parts))


def _at_one_rate(found: Data) -> str:
    """Say what becomes of the trend at one learning rate; nothing where the comparison is at one rate itself."""
    rates = {row["rate"] for row in found["about"]["batches"].values()}
    part = found["about"]["parts"].get("one-rate")
    trend = _trend(found["one_rate"]) if found["one_rate"] else None
    if len(rates) < 2 or part is None or part["done"] < part["planned"] or trend is None or not trend["grid"]:
        return ""
    groups = primary_view(found["one_rate"])["groups"]
    best = ", ".join(f"{group['best']['grid']['value']:g}" for group in groups)
    steady = trend["decision"] == _trend(found["main"])["decision"]
    last = groups[-1]
    means = [abs(c["statistics"]["mean"]) for c in last["comparisons"] if c["statistics"]]
    flat = (
        f" At batch {last['within']} no p differs from p = 1 by the rule, or by more than {max(means):.3f} in the "
        "mean: the loss is flat in p there."
        if means and not any(c["decision"] in ("lower", "higher") for c in last["comparisons"])
        else ""
    )
    return (
        f"At one learning rate for all batch sizes, as the paper's Figure 6 has it, the best power "
        f"{'also ' if steady else ''}{tested(trend)}: {best} of the grid.{flat}"
    )


def _doubt(found: Data) -> str:
    """Say how often a fall would be called without one, where that is more than was meant."""
    alpha = found["main"]["rule"]["alpha"]
    shares = {
        name: max((row["share"] for row in rows), default=0.0)
        for name, rows in (
            ("with these curves", found["false_falls"]),
            ("with those at one rate", found["one_rate_false_falls"]),
        )
    }
    said = [f"{share:.0%} of studies {name}" for name, share in shares.items() if share > alpha]
    return (
        f"Curves that differ in shape let Page's test call a fall where the best power does not move: in up to "
        f"{', '.join(said)}, instead of {alpha:.0%}."
        if said
        else ""
    )


def _rates(found: Data) -> str:
    """Say where the control of tuned rates has a better rate at p = 1 than the comparison was made at."""
    said = []
    for batch, about in found["about"]["batches"].items():
        losses = {
            row["rate"]: row["loss"]
            for row in found["tuned_rates"]
            if (str(row["batch_size"]), row["power"]) == (batch, 1.0) and row["loss"] is not None
        }
        if losses:
            best = min(losses, key=lambda rate: losses[rate])
            if not math.isclose(best, about["rate"]):
                said.append(f"{best:.2g} at batch {batch}, where the comparison has {about['rate']:.2g}")
    return f"With more seeds, the best rate at p = 1 is {'; '.join(said)}." if said else ""


def _explained(found: Data) -> str:
    """Say which controls take part of a change between the ends away, where that change is itself sure."""
    said = []
    for row in found["interactions"]:
        if row["control"] != AS_RUN or row["change"] is None or not _apart(row["change"]["t_interval"]):
            continue
        others = [o for o in found["interactions"] if o["power"] == row["power"] and o["removed"] is not None]
        part = [o for o in others if _apart(o["removed"]["t_interval"])]
        left = [o for o in others if o not in part and _apart(o["change"]["t_interval"])]
        rest = [o for o in others if o not in part and o not in left]
        told = [
            f"{verb} {', '.join(o['control'] for o in some)}"
            for verb, some in (
                ("a part is taken away by", part),
                ("it is left, for sure in part, by", left),
                ("inconclusive are", rest),
            )
            if some
        ]
        if told:
            small, large = row["batch_sizes"]
            said.append(
                f"of the change from batch {small} to {large} of the loss of p = {row['power']:g} less that of p = 1, "
                f"{difference_text(row['change'])}, {'; '.join(told)}"
            )
    text = ". ".join(f"{each[0].upper()}{each[1:]}" for each in said)
    return f"{text} (95 % t intervals over few seeds)." if text else ""


def _trend(analysis: Data) -> Any:
    return next(iter(primary_view(analysis)["trends"]), None)


def _head(found: Data, trend: Data) -> str:
    if trend["decision"] != "falls":
        page = trend["grid"]["page"]
        rises = trend["grid"]["data"] == "rises" and page["p_two_sided"] <= found["main"]["rule"]["alpha"]
        if rises:
            return "Reversed at this size: the best power rises as the batch grows (two-sided, which was not declared)."
        return "Not reproduced at this size: that the best power falls as the batch grows is not shown."
    sides = [
        _side(found, end, side, name)
        for end, side, name in ((0, "above", "smallest"), (-1, "below", "largest"))
    ]
    wrong = [said for kind, said in sides if kind == "wrong"]
    unsure = [said for kind, said in sides if kind == "unsure"]
    missed = [f"it is not {' and not '.join(wrong)}"] if wrong else []
    if unsure:
        missed.append(
            f"that it is {' and '.join(unsure)} is not shown: no such p has a loss lower than p = 1 by the rule"
        )
    if missed:
        return (
            f"Reproduced in part at this size: the best power falls as the batch grows; {'; '.join(missed)}."
        )
    return "Reproduced at this size: the best power falls as the batch grows, from above 1 to below 1."


def _side(found: Data, end: int, side: str, name: str) -> tuple[str, str]:
    """Return whether the best power is on the paper's side of 1 at an end, "sure", "unsure" or "wrong", and which."""
    group, best = primary_view(found["main"])["groups"][end], found["measured"][end]["grid"]

    def beyond(power: float) -> bool:
        return power > 1 if side == "above" else power < 1

    if best is None or not beyond(best):
        return "wrong", f"{side} 1 at the {name} batch"
    sure = any(c["decision"] == "lower" for c in group["comparisons"] if beyond(c["value"]))
    return ("sure" if sure else "unsure"), f"{side} 1 at the {name} batch (best of the grid {best:g})"


def claims(found: Data) -> list[tuple[str, str, str]]:
    """Return the paper's claims that the study is about: each with what is found at this size, and the numbers.

    Parameters
    ----------
    found : mapping
        From `figures.batch_size.collect`.
    """
    if found["about"]["done"] < found["about"]["planned"]:
        return []
    rows = [_figure_6(found), _figure_2(found), _clipping(found)]
    return [row for row in rows if row is not None]


def _figure_6(found: Data) -> tuple[str, str, str] | None:
    trend = _trend(found["main"])
    if trend is None or trend["grid"] is None:
        return None
    best = ", ".join(f"{row['grid']:g}" for row in found["measured"] if row["grid"] is not None)
    sizes = ", ".join(str(row["batch_size"]) for row in found["measured"])
    return (
        "Figure 6: the best power falls as the batch grows, from above 1 to below 1",
        _head(found, trend).partition(":")[0],
        f"best p of the grid {best} at batch {sizes}; Page's p = {trend['grid']['adjusted']:.2g}",
    )


def _figure_2(found: Data) -> tuple[str, str, str] | None:
    """The paper's Figure 2 is of its smallest batch."""
    group, best = primary_view(found["main"])["groups"][0], found["measured"][0]
    row = next((c for c in group["comparisons"] if c["value"] == PAPER), None)
    if row is None or row["statistics"] is None or best["grid"] is None:
        return None
    mean = row["statistics"]["mean"]
    side = "lower" if mean < 0 else "higher"
    sure = (
        f"{side} than p = 1"
        if row["decision"] == side
        else f"{side} than p = 1 in the mean, undecided by the rule"
    )
    first = (
        "the best of the grid"
        if best["grid"] == PAPER
        else f"not the best of the grid, which is {best['grid']:g}"
    )
    numbers = f"{size_of(row['statistics'], group['baseline_spread'])}, adjusted p = {row['adjusted']:.2g}"
    return f"Figure 2: p = {PAPER:g} is best (at the smallest batch)", f"{sure}; {first}", numbers


def _clipping(found: Data) -> tuple[str, str, str]:
    claim = "Clipping before or after the power makes no visible difference"
    rows = [r for r in found["contrasts"] if r["control"] == NAMES["clip"] and r["change"] is not None]
    if not rows:
        return claim, "not run yet", f"`gradpower sweep {word_of('clip')} --scale {found['scale']}`"
    spread = {group["within"]: group["baseline_spread"] for group in primary_view(found["main"])["groups"]}
    seen = [row for row in rows if _apart(row["change"]["t_interval"])]
    said = "a difference in " + f"{len(seen)} of {len(rows)} cases" if seen else "no difference seen"
    numbers = "; ".join(
        f"p = {row['power']:g}, batch {row['batch_size']}: {size_of(row['change'], spread[row['batch_size']])}"
        for row in rows
    )
    return (
        claim,
        f"{said} (95 % t intervals, {rows[0]['change']['seeds']} seeds)",
        f"change by clipping after: {numbers}",
    )


def _apart(interval: Any) -> bool:
    """Return whether an interval leaves 0 out."""
    return interval is not None and (interval[0] > 0 or interval[1] < 0)


def size_of(statistics: Data, spread: float | None) -> str:
    """Return a mean difference with its interval, and as a multiple of the spread of p = 1 over seeds.

    >>> size_of({"mean": -0.02, "t_interval": [-0.03, -0.01]}, 0.01)
    '-0.0200 [-0.0300, -0.0100] nats a token, 2.0 seed sd'
    """
    times = f", {abs(statistics['mean']) / spread:.1f} seed sd" if spread else ""
    return f"{difference_text(statistics)} nats a token{times}"


def difference_text(statistics: Data) -> str:
    """Return a mean difference with its t interval."""
    low, high = statistics["t_interval"] or (None, None)
    within = "" if low is None else f" [{low:+.4f}, {high:+.4f}]"
    return f"{statistics['mean']:+.4f}{within}"


def tested(trend: Data) -> str:
    """Return whether a trend is there, in words, with the p-value.

    >>> tested({"decision": "not shown", "predicted": True, "grid": {"adjusted": 0.123}})
    'is not shown to fall (p = 0.12)'
    """
    return f"{moves(trend)} (p = {trend['grid']['adjusted']:.2g})" if trend["grid"] else moves(trend)
