"""A study's arms: where their runs lie, what state each is in, and which attempts at it failed.

Runs lie in a store beside the study's folder, named by recipe and text: `arms/RECIPE-TEXT`. The study's folder has a
link to each of its own, so that studies with the same arm share the run.
"""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from experiments.recipes.settings import DataSettings
from experiments.sweeps.leases import LIMIT, newest
from experiments.sweeps.study import Arm, Study
from experiments.training.records import read_metrics, read_result
from gradpower.tools.errors import require
from gradpower.tools.files import write_file
from gradpower.tools.reading import append_line, read_lines

State = Literal["open", "running", "paused", "completed", "diverged", "failed"]
ENDED = ("completed", "diverged", "failed")


@dataclass(frozen=True)
class ArmState:
    """Where an arm is: losses in nats a token, times in seconds."""

    fingerprint: str
    values: Mapping[str, Any]
    seed: int
    state: State
    step: int
    """Steps taken, by the last line of metrics."""
    steps: int
    """Steps of the whole run."""
    loss: float | None = None
    validation_loss: float | None = None
    tokens_per_second: float | None = None
    """Training speed: the newest, of a finished arm the median."""
    heartbeat: float | None = None
    """Time since the worker's last sign of life, by this machine's clock."""
    eta: float | None = None
    """Time that it will need at this speed, if it runs."""
    failures: int = 0
    error: str | None = None
    """What the last failed attempt said."""


@dataclass(frozen=True)
class Attempt:
    """A failed attempt at an arm, a line of attempts.jsonl: the token of its lease, why, when and where it failed."""

    lease: str
    error: str
    time: str = ""
    host: str = ""
    pid: int = 0
    traceback: str | None = None
    """Name of the file with the traceback, if there was one."""


def arm_folder(folder: Path, fingerprint: str) -> Path:
    """Return the folder of an arm's run as that of its study names it.

    >>> arm_folder(Path("runs/mine"), "0123456789ab").as_posix()
    'runs/mine/arms/0123456789ab'
    """
    return folder / "arms" / fingerprint


def link_arms(folder: Path, study: Study, data: Mapping[DataSettings, str]) -> None:
    """Link the arms in a study's folder to their runs in the store; what is a folder there already stays one.

    Parameters
    ----------
    folder : Path
        The study's.
    study : Study
        The study.
    data : mapping
        Fingerprint of the text by its settings.

    Raises
    ------
    InputError
        If an arm is linked to a run on other text.
    """
    (folder / "arms").mkdir(parents=True, exist_ok=True)
    for arm in study.arms():
        link, text = arm_folder(folder, arm.fingerprint), data[arm.recipe.data]
        run = Path("../../arms") / f"{arm.fingerprint}-{text}"
        if not link.exists():
            with suppress(FileExistsError):
                link.symlink_to(run)
        allowed = f"the folder of a study on this text ({text}): it has changed since"
        if link.is_symlink():
            require(link.readlink() == run, "output", folder, allowed)
        elif (result := read_result(link)) is not None:
            require(result.data.get("fingerprint") == text, "output", folder, allowed)


def arm_state(folder: Path, arm: Arm, retries: int) -> ArmState:
    """Return where an arm of the study in `folder` is.

    Raises
    ------
    InputError
        If its result.json is none of ours.
    """
    run, steps = arm_folder(folder, arm.fingerprint), arm.recipe.training.steps
    failed = read_failures(run)
    error = failed[-1].error if failed else None
    start = ArmState(
        arm.fingerprint, arm.values, arm.seed, "open", 0, steps, failures=len(failed), error=error
    )
    result = read_result(run)
    if result is not None:
        final, speed = result.final, result.timing.tokens_per_second
        return replace(
            start,
            state=result.status,
            step=final.step,
            validation_loss=final.validation_loss,
            tokens_per_second=speed,
        )
    metrics = read_metrics(run)
    train: dict[str, Any] = next((row for row in reversed(metrics) if "loss" in row), {})
    losses = [row["validation_loss"] for row in metrics if "validation_loss" in row]
    step, speed = train.get("step", 0), train.get("tokens_per_second")
    state = replace(
        start,
        step=step,
        loss=train.get("loss"),
        validation_loss=losses[-1] if losses else None,
        tokens_per_second=speed,
    )
    lease = newest(run)
    age = time.time() - lease.path.stat().st_mtime if lease and not lease.released else LIMIT
    # For people only: the times of files are not to be compared between machines, and `Watch` does not.
    if lease is not None and age < LIMIT and not lease.is_dead:
        eta = (steps - step) * arm.recipe.tokens_per_step / speed if speed else None
        return replace(state, state="running", heartbeat=max(0.0, age), eta=eta)
    if len(failed) > retries:
        return replace(state, state="failed")
    return replace(state, state="paused") if step or (run / "checkpoints").exists() else state


class Board:
    """Where all arms of the study in a folder are, read anew at each call, finished ones once."""

    def __init__(self, folder: Path, study: Study, retries: int) -> None:
        self.folder, self.retries, self.arms = folder, retries, study.arms()
        self._ended: dict[str, ArmState] = {}

    def states(self) -> list[ArmState]:
        """Return the state of every arm, in the study's order."""
        states = []
        for arm in self.arms:
            state = self._ended.get(arm.fingerprint) or arm_state(self.folder, arm, self.retries)
            if state.state in ENDED:
                self._ended[arm.fingerprint] = state
            states.append(state)
        return states


def read_failures(folder: Path) -> list[Attempt]:
    """Return the failed attempts recorded in a run's folder, oldest first; a line cut off by a kill is left out."""
    return read_lines(folder / "attempts.jsonl", Attempt)[0]


def record_failure(folder: Path, token: str, error: BaseException | str) -> None:
    """Add the failed attempt made under the lease of this token to attempts.jsonl, the traceback beside it.

    An exception is one; a text says how the process ended that gave no reason itself.
    """
    trace = None
    if isinstance(error, BaseException):
        trace = folder / f"attempt-{len(read_failures(folder)) + 1:03d}.txt"
        write_file(trace, "".join(traceback.format_exception(error)))
        error = f"{type(error).__name__}: {error}"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    name = None if trace is None else trace.name
    append_line(
        folder / "attempts.jsonl", Attempt(token, error, now, socket.gethostname(), os.getpid(), name)
    )
