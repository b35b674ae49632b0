"""The study of batch size and power, put together: what its parts say, and what theory predicts from measured noise.

`collect` makes the plain data that the figures, the tables and the report are drawn from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from experiments.noise.along_study import ALONG, read_along
from experiments.sweeps.ablation import ablation
from experiments.sweeps.analysis import analyse
from experiments.sweeps.batch_size import BATCH, PARTS, RATE, batch_size_study
from experiments.sweeps.contrasts import contrasts, damping
from experiments.sweeps.early_reading import EarlyReading, curves_of
from experiments.sweeps.outcome import read_history, read_outcome
from experiments.sweeps.results import ArmResult
from experiments.sweeps.statistics import detectable_difference
from experiments.sweeps.study import Study
from theory.inputs import InputError

Data = Mapping[str, Any]
NOISE = "noise"
_STABLE = 0.8
"""Share of the training at which the early reading is made, before the decay begins."""


def places(scale: str, folder: Path) -> dict[str, Path]:
    """Return where each part of the study at a scale is: a study's folder below `folder`, or PART.json in it."""
    found = {}
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
        Plain data: `main`, `rates` and `tuned`, analyses (None if not there); `target_loss` of the early reading;
        `curves`, mean losses of the rates by batch size; `contrasts` and `damping` of `experiments.sweeps.contrasts`;
        `noise`, the measurements; `measured`, the best power by batch size; `ablation`; `power`, what could have been
        seen; `about`, model, text and machines.

    Raises
    ------
    InputError
        If the main part is not there.
    """
    found = places(scale, folder)
    if "main" not in found:
        name = batch_size_study(scale).name
        allowed = f"one with {name}/ or main.json in it: gradpower sweep batch-size --scale {scale} makes it"
        raise InputError("folder", folder, allowed)
    outcomes = {part: read_outcome(path) for part, path in found.items() if part != NOISE}
    results = {part: outcome[1] for part, outcome in outcomes.items()}
    study, main = outcomes["main"]
    target = early_target(main)
    early = EarlyReading(target, curves_of(main)) if target else None
    judged = analyse(study, main, early=early, seed=seed, history=read_history(found["main"]))
    noise = read_along(found[NOISE])["measurements"] if NOISE in found else []
    measured = best_powers(judged)
    return {
        "scale": scale,
        "about": _about(study, main),
        "main": judged,
        "tuned": _judged(outcomes, found, "tuned", seed),
        "target_loss": target,
        "rates": rate_curves(results.get("rates", ())),
        "contrasts": contrasts(results, rng=np.random.default_rng(seed)),
        "damping": {str(batch): row for batch, row in damping(main).items()},
        "noise": noise,
        "measured": measured,
        "ablation": ablation(noise, measured),
        "power": seen(judged),
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
    recipe_tokens = next(iter(arms.values())).tokens
    return {
        "study": study.name,
        "fingerprint": study.fingerprint,
        "parameters": model_size(recipe.model).total,
        "tokens": recipe_tokens,
        "sequence_length": recipe.data.sequence_length,
        "source": recipe.data.source,
        "batches": {
            str(size): {
                "steps": made.training.steps,
                "warmup": made.optimizer.warmup_steps,
                "rate": made.optimizer.learning_rate,
            }
            for size, made in sorted(arms.items())
        },
        "seeds": list(study.seeds),
        "worker_hours": sum(recipe_tokens / r.tokens_per_second for r in results if r.tokens_per_second)
        / 3600,
        "done": sum(result.status != "missing" for result in results),
        "planned": len(results),
    }


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
    """Return the mean loss over seeds by batch size and learning rate at p = 1; None where a run diverged."""
    keys = sorted({(r.values[BATCH], r.values[RATE]) for r in results if r.status != "missing"})
    rows = []
    for batch, rate in keys:
        own = [r for r in results if (r.values[BATCH], r.values[RATE]) == (batch, rate)]
        losses = [r.loss for r in own if r.loss is not None]
        whole = len(losses) == len([r for r in own if r.status != "missing"])
        rows.append(
            {
                "batch_size": batch,
                "rate": rate,
                "loss": float(np.mean(losses)) if losses and whole else None,
                "seeds": len(own),
            }
        )
    return rows


def best_powers(analysis: Data) -> list[dict[str, Any]]:
    """Return the measured best power by batch size: the parabola's with its interval, and the grid's."""
    view = next(v for v in analysis["views"] if v["kind"] == analysis["primary"])
    rows = []
    for group in view["groups"]:
        best = group["best"] or {}
        parabola, grid = best.get("parabola") or {}, best.get("grid") or {}
        low, high = parabola.get("interval") or (None, None)
        rows.append(
            {
                "batch_size": group["within"],
                "power": parabola.get("value"),
                "low": low,
                "high": high,
                "grid": grid.get("value"),
                "at_edge": grid.get("at_edge"),
            }
        )
    return rows


def seen(analysis: Data) -> dict[str, Any]:
    """Return what the study could have seen: differences of losses, and a slope of the best power.

    Returns
    -------
    dict
        `difference`, the median over comparisons of the smallest difference of losses found with probability 0.8 at
        the corrected level; `slope`, the same for the slope of the best power against ln B by a t test over seeds at
        level 0.05; None where the seeds do not tell.
    """
    view = next(v for v in analysis["views"] if v["kind"] == analysis["primary"])
    found = [c["detectable"] for g in view["groups"] for c in g["comparisons"] if c["detectable"]]
    tested = next((trend["grid"] for trend in view["trends"]), None)
    interval = ((tested or {}).get("slope") or {}).get("t_interval")
    slope = None
    if tested is not None and interval:
        seeds = len(tested["best"])
        spread = (interval[1] - interval[0]) / 2 * math.sqrt(seeds) / float(stdtrit(seeds - 1, 0.975))
        slope = detectable_difference(seeds, 0.05) * spread
    return {"difference": float(np.median(found)) if found else None, "slope": slope}
