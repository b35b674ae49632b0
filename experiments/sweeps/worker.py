"""What trains arms: one job at a time in a process that stays for many, here or on a Dask cluster."""

import dataclasses
import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from experiments.recipes.settings import Recipe
from experiments.sweeps.arms import record_failure
from experiments.sweeps.leases import HeldLease, LeaseLost, acquire
from experiments.training.execution import Execution
from experiments.training.records import FolderInUse, write_recipe
from gradpower.tools.errors import InputError, require
from gradpower.tools.reading import one_line

POLL = 1.0
CONNECT = 8.0
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
    tokens: str | None = None
    """Name of the tokens in the cache with which the study began."""


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
        write_recipe(job.folder, job.recipe, job.tokens)
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
    """Return over how many GPUs arms are spread."""
    import torch

    any_gpu = execution.device in ("auto", "cuda") and torch.cuda.is_available()
    return torch.cuda.device_count() if any_gpu else 0


def on_gpu(execution: Execution, slot: int) -> Execution:
    """Return the execution of one worker: of several GPUs, each gets one in turn."""
    count = gpus(execution)
    return dataclasses.replace(execution, device=f"cuda:{slot % count}") if count > 1 else execution


class Worker:
    """A place for one job at a time: in a process of this machine, started with its first, or on a `cluster`.

    An executor a process: in a common one, a crash would end all processes, and nobody could say whose it was. A
    cluster starts its processes itself, and `check` raises InputError once it is gone.
    """

    def __init__(self, cluster: Executor | None = None, check: Callable[[], None] = lambda: None) -> None:
        self._cluster, self.check = cluster, check
        self._own: Any = None

    def submit(self, job: Job) -> Future[Ending]:
        """Begin a job."""
        if self._cluster is None and self._own is None:
            from joblib.externals.loky import ProcessPoolExecutor

            self._own = ProcessPoolExecutor(max_workers=1, initializer=_prepare)
        try:
            future: Future[Ending] = (self._cluster or self._own).submit(run_job, job)
        except Exception:
            self.check()
            raise
        return future

    def kill(self) -> None:
        """End the process at once; the next job starts another one."""
        executor, self._own = self._own, None
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


@contextmanager
def cluster_workers(
    address: str, count: int | None, retries: int, *, on_cpu: bool
) -> Iterator[Sequence[Worker]]:
    """Yield so many places for jobs on a Dask cluster, or as many as it has room for; it tries lost jobs again.

    The store must be on a file system that all nodes share, and the code installed on each. Where workers of the
    cluster offer a resource GPU, a job takes one, unless it is to run `on_cpu`. Raises InputError if there is no
    cluster at the address, it has no room for so many, its workers have several threads, or its scheduler is lost.
    """
    client = _client(address)
    with client:
        nodes = client.scheduler_info(n_workers=-1)["workers"].values()
        threads = max((node["nthreads"] for node in nodes), default=0)
        require(
            threads == 1, "cluster", f"{threads} threads a worker", "workers with --nthreads 1, one or more"
        )
        offered = 0 if on_cpu else sum(int(node["resources"].get("GPU", 0)) for node in nodes)
        room = offered or len(nodes)
        require((count or 1) <= room, "workers", count, f"at most {room}, for which the cluster has room")
        resources = {"GPU": 1} if offered else None
        executor = client.get_executor(pure=False, retries=retries, resources=resources)

        def check() -> None:
            allowed = "a scheduler that stays: it is gone; with another one the same command goes on"
            require(client.status != "closed", "cluster", address, allowed)

        yield [Worker(executor, check) for _ in range(count or room)]


def _client(address: str) -> Any:
    import logging

    try:
        import distributed
    except ImportError:
        allowed = "none, or an installation: pip install '.[cluster]' in the checkout"
        raise InputError("cluster", address, allowed) from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    connect: Any = distributed.Client
    try:
        return connect(address, timeout=CONNECT)
    except Exception as error:  # every kind of address that is none, from several libraries
        allowed = f"the address of a running Dask scheduler, as tcp://127.0.0.1:8786 ({one_line(error)})"
        raise InputError("cluster", address, allowed) from None
