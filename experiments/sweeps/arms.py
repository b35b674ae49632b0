"""The run of an arm: what state it is in, by what lies in its folder, and which attempts at it failed."""

import os
import socket
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Literal, get_args

from experiments.sweeps.leases import LIMIT, newest
from experiments.sweeps.study import Arm, Settings
from experiments.training.records import RunResult, read_metrics, read_result
from gradpower.tools.errors import InputError
from gradpower.tools.files import write_file
from gradpower.tools.reading import append_line, read_lines

State = Literal["open", "running", "paused", "completed", "diverged", "failed", "damaged"]
STATES = get_args(State)
DONE = ("completed", "diverged")
ENDED = (*DONE, "failed", "damaged")


@dataclass(frozen=True)
class ArmState:
    """Where an arm is: losses in nats a token, times in seconds."""

    fingerprint: str
    values: Settings
    seed: int
    state: State
    """Damaged is one whose result.json cannot be read."""
    step: int
    """Steps taken, by the last line of metrics."""
    steps: int
    """Steps of the whole run."""
    loss: float | None = None
    validation_loss: float | None = None
    tokens_per_second: float | None = None
    """Training speed: the newest, of a finished arm the median."""
    holder: str | None = None
    """Machine and process of the worker that has it; a suspended one has no heartbeat."""
    heartbeat: float | None = None
    """Time since the worker's last sign of life, by this machine's clock."""
    seconds_left: float | None = None
    """Time that it still needs, see `with_seconds_left`; None if not known."""
    failures: int = 0
    error: str | None = None
    """What the last failed attempt said, or what is wrong with result.json."""


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


def arm_result(run: Path) -> tuple[RunResult | None, str | None]:
    """Return the result in a run's folder, or else what is wrong with it, if there is one.

    An OSError, as of a file server that is away, is no damage, and is raised.
    """
    try:
        return read_result(run), None
    except InputError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        return None, str(error)


def arm_state(run: Path, arm: Arm, retries: int) -> ArmState:
    """Return where the arm is whose run lies in this folder."""
    failed, steps = read_failures(run), arm.recipe.training.steps
    error = failed[-1].error if failed else None
    start = ArmState(
        arm.fingerprint, arm.values, arm.seed, "open", 0, steps, failures=len(failed), error=error
    )
    result, damage = arm_result(run)
    if damage is not None:
        return replace(start, state="damaged", error=damage)
    if result is not None:
        return replace(
            start,
            state=result.status,
            step=result.final.step,
            validation_loss=result.final.validation_loss,
            tokens_per_second=result.timing.tokens_per_second,
        )
    return _unfinished(run, arm, start, retries)


def _unfinished(run: Path, arm: Arm, start: ArmState, retries: int) -> ArmState:
    metrics = read_metrics(run)
    train: dict[str, Any] = next((row for row in reversed(metrics) if "loss" in row), {})
    losses = [row["validation_loss"] for row in metrics if "validation_loss" in row]
    state = replace(
        start,
        step=train.get("step", 0),
        loss=train.get("loss"),
        validation_loss=losses[-1] if losses else None,
        tokens_per_second=train.get("tokens_per_second"),
    )
    lease = newest(run)
    if lease is not None and not lease.released and not lease.is_dead:
        # For people only: the times of files are not to be compared between machines, and `Watch` does not.
        age = max(0.0, time.time() - lease.path.stat().st_mtime)
        if lease.is_local or age < LIMIT:
            holder = f"{lease.holder.host} {lease.holder.pid}"
            return replace(state, state="running", holder=holder, heartbeat=age)
    if state.failures > retries:
        return replace(state, state="failed")
    return replace(state, state="paused") if state.step or (run / "checkpoints").exists() else state


def with_seconds_left(arms: Sequence[Arm], states: Sequence[ArmState]) -> list[ArmState]:
    """Return the states with the time that each arm needs: at its own speed, or else the median of arms like it.

    Alike are arms of the same model, sequence length and precision. Arms and states are in the same order.
    """
    kinds = [
        (arm.recipe.model, arm.recipe.data.sequence_length, arm.recipe.training.precision) for arm in arms
    ]
    speeds: dict[Any, list[float]] = {}
    for kind, state in zip(kinds, states, strict=True):
        if state.tokens_per_second:
            speeds.setdefault(kind, []).append(state.tokens_per_second)
    usual = {kind: median(known) for kind, known in speeds.items()}
    timed = []
    for kind, arm, state in zip(kinds, arms, states, strict=True):
        speed = state.tokens_per_second or usual.get(kind)
        tokens = (state.steps - state.step) * arm.recipe.tokens_per_step
        left = 0.0 if state.state in ENDED else tokens / speed if speed else None
        timed.append(replace(state, seconds_left=left))
    return timed


def read_failures(run: Path) -> list[Attempt]:
    """Return the failed attempts recorded in a run's folder, oldest first; a line cut off by a kill is left out."""
    return read_lines(run / "attempts.jsonl", Attempt)[0]


def record_failure(run: Path, token: str, error: BaseException | str) -> None:
    """Add the failed attempt made under the lease of this token to attempts.jsonl, the traceback beside it.

    An exception is one; a text says how the process ended that gave no reason itself.
    """
    name = None
    if isinstance(error, BaseException):
        name = f"attempt-{len(read_failures(run)) + 1:03d}.txt"
        write_file(run / name, "".join(traceback.format_exception(error)))
        error = f"{type(error).__name__}: {error}"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    append_line(run / "attempts.jsonl", Attempt(token, error, now, socket.gethostname(), os.getpid(), name))
