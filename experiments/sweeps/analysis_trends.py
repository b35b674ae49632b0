"""How the best value of each setting moves with the rule's `within` field: Page's test and a slope, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from experiments.sweeps.groups import Group, is_number
from experiments.sweeps.rule import Rule
from experiments.sweeps.statistics import (
    adjusted_p_values,
    grid_best,
    page_test,
    quadratic_best,
    slope_over_seeds,
)
from theory.numerics.inputs import Array

FALLING = "training.batch_size"
"""The field with which the paper's best power falls (Figure 6)."""
ESTIMATORS = ("grid", "parabola")


def trends(groups: Sequence[Group], rule: Rule, rng: Generator) -> list[dict[str, Any]]:
    """Return for each setting of the free fields whether the best value moves with the `within` field.

    Best values are compared over the same grid: the compared values with results in every group of a setting. All
    trends of a view are one family for the rule's correction, for each of the two estimators of the best value; the
    grid's, which assumes no parabola, decides.

    Parameters
    ----------
    groups : sequence of Group
        Those of a view.
    rule : Rule
        The study's.
    rng : Generator
        Of the bootstrap.
    """
    rows: dict[str, list[Group]] = {}
    for group in groups:
        if is_number(group.within):
            rows.setdefault(repr(dict(group.others)), []).append(group)
    found = [_trend(row, rule, rng) for row in rows.values() if len(row) > 1]
    for name in ESTIMATORS:
        _adjust([trend[name] for trend in found], rule)
    for trend in found:
        trend["family"] = len(found)
        trend["decision"] = _decision(trend, rule.alpha)
    return found


def _trend(row: Sequence[Group], rule: Rule, rng: Generator) -> dict[str, Any]:
    values, seeds, tables, reason = _same_grid(row)
    best: dict[str, list[Any]] = {name: [] for name in ESTIMATORS}
    for losses in tables:
        best["grid"].append(grid_best(values, losses, rng=rng).seeds)
        found = quadratic_best(values, losses, alpha=rule.alpha, rng=rng) if values[0] > 0 else None
        best["parabola"].append(found.seeds if found is not None and found.seeds else (None,) * len(seeds))
    places = [float(group.within) for group in row]
    falls = rule.within == FALLING and rule.compared == "optimizer.power"
    predicted = "falls" if falls else None
    tested = {
        name: _tested(np.array(columns, dtype=float).T, places, predicted, rule, rng) if columns else None
        for name, columns in best.items()
    }
    if tested["grid"] is None and not reason:
        reason = "in some seed every value diverged"
    return {
        "others": dict(row[0].others),
        "field": rule.within,
        "within": [group.within for group in row],
        "seeds": list(seeds),
        "values": list(values),
        "left_out": sorted({value for group in row for value in group.values} - set(values)),
        "reason": reason,
        "predicted": predicted,
        **tested,
    }


def _same_grid(row: Sequence[Group]) -> tuple[tuple[float, ...], tuple[int, ...], list[Array], str]:
    """Return the values with results in every group, the seeds that have them all, the losses, or why none."""
    shared = set.intersection(*(set(group.complete()[0]) for group in row))
    values = tuple(sorted(shared))
    if len(values) < 2:
        return values, (), [], "fewer than two values have results in every group"
    if not all(group.same_rates(*values) for group in row):
        return values, (), [], "not all values have the same learning rates"
    tables = [group.losses[:, [group.values.index(value) for value in values]] for group in row]
    kept: NDArray[np.bool_] = np.asarray(~np.isnan(np.hstack(tables)).any(axis=1))
    seeds = tuple(seed for seed, keep in zip(row[0].seeds, kept, strict=True) if keep)
    if not seeds:
        return values, (), [], "no seed has all results"
    return values, seeds, [table[kept] for table in tables], ""


def _tested(
    table: Array, places: Sequence[float], predicted: str | None, rule: Rule, rng: Generator
) -> dict[str, Any] | None:
    """Test the best values of some seeds, shape (seeds, places), for a trend; None if any has none."""
    if np.isnan(table).any():
        return None
    page = page_test(table)
    slope = None
    if min(places) > 0:
        slope = asdict(slope_over_seeds(table, np.log(places), alpha=rule.alpha, rng=rng))
    two_sided = min(1.0, 2 * min(page.p_falling, page.p_rising))
    # The mean of L over all orders, ties or not.
    centre = table.shape[0] * table.shape[1] * (table.shape[1] + 1) ** 2 / 4
    return {
        "best": table.tolist(),
        "page": asdict(page) | {"p_two_sided": two_sided},
        "slope": slope,
        "data": "falls" if page.statistic < centre else "rises" if page.statistic > centre else "is flat",
        # The paper predicts the direction, so that only a fall counts.
        "p_value": page.p_falling if predicted else two_sided,
        "least": page.smallest if predicted else min(1.0, 2 * page.smallest),
    }


def _adjust(family: Sequence[dict[str, Any] | None], rule: Rule) -> None:
    """Add the adjusted p-values, and the least that they could have been; the latter is unknown for many places."""
    p_values = adjusted_p_values([None if t is None else t["p_value"] for t in family], rule.correction)
    least = [None if t is None else 0.0 if math.isnan(t["least"]) else t["least"] for t in family]
    for tested, p, lowest in zip(family, p_values, adjusted_p_values(least, rule.correction), strict=True):
        if tested is not None:
            tested["adjusted"], tested["least_adjusted"] = p, lowest


def _decision(trend: Mapping[str, Any], alpha: float) -> str:
    """Return "falls", "rises", "not shown", "cannot be shown" (no data could have), or "not tested"."""
    tested = trend["grid"]
    if tested is None:
        return "not tested"
    if tested["adjusted"] <= alpha:
        return "falls" if trend["predicted"] else str(tested["data"])
    return "cannot be shown" if tested["least_adjusted"] > alpha else "not shown"
