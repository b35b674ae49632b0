"""A study judged by its declared rule: comparisons with the baseline, slopes there, and how the best value moves."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from experiments.statistics import (
    Crossing,
    adjusted_p_values,
    crossing_test,
    decide,
    equivalence_p_value,
    mean_over_seeds,
    slopes,
)
from experiments.sweeps.analysis import Analysis, Comparison, Group, Label, Movement, Trend, Value
from experiments.sweeps.groups import LossTable, is_number, loss_tables
from experiments.sweeps.results import Summary
from experiments.sweeps.study import Rule


def judged(summary: Summary) -> Analysis:
    """Judge a study by what came of its arms.

    Examples
    --------
    >>> from experiments.sweeps.results import ArmResult
    >>> from experiments.sweeps.studies import chosen_study
    >>> study, losses = chosen_study("example"), {1.0: (3.0, 3.1, 3.2), 1.2: (2.9, 3.0001, 3.1)}
    >>> arms = [
    ...     ArmResult(a.values, a.seed, "completed", losses[a.recipe.optimizer.power][a.seed], None, a.fingerprint)
    ...     for a in study.arms()
    ... ]
    >>> analysis = judged(Summary(study, [], {}, arms))
    >>> analysis.label, [comparison.decision for comparison in analysis.comparisons]
    ('difference shown', ['lower', 'lower'])
    """
    study, rule = summary.study, summary.study.rule
    tables = loss_tables(rule, summary.arms)
    family = [_comparison(table, value, rule) for table in tables for value in _compared(table, rule)]
    decided = iter(_decided(family, rule))
    groups = tuple(_group(table, [next(decided) for _ in _compared(table, rule)], rule) for table in tables)
    status = Counter(arm.status for arm in summary.arms)
    return Analysis(
        study.name,
        study.fingerprint,
        rule,
        _label(groups, complete=not status["missing"]),
        tuple(study.seeds),
        len(summary.arms),
        status["completed"],
        status["diverged"],
        tuple(row["added"] for row in summary.history if row["finished"]),
        groups,
        _trends(tables, rule),
    )


def _compared(table: LossTable, rule: Rule) -> list[float]:
    """Return the values that are compared with the baseline: none where the group has no baseline."""
    return [v for v in table.values if v != rule.baseline and rule.baseline in table.values]


def _comparison(table: LossTable, value: float, rule: Rule) -> Comparison:
    ours, theirs = table.column(value), table.column(rule.baseline)
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    a, b = ours[both], theirs[both]
    seeds = tuple(seed for seed, kept in zip(table.seeds, both, strict=True) if kept)
    compared = Comparison(value, seeds, int(np.isinf(a).sum()), int(np.isinf(b).sum()))
    if compared.diverged or compared.baseline_diverged:
        return replace(compared, decision="unstable")
    if not seeds:
        return compared
    difference = mean_over_seeds(a - b, alpha=rule.alpha)
    return replace(compared, differences=tuple((a - b).tolist()), difference=difference)


def _decided(family: Sequence[Comparison], rule: Rule) -> list[Comparison]:
    """Adjust the p-values of all comparisons, which are one family, and decide each that was tested."""
    differences = [comparison.difference for comparison in family]
    adjusted = adjusted_p_values([d.p_value if d else None for d in differences])
    equivalent = adjusted_p_values(
        [equivalence_p_value(d, rule.smallest_effect) if d else None for d in differences]
    )
    return [
        replace(
            comparison,
            adjusted=p,
            equivalence=equal,
            decision=decide(difference.mean, p, equal, rule.alpha, rule.smallest_effect),
        )
        if difference
        else comparison
        for comparison, difference, p, equal in zip(family, differences, adjusted, equivalent, strict=True)
    ]


def _group(table: LossTable, comparisons: Sequence[Comparison], rule: Rule) -> Group:
    finite = table.finite()
    losses = table.complete(finite) if finite else np.empty((0, 0))
    best = finite[int(losses.mean(axis=0).argmin())] if len(losses) else None
    slope = None
    if len(losses) and _has_slope(finite) and rule.baseline > 0:
        slope = mean_over_seeds(slopes(finite, losses, rule.baseline), alpha=rule.alpha)
    baseline = table.column(rule.baseline)
    known = baseline[np.isfinite(baseline)]
    return Group(
        table.within,
        table.others,
        tuple(_value(table, value) for value in table.values),
        tuple(comparisons),
        best,
        best in (table.values[0], table.values[-1]),
        float(known.std(ddof=1)) if known.size > 1 else None,
        slope,
    )


def _has_slope(values: Sequence[float]) -> bool:
    return len(values) > 2 and min(values) > 0


def _value(table: LossTable, value: float) -> Value:
    losses = table.column(value)
    return Value(
        value,
        tuple(float(loss) if math.isfinite(loss) else None for loss in losses),
        int(np.isinf(losses).sum()),
        int(np.isnan(losses).sum()),
        float(losses.mean()) if np.isfinite(losses).all() else None,
        table.tuned.get(value),
    )


def _label(groups: Sequence[Group], *, complete: bool) -> Label:
    decisions = {comparison.decision for group in groups for comparison in group.comparisons}
    if not complete:
        return "incomplete"
    if decisions & {"lower", "higher"}:
        return "difference shown"
    return "equal" if decisions == {"equal"} else "undecided"


def _trends(tables: Sequence[LossTable], rule: Rule) -> tuple[Trend, ...]:
    """Test each setting of the free fields with two or more `within` numbers; all tests are one family."""
    rows: dict[str, list[LossTable]] = {}
    for table in tables:
        if is_number(table.within):
            rows.setdefault(repr(dict(table.others)), []).append(table)
    ends = [(row[0], row[-1]) for row in rows.values() if len(row) > 1]
    tests = [_crossing(*pair) for pair in ends]
    adjusted = adjusted_p_values([p for _, test in tests for p in test or (None, None)])
    trends = []
    for place, ((small, large), (values, _)) in enumerate(zip(ends, tests, strict=True)):
        falls, rises = adjusted[2 * place : 2 * place + 2]
        movement: Movement = "not tested"
        if falls is not None and rises is not None:
            movement = "falls" if falls <= rule.alpha else "rises" if rises <= rule.alpha else "not shown"
        pair = [float(str(table.within)) for table in (small, large)]
        trends.append(Trend(small.others, pair[0], pair[1], values, falls, rises, movement))
    return tuple(trends)


def _crossing(small: LossTable, large: LossTable) -> tuple[tuple[float, ...], Crossing | None]:
    """Return the values that both have without divergence, and the test over them."""
    values = tuple(value for value in small.finite() if value in large.finite())
    if not _has_slope(values):
        return values, None
    first, second = small.complete(values), large.complete(values)
    return values, crossing_test(values, first, second) if min(len(first), len(second)) > 1 else None
