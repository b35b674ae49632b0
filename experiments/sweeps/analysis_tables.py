"""An analysis as tables for the terminal; the verdict stands below the last."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from experiments.sweeps.verdict import short
from gradpower.tools.terminal import result_table

Cells = dict[str, Any]
_TUNING = (
    "Tested are the losses at the best rate, which flatter; held out is each seed's loss at the rate best for the "
    "other seeds, an estimate without a test; optimism is how much higher it is."
)


def tables(analysis: Mapping[str, Any]) -> list[Table]:
    """Return for each view a table of the comparisons, of the best values, of the trends and of tuned rates.

    Where the rule tunes learning rates, comparisons and trends at each equal one are left out: they are many, and in
    the data.
    "n" are the seeds with both, "over seed sd" is the mean difference over the spread of the baseline's seeds, "slope"
    the change of the best value for a factor e, "least p" the smallest adjusted one that so few seeds can give.
    "Detectable" is the difference that
    would be found with probability 0.8 at the level that the correction leaves to one comparison.

    Parameters
    ----------
    analysis : mapping
        From `analysis.analyse`, or read back from JSON.
    """
    rule = analysis["rule"]
    made = []
    for view in analysis["views"]:
        many = view["kind"] == "equal settings" and analysis["primary"] != view["kind"]
        best = f"best {short(rule['compared'])}"
        kinds = (
            ("against the baseline", [] if many else comparison_rows(view, rule), None),
            ("how sure that is", [] if many else sureness_rows(view, rule), None),
            (best, _best_rows(view, rule), None),
            (f"trend of the {best}", [] if many else _trend_rows(view), _trend_caption(view, rule)),
            ("tuned learning rates", _tuning_rows(view, rule), _TUNING),
        )
        made += [_table(f"{view['kind']}: {title}", rows, said) for title, rows, said in kinds if rows]
    if made:
        made[-1].caption = "\n".join(filter(None, (made[-1].caption, analysis["verdict"])))  # type: ignore[arg-type]
    return made


def _trend_caption(view: Mapping[str, Any], rule: Mapping[str, Any]) -> str:
    field = short(rule["within"]) if rule["within"] else ""
    falling = any(trend["predicted"] for trend in view["trends"])
    return (
        f"Along {field}; p {'of falling' if falling else 'of moving, two-sided'}; adjusted: correction "
        f"{rule['correction']}, family: the view's {_counted(len(view['trends']), 'trend')}, by either best; the "
        f"grid's decides. Page's null: one best value and equal noise at every {field}; unequal noise can look like "
        "a trend."
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _table(title: str, rows: Sequence[Cells], caption: str | None) -> Table:
    headings = dict.fromkeys(key for row in rows for key in row)
    columns = {heading: [_said(row.get(heading)) for row in rows] for heading in headings}
    table = result_table(title[0].upper() + title[1:], columns)
    table.caption = caption
    for column, (heading, cells) in zip(table.columns, columns.items(), strict=True):
        # No word is cut: a narrow terminal breaks lines between words.
        column.min_width = max(len(word) for cell in (heading, *cells) for word in cell.split() or [""])
    return table


def _said(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def place(group: Mapping[str, Any], rule: Mapping[str, Any]) -> Cells:
    """Return where a group is: its `within` value and its free fields, by short name."""
    within = {short(rule["within"]): group["within"]} if rule["within"] else {}
    return {**within, **{short(name): value for name, value in group["others"].items()}}


def _interval(interval: Sequence[float] | None, form: str = ".3g") -> str:
    return "" if interval is None else f"[{interval[0]:{form}}, {interval[1]:{form}}]"


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
        "n": len(comparison["seeds"]),
        "difference": None if mean is None else f"{mean:+.4f}",
        "t interval": _interval(statistics.get("t_interval"), ".4f") or None,
        "adjusted p": comparison["adjusted"],
        "verdict": _unstable(comparison) or comparison["said"],
    }


def _unstable(comparison: Mapping[str, Any]) -> str:
    """Return whose runs diverged, in fewer words than the analysis has, or nothing."""
    ours, theirs = comparison["diverged"], comparison["baseline_diverged"]
    told = [f"{ours} diverged" if ours else "", f"baseline {theirs}" if theirs else ""]
    return f"unstable: {', '.join(filter(None, told))}" if ours or theirs else ""


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
            slope = tested["slope"] or {}
            rows.append(
                {
                    **{short(name): value for name, value in trend["others"].items()},
                    "best by": estimator,
                    "seeds": len(trend["seeds"]),
                    "p": tested["p_value"],
                    "adjusted p": tested["adjusted"],
                    "least p": tested["least_adjusted"],
                    "slope": slope.get("mean"),
                    "t interval": _interval(slope.get("t_interval")) or None,
                }
            )
    return rows


def _mean(losses: Sequence[float | None]) -> float | None:
    """Return the mean; None if a run diverged, which JSON has as null."""
    finite = [loss for loss in losses if loss is not None and math.isfinite(loss)]
    return sum(finite) / len(losses) if len(finite) == len(losses) else None


def _tuning_rows(view: Mapping[str, Any], rule: Mapping[str, Any]) -> list[Cells]:
    rows = []
    for group in view["groups"]:
        for arm in group["arms"]:
            tuning = arm["tuning"]
            if tuning is None:
                continue
            rates = {rate for rate in tuning["held_out_rates"] if rate is not None}
            parabola = tuning["quadratic"]
            rows.append(
                {
                    **place(group, rule),
                    short(rule["compared"]): arm["value"],
                    "best rate": _edge(tuning["grid"]["value"], tuning["grid"]["at_edge"]),
                    "parabola": parabola["status"]
                    if parabola["value"] is None
                    else f"{parabola['value']:.3g}",
                    "by others": ", ".join(f"{rate:g}" for rate in sorted(rates)) or None,
                    "loss": arm["mean"],
                    "held out": _mean(tuning["held_out"]),
                    "optimism": tuning["optimism"],
                }
            )
    return rows
