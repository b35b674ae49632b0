"""The sweep: jobs for workers until every arm of a study is done or somebody says stop."""

from __future__ import annotations

import dataclasses
import math
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from experiments.recipes.settings import DataSettings, Recipe
from experiments.sweeps.arms import DONE, ENDED, ArmState, read_failures, record_failure
from experiments.sweeps.display import Display
from experiments.sweeps.leases import LIMIT, Watch, leases
from experiments.sweeps.results import Known
from experiments.sweeps.store import Store
from experiments.sweeps.study import Arm
from experiments.sweeps.worker import Ending, Job, Worker, cluster_workers, gpus, local_workers
from experiments.training.execution import Execution
from experiments.training.signals import Interruption
from gradpower.tools.errors import InputError, require, whole
from gradpower.tools.reading import one_line

if TYPE_CHECKING:
    from experiments.corpora import Data

POLL = 0.5
STARTS = 3
_IDLE = 50


@dataclass(frozen=True)
class Options:
    """How a sweep is run; nothing here changes what its arms are."""

    workers: int | None = None
    """Arms that are trained at once; if not given one a GPU, or one where there is none. They share the cores."""
    retries: int = 2
    """How often an arm is tried again after a failure; counted over all sweeps."""
    budget: float | None = None
    """Minutes after which to save all arms and leave."""
    cluster: str | None = None
    """Address of a Dask scheduler whose workers train the arms instead of processes here, as tcp://127.0.0.1:8786."""

    def __post_init__(self) -> None:
        """Check every value."""
        if self.workers is not None:
            whole("workers", self.workers)
        whole("retries", self.retries, minimum=0)
        require(self.budget is None or self.budget > 0, "budget", self.budget, "a number of minutes > 0")


def run_sweep(
    store: Store, execution: Execution, options: Options, display: Display, known: Known | None = None
) -> Literal["done", "stopped"]:
    """Run every arm of a study that has no result yet, nor one in `known`.

    "done" is when every arm has a result or has failed once too often; it is "stopped" by the budget or a signal.
    Raises InputError if the folder is another study's, an arm cannot be run as it is, workers or known results cannot
    be had, or the file system is full.
    """
    return _Sweep(store, execution, options, display).run(known)


def check_arms(store: Store, execution: Execution, display: Display) -> dict[DataSettings, Data]:
    """Return each text, tokenized; find before the first arm what would stop one of them."""
    from experiments.corpora import open_data

    arms, begun = store.arms, store.tokens()
    require(not execution.shard, "shard", True, "false in a sweep: every arm has one device")
    recipes: dict[DataSettings, list[Recipe]] = {}
    for arm in arms:
        execution.rows_at_a_time(arm.recipe.training.batch_size, ranks=1)
        recipes.setdefault(arm.recipe.data, []).append(arm.recipe)
    return {
        data: open_data(
            data,
            seed=0,
            sequences=max(recipe.training.steps * recipe.training.batch_size for recipe in own),
            vocabulary=min(recipe.model.vocabulary for recipe in own),
            cache=execution.cache,
            tokens=begun.get(data),
            progress=display.prepare,
        )
        for data, own in recipes.items()
    }


class _Sweep:
    """One call of `run_sweep`."""

    def __init__(self, store: Store, execution: Execution, options: Options, display: Display) -> None:
        self.store, self.options, self.display = store, options, display
        self.deadline = math.inf if options.budget is None else time.monotonic() + 60 * options.budget
        self.execution = dataclasses.replace(execution, cache=execution.cache and execution.cache.resolve())
        self.name = secrets.token_hex(6)
        # All workers see the file, wherever they run; and only this machine's clock decides.
        self.stop_file = store.folder.resolve() / f"stop-{self.name}"
        self.states: list[ArmState] = []
        self.watch, self.stopping = Watch(), False
        self.workers: Sequence[Worker] = ()
        self.idle: list[int] = []
        self.running: dict[Future[Ending], tuple[int, Arm]] = {}
        self.starts: Counter[int] = Counter()
        self.reason = ""
        self.full: Path | None = None
        self.not_before: dict[str, float] = {}
        self.tokens: dict[DataSettings, str | None] = {}

    def run(self, known: Known | None) -> Literal["done", "stopped"]:
        """Declare the study, and hand out jobs until there is a reason to end."""
        texts = check_arms(self.store, self.execution, self.display)
        self.tokens = {settings: text.tokens for settings, text in texts.items()}
        reused = self.store.begin({settings: text.fingerprint for settings, text in texts.items()}, known)
        if known is not None:
            self.display.note(f"{reused} arms are reused from {known.path}")
        self.states = self.store.states()
        done = sum(state.state in DONE for state in self.states)
        if done and self.execution.snapshots:
            self.display.note(f"{done} arms are finished already: they get no --snapshots")
        open_arms = self._open_arms()
        if not open_arms:
            return "done"
        try:
            with Interruption() as interruption, self._all_workers(len(open_arms)) as self.workers:
                self.idle = list(range(len(self.workers)))
                try:
                    self._loop(interruption)
                except BaseException as error:
                    with suppress(OSError):
                        self.stop_file.touch()
                    # Whatever it is, an end of stderr as in `2>&1 | head` too: the workers save first.
                    # Jobs of a cluster that is gone never end.
                    if not isinstance(error, KeyboardInterrupt | InputError):
                        wait(self.running)
                    raise
        finally:
            with suppress(OSError):
                self.stop_file.unlink(missing_ok=True)
        if self.full:
            allowed = (
                "a file system with room that can be written: no arm is charged, the same command goes on"
            )
            raise InputError("output", self.full, allowed)
        return "stopped" if self._open_arms() else "done"

    def _all_workers(self, arms: int) -> AbstractContextManager[Sequence[Worker]]:
        from joblib import cpu_count

        options, execution = self.options, self.execution
        count = min(options.workers or gpus(execution) or 1, arms)
        threads = 1 if options.cluster else max(1, cpu_count() // count)
        self.execution = dataclasses.replace(execution, threads=execution.threads or threads)
        if options.cluster is None:
            return local_workers(count)
        on_cpu = execution.device == "cpu"
        return cluster_workers(options.cluster, options.workers, options.retries, on_cpu=on_cpu)

    def _loop(self, interruption: Interruption) -> None:
        while True:
            looked = time.process_time()
            open_arms = self._open_arms()
            if interruption.name or time.monotonic() > self.deadline:
                self._stop(interruption.name or "out of time")
            for worker in self.workers:
                worker.check()
            if not self.stopping:
                self._submit(open_arms)
            if not self.running:
                if self.stopping or not open_arms:
                    return
                if not self.idle:
                    raise RuntimeError(f"worker processes end before they begin an arm: {self.reason}")
            # Looking at hundreds of arms must not keep a core from the workers.
            pause = min(10 * POLL, max(POLL, _IDLE * (time.process_time() - looked)))
            if self.running:
                for future in wait(self.running, timeout=pause, return_when=FIRST_COMPLETED).done:
                    self._collect(future)
            else:  # other sweeps have the rest
                time.sleep(pause)

    def _open_arms(self) -> list[Arm]:
        # A file server that is away: if it stays away, the workers fail.
        with suppress(OSError):
            self.states = self.store.states()
        self.display.arms(self.states)
        pairs = zip(self.store.arms, self.states, strict=True)
        return [arm for arm, state in pairs if state.state not in ENDED]

    def _stop(self, reason: str) -> None:
        if not self.stopping:
            self.stopping = True
            with suppress(OSError):  # of a file system that is full: the workers will find it so
                self.stop_file.touch()
            self.display.note(f"{reason}: arms are being saved")

    def _submit(self, open_arms: Sequence[Arm]) -> None:
        """Give every idle worker an arm that nobody has."""
        busy = {arm.fingerprint for _, arm in self.running.values()}
        for arm in open_arms:
            name = arm.fingerprint
            if not self.idle:
                return
            if name in busy or time.monotonic() < self.not_before.get(name, 0.0):
                continue
            run = self.store.run(arm).resolve()
            try:
                after = self.watch.free_after(run)
            except OSError as error:  # a file server that is away, perhaps
                self.display.note(f"{run}: {one_line(error)}")
                self.not_before[name] = time.monotonic() + LIMIT
                continue
            if after is None or (run / "result.json").exists():
                continue
            slot = self.idle.pop(0)
            tokens = self.tokens[arm.recipe.data]
            job = Job(arm.recipe, run, after, self.name, self.stop_file, self.execution, slot, tokens)
            self.running[self.workers[slot].submit(job)] = slot, arm

    def _collect(self, future: Future[Ending]) -> None:
        """Take note of how a job ended."""
        slot, arm = self.running.pop(future)
        try:
            ending = future.result()
        except CancelledError:  # the scheduler of a cluster is lost: no arm is at fault
            ending = "paused"
        except Exception as error:  # the process has crashed, or met a file server that is away
            ending, self.reason = "failed", one_line(error)
            self.starts[slot] = 0 if self._charge(arm, self.reason) else self.starts[slot] + 1
            then = "started anew" if self.starts[slot] < STARTS else "not started again"
            self.display.note(f"worker {slot} has ended, it is {then}: {self.reason}")
        else:
            self.starts[slot] = 0
        if ending == "failed":
            self.workers[slot].kill()
        if ending == "full":
            self.full = self.store.run(arm).resolve()
            self._stop("the file system is full, or can only be read")
        # A cluster tries the jobs of a dead worker again by itself: they meet the lease that it left.
        if ending == "taken" and not self._charge(arm, "its worker is gone"):
            self.not_before[arm.fingerprint] = time.monotonic() + LIMIT
        if self.starts[slot] < STARTS:
            self.idle.append(slot)

    def _charge(self, arm: Arm, reason: str) -> bool:
        """Record the end of a process that was at an arm with the arm; return whether it had begun it."""
        run, charged = self.store.run(arm).resolve(), False
        with suppress(OSError):
            recorded = {attempt.lease for attempt in read_failures(run)}
            # Another worker may have taken the arm over already: not only the newest lease counts.
            for lease in leases(run):
                own = lease.holder.sweep == self.name and not lease.released
                if own and lease.holder.token not in recorded:
                    record_failure(run, lease.holder.token, f"the process ended: {reason}")
                    charged = True
        return charged
