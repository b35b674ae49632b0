"""An analysis for the terminal: one line with its label and numbers, and tables."""

from collections import Counter
from collections.abc import Sequence
from typing import get_args

from rich.table import Table

from experiments.statistics import SeedMean
from experiments.sweeps.analysis import Analysis, Decision, Group
from experiments.sweeps.display import number, short
from experiments.sweeps.study import Settings
from gradpower.tools.terminal import result_table

Cells = dict[str, str]


def verdict_line(analysis: Analysis) -> str:
    """Return the label of an analysis and its counts in one line."""
    rule, counts = analysis.rule, Counter(comparison.decision for comparison in analysis.comparisons)
    numbers = ", ".join(f"{counts[decision]} {decision}" for decision in get_args(Decision))
    parts = [
        f"{analysis.label}: {len(analysis.comparisons)} comparisons with {short(rule.compared)} {rule.baseline:g}",
        numbers,
        f"{len(analysis.seeds)} seeds, α = {rule.alpha:g}, Holm's correction",
        f"learning rate {rule.learning_rate}",
        f"{analysis.planned} arms, {analysis.missing} missing, {analysis.diverged} diverged",
        *(f"added late: {words}" for words in analysis.added_late),
    ]
    return "; ".join(parts)


def tables(analysis: Analysis) -> list[Table]:
    """Return the tables of an analysis: comparisons, groups, and, where there are some, trends and tuned rates.

    "Slope" is dL/d ln of the compared value at the baseline; "p" are adjusted for the study's family.
    """
    compared, within = short(analysis.rule.compared), short(analysis.rule.within or "")
    made = [
        _table(f"Loss less that of {compared} {analysis.rule.baseline:g}", _comparison_rows(analysis)),
        _table(f"Best {compared}, and the slope there", [_group_row(analysis, g) for g in analysis.groups]),
        _table(f"Best {compared} from the smallest {within} to the largest", _trend_rows(analysis)),
        _table("Tuned learning rates", _tuning_rows(analysis)),
    ]
    return [table for table in made if table.row_count]


def _table(title: str, rows: Sequence[Cells]) -> Table:
    columns = {heading: [row[heading] for row in rows] for heading in (rows[0] if rows else ())}
    table = result_table(title, columns)
    for column, (heading, cells) in zip(table.columns, columns.items(), strict=True):
        # No word is cut: a narrow terminal breaks lines between words.
        column.min_width = max(len(word) for cell in (heading, *cells) for word in cell.split() or [""])
    return table


def _mean(mean: SeedMean | None) -> str:
    return "–" if mean is None else f"{mean.mean:+.4f}"


def _interval(mean: SeedMean | None) -> str:
    if mean is None or mean.low is None or mean.high is None:
        return "–"
    return f"[{mean.low:+.4f},\u00a0{mean.high:+.4f}]"  # not to be broken


def _settings(values: Settings) -> Cells:
    return {short(name): str(value) for name, value in values.items()}


def _place(analysis: Analysis, group: Group) -> Cells:
    within = {analysis.rule.within: group.within} if analysis.rule.within else {}
    return _settings({**within, **group.others})


def _comparison_rows(analysis: Analysis) -> list[Cells]:
    # On a narrow terminal the last column is cut: the number of seeds, where it differs.
    differ = len({len(found.seeds) for found in analysis.comparisons}) > 1
    return [
        {
            **_place(analysis, group),
            short(analysis.rule.compared): f"{found.value:g}",
            "difference": _mean(found.difference),
            "t interval": _interval(found.difference),
            "decision": found.decision,
            "p": number(found.adjusted),
            **({"seeds": str(len(found.seeds))} if differ else {}),
        }
        for group in analysis.groups
        for found in group.comparisons
    ]


def _group_row(analysis: Analysis, group: Group) -> Cells:
    return {
        **_place(analysis, group),
        "best": number(group.best, "g") + (" (edge)" if group.best_at_edge else ""),
        "slope": _mean(group.slope),
        "t interval": _interval(group.slope),
        "baseline sd": number(group.baseline_spread),
    }


def _trend_rows(analysis: Analysis) -> list[Cells]:
    return [
        {
            **_settings(trend.others),
            "from": f"{trend.smallest:g}",
            "to": f"{trend.largest:g}",
            "p of falling": number(trend.falls),
            "p of rising": number(trend.rises),
            "movement": trend.movement,
        }
        for trend in analysis.trends
    ]


def _tuning_rows(analysis: Analysis) -> list[Cells]:
    return [
        {
            **_place(analysis, group),
            short(analysis.rule.compared): f"{value.value:g}",
            "rate": f"{value.tuned.rate:.4g}" + (" (edge)" if value.tuned.at_edge else ""),
            "loss": number(value.mean, ".4f"),
        }
        for group in analysis.groups
        for value in group.values
        if value.tuned is not None
    ]
