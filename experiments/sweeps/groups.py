"""The losses of a study as tables of seeds × compared values, one for each setting of everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

import numpy as np

from experiments.statistics import Tuned, tune
from experiments.sweeps.results import ArmResult
from experiments.sweeps.study import RATE, Rule
from theory.numerics.inputs import Array

Setting = str | float | int | bool | None
Settings = Mapping[str, Setting]


@dataclass(frozen=True, eq=False)
class LossTable:
    """Losses against the compared field, all else equal or tuned."""

    within: Setting
    """Value of the rule's `within` field; None if it has none."""
    others: Settings
    """The remaining fields that can be chosen freely, by dotted name."""
    values: tuple[float, ...]
    """Values of the compared field, increasing."""
    seeds: tuple[int, ...]
    losses: Array
    """Shape (seeds, values): +inf where a run diverged, NaN where there is no result."""
    rates: Mapping[float, tuple[float, ...]] = field(default_factory=dict)
    """By value, the learning rates that its losses were tuned or averaged over; empty at equal rates."""
    tuning: Mapping[float, Tuned] = field(default_factory=dict)
    """By value, how the learning rate was tuned; empty where it was not."""

    def column(self, value: float) -> Array:
        """Return the losses at a value, shape (seeds,); NaN if it has none."""
        if value not in self.values:
            return np.full(len(self.seeds), np.nan)
        return self.losses[:, self.values.index(value)]

    def same_rates(self, values: Sequence[float]) -> bool:
        """Whether some values were tuned or averaged over the same rates; so they are at equal rates."""
        return len({self.rates[v] for v in values if v in self.rates}) <= 1

    def finite(self) -> tuple[float, ...]:
        """Return the values with results of which none diverged."""
        there = (column[~np.isnan(column)] for column in self.losses.T)
        return tuple(v for v, x in zip(self.values, there, strict=True) if x.size and not np.isinf(x).any())

    def complete(self, values: Sequence[float]) -> Array:
        """Return the losses at some values of the seeds that have all of them, shape (seeds, values)."""
        found: Array = np.stack([self.column(value) for value in values], axis=1)
        return found[~np.isnan(found).any(axis=1)]


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value has a place on an axis.

    >>> [is_number(value) for value in (8, 0.5, True, None, "cos")]
    [True, True, False, False, False]
    """
    return isinstance(value, int | float) and not isinstance(value, bool)


def free_fields(rule: Rule, arms: Sequence[Settings]) -> list[str]:
    """Return the varied fields that the compared and the `within` field do not decide.

    A learning rate that is tied to the batch size is no free field, one that crosses the powers is.

    Examples
    --------
    >>> rule = Rule("optimizer.power", 1.0)
    >>> arms = [{"optimizer.power": p, "optimizer.beta2": b} for p in (1.0, 1.2) for b in (0.9, 0.95)]
    >>> free_fields(rule, arms)
    ['optimizer.beta2']
    """
    decided = [rule.compared, *([rule.within] if rule.within else [])]
    return [name for name in arms[0] if name not in decided and not _decides(decided, name, arms)]


def _decides(names: Sequence[str], name: str, arms: Sequence[Settings]) -> bool:
    seen: dict[tuple[Setting, ...], Setting] = {}
    return all(seen.setdefault(tuple(arm[n] for n in names), arm[name]) == arm[name] for arm in arms)


def loss_tables(rule: Rule, results: Sequence[ArmResult]) -> list[LossTable]:
    """Return a table for each `within` value and each setting of the free fields, by the rule over learning rates.

    There is a result for every planned arm.
    """
    arms = [result.values for result in results]
    free = free_fields(rule, arms)
    equal = _equal_tables(rule, results, free)
    if rule.learning_rate == "equal" or RATE not in free:
        return equal
    # Fields that the rate decides, such as a warm-up tied to it, go with it.
    decided = [rule.compared, *([rule.within] if rule.within else []), RATE]
    kept = [name for name in free if name != RATE and not _decides(decided, name, arms)]
    merged: dict[tuple[Setting, ...], list[LossTable]] = {}
    for table in equal:
        merged.setdefault((table.within, *(table.others[name] for name in kept)), []).append(table)
    return [_over_rates(tables, kept, rule) for tables in merged.values()]


def _equal_tables(rule: Rule, results: Sequence[ArmResult], free: Sequence[str]) -> list[LossTable]:
    seeds = tuple(dict.fromkeys(result.seed for result in results))
    found: dict[tuple[Setting, ...], list[ArmResult]] = {}
    for result in results:
        within = result.values[rule.within] if rule.within else None
        found.setdefault((within, *(result.values[name] for name in free)), []).append(result)
    order = sorted(
        found, key=lambda key: [(0, v, "") if is_number(v) else (1, 0, str(v)) for v in (*key[1:], key[0])]
    )
    tables = []
    for within, *others in order:
        own = found[within, *others]
        values = tuple(sorted({result.values[rule.compared] for result in own}))
        losses = np.full((len(seeds), len(values)), np.nan)
        for result in own:
            place = seeds.index(result.seed), values.index(result.values[rule.compared])
            losses[place] = _loss(result)
        tables.append(LossTable(within, dict(zip(free, others, strict=True)), values, seeds, losses))
    return tables


def _loss(result: ArmResult) -> float:
    if result.status == "diverged":
        return np.inf
    return np.nan if result.status == "missing" or result.loss is None else result.loss


def _over_rates(tables: Sequence[LossTable], kept: Sequence[str], rule: Rule) -> LossTable:
    """Return the table of each value's mean loss over its rates, or of its loss at that best in the mean of all seeds.

    A seed that lacks one of the rates has no loss.
    """
    first = tables[0]
    values = tuple(sorted({value for table in tables for value in table.values}))
    losses = np.full((len(first.seeds), len(values)), np.nan)
    tried: dict[float, tuple[float, ...]] = {}
    tuning: dict[float, Tuned] = {}
    for place, value in enumerate(values):
        columns = {float(str(table.others[RATE])): table.column(value) for table in tables}
        rates = sorted(rate for rate, column in columns.items() if not np.isnan(column).all())
        if not rates:
            continue
        curve = np.stack([columns[rate] for rate in rates], axis=1)
        whole = ~np.isnan(curve).any(axis=1)
        if not whole.any():
            continue
        tried[value] = tuple(rates)
        if rule.learning_rate == "averaged":
            losses[whole, place] = curve[whole].mean(axis=1)
        else:
            tuning[value] = tune(rates, curve[whole])
            losses[whole, place] = tuning[value].losses
    others = {name: first.others[name] for name in kept}
    return LossTable(first.within, others, values, first.seeds, losses, tried, tuning)
