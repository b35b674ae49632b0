"""What an analysis says, in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

MANY = 3
"""Trends that are told one by one, at most."""


def primary_view(analysis: Mapping[str, Any]) -> Any:
    """Return the view that an analysis' verdict is about."""
    return next(view for view in analysis["views"] if view["kind"] == analysis["primary"])


def early_view(analysis: Mapping[str, Any]) -> Any:
    """Return the view that was read early; None if there is none."""
    return next((view for view in analysis["views"] if view["kind"].startswith("read early")), None)


def verdict(analysis: Mapping[str, Any]) -> str:
    """Return the verdict of an analysis' primary view in one sentence.

    It counts the tested comparisons by outcome, then those with a diverged run, which have no test, and says whether
    the best value moves with the `within` field: by Page's test of the grid's best values, which assumes no parabola.
    Additions after outcomes were known are named, for α does not hold then.

    Parameters
    ----------
    analysis : mapping
        From `analysis.analyse`.
    """
    rule = analysis["rule"]
    view = primary_view(analysis)
    parts = [_comparisons(view, rule), *_trends(view["trends"], rule), *_additions(analysis["history"])]
    if analysis["tied"]:
        parts.append(f"varied together with these: {', '.join(map(short, analysis['tied']))}")
    arms = analysis["arms"]
    missing = (
        f"Incomplete, {arms['missing']} of {arms['planned']} arms are missing: " if arms["missing"] else ""
    )
    seeds = f"with {_counted(len(analysis['seeds']), 'seed')}"
    text = f"{missing}{view['kind']}, {seeds}: {'; '.join(parts)}."
    return text[0].upper() + text[1:]


def _comparisons(view: Mapping[str, Any], rule: Mapping[str, Any]) -> str:
    found = [comparison for group in view["groups"] for comparison in group["comparisons"]]
    counts = Counter(comparison["decision"] for comparison in found)
    words = {
        "lower": "lower",
        "higher": "higher",
        "equal": f"equal within {rule['smallest_effect']:g}",
        "undecided": "undecided",
    }
    said = [f"{counts[key]} {word}" for key, word in words.items() if counts[key]]
    untested = "none tested" if found else "none made"
    baseline = f"{short(rule['compared'])} = {rule['baseline']:g}"
    return (
        f"of {_counted(len(found), 'comparison')} with {baseline}, "
        f"{', '.join(said) or untested} (α = {rule['alpha']:g}, {_correction(rule)}){_unstable(found)}"
    )


def _unstable(found: Sequence[Mapping[str, Any]]) -> str:
    """Return how many comparisons have a diverged run, and whose."""
    unstable = [comparison for comparison in found if comparison["decision"] == "unstable"]
    if not unstable:
        return ""
    ours = sum(comparison["diverged"] > 0 for comparison in unstable)
    theirs = sum(comparison["baseline_diverged"] > 0 for comparison in unstable)
    told = [f"the value diverged in {ours}" if ours else "", f"the baseline in {theirs}" if theirs else ""]
    return f"; {len(unstable)} unstable, without a test ({', '.join(filter(None, told))})"


def _correction(rule: Mapping[str, Any]) -> str:
    name = rule["correction"]
    return "no correction" if name == "none" else f"{name.capitalize()} correction"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _additions(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what was added once outcomes could be known."""
    late = [addition for addition in history if addition["finished"]]
    told = [f"{a['added']} (after {_counted(a['finished'], 'arm')} had finished)" for a in late]
    return [f"added later: {', '.join(told)}, so that α no longer holds"] if late else []


def _trends(trends: Sequence[Mapping[str, Any]], rule: Mapping[str, Any]) -> list[str]:
    if len(trends) <= MANY:
        return [_trend(trend, rule) for trend in trends]
    counts = Counter(moves(trend) for trend in trends)
    said = ", ".join(f"{words} in {count}" for words, count in counts.items())
    return [
        f"as {short(trends[0]['field'])} grows, in {len(trends)} settings, the best {short(rule['compared'])} {said} "
        f"(Page's test, {_correction(rule)} over these)"
    ]


def _trend(trend: Mapping[str, Any], rule: Mapping[str, Any]) -> str:
    where = ", ".join(f"{short(name)} = {value}" for name, value in trend["others"].items())
    along = f"as {short(trend['field'])} grows{f' ({where})' if where else ''}"
    said = f"the best {short(rule['compared'])} {moves(trend)} {along}"
    tested = trend["grid"]
    if tested is None:
        return f"{said}: {trend['reason']}"
    if trend["decision"] == "cannot be shown":
        said += f" with {_counted(len(trend['seeds']), 'seed')} (least p {tested['least_adjusted']:.2g})"
    if trend["decision"] not in ("falls", "rises"):
        said += f", in these data it {tested['data']}"
    family = f", {_correction(rule)} over {trend['family']} trends" if trend["family"] > 1 else ""
    side = "falling" if trend["predicted"] else "moving"
    told = [f"Page's p = {tested['adjusted']:.2g} of {side}{family}", *_slope(tested["slope"])]
    if trend["left_out"]:
        told.append(f"only {', '.join(f'{value:g}' for value in trend['values'])} have results throughout")
    return f"{said} ({', '.join(told)})"


def moves(trend: Mapping[str, Any]) -> str:
    """Return whether a trend is there, in words.

    >>> moves({"decision": "not shown", "predicted": True})
    'is not shown to fall'
    """
    direction = "fall" if trend["predicted"] else "move"
    words = {
        "not shown": f"is not shown to {direction}",
        "cannot be shown": f"cannot be shown to {direction}",
        "not tested": "is not tested",
    }
    decision = str(trend["decision"])
    return words.get(decision, decision)


def _slope(slope: Mapping[str, Any] | None) -> list[str]:
    if slope is None:
        return []
    interval = slope["t_interval"]
    within = f" [{interval[0]:.3g}, {interval[1]:.3g}]" if interval else ""
    return [f"slope {slope['mean']:.3g}{within} per factor e"]


def short(name: str) -> str:
    """Return a field's name without its section, in words.

    >>> short("training.batch_size")
    'batch size'
    """
    return name.rpartition(".")[2].replace("_", " ")
