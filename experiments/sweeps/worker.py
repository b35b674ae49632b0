"""What trains arms: one job at a time in a process that stays for many."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from experiments.recipes.settings import Recipe
from experiments.sweeps.arms import record_failure
from experiments.sweeps.leases import HeldLease, LeaseLost, acquire
from experiments.training.execution import Execution
from experiments.training.records import FolderInUse

POLL = 1.0
# Held while a job is at work in this process: two would share torch's random numbers.
_ALONE = threading.Lock()
_ORPHANED = threading.Event()

Ending = Literal["completed", "diverged", "paused", "taken", "failed", "full"]
# Errors that are those of the file system and of no arm: it is full, or can only be read.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclasses.dataclass(frozen=True)
class Job:
    """An arm to train."""

    recipe: Recipe
    folder: Path
    """The run's, absolute."""
    after: int
    """Number of the lease after which the run may be taken, see `leases.acquire`."""
    sweep: str
    """Name of the sweep, which its leases bear."""
    stop_file: Path
    """The file whose existence tells all workers to save and leave."""
    execution: Execution
    slot: int = 0
    """Number of the worker: of several GPUs, it takes that number's."""


def run_job(job: Job) -> Ending:
    """Train an arm, and return how it ended: "failed", which is recorded; "taken" by another worker; disk "full"."""
    try:
        with _ALONE:
            lease = acquire(job.folder, job.after, job.sweep)
            if lease is None:
                return "taken"
            with lease:
                return _train(job, lease)
    except OSError as error:
        if error.errno in _FULL:
            return "full"
        raise


def _train(job: Job, lease: HeldLease) -> Ending:
    from experiments.training.loop import train

    looked = 0.0

    def stop() -> bool:
        nonlocal looked
        if time.monotonic() - looked < POLL:
            return False
        looked = time.monotonic()
        return _ORPHANED.is_set() or job.stop_file.exists()

    try:
        execution = on_gpu(job.execution, job.slot)
        # A run that is another's by now is left without a last line or checkpoint: the folder is that worker's.
        outcome = train(job.recipe, job.folder, execution=execution, stop=stop, before_writing=lease.require)
        return outcome.status
    except (LeaseLost, FolderInUse):
        return "taken"
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise
        record_failure(job.folder, lease.token, error)
        return "failed"


def gpus(execution: Execution) -> int:
    """Return over how many GPUs arms are spread.

    >>> gpus(Execution(device="cpu"))
    0
    """
    import torch

    any_gpu = execution.device in ("auto", "cuda") and torch.cuda.is_available()
    return torch.cuda.device_count() if any_gpu else 0


def on_gpu(execution: Execution, slot: int) -> Execution:
    """Return the execution of one worker: of several GPUs, each gets one in turn.

    >>> on_gpu(Execution(device="cpu"), 3).device
    'cpu'
    """
    count = gpus(execution)
    return dataclasses.replace(execution, device=f"cuda:{slot % count}") if count > 1 else execution


class Worker:
    """A process for one job at a time, started with its first.

    An executor a process: in a common one, a crash would end all processes, and nobody could say whose it was.
    """

    def __init__(self) -> None:
        self._executor: Any = None

    def submit(self, job: Job) -> Future[Ending]:
        """Begin a job."""
        from joblib.externals.loky import ProcessPoolExecutor

        if self._executor is None:
            self._executor = ProcessPoolExecutor(max_workers=1, initializer=_prepare)
        future: Future[Ending] = self._executor.submit(run_job, job)
        return future

    def kill(self) -> None:
        """End the process at once; the next job starts another one."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=True)


def _prepare() -> None:
    # Ctrl-C goes to every process of a terminal; between arms, workers leave it to the sweep.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()


def _follow(parent: int) -> None:
    """End this process when its parent is gone, once the arm it may be at is saved."""
    while os.getppid() == parent:
        time.sleep(POLL)
    _ORPHANED.set()
    with _ALONE:
        os._exit(1)


@contextmanager
def local_workers(count: int) -> Iterator[Sequence[Worker]]:
    """Yield workers of this machine, and kill them in the end: a sweep that ends well leaves none at work."""
    workers = [Worker() for _ in range(count)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
