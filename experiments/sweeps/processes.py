"""Worker processes that stay for many arms, each watched over by its own thread or cluster task.

joblib's loky runs them, one executor a process: in a common one, a crash would end all processes, and nobody could
say whose it was.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from experiments.sweeps.arms import arm_folder, read_failures, record_failure
from experiments.sweeps.claims import LIMIT, claim_files, read_claim
from experiments.sweeps.worker import ALONE, POLL, Plan, work

STARTS = 3


class Process:
    """One worker process, started when it is first called, and anew when it has crashed.

    Examples
    --------
    >>> process = Process()
    >>> process.call(pow, 2, 3).result()
    8
    >>> process.close()
    """

    def __init__(self) -> None:
        self._executor: Any = None

    def call(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have the process call a function that it can import, with plain data."""
        if self._executor is None:
            from joblib.externals.loky import ProcessPoolExecutor

            self._executor = ProcessPoolExecutor(max_workers=1, initializer=_prepare)
        made: Future[Any] = self._executor.submit(function, *arguments)
        return made

    def close(self, *, kill: bool = False) -> None:
        """End the process: after what it is doing, or at once."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=kill)


def _prepare() -> None:
    # Ctrl-C goes to every process of a terminal; between arms, workers leave it to the one that watches over them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()


def _follow(parent: int) -> None:
    """End this process when its parent is gone, once the arm it may be at is saved: loky's would wait for ever."""
    while os.getppid() == parent:
        time.sleep(POLL)
    with ALONE:
        os._exit(1)


def keep_working(
    fields: Mapping[str, Any],
    index: int,
    process: Process | None = None,
    note: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Have one worker process work until nothing is left to do, and replace it when it fails or crashes.

    Parameters
    ----------
    fields : mapping
        The fields of a `Plan`.
    index : int
        Number of the worker.
    process : Process, optional
        The process to use; one of its own if not given.
    note : callable, optional
        Told in words, at once, that a process has ended and why.

    Returns
    -------
    dict
        As of `work`; `ended` is "broken", if processes end again and again before they begin an arm.
    """
    plan = Plan(**fields)
    if multiprocessing.current_process().daemon:
        return _without_child(plan, index)
    begun, starts, error = time.monotonic(), 0, ""
    process = process or Process()
    try:
        while starts < STARTS:
            left = None if plan.seconds is None else plan.seconds - (time.monotonic() - begun)
            told, called = asdict(replace(plan, seconds=left, parent=os.getpid())), time.monotonic()
            try:
                end: dict[str, Any] = process.call(work, told, index).result()
            except (BrokenProcessPool, KeyboardInterrupt, OSError) as broken:
                if plan.stop_file.exists():
                    return {"ended": "stopped", "error": None}
                error = " ".join(f"{type(broken).__name__}: {broken}".split())
                lasted = time.monotonic() - called > LIMIT
                starts = 0 if _charge(plan, index, error) or lasted else starts + 1
                _announce(note, index, error, final=starts == STARTS)
                if isinstance(broken, OSError):  # a file server that is away, perhaps
                    time.sleep(starts * POLL)
            else:
                if end["ended"] != "failed":
                    process.close()
                    return end
            process.close(kill=True)
        return {"ended": "broken", "error": error}
    finally:
        process.close(kill=True)


def _announce(note: Callable[[str], None] | None, index: int, error: str, *, final: bool) -> None:
    if note is not None:
        then = "it is not started again" if final else "it is started anew"
        note(f"worker {index} has ended, {then}: {error}")


def _without_child(plan: Plan, index: int) -> dict[str, Any]:
    """Work in this process: it may have no children, as those of dask's nannies."""
    end: dict[str, Any] = {"ended": "failed"}
    while end["ended"] == "failed":
        end = work(asdict(plan), index)
    return end


def _charge(plan: Plan, index: int, error: str) -> bool:
    """Record the crash of a worker with the arm that it was at; return whether it was at one, as far as is known."""
    try:
        return _charged(plan, index, error)
    except OSError:
        return False


def _charged(plan: Plan, index: int, error: str) -> bool:
    charged = False
    for name in plan.arms:
        own = arm_folder(Path(plan.folder), name)
        # Older claims as well: another worker may have taken the arm over already.
        for found in map(read_claim, claim_files(own)):
            told = found.identity
            if found.released or (told.get("sweep"), told.get("worker")) != (plan.sweep, index):
                continue
            if told["token"] not in {row["claim"] for row in read_failures(own)}:
                record_failure(own, told["token"], f"the process ended: {error}")
                charged = True
    return charged
