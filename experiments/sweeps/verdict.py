"""What an analysis says, in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any


def verdict(analysis: Mapping[str, Any]) -> str:
    """Return the verdict of an analysis' primary view in one sentence.

    It counts the comparisons by outcome and says whether the best value moves with the `within` field: by Page's test
    of the grid's best values, which assumes no parabola.

    Parameters
    ----------
    analysis : mapping
        From `analysis.analyse`.
    """
    rule = analysis["rule"]
    view = next(view for view in analysis["views"] if view["kind"] == analysis["primary"])
    parts = [_comparisons(view, rule), *(_trend(trend, rule) for trend in view["trends"])]
    if analysis["tied"]:
        parts.append(f"varied together with these: {', '.join(map(short, analysis['tied']))}")
    arms = analysis["arms"]
    missing = (
        f"Incomplete, {arms['missing']} of {arms['planned']} arms are missing: " if arms["missing"] else ""
    )
    seeds = f"with {len(analysis['seeds'])} seeds"
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
    diverged = sum(comparison["diverged"] > 0 for comparison in found)
    lost = f" ({diverged} by divergence)" if diverged else ""
    correction = (
        "no correction" if rule["correction"] == "none" else f"{rule['correction'].capitalize()} correction"
    )
    baseline = f"{short(rule['compared'])} = {rule['baseline']:g}"
    return (
        f"of {len(found)} comparisons with {baseline} (α = {rule['alpha']:g}, {correction}), "
        f"{', '.join(said) or 'none made'}{lost}"
    )


def _trend(trend: Mapping[str, Any], rule: Mapping[str, Any]) -> str:
    where = ", ".join(f"{short(name)} = {value}" for name, value in trend["others"].items())
    moves = f"the best {short(rule['compared'])}"
    along = f"as {short(trend['field'])} grows{f' ({where})' if where else ''}"
    said = [f"{name}: {_tested(trend[name])}" for name in ("grid", "parabola") if trend[name]]
    if not said:
        return f"whether {moves} moves {along} cannot be tested"
    first = trend["grid"] or trend["parabola"]
    return f"{moves} {_direction(trend, first, rule['alpha'])} {along} ({'; '.join(said)})"


def _direction(trend: Mapping[str, Any], tested: Mapping[str, Any], alpha: float) -> str:
    page = tested["page"]
    if trend["predicted"] == "falls":
        # The paper predicts the direction, so that only a fall counts.
        return "falls" if page["p_falling"] <= alpha else "is not shown to fall"
    if page["p_two_sided"] > alpha:
        return "is not shown to move"
    return "falls" if page["p_falling"] < page["p_rising"] else "rises"


def _tested(tested: Mapping[str, Any]) -> str:
    page, slope = tested["page"], tested["slope"]
    text = f"Page's p = {page['p_falling']:.2g} of falling"
    if slope is None:
        return text
    interval = slope["t_interval"]
    within = f" [{interval[0]:.3g}, {interval[1]:.3g}]" if interval else ""
    return f"{text}, slope {slope['mean']:.3g}{within} per factor e"


def short(name: str) -> str:
    """Return a field's name without its section, in words.

    >>> short("training.batch_size")
    'batch size'
    """
    return name.rpartition(".")[2].replace("_", " ")
