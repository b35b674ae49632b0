"""The losses of a study as tables of seeds × compared values, one for each setting of everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from experiments.sweeps.results import ArmResult
from experiments.sweeps.rule import Rule
from experiments.sweeps.statistics import Tuned, tune
from experiments.sweeps.study import RATE
from theory.numerics.inputs import Array


@dataclass(frozen=True)
class Group:
    """Losses against the compared field, all else equal or tuned.

    Attributes
    ----------
    within : Any
        Value of the rule's `within` field; None if it has none.
    others : mapping
        The remaining fields that can be chosen freely, by dotted name.
    values : tuple of float
        Values of the compared field, numbers by the rule, increasing.
    seeds : tuple of int
        The study's seeds.
    losses : ndarray
        Shape (seeds, values): +inf where a run diverged, NaN where there is no result.
    errors : ndarray
        Standard errors over the validation sequences, of the same shape; NaN if unknown.
    tuning : mapping
        By value, how the learning rate was tuned; empty where it was not.
    """

    within: Any
    others: Mapping[str, Any]
    values: tuple[float, ...]
    seeds: tuple[int, ...]
    losses: Array
    errors: Array
    tuning: Mapping[float, Tuned] = field(default_factory=dict)

    def same_rates(self, *values: float) -> bool:
        """Whether some values, all if none is given, were tuned over the same rates; so they are if none was tuned."""
        return len({self.tuning[v].tried for v in values or self.values if v in self.tuning}) <= 1

    def complete(self) -> tuple[tuple[float, ...], tuple[int, ...], Array]:
        """Return values with results, the seeds that have all of them, and their losses."""
        kept: NDArray[np.bool_] = np.asarray(~np.isnan(self.losses).all(axis=0))
        rows: NDArray[np.bool_] = np.asarray(~np.isnan(self.losses[:, kept]).any(axis=1))
        names = tuple(v for v, keep in zip(self.values, kept, strict=True) if keep)
        seeds = tuple(s for s, keep in zip(self.seeds, rows, strict=True) if keep)
        return names, seeds, self.losses[np.ix_(rows, kept)]


def is_number(value: Any) -> bool:
    """Whether a value has a place on an axis.

    >>> [is_number(value) for value in (8, 0.5, True, None, "cos")]
    [True, True, False, False, False]
    """
    return isinstance(value, int | float) and not isinstance(value, bool)


def free_fields(rule: Rule, arms: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the varied fields that the compared and the `within` field do not decide.

    A learning rate that is tied to the batch size is no free field, one that crosses the powers is.

    Examples
    --------
    >>> rule = Rule("optimizer.power", 1.0)
    >>> arms = [{"optimizer.power": p, "optimizer.beta2": b} for p in (1.0, 1.2) for b in (0.9, 0.95)]
    >>> free_fields(rule, arms)
    ['optimizer.beta2']
    """
    decided = (rule.compared, *([rule.within] if rule.within else []))
    return [name for name in arms[0] if name not in decided and not _decides(decided, name, arms)]


def tied_fields(rule: Rule, arms: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the varied fields that change together with the compared or the `within` field."""
    free = free_fields(rule, arms)
    return [
        name
        for name in arms[0]
        if name not in (rule.compared, rule.within, *free) and len({a[name] for a in arms}) > 1
    ]


def _decides(names: Sequence[str], name: str, arms: Sequence[Mapping[str, Any]]) -> bool:
    seen: dict[tuple[Any, ...], Any] = {}
    return all(seen.setdefault(tuple(arm[n] for n in names), arm[name]) == arm[name] for arm in arms)


def equal_groups(rule: Rule, results: Sequence[ArmResult], losses: Mapping[str, float]) -> list[Group]:
    """Return a group for each `within` value and each setting of the free fields.

    Parameters
    ----------
    rule : Rule
        The study's.
    results : sequence of ArmResult
        One for every planned arm.
    losses : mapping
        By fingerprint: +inf if diverged; an arm that is not there is missing.
    """
    free = free_fields(rule, [result.values for result in results])
    seeds = tuple(dict.fromkeys(result.seed for result in results))
    found: dict[tuple[Any, ...], list[ArmResult]] = {}
    for result in results:
        key = (_within(rule, result), *(result.values[name] for name in free))
        found.setdefault(key, []).append(result)
    order = sorted(
        found, key=lambda key: [(0, v, "") if is_number(v) else (1, 0, str(v)) for v in (*key[1:], key[0])]
    )
    return [
        _group(rule, key[0], dict(zip(free, key[1:], strict=True)), found[key], seeds, losses)
        for key in order
    ]


def _within(rule: Rule, result: ArmResult) -> Any:
    return result.values[rule.within] if rule.within else None


def _group(
    rule: Rule,
    within: Any,
    others: Mapping[str, Any],
    results: Sequence[ArmResult],
    seeds: tuple[int, ...],
    losses: Mapping[str, float],
) -> Group:
    values = tuple(sorted({result.values[rule.compared] for result in results}))
    table, errors = np.full((2, len(seeds), len(values)), np.nan)
    for result in results:
        place = seeds.index(result.seed), values.index(result.values[rule.compared])
        table[place] = losses.get(result.fingerprint, np.nan)
        if result.standard_error is not None:
            errors[place] = result.standard_error
    return Group(within, others, values, seeds, table, errors)


def tuned_groups(
    rule: Rule, results: Sequence[ArmResult], losses: Mapping[str, float], rng: Generator
) -> list[Group]:
    """Return groups whose losses are those at each value's own tuned learning rate; none if the rate is not free.

    Each value's losses are at the rate that is best in the mean of all seeds (`statistics.tune`). Fields that the rate
    decides, such as a warm-up tied to it, are tuned with it.
    """
    arms = [result.values for result in results]
    free = free_fields(rule, arms)
    if RATE not in free:
        return []
    decided = (rule.compared, *([rule.within] if rule.within else []), RATE)
    kept = [name for name in free if name != RATE and not _decides(decided, name, arms)]
    merged: dict[tuple[Any, ...], list[Group]] = {}
    for group in equal_groups(rule, results, losses):
        merged.setdefault((group.within, *(group.others[name] for name in kept)), []).append(group)
    return [_tuned_group(groups, kept, rule.alpha, rng) for groups in merged.values()]


def _tuned_group(groups: Sequence[Group], kept: Sequence[str], alpha: float, rng: Generator) -> Group:
    first = groups[0]
    values = tuple(sorted({value for group in groups for value in group.values}))
    losses = np.full((len(first.seeds), len(values)), np.nan)
    tuning: dict[float, Tuned] = {}
    for column, value in enumerate(values):
        curves = sorted(
            (g.others[RATE], g.losses[:, g.values.index(value)]) for g in groups if value in g.values
        )
        rates, table = (list(part) for part in zip(*curves, strict=True))
        present = [i for i, curve in enumerate(table) if not np.isnan(curve).all()]
        if not present:
            continue
        curve = np.stack([table[i] for i in present], axis=1)
        rows = ~np.isnan(curve).any(axis=1)
        if rows.any():
            tuning[value] = tune([rates[i] for i in present], curve[rows], alpha=alpha, rng=rng)
            losses[rows, column] = tuning[value].losses
    others = {name: first.others[name] for name in kept}
    return Group(first.within, others, values, first.seeds, losses, np.full_like(losses, np.nan), tuning)
