"""The analysis of a study by its declared rule: comparisons, best values and their trend, as plain data.

Three views of the same arms are analysed alike: at equal settings; with the learning rate tuned for each value, where
the study varies it; and, if asked for, read early, when the best arm reaches a target loss. Each view is a family of
comparisons of its own for the correction. The verdict is about the view that the rule declares by `learning_rate`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.random import Generator

from experiments.sweeps.analysis_tables import tables
from experiments.sweeps.analysis_trends import trends
from experiments.sweeps.early_reading import EarlyReading, losses_at_target
from experiments.sweeps.groups import Group, equal_groups, is_number, tied_fields, tuned_groups
from experiments.sweeps.results import ArmResult
from experiments.sweeps.rule import Rule
from experiments.sweeps.statistics import (
    adjusted_p_values,
    decide,
    detectable_difference,
    equivalence_p_value,
    grid_best,
    paired_difference,
    quadratic_best,
)
from experiments.sweeps.study import Study
from experiments.sweeps.verdict import verdict
from gradpower.tools.errors import require

__all__ = ["SCHEMA", "analyse", "tables"]

SCHEMA = {"name": "gradpower/analysis", "version": 1}


def analyse(
    study: Study,
    results: Sequence[ArmResult],
    *,
    early: EarlyReading | None = None,
    seed: int = 0,
    history: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Judge a study.

    Parameters
    ----------
    study : Study
        What was planned.
    results : sequence of ArmResult
        What came of it; planned arms that are not there are missing.
    early : EarlyReading, optional
        Also read the losses when the best arm of each seed reaches a target.
    seed : int
        Of the bootstrap.
    history : sequence of mapping
        What was added to the study after it began: each with `date`, `added` (in words, as "seeds 3, 4") and
        `finished`, how many arms had finished by then. Arms added after outcomes were known void α.

    Returns
    -------
    dict
        Plain data. `views`: each with its `kind`, `groups` (losses, comparisons, best value, tuning) and `trends`;
        `primary`: the kind that the `verdict` is about; `arms`: how many were planned, completed, diverged, missing;
        `history`, as given.

    Raises
    ------
    InputError
        If a compared value is no number.

    Examples
    --------
    >>> from experiments.sweeps.studies import example
    >>> study = example()
    >>> losses = {1.0: 3.0, 1.2: 2.9}
    >>> results = [
    ...     ArmResult(a.values, a.seed, "completed", losses[a.values["optimizer.power"]], 0.01, a.fingerprint)
    ...     for a in study.arms()
    ... ]
    >>> [group["comparisons"][0]["said"] for group in analyse(study, results)["views"][0]["groups"]]
    ['undecided (the same difference in every seed: its spread is unknown)', 'undecided (the same ...
    """
    rule, rng = study.rule, np.random.default_rng(seed)
    planned = _planned(study, results)
    for value in {result.values[rule.compared] for result in planned}:
        require(is_number(value), "rule.compared", f"{rule.compared} = {value}", "a field of numbers only")
    losses = _final_losses(planned)
    views = [_view("equal settings", equal_groups(rule, planned, losses), rule, rng)]
    tuned = tuned_groups(rule, planned, losses, rng)
    if tuned:
        views.append(_view("tuned learning rate", tuned, rule, rng))
    primary = views[-1 if rule.learning_rate == "tuned" else 0]["kind"]
    if early is not None:
        read = _early_losses(rule, planned, early)
        views.append(
            _view(f"read early, at loss {early.target:g}", equal_groups(rule, planned, read), rule, rng)
        )
    missing = [result for result in planned if result.fingerprint not in losses]
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "study": study.name,
        "fingerprint": study.fingerprint,
        "rule": asdict(rule),
        "seeds": list(study.seeds),
        "arms": {
            "planned": len(planned),
            "completed": sum(result.status == "completed" for result in planned),
            "diverged": sum(result.status == "diverged" for result in planned),
            "missing": len(missing),
        },
        "missing": [{**result.values, "seed": result.seed} for result in missing],
        "tied": tied_fields(rule, [result.values for result in planned]),
        "history": [dict(addition) for addition in history],
        "bootstrap_seed": seed,
        "primary": primary,
        "views": views,
    }
    return {**content, "verdict": verdict(content)}


def _planned(study: Study, results: Sequence[ArmResult]) -> list[ArmResult]:
    """Return a result for every arm, missing ones included.

    Arms are known by their values: the fingerprints in an old summary are not those of a recipe with later fields.
    """
    given = {(result.seed, *sorted(result.values.items())): result for result in results}
    planned = []
    for arm in study.arms():
        found = given.get((arm.seed, *sorted(arm.values.items())))
        missing = ArmResult(arm.values, arm.seed, "missing", None, None, arm.fingerprint)
        planned.append(replace(found, fingerprint=arm.fingerprint) if found else missing)
    return planned


def _final_losses(results: Sequence[ArmResult]) -> dict[str, float]:
    losses = {r.fingerprint: r.loss for r in results if r.status == "completed" and r.loss is not None}
    return losses | {r.fingerprint: np.inf for r in results if r.status == "diverged"}


def _early_losses(rule: Rule, results: Sequence[ArmResult], early: EarlyReading) -> dict[str, float]:
    """Return the losses at the target, read separately for each seed and all settings but the compared one."""
    nothing: dict[str, float] = {}
    read: dict[str, float] = {}
    for group in equal_groups(rule, results, nothing):
        for seed in group.seeds:
            rivals = {
                r.fingerprint: r
                for r in results
                if r.seed == seed
                and all(r.values[name] == value for name, value in group.others.items())
                and (rule.within is None or r.values[rule.within] == group.within)
            }
            found = losses_at_target({n: early.curves[n] for n in rivals if n in early.curves}, early.target)
            for name, result in rivals.items():
                loss = np.nan if found is None else found.get(name, np.nan)
                if np.isnan(loss) and result.status == "diverged" and found is not None:
                    loss = np.inf
                read[name] = loss
    return read


def _view(kind: str, groups: Sequence[Group], rule: Rule, rng: Generator) -> dict[str, Any]:
    analysed = [_analysed(group, rule, rng) for group in groups]
    _judge([c for group in analysed for c in group["comparisons"]], rule)
    family = sum(len(group["comparisons"]) for group in analysed)
    return {"kind": kind, "family": family, "groups": analysed, "trends": trends(groups, rule, rng)}


def _analysed(group: Group, rule: Rule, rng: Generator) -> dict[str, Any]:
    values, seeds, losses = group.complete()
    best = None
    # Over unequal grids of rates the best values are best by choice.
    if seeds and values and group.same_rates():
        best = {"seeds": list(seeds), "grid": asdict(grid_best(values, losses, rng=rng))}
        if values[0] > 0:
            settings: dict[str, Any] = {"alpha": rule.alpha, "rng": rng}
            best["parabola"] = asdict(quadratic_best(values, losses, **settings))
            best["parabola_all"] = asdict(quadratic_best(values, losses, window=len(values), **settings))
    baseline = (
        group.losses[:, group.values.index(rule.baseline)] if rule.baseline in group.values else np.empty(0)
    )
    finite = baseline[np.isfinite(baseline)]
    return {
        "within": group.within,
        "others": dict(group.others),
        "arms": [_arm(group, column) for column in range(len(group.values))],
        "baseline_spread": float(finite.std(ddof=1)) if finite.size > 1 else None,
        "comparisons": [
            _comparison(group, value, rule, rng) for value in group.values if value != rule.baseline
        ]
        if rule.baseline in group.values
        else [],
        "best": best,
    }


def _arm(group: Group, column: int) -> dict[str, Any]:
    losses, value = group.losses[:, column], group.values[column]
    finite = losses[np.isfinite(losses)]
    tuning = group.tuning.get(value)
    return {
        "value": value,
        "losses": [float(loss) if np.isfinite(loss) else None for loss in losses],
        "status": ["missing" if np.isnan(x) else "diverged" if np.isinf(x) else "completed" for x in losses],
        "standard_errors": [float(e) if np.isfinite(e) else None for e in group.errors[:, column]],
        "mean": float(losses.mean()) if finite.size == losses.size else None,
        "sd": float(finite.std(ddof=1)) if finite.size > 1 else None,
        "tuning": None if tuning is None else asdict(tuning),
    }


def _comparison(group: Group, value: float, rule: Rule, rng: Generator) -> dict[str, Any]:
    """Compare with the baseline over the seeds that have both; p-values are adjusted later, in `_judge`."""
    ours, theirs = (group.losses[:, group.values.index(v)] for v in (value, rule.baseline))
    same_rates = group.same_rates(value, rule.baseline)
    paired = ~np.isnan(ours) & ~np.isnan(theirs)
    a, b = ours[paired], theirs[paired]
    found: dict[str, Any] = {
        "value": value,
        "seeds": [seed for seed, kept in zip(group.seeds, paired, strict=True) if kept],
        "missing": int((~paired).sum()),
        "diverged": int(np.isinf(a).sum()),
        "baseline_diverged": int(np.isinf(b).sum()),
        "same_rates": same_rates,
        "held_out": _held_out(group, value, rule.baseline),
        "differences": None,
        "statistics": None,
        "p_value": None,
        "equivalence": None,
    }
    if a.size and same_rates and not found["diverged"] and not found["baseline_diverged"]:
        statistics = paired_difference(a, b, alpha=rule.alpha, rng=rng)
        found["differences"] = (a - b).tolist()
        found["statistics"] = asdict(statistics)
        found["p_value"] = statistics.p_value
        found["equivalence"] = equivalence_p_value(
            statistics.mean, statistics.sd, statistics.seeds, rule.smallest_effect
        )
    return found


def _held_out(group: Group, value: float, baseline: float) -> float | None:
    """Return the mean difference of losses at rates chosen by the other seeds: an estimate, which is not tested."""
    pair = [group.tuning.get(v) for v in (value, baseline)]
    means = [float(np.mean(tuning.held_out)) if tuning else math.nan for tuning in pair]
    return means[0] - means[1] if all(map(math.isfinite, means)) else None


def _judge(comparisons: Sequence[dict[str, Any]], rule: Rule) -> None:
    """Add to each comparison of a family its adjusted p-values, what it could have detected, and what the rule says."""
    # Bonferroni's level, which is that of Holm's first step.
    level = rule.alpha if rule.correction == "none" else rule.alpha / max(1, len(comparisons))
    adjusted = adjusted_p_values([c["p_value"] for c in comparisons], rule.correction)
    equivalences = adjusted_p_values([c["equivalence"] for c in comparisons], rule.correction)
    for comparison, p, equivalence in zip(comparisons, adjusted, equivalences, strict=True):
        comparison["adjusted"], comparison["equivalence_adjusted"] = p, equivalence
        sd = (comparison["statistics"] or {}).get("sd")
        comparison["detectable"] = detectable_difference(len(comparison["seeds"]), level) * sd if sd else None
        comparison["decision"], comparison["said"] = _decision(comparison, rule)


def _decision(comparison: Mapping[str, Any], rule: Rule) -> tuple[str, str]:
    ours, theirs, seeds = comparison["diverged"], comparison["baseline_diverged"], len(comparison["seeds"])
    if ours or theirs:
        told = f"diverged in {ours} of {seeds} seeds, baseline in {theirs} of {seeds}"
        return "unstable", f"unstable: {told}"
    if seeds and not comparison["same_rates"]:
        return "undecided", "undecided (not tested: other learning rates than the baseline)"
    statistics = comparison["statistics"]
    if statistics is None:
        return "undecided", "undecided (no seed has both)"
    decision = decide(
        statistics["mean"],
        comparison["adjusted"],
        comparison["equivalence_adjusted"],
        rule.alpha,
        rule.smallest_effect,
    )
    if decision == "equal":
        return decision, f"equal within {rule.smallest_effect:g}"
    return decision, decision + (f" ({statistics['note']})" if statistics["note"] else "")
