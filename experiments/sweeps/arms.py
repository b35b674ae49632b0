"""The folders of a study's arms: what state each is in, and which attempts at it failed."""

from __future__ import annotations

import json
import os
import socket
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from experiments.records import read_result
from experiments.sweeps.claims import LIMIT, holder
from experiments.sweeps.study import Arm
from gradpower.tools.files import write_file

State = Literal["open", "running", "paused", "completed", "diverged", "failed"]
_TAIL = 1 << 16


@dataclass(frozen=True)
class ArmState:
    """Where an arm is.

    Attributes
    ----------
    fingerprint, values, seed
        As of the `Arm`.
    state : str
        "open", "running", "paused", "completed", "diverged" or "failed".
    step, steps : int
        Steps taken (by the last line of metrics), and of the whole run.
    loss, validation_loss : float or None
        The newest ones, in nats a token.
    tokens_per_second : float or None
        Training speed: the newest, of a finished arm the median.
    heartbeat : float or None
        Seconds since the worker's last sign of life, by this machine's clock.
    eta : float or None
        Seconds that it will need at this speed, if it runs.
    failures : int
        Failed attempts so far.
    error : str or None
        What the last of them said.
    """

    fingerprint: str
    values: Mapping[str, Any]
    seed: int
    state: State
    step: int
    steps: int
    loss: float | None = None
    validation_loss: float | None = None
    tokens_per_second: float | None = None
    heartbeat: float | None = None
    eta: float | None = None
    failures: int = 0
    error: str | None = None


def arm_folder(folder: Path, fingerprint: str) -> Path:
    """Return the folder of an arm in that of its study.

    >>> arm_folder(Path("runs/mine"), "0123456789ab").as_posix()
    'runs/mine/arms/0123456789ab'
    """
    return folder / "arms" / fingerprint


def arm_state(folder: Path, arm: Arm, retries: int) -> ArmState:
    """Return where an arm of the study in `folder` is.

    Raises
    ------
    InputError
        If its result.json is none of ours.
    """
    own = arm_folder(folder, arm.fingerprint)
    failed = read_failures(own)
    last = failed[-1]["error"] if failed else None
    told: dict[str, Any] = {"failures": len(failed), "error": last}
    told |= {"fingerprint": arm.fingerprint, "values": arm.values, "seed": arm.seed}
    steps = arm.recipe.training.steps
    result = read_result(own)
    if result is not None:
        final, speed = result["final"], result["timing"]["tokens_per_second"]
        told |= {"validation_loss": final["validation_loss"], "tokens_per_second": speed}
        return ArmState(state=result["status"], step=final["step"], steps=steps, **told)
    train, evaluation = _newest(own / "metrics.jsonl")
    told |= {"loss": train.get("loss"), "tokens_per_second": train.get("tokens_per_second")}
    told["validation_loss"] = evaluation.get("validation_loss")
    step = int(train.get("step", 0))
    age = heartbeat_age(own)
    if age is not None and age <= LIMIT:
        speed = told["tokens_per_second"]
        eta = (steps - step) * arm.recipe.tokens_per_step / speed if speed else None
        return ArmState(state="running", step=step, steps=steps, heartbeat=age, eta=eta, **told)
    begun = step > 0 or (own / "checkpoints").exists()
    state: State = "failed" if len(failed) > retries else "paused" if begun else "open"
    return ArmState(state=state, step=step, steps=steps, **told)


def is_settled(folder: Path, retries: int) -> bool:
    """Return whether nothing is left to do in an arm's folder: it has a result, or failed once too often."""
    return (folder / "result.json").exists() or len(read_failures(folder)) > retries


def heartbeat_age(folder: Path) -> float | None:
    """Return the seconds since the last sign of life in an arm's folder; None if nobody holds it.

    For people only: the times of files are not to be compared between machines, and claims do not.
    """
    found = holder(folder)
    if found is None or found.released or found.is_gone:
        return None
    return max(0.0, time.time() - found.path.stat().st_mtime)


def _newest(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the last lines of training and of evaluation among the last ones of metrics.jsonl."""
    train: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}
    if path.exists():
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            lines = file.read().split(b"\n")[:-1]
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:  # the first one, cut by the seek
                continue
            if "validation_loss" in row:
                evaluation = row
            else:
                train = row
    return train, evaluation


def read_failures(folder: Path) -> list[dict[str, Any]]:
    """Return the failed attempts recorded in an arm's folder, oldest first; a line cut off by a kill is left out."""
    path = folder / "attempts.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def record_failure(folder: Path, token: str, error: BaseException | str) -> None:
    """Add the failed attempt made under the claim of this token to attempts.jsonl, the traceback beside it.

    An exception is one; a text says how the process ended that gave no reason itself.
    """
    row: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "claim": token,
        "error": f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else error,
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
    if isinstance(error, BaseException):
        path = folder / f"attempt-{len(read_failures(folder)) + 1:03d}.txt"
        write_file(path, "".join(traceback.format_exception(error)))
        row["traceback"] = path.name
    with (folder / "attempts.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
