"""One training run, from a recipe to a result: resumable at any moment, bit for bit on the CPU."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from experiments.recipes.model_size import model_size
from experiments.recipes.named import command_of
from experiments.recipes.settings import Recipe
from experiments.statistics import spikes
from experiments.training.execution import Execution
from experiments.training.records import (
    Final,
    Metric,
    RunResult,
    Timing,
    cut_metrics,
    locked,
    read_metrics,
    read_result,
    require_same,
    write_recipe,
    write_result,
)
from experiments.training.reporting import Reporter
from gradpower.tools.errors import InputError
from gradpower.tools.files import require_folder
from gradpower.tools.provenance import provenance

if TYPE_CHECKING:
    from experiments.training.run import Run

PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "safetensors")
Status = Literal["completed", "diverged", "paused"]
RANK = int(os.environ.get("RANK", "0"))


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended, after `step` steps.

    Of a "paused" run there is a checkpoint, and the same call goes on from it. The result, the content of result.json,
    is None of a paused run, and on another rank than the first.
    """

    status: Status
    step: int
    result: RunResult | None = None


def train(
    recipe: Recipe,
    folder: Path,
    *,
    execution: Execution | None = None,
    stop: Callable[[], bool] = lambda: False,
    before_writing: Callable[[], None] = lambda: None,
    reporter: Reporter | None = None,
) -> Outcome:
    """Train by a recipe in a folder, or go on where the last call there was interrupted.

    A finished run in the folder is returned as it is.

    Parameters
    ----------
    stop : callable
        Asked before every step whether to save a checkpoint and leave; SIGTERM and Ctrl-C do so, too.
    before_writing : callable
        Called before anything is written after a step; what it raises, where the folder is another's, ends the run.

    Raises
    ------
    InputError
        If the folder holds another run or is in use, or recipe, data and device do not go together.
    OSError
        If a checkpoint cannot be written; the last good ones stay.
    """
    from experiments.training.run import Run
    from experiments.training.signals import Interruption

    execution, reporter = execution or Execution(), reporter or Reporter()
    require_folder(folder)
    # Of several ranks, the first holds the folder for all.
    with locked(folder) if RANK == 0 else nullcontext():
        require_same(folder, recipe)
        done = read_result(folder)
        if done is not None:
            reporter.note(f"{folder} is finished already: {done.status}")
            return Outcome(done.status, done.final.step, done)
        # Signals are caught only from here on: what came before has nothing to save.
        with Run(recipe, folder, execution, reporter) as run, Interruption() as interruption:
            if run.is_main:
                write_recipe(folder, recipe, run.data.tokens)

            def reason() -> str | None:
                return interruption.name or ("asked to stop" if stop() else None)

            return _train(run, reason, before_writing)


def _train(run: Run, reason: Callable[[], str | None], before_writing: Callable[[], None]) -> Outcome:
    steps = run.recipe.training.steps
    damaged = cut_metrics(run.folder, run.step) if run.is_main else 0
    if damaged:
        run.reporter.note(f"damaged lines of metrics, left out: {damaged}")
    while run.step < steps:
        why = run.devices.agree(reason())
        if why is not None:
            before_writing()
            return _paused(run, why)
        _step(run)
        before_writing()
        if run.step % run.execution.log_every == 0 or run.step == steps:
            row = run.window()
            run.log(row)
            if not math.isfinite(row["loss"]):
                return _finished(run, "diverged", row["loss"])
        if run.step in run.recipe.training.evaluation_steps:
            row = run.evaluate()
            before_writing()
            run.log(row)
            if not math.isfinite(row["validation_loss"]):
                return _finished(run, "diverged", row["validation_loss"])
        run.save_snapshot()
        run.save_if_due()
    run.save()
    return _finished(run, "completed", run.evaluations[-1]["validation_loss"])


def _step(run: Run) -> None:
    try:
        run.train_step()
    except InputError:  # a stream has come to its end
        if run.devices.ranks == 1:
            run.save()
        raise


def _paused(run: Run, reason: str) -> Outcome:
    run.save()
    run.reporter.note(
        f"{reason}: stopped after step {run.step}, saved in {run.folder}; the same command goes on"
    )
    return Outcome("paused", run.step)


def _finished(run: Run, status: Literal["completed", "diverged"], loss: float) -> Outcome:
    if not run.is_main:
        return Outcome(status, run.step)
    recipe, cache = run.recipe, run.execution.cache
    lines = [row for row in read_metrics(run.folder) if "loss" in row]
    last = run.evaluations[-1] if run.evaluations else {}
    final = Final(
        step=run.step,
        tokens=run.step * recipe.tokens_per_step,
        validation_loss=last.get("validation_loss") if status == "completed" else None,
        standard_error=last.get("standard_error") if status == "completed" else None,
        validation_sequences=last.get("sequences"),
        expert_load=last.get("expert_load"),
        spikes=len(spikes([row["loss"] for row in lines])),
    )
    # A model that has learnt nothing, and tells all tokens equally likely, has this loss.
    learnt = loss <= math.log(recipe.model.vocabulary)
    evaluations = [{k: v for k, v in row.items() if k != "expert_load"} for row in run.evaluations]
    seconds = run.elapsed()
    speeds = sorted(row["tokens_per_second"] for row in lines)
    median = speeds[len(speeds) // 2] if speeds else None
    config = {"recipe": recipe.name, "fingerprint": recipe.fingerprint}
    result = RunResult(
        status=status,
        fingerprint=recipe.fingerprint,
        recipe=recipe,
        final=final,
        data={"fingerprint": run.data.fingerprint, **run.data.description},
        provenance=provenance(command_of(recipe), config, packages=PACKAGES),
        hardware=run.devices.description(recipe.training.precision),
        evaluations=cast(tuple[Metric, ...], tuple(evaluations)),
        timing=Timing(seconds, median, run.mfu(median) if median else None),
        model={**asdict(model_size(recipe.model)), "initial_weights": run.initial_digest},
        module_scales=run.module_scales,
        diverged=None if learnt else {"step": run.step, "loss": str(loss)},
        execution=asdict(run.execution) | {"cache": cache and str(cache)},
    )
    write_result(run.folder, result)
    return Outcome(status, run.step, read_result(run.folder))
