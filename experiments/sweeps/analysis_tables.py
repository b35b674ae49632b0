"""An analysis as tables for the terminal; the verdict stands below the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from experiments.sweeps.verdict import short
from theory.flags import result_table

Cells = dict[str, Any]


def tables(analysis: Mapping[str, Any]) -> list[Table]:
    """Return for each view a table of the comparisons, of the best values, of the trends and of tuned rates.

    Where learning rates are tuned, the comparisons at each equal one are left out: they are many, and in the data.
    "Over seed sd" is the mean difference over the spread of the baseline's seeds, "slope" the change of the best value
    for a factor e, "least p" the smallest that so few seeds can give. "Detectable" is the difference that would be
    found with probability 0.8 at the level that the correction leaves to one comparison.

    Parameters
    ----------
    analysis : mapping
        From `analysis.analyse`, or read back from JSON.
    """
    rule = analysis["rule"]
    made = []
    for view in analysis["views"]:
        many = view["kind"] == "equal settings" and analysis["primary"] != view["kind"]
        kinds = (
            ("against the baseline", [] if many else comparison_rows(view, rule)),
            ("how sure that is", [] if many else sureness_rows(view, rule)),
            (f"best {short(rule['compared'])}", _best_rows(view, rule)),
            (f"trend of the best {short(rule['compared'])}", _trend_rows(view)),
            ("tuned learning rates", _tuning_rows(view, rule)),
        )
        made += [_table(f"{view['kind']}: {title}", rows) for title, rows in kinds if rows]
    if made:
        made[-1].caption = analysis["verdict"]
    return made


def _table(title: str, rows: Sequence[Cells]) -> Table:
    headings = dict.fromkeys(key for row in rows for key in row)
    columns = {heading: [_said(row.get(heading)) for row in rows] for heading in headings}
    return result_table(title[0].upper() + title[1:], columns)


def _said(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def place(group: Mapping[str, Any], rule: Mapping[str, Any]) -> Cells:
    """Return where a group is: its `within` value and its free fields, by short name."""
    within = {short(rule["within"]): group["within"]} if rule["within"] else {}
    return {**within, **{short(name): value for name, value in group["others"].items()}}


def _interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"[{interval[0]:.3g}, {interval[1]:.3g}]"


def comparison_rows(view: Mapping[str, Any], rule: Mapping[str, Any]) -> list[Cells]:
    """Return a row of cells for every comparison of a view: what was found."""
    return [
        _found(group, comparison, rule) for group in view["groups"] for comparison in group["comparisons"]
    ]


def _found(group: Mapping[str, Any], comparison: Mapping[str, Any], rule: Mapping[str, Any]) -> Cells:
    statistics = comparison["statistics"] or {}
    mean = statistics.get("mean")
    return {
        **place(group, rule),
        short(rule["compared"]): comparison["value"],
        "seeds": len(comparison["seeds"]),
        "difference": None if mean is None else f"{mean:+.4f}",
        "t interval": _interval(statistics.get("t_interval")) or None,
        "adjusted p": comparison["adjusted"],
        "verdict": comparison["said"],
    }


def sureness_rows(view: Mapping[str, Any], rule: Mapping[str, Any]) -> list[Cells]:
    """Return a row of cells for every comparison of a view: how sure it is, and what would have been seen."""
    rows = []
    for group in view["groups"]:
        for comparison in group["comparisons"]:
            statistics = comparison["statistics"] or {}
            rows.append(
                {
                    **place(group, rule),
                    short(rule["compared"]): comparison["value"],
                    "over seed sd": statistics.get("effect"),
                    "p": comparison["p_value"],
                    "sign-flip p": statistics.get("sign_flip_p_value"),
                    "detectable": comparison["detectable"],
                }
            )
    return rows


def _best_rows(view: Mapping[str, Any], rule: Mapping[str, Any]) -> list[Cells]:
    rows = []
    for group in view["groups"]:
        best = group["best"]
        if best is None:
            continue
        grid, parabola = best["grid"], best.get("parabola") or {}
        wins = max(grid["wins"]) if len(best["seeds"]) > 1 else None
        rows.append(
            {
                **place(group, rule),
                "grid": _edge(grid["value"], grid["at_edge"]),
                "wins": wins,
                "parabola": _edge(parabola.get("value"), parabola.get("status") == "at the edge")
                if parabola.get("value") is not None
                else parabola.get("status"),
                "Fieller": _interval(parabola.get("interval")) or parabola.get("interval_kind"),
                "bootstrap": _interval(parabola.get("bootstrap_interval")) or "too few seeds",
                "lack of fit p": parabola.get("lack_of_fit"),
            }
        )
    return rows


def _edge(value: float | None, at_edge: bool) -> str | None:
    return None if value is None else f"{value:.4g}{' (edge)' if at_edge else ''}"


def _trend_rows(view: Mapping[str, Any]) -> list[Cells]:
    rows = []
    for trend in view["trends"]:
        for estimator in ("grid", "parabola"):
            tested = trend[estimator]
            if tested is None:
                continue
            page, slope = tested["page"], tested["slope"] or {}
            rows.append(
                {
                    "along": short(trend["field"]),
                    **{short(name): value for name, value in trend["others"].items()},
                    "best by": estimator,
                    "seeds": len(trend["seeds"]),
                    "p falling": page["p_falling"],
                    "p rising": page["p_rising"],
                    "least p": page["smallest"],
                    "slope": slope.get("mean"),
                    "t interval": _interval(slope.get("t_interval")) or None,
                    "boot.": _interval(slope.get("bootstrap_interval")) or None,
                }
            )
    return rows


def _tuning_rows(view: Mapping[str, Any], rule: Mapping[str, Any]) -> list[Cells]:
    rows = []
    for group in view["groups"]:
        for arm in group["arms"]:
            tuning = arm["tuning"]
            if tuning is None:
                continue
            rates = list(dict.fromkeys(rate for rate in tuning["rates"] if rate is not None))
            parabola = tuning["quadratic"]
            rows.append(
                {
                    **place(group, rule),
                    short(rule["compared"]): arm["value"],
                    "best rate": _edge(tuning["grid"]["value"], tuning["grid"]["at_edge"]),
                    "parabola": parabola["status"]
                    if parabola["value"] is None
                    else f"{parabola['value']:.3g}",
                    "chosen by other seeds": ", ".join(f"{rate:g}" for rate in sorted(rates)) or None,
                    "loss": arm["mean"],
                    "optimism": tuning["optimism"],
                }
            )
    return rows
