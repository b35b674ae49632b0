"""What a worker process does: claim an arm, train it, claim the next one, until none is left.

Workers are handed plain data and hand plain data back, so that any of joblib's backends can carry them.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.execution import Execution
from experiments.fields import from_dict
from experiments.records import locked
from experiments.sweeps.arms import arm_folder, is_settled, record_failure
from experiments.sweeps.claims import LIMIT, Claim, ClaimLost, Watch, claim
from gradpower.tools.errors import InputError

POLL = 1.0
# Held while a worker is at work in this process.
ALONE = threading.Lock()


@dataclass(frozen=True)
class Plan:
    """What the workers of one sweep are told, as plain data can hold it.

    Attributes
    ----------
    folder : str
        The study's, absolute.
    arms : dict
        Recipes as plain data by fingerprint, in the order in which they are to be tried.
    execution : dict
        The fields of `Execution`.
    retries : int
        How often an arm is tried again after a failure.
    sweep : str
        A random name of this sweep: its claims bear it, and the file `stop-NAME` ends it.
    seconds : float or None
        Time left from when a worker gets this.
    parent : int or None
        Process without which a worker is not to go on, if it is to run in a process of its own.
    """

    folder: str
    arms: dict[str, dict[str, Any]]
    execution: dict[str, Any]
    retries: int
    sweep: str
    seconds: float | None = None
    parent: int | None = None

    @property
    def stop_file(self) -> Path:
        """The file whose being there tells all workers to save and leave."""
        return Path(self.folder) / f"stop-{self.sweep}"


def work(plan: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Run arms until none is left to run, and return how it ended.

    Parameters
    ----------
    plan : mapping
        The fields of a `Plan`.
    index : int
        Number of the worker: of several GPUs, it takes that number's.

    Returns
    -------
    dict
        `ended`: "done" (every arm has a result, or has failed once too often), "stopped", "failed" (this process has
        seen an exception, and another one should take over) or "refused"; the `error` of what was refused, as the
        parts of an InputError; and `trained`, the arms that it finished.
    """
    from experiments.signals import Interruption

    if not ALONE.acquire(blocking=False):
        refused = ("backend", "a worker of several threads", "workers of one thread each (--nthreads 1)")
        return {"ended": "refused", "error": refused, "trained": []}
    try:
        with Interruption() as interruption:
            return _Worker(Plan(**plan), index, interruption).run()
    except InputError as error:
        # As its parts: the exception itself does not survive the way to another process.
        return {"ended": "refused", "error": (error.argument, str(error.value), error.allowed), "trained": []}
    finally:
        ALONE.release()


def execution_of(fields: Mapping[str, Any], index: int) -> Execution:
    """Return the execution of one worker: of several GPUs, each gets one in turn.

    Raises
    ------
    InputError
        If the device is not there.

    Examples
    --------
    >>> execution_of({"device": "cpu", "threads": 1}, 3).device
    'cpu'
    """
    import torch

    cache = fields.get("cache")
    lists = {name: tuple(fields.get(name, ())) for name in ("snapshots", "trackers")}
    made = Execution(**{**fields, **lists, "cache": cache and Path(cache)})
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if made.device in ("auto", "cuda") and gpus > 1:
        return dataclasses.replace(made, device=f"cuda:{index % gpus}")
    return made


class _Worker:
    """One worker at one plan."""

    def __init__(self, plan: Plan, index: int, interruption: Any) -> None:
        self.plan, self.index, self.interruption = plan, index, interruption
        self.folder = Path(plan.folder)
        self.execution = execution_of(plan.execution, index)
        self.deadline = None if plan.seconds is None else time.monotonic() + plan.seconds
        self.watch = Watch()
        self.open = list(plan.arms)
        self.trained: list[str] = []
        self._looked = 0.0
        self._busy: dict[str, float] = {}

    def run(self) -> dict[str, Any]:
        """Run arms until there is a reason not to."""
        ended = None
        while ended is None:
            self.open = [name for name in self.open if not self._is_settled(name)]
            if not self.open:
                ended = "done"
            elif self._must_stop():
                ended = "stopped"
            else:
                ended = self._run_one()
        return {"ended": ended, "error": None, "trained": self.trained}

    def _is_settled(self, name: str) -> bool:
        return is_settled(arm_folder(self.folder, name), self.plan.retries)

    def _run_one(self) -> str | None:
        """Run the first arm that can be claimed; wait a little, if none can, for one to become free."""
        for name in self.open:
            own = arm_folder(self.folder, name)
            if time.monotonic() < self._busy.get(name, 0.0):
                continue
            held = claim(own, self.watch, self._is_abandoned, sweep=self.plan.sweep, worker=self.index)
            if held is None:
                continue
            with held:
                # Since it was looked at, another worker may have finished it.
                if self._is_settled(name):
                    return None
                # Looked at under the claim: the look itself holds the folder's lock for a moment.
                if _is_idle(own):
                    return self._train(name, own, held)
                self._busy[name] = time.monotonic() + LIMIT
        time.sleep(POLL)
        return None

    def _is_abandoned(self, own: Path) -> bool:
        """Return whether a stale claim's holder is gone, not just suspended: it would lose steps that none can use."""
        if _is_idle(own):
            return True
        self._busy[own.name] = time.monotonic() + LIMIT
        return False

    def _train(self, name: str, own: Path, held: Claim) -> str | None:
        from experiments.training import train

        def stop() -> bool:
            now = time.monotonic()
            if now - self._looked < POLL:
                return False
            self._looked = now
            # An arm that is another's must be left without a last checkpoint: the folder is that worker's.
            held.require()
            return self._must_stop()

        try:
            recipe = from_dict(self.plan.arms[name])
            outcome = train(recipe, own, execution=self.execution, deadline=self.deadline, stop=stop)
        except ClaimLost:
            return None
        except Exception as error:
            record_failure(own, held.token, error)
            return "failed"
        if outcome.status == "paused":
            return "stopped"
        self.trained.append(name)
        return None

    def _must_stop(self) -> bool:
        late = self.deadline is not None and time.monotonic() > self.deadline
        orphaned = self.plan.parent is not None and os.getppid() != self.plan.parent
        return late or orphaned or bool(self.interruption.name) or self.plan.stop_file.exists()


def _is_idle(folder: Path) -> bool:
    """Return whether no process of this machine trains in the folder, by `gradpower train` or without a heartbeat."""
    if not (folder / "lock").exists():
        return True
    try:
        with locked(folder):
            return True
    except InputError:
        return False
