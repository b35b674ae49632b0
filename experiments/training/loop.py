"""One training run, from a recipe to a result: resumable at any moment, bit for bit on the CPU."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from experiments.recipes.model_size import model_size
from experiments.recipes.named import command_of
from experiments.recipes.settings import Recipe
from experiments.training.execution import Execution
from experiments.training.records import (
    Final,
    Metrics,
    RunResult,
    Timing,
    locked,
    read_metrics,
    read_result,
    require_same,
    write_recipe,
    write_result,
)
from experiments.training.reporting import Reporter, Silent
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
    """How a call of `train` ended.

    Attributes
    ----------
    status : str
        "completed", "diverged" (the loss was no longer finite), or "paused": there is a checkpoint, and the same call
        goes on from it.
    step : int
        Steps taken.
    folder : Path
        The run's folder.
    result : RunResult or None
        The content of result.json; none of a paused run, or on another rank than the first.
    """

    status: Status
    step: int
    folder: Path
    result: RunResult | None = None


def train(
    recipe: Recipe,
    folder: Path,
    *,
    execution: Execution | None = None,
    deadline: float | None = None,
    stop: Callable[[], bool] | None = None,
    before_writing: Callable[[], None] | None = None,
    reporter: Reporter | None = None,
) -> Outcome:
    """Train by a recipe in a folder, or go on where the last call there was interrupted.

    Parameters
    ----------
    recipe : Recipe
        What to train.
    folder : Path
        Where recipe, metrics, checkpoints and the result go. A finished run in it is returned as it is.
    execution : Execution, optional
        Where and how.
    deadline : float, optional
        A time of `time.monotonic()` after which to save a checkpoint and leave.
    stop : callable, optional
        Asked after every step whether to do so; SIGTERM and Ctrl-C do, too.
    before_writing : callable, optional
        Called before anything is written after a step; what it raises, where the folder is another's, ends the run.
    reporter : Reporter, optional
        Told of progress.

    Raises
    ------
    InputError
        If the folder holds another run or is in use, or recipe, data and device do not go together.
    OSError
        If a checkpoint cannot be written; the last good ones stay.
    """
    from experiments.training.run import Run
    from experiments.training.signals import Interruption

    execution, reporter = execution or Execution(), reporter or Silent()
    require_folder(folder)
    # Of several ranks, the first holds the folder for all.
    with locked(folder) if RANK == 0 else nullcontext():
        require_same(folder, recipe)
        done = read_result(folder)
        if done is not None:
            reporter.note(f"{folder} is finished already: {done.status}")
            return Outcome(done.status, done.final.step, folder, done)
        # Signals are caught only from here on: what came before has nothing to save.
        with Run(recipe, folder, execution, reporter) as run, Interruption() as interruption:
            if run.is_main:
                write_recipe(folder, recipe)
            return _train(run, _Stop(interruption, deadline, stop), before_writing or (lambda: None))


@dataclass
class _Stop:
    """Why to leave, if there is a reason."""

    interruption: Any
    deadline: float | None
    stop: Callable[[], bool] | None

    def reason(self) -> str | None:
        if self.interruption.name:
            return str(self.interruption.name)
        if self.deadline is not None and time.monotonic() > self.deadline:
            return "out of time"
        return "asked to stop" if self.stop is not None and self.stop() else None


def _train(run: Any, asked: _Stop, before_writing: Callable[[], None]) -> Outcome:
    steps = run.recipe.training.steps
    metrics = Metrics(run.folder, run.step) if run.is_main else None
    if metrics is not None and metrics.damaged:
        run.reporter.note(f"damaged lines of metrics, left out: {metrics.damaged}")

    def record(row: dict[str, Any]) -> None:
        if metrics is not None:
            metrics.append(row)
        run.log(row)

    while run.step < steps:
        reason = run.devices.agree(asked.reason())
        if reason is not None:
            before_writing()
            return _paused(run, reason)
        _step(run)
        before_writing()
        if run.step % run.execution.log_every == 0 or run.step == steps:
            row = run.window()
            record(row)
            if not math.isfinite(row["loss"]):
                return _finished(run, "diverged", {"step": run.step, "loss": str(row["loss"])})
        if run.step in run.recipe.training.evaluation_steps:
            evaluation = run.evaluate()
            before_writing()
            record(evaluation)
            if not math.isfinite(evaluation["validation_loss"]):
                return _finished(
                    run, "diverged", {"step": run.step, "loss": str(evaluation["validation_loss"])}
                )
        run.save_snapshot()
        run.save_if_due()
    run.save()
    return _finished(run, "completed", None)


def _step(run: Any) -> None:
    try:
        run.train_step()
    except InputError:  # a stream has come to its end
        if run.devices.ranks == 1:
            run.save()
        raise


def _paused(run: Any, reason: str) -> Outcome:
    run.save()
    run.reporter.note(
        f"{reason}: stopped after step {run.step}, saved in {run.folder}; the same command goes on"
    )
    return Outcome("paused", run.step, run.folder)


def _finished(run: Any, status: Literal["completed", "diverged"], diverged: dict[str, Any] | None) -> Outcome:
    last = run.evaluations[-1] if run.evaluations else {}
    final = Final(
        step=run.step,
        tokens=run.step * run.recipe.tokens_per_step,
        validation_loss=None if diverged else last.get("validation_loss"),
        standard_error=None if diverged else last.get("standard_error"),
        validation_sequences=last.get("sequences"),
        expert_load=last.get("expert_load"),
    )
    execution = {
        k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(run.execution).items()
    }
    result = RunResult(
        status=status,
        fingerprint=run.recipe.fingerprint,
        recipe=run.recipe,
        final=final,
        diverged=diverged,
        evaluations=tuple(_without_load(row) for row in run.evaluations),
        execution=execution,
        **_description(run),
    )
    if not run.is_main:
        return Outcome(status, run.step, run.folder)
    write_result(run.folder, result)
    return Outcome(status, run.step, run.folder, read_result(run.folder))


def _without_load(row: dict[str, Any]) -> Any:
    return {key: value for key, value in row.items() if key != "expert_load"}


def _description(run: Run) -> dict[str, Any]:
    """Return what the result says of data, model, machine and time."""
    config = {"recipe": run.recipe.name, "fingerprint": run.recipe.fingerprint}
    seconds = run.elapsed()
    speeds = sorted(row["tokens_per_second"] for row in read_metrics(run.folder) if "loss" in row)
    median = speeds[len(speeds) // 2] if speeds else None
    return {
        "provenance": provenance(command_of(run.recipe), config, packages=PACKAGES),
        "data": {"fingerprint": run.data.fingerprint, **run.data.description},
        "model": {**dataclasses.asdict(model_size(run.recipe.model)), "initial_weights": run.initial_digest},
        "module_scales": run.module_scales,
        "hardware": run.devices.description(run.recipe.training.precision),
        "timing": Timing(seconds, median, run.mfu(median) if median else None),
    }
