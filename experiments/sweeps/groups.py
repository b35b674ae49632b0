"""The losses of a study as tables of seeds × compared values, one for each setting of everything else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np

from experiments.sweeps.results import ArmResult
from experiments.sweeps.study import RATE, Rule, Setting, Settings
from theory.numerics.inputs import Array


@dataclass(frozen=True)
class TunedRate:
    """The learning rate with the lowest mean loss over seeds, which flatters it."""

    rate: float
    at_edge: bool
    """It is the first or last of those tried: a better one may lie beyond."""


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
    tuned: Mapping[float, TunedRate] = field(default_factory=dict)
    """By value, the learning rate of its losses; empty where the rates are equal or averaged over."""

    def column(self, value: float) -> Array:
        """Return the losses at a value, shape (seeds,); NaN if it has none."""
        if value not in self.values:
            return np.full(len(self.seeds), np.nan)
        return self.losses[:, self.values.index(value)]

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
    """Return the varied fields that the rule does not name, and that the fields it names do not decide.

    A learning rate that is tied to the batch size is no free field, one that crosses the powers is, unless the rule
    tunes it or averages over it. Fields that it decides then, such as a warm-up, go with it.

    Examples
    --------
    >>> rule = Rule("optimizer.power", 1.0)
    >>> arms = [{"optimizer.power": p, "optimizer.beta2": b} for p in (1.0, 1.2) for b in (0.9, 0.95)]
    >>> free_fields(rule, arms)
    ['optimizer.beta2']
    """
    rate = None if rule.learning_rate == "equal" else RATE
    decided = [name for name in (rule.compared, rule.within, rate) if name is not None]
    return [name for name in arms[0] if name not in decided and not _decides(decided, name, arms)]


def _decides(names: Sequence[str], name: str, arms: Sequence[Settings]) -> bool:
    seen: dict[tuple[Setting, ...], Setting] = {}
    return all(seen.setdefault(tuple(arm[n] for n in names), arm[name]) == arm[name] for arm in arms)


def loss_tables(rule: Rule, results: Sequence[ArmResult]) -> list[LossTable]:
    """Return a table for each setting of the free fields and each `within` value, by the rule over learning rates.

    There is a result for every planned arm.
    """
    free = free_fields(rule, [result.values for result in results])
    seeds = tuple(dict.fromkeys(result.seed for result in results))
    by_setting: dict[tuple[Setting, ...], list[ArmResult]] = {}
    for result in results:
        within = result.values[rule.within] if rule.within else None
        by_setting.setdefault((*(result.values[name] for name in free), within), []).append(result)
    order = sorted(by_setting, key=lambda key: [(0, v, "") if is_number(v) else (1, 0, str(v)) for v in key])
    return [
        _loss_table(rule, within, dict(zip(free, others, strict=True)), seeds, by_setting[*others, within])
        for *others, within in order
    ]


def _loss_table(
    rule: Rule, within: Setting, others: Settings, seeds: tuple[int, ...], results: Sequence[ArmResult]
) -> LossTable:
    """Return the table of each value's losses, of their means over its rates, or at the rate best for all seeds.

    A seed that lacks one of the rates has no loss.
    """
    over_rates = rule.learning_rate != "equal"
    values = sorted({result.values[rule.compared] for result in results})
    rates: list[Any] = sorted({result.values[RATE] for result in results}) if over_rates else [None]
    every = np.full((len(seeds), len(values), len(rates)), np.nan)
    for result in results:
        rate = result.values[RATE] if over_rates else None
        place = seeds.index(result.seed), values.index(result.values[rule.compared]), rates.index(rate)
        every[place] = (
            np.inf if result.status == "diverged" else np.nan if result.loss is None else result.loss
        )
    losses, tuned = every.mean(axis=2), {}
    if rule.learning_rate == "tuned":
        for column, value in enumerate(values):
            whole = ~np.isnan(losses[:, column])
            if whole.any():
                best = best_column(every[whole, column])
                losses[whole, column] = every[whole, column, best]
                tuned[value] = TunedRate(rates[best], best in (0, len(rates) - 1))
    return LossTable(within, others, tuple(values), seeds, losses, tuned)


def best_column(losses: Array) -> int:
    """Return the column with the lowest mean, of those with the fewest rows at +inf; the first of several.

    So the rate of each value is tuned: rows are seeds, columns rates, +inf is a run that diverged. The lowest of
    several noisy means is lower than what the chosen rate is worth, the more so the more rates were tried. Between two
    values with the same rates this cancels where there is no difference: the paired t test of their losses, each at the
    rate best in the mean of all seeds, rejects at level 0.05 in 0.02 to 0.05 of simulated studies of 3 or 5 seeds, for
    flat and curved losses. Between different rates it has no level.

    Examples
    --------
    >>> best_column(np.array([[3.0, 2.9, 1.0], [3.0, 3.0, np.inf]]))
    1
    """
    diverged = np.isinf(losses)
    fewest = diverged.sum(0) == diverged.sum(0).min()
    # Where a column without any finite loss is left, all columns left are such.
    sums = np.where(diverged, 0.0, losses).sum(0)
    return int(np.argmin(np.where(fewest, sums, np.inf)))
