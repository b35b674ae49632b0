"""The study of batch size and power, put together: what its parts say, and what theory predicts from measured noise.

`collect` makes the plain data that the figures, the tables and the report are drawn from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.noise.along_study import ALONG, read_along
from experiments.sweeps.ablation import ablation
from experiments.sweeps.analysis import analyse
from experiments.sweeps.batch_size import BATCH, PARTS, POWER, batch_size_study, command_of
from experiments.sweeps.contrasts import contrasts, damping, interactions
from experiments.sweeps.course import course
from experiments.sweeps.curvature import detectable_fall, false_falls
from experiments.sweeps.early_reading import EarlyReading, curves_of
from experiments.sweeps.results import ArmResult, read_history, read_outcome
from experiments.sweeps.study import RATE, Study
from experiments.sweeps.verdict import primary_view
from gradpower.tools.errors import InputError, require

Data = Mapping[str, Any]
NOISE = "noise"
_STABLE = 0.8
"""Share of the training at which the early reading is made, before the decay begins."""


def places(scale: str, folder: Path) -> dict[str, Path]:
    """Return where each part of the study at a scale is: a study's folder below `folder`, or PART.json in it."""
    found: dict[str, Path] = {}
    for part in PARTS:
        name = batch_size_study(scale, part).name
        for path in (folder / name, folder / f"{part}.json"):
            if (path / "study.json").exists() or path.is_file():
                found[part] = path
                break
    for path in (folder / batch_size_study(scale).name / ALONG, folder / f"{NOISE}.json"):
        if path.is_file():
            found.setdefault(NOISE, path)
    return found


def collect(scale: str, folder: Path, *, seed: int = 0) -> dict[str, Any]:
    """Judge all parts of the study that are there.

    Parameters
    ----------
    scale : str
        Of `batch_size.scales`.
    folder : Path
        Where the studies' folders lie (runs), or their summaries.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        Plain data: `main`, `tuned` and `one_rate`, analyses (the latter two None if not there); `false_falls` and
        `one_rate_false_falls`, see `curvature.false_falls`; `target_loss` of the early reading; `rates`, mean losses by
        batch size and rate, and `tuned_rates`, the same by power;
        `contrasts`, `interactions` and `damping` of `experiments.sweeps.contrasts`; `course`, see
        `experiments.sweeps.course`; `noise`, the measurements; `measured`, the best power by batch size; `ablation`;
        `power`, what could have been seen; `about`, model, text and machines.

    Raises
    ------
    InputError
        If the main part is not there, or a part is another study's, of another scale or on other text.
    """
    found = places(scale, folder)
    if "main" not in found:
        name = batch_size_study(scale).name
        allowed = f"one with {name}/ or main.json in it: gradpower sweep batch-size --scale {scale} makes it"
        if (folder / "study.json").exists():
            allowed = f"the folder that it lies in, {folder.absolute().parent}"
        raise InputError("folder", folder, allowed)
    outcomes = {part: read_outcome(path) for part, path in found.items() if part != NOISE}
    results = {part: outcome[1] for part, outcome in outcomes.items()}
    study, main = outcomes["main"]
    for part, (other, _) in outcomes.items():
        _require_part(scale, part, other, study, found[part])
    target = early_target(main)
    early = EarlyReading(target, curves_of(main)) if target else None
    judged = analyse(study, main, early=early, seed=seed, history=read_history(found["main"]))
    noise = _noise(found[NOISE], study) if NOISE in found else []
    measured = best_powers(judged)
    one_rate = _judged(outcomes, found, "one-rate", seed)
    return {
        "scale": scale,
        "about": _about(study, main)
        | {"parts": {part: _counted(*outcome) for part, outcome in outcomes.items()}},
        "main": judged,
        "tuned": _judged(outcomes, found, "tuned", seed),
        "one_rate": one_rate,
        "false_falls": _false_falls(judged, seed),
        "one_rate_false_falls": [] if one_rate is None else _false_falls(one_rate, seed),
        "target_loss": target,
        "rates": rate_curves(results.get("rates", ())),
        "tuned_rates": rate_curves(results.get("tuned", ())),
        "contrasts": contrasts(results, rng=np.random.default_rng(seed)),
        "interactions": interactions(results, rng=np.random.default_rng(seed)),
        "course": course(main),
        "damping": {str(batch): row for batch, row in damping(main).items()},
        "noise": noise,
        "measured": measured,
        "ablation": ablation(noise, measured),
        "power": seen(judged, seed),
    }


def _require_part(scale: str, part: str, study: Study, main: Study, path: Path) -> None:
    """Refuse what is another study, or on other text than the main part: its differences could not be compared."""
    wanted = batch_size_study(scale, part).name
    require(study.name == wanted, "folder", path, f"one with {wanted} there, and this is {study.name}")
    if study.recipe != main.recipe:
        from experiments.fields import differences

        told = "; ".join(differences(main.recipe, study.recipe))
        raise InputError("folder", path, f"a part with the recipe of the main one, which differs: {told}")


def _noise(path: Path, main: Study) -> list[dict[str, Any]]:
    content = read_along(path)
    if content["study"] != main.name:
        raise InputError("folder", path, f"measurements of {main.name}, and these are of {content['study']}")
    return list(content["measurements"])


def _false_falls(analysis: Data, seed: int) -> list[dict[str, Any]]:
    """Return how often Page's test would find a fall without a trend, from the groups that have all losses."""
    found = _whole_tables(analysis)
    if found is None:
        return []
    rng, alpha = np.random.default_rng(seed), analysis["rule"]["alpha"]
    rows = false_falls(found["values"], found["tables"], alpha=alpha, rng=rng)
    return [{"batch_size": found["batches"][row["index"]]} | row for row in rows]


def _whole_tables(analysis: Data) -> dict[str, Any] | None:
    """Return the grid, the batch sizes and their losses in seeds that have all powers, equally many of each."""
    groups = primary_view(analysis)["groups"]
    tables = []
    for group in groups:
        columns = [[np.nan if x is None else x for x in arm["losses"]] for arm in group["arms"]]
        table = np.array(columns, dtype=np.float64).T
        tables.append(table[~np.isnan(table).any(axis=1)])
    seeds = min(len(table) for table in tables)
    if seeds < 2 or len(tables) < 2:
        return None
    return {
        "values": [arm["value"] for arm in groups[0]["arms"]],
        "batches": [group["within"] for group in groups],
        "tables": [table[:seeds] for table in tables],
    }


def _judged(
    outcomes: Mapping[str, tuple[Study, list[ArmResult]]], found: Mapping[str, Path], part: str, seed: int
) -> dict[str, Any] | None:
    if part not in outcomes:
        return None
    study, results = outcomes[part]
    return analyse(study, results, seed=seed, history=read_history(found[part]))


def _about(study: Study, results: Sequence[ArmResult]) -> dict[str, Any]:
    from experiments.model_size import model_size

    recipe = study.recipe
    arms = {arm.recipe.training.batch_size: arm.recipe for arm in study.arms()}
    tokens = next(iter(arms.values())).tokens
    hours = sum(tokens / r.tokens_per_second for r in results if r.tokens_per_second) / 3600
    return {
        "command": command_of(study),
        "source": study.recipe.data.source,
        "fingerprint": study.fingerprint,
        "recipe": recipe.name,
        "parameters": model_size(recipe.model).total,
        "tokens": tokens,
        "batches": {
            str(size): {
                "steps": made.training.steps,
                "warmup": made.optimizer.warmup_steps,
                "rate": made.optimizer.learning_rate,
            }
            for size, made in sorted(arms.items())
        },
        "seeds": list(study.seeds),
        "worker_hours": hours,
        **_counted(study, results),
    }


def _counted(study: Study, results: Sequence[ArmResult]) -> dict[str, int]:
    """Return how many runs are done, and how many were planned."""
    return {"done": sum(result.status != "missing" for result in results), "planned": len(study.arms())}


def early_target(results: Sequence[ArmResult]) -> float | None:
    """Return the loss at which Figure 6 is read: one that the best arms of all batch sizes reach before the decay.

    It is the highest, over batch sizes and seeds, of the lowest loss of any arm at 80 % of its training; None where an
    arm of no batch size has such an evaluation.
    """
    lowest: dict[tuple[Any, int], float] = {}
    for result in results:
        if not result.evaluations:
            continue
        last = result.evaluations[-1]["tokens"]
        early = [
            row["validation_loss"]
            for row in result.evaluations
            if row["tokens"] <= _STABLE * last and row.get("validation_loss") is not None
        ]
        if early and result.status == "completed":
            key = result.values[BATCH], result.seed
            lowest[key] = min(lowest.get(key, math.inf), *early)
    return max(lowest.values(), default=None)


def rate_curves(results: Sequence[ArmResult]) -> list[dict[str, Any]]:
    """Return the mean loss over seeds by batch size, learning rate and power; None where a run diverged."""

    def key(result: ArmResult) -> tuple[int, float, float]:
        return result.values[BATCH], result.values[RATE], result.values.get(POWER, 1.0)

    done = [r for r in results if r.status != "missing"]
    rows = []
    for batch, rate, power in sorted(set(map(key, done))):
        own = [r for r in done if key(r) == (batch, rate, power)]
        losses = [r.loss for r in own if r.loss is not None]
        whole = len(losses) == len(own)
        rows.append(
            {
                "batch_size": batch,
                "rate": rate,
                "power": power,
                "loss": float(np.mean(losses)) if losses and whole else None,
                "seeds": len(own),
            }
        )
    return rows


def best_powers(analysis: Data) -> list[dict[str, Any]]:
    """Return the measured best power by batch size.

    `status`, `power`, `low` and `high`: that of the parabola through the powers around the best, and Fieller's
    interval, which has a meaning for the vertex of an interior minimum only; `grid` and `at_edge`: the best of the
    grid, and whether it is an end of it; `through_all`: the first four of the parabola through all powers.
    """
    rows = []
    for group in primary_view(analysis)["groups"]:
        best = group["best"] or {}
        grid = best.get("grid") or {}
        rows.append(
            {"batch_size": group["within"]}
            | _vertex(best.get("parabola") or {})
            | {
                "grid": grid.get("value"),
                "at_edge": grid.get("at_edge"),
                "through_all": _vertex(best.get("parabola_all") or {}),
            }
        )
    return rows


def _vertex(parabola: Data) -> dict[str, Any]:
    inside = parabola.get("status") == "interior"
    low, high = (parabola.get("interval") if inside else None) or (None, None)
    return {
        "status": parabola.get("status", "no results"),
        "power": parabola.get("value"),
        "low": low,
        "high": high,
        "interval_kind": parabola.get("interval_kind"),
    }


def seen(analysis: Data, seed: int = 0) -> dict[str, Any]:
    """Return what the study could have seen with probability 0.8 by its own rule.

    Returns
    -------
    dict
        `difference`, the median over comparisons of the smallest difference of losses found at the corrected level;
        `fall`, see `curvature.detectable_fall`; None where the seeds do not tell.
    """
    view, whole = primary_view(analysis), _whole_tables(analysis)
    found = [c["detectable"] for g in view["groups"] for c in g["comparisons"] if c["detectable"]]
    fall = None if whole is None else detectable_fall(**whole, alpha=analysis["rule"]["alpha"], seed=seed)
    return {"difference": float(np.median(found)) if found else None, "fall": fall}
