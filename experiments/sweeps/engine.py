"""The sweep: checks first, then workers over the open arms, watched from here until they are done or told to stop."""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from experiments.execution import Execution
from experiments.fields import to_dict
from experiments.settings import DataSettings
from experiments.sweeps.adoption import adopt
from experiments.sweeps.arms import ArmState, arm_folder, arm_state, is_settled
from experiments.sweeps.cluster import run_on_cluster
from experiments.sweeps.display import ENDED, Display
from experiments.sweeps.folder import open_folder
from experiments.sweeps.options import Options
from experiments.sweeps.processes import Process, keep_working
from experiments.sweeps.recall import known_arms, recall
from experiments.sweeps.study import Arm, Study
from experiments.sweeps.worker import Plan
from gradpower.tools.errors import InputError, require

POLL = 0.5
_IDLE = 50


class Board:
    """Where all arms of a study are, read anew at each call, finished ones once.

    Parameters
    ----------
    folder : Path
        The study's.
    study : Study
        What is in it.
    retries : int
        See `Options`.
    """

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


def run_sweep(
    study: Study,
    folder: Path,
    execution: Execution,
    options: Options,
    display: Display,
    known: Path | None = None,
) -> Literal["done", "stopped"]:
    """Run every arm of a study that has no result yet.

    Parameters
    ----------
    study : Study
        What to run.
    folder : Path
        Its folder, made or gone on with.
    execution : Execution
        Where and how each arm is run.
    options : Options
        With how many workers, and so on.
    display : Display
        Told of progress.
    known : Path, optional
        A summary, see `recall.recall`: arms in it need not be run.

    Returns
    -------
    str
        "done", when every arm has a result or has failed once too often; "stopped" by the budget or a signal.

    Raises
    ------
    InputError
        If the folder is another study's, an arm cannot be run as it is, workers cannot be had, nothing in `known` is of
        this study, or snapshots are asked for with it.
    """
    begun = time.monotonic()
    fields = plain(execution)
    if known is not None:
        known_arms(study, known, snapshots=bool(execution.snapshots))
    data = check_arms(study.arms(), execution, display)
    open_folder(folder, study)
    if known is not None:
        display.note(f"{recall(folder, study, data, known)} arms are those of {known}")
    for name, count in adopt(folder, study, data, snapshots=bool(execution.snapshots)).items():
        display.note(f"{count} arms are those of {name}, which has finished them")
    open_arms = [
        arm for arm in study.arms() if not is_settled(arm_folder(folder, arm.fingerprint), options.retries)
    ]
    if not open_arms:
        return "done"
    plan = Plan(
        str(folder.resolve()),
        {arm.fingerprint: to_dict(arm.recipe) for arm in open_arms},
        fields,
        options.retries,
        secrets.token_hex(6),
    )
    return _Sweep(study, folder, plan, options, display, begun).run(open_arms)


def plain(execution: Execution) -> dict[str, Any]:
    """Return an execution as plain data.

    >>> plain(Execution(device="cpu", cache=Path("/cache")))["cache"]
    '/cache'
    """
    fields = dataclasses.asdict(execution)
    return fields | {"cache": str(execution.cache.resolve()) if execution.cache else None}


def gpus(fields: Mapping[str, Any]) -> int:
    """Return how many GPUs the arms may be spread over.

    >>> gpus({"device": "cpu"})
    0
    """
    import torch

    return (
        torch.cuda.device_count() if fields["device"] in ("auto", "cuda") and torch.cuda.is_available() else 0
    )


def threads_of(workers: int, fields: Mapping[str, Any]) -> int:
    """Return the CPU threads of each of so many workers: the cores divided among them, if nothing else is said.

    >>> threads_of(4, {"threads": 3})
    3
    """
    from joblib import cpu_count

    return int(fields.get("threads") or max(1, cpu_count() // workers))


def check_arms(arms: Sequence[Arm], execution: Execution, display: Display) -> dict[DataSettings, str]:
    """Find before the first arm what would stop one of them: its data, its micro-batches; local text is tokenized.

    Returns
    -------
    dict
        The fingerprint of each local text.

    Raises
    ------
    InputError
        If something would.
    """
    from experiments.corpora import open_data

    require(not execution.shard, "shard", True, "false in a sweep: every arm has one device")
    needed: dict[DataSettings, tuple[int, int]] = {}
    for arm in arms:
        training, model = arm.recipe.training, arm.recipe.model
        execution.rows_at_a_time(training.batch_size, ranks=1)
        most, rows = needed.get(arm.recipe.data, (0, model.vocabulary))
        needed[arm.recipe.data] = max(most, training.steps * training.batch_size), min(rows, model.vocabulary)
    found = {}
    for data, (sequences, vocabulary) in needed.items():
        if not data.streamed:
            opened = open_data(
                data,
                seed=0,
                sequences=sequences,
                vocabulary=vocabulary,
                cache=execution.cache,
                progress=display.prepare,
            )
            found[data] = opened.fingerprint
    return found


class _Sweep:
    """One call of `run_sweep`, once everything is checked."""

    def __init__(
        self, study: Study, folder: Path, plan: Plan, options: Options, display: Display, begun: float
    ) -> None:
        self.folder, self.plan, self.options, self.display = folder, plan, options, display
        self.board = Board(folder, study, options.retries)
        self.deadline = None if options.budget is None else begun + 60 * options.budget
        self.processes: list[Process] = []

    def run(self, open_arms: Sequence[Arm]) -> Literal["done", "stopped"]:
        """Start the workers and watch them."""
        from experiments.signals import Interruption

        ends: list[dict[str, Any]] = []
        try:
            with Interruption() as interruption:
                workers = self._workers(open_arms)
                if interruption.name:
                    return "stopped"
                self.display.arms(self.board.arms, self.board.states())
                with ThreadPoolExecutor(max(1, len(self.processes))) as threads:
                    try:
                        ends = self._watch(self._start(threads, workers), interruption)
                    except Exception:
                        # Whatever it is: the workers save before it is told.
                        self.plan.stop_file.touch()
                        raise
                    except BaseException:
                        # Threads wait for their processes: those must end first.
                        self.plan.stop_file.touch()
                        self._close()
                        raise
        finally:
            self._close()
            self.plan.stop_file.unlink(missing_ok=True)
        return self._checked(ends)

    def _close(self) -> None:
        for process in self.processes:
            process.close(kill=True)

    def _workers(self, open_arms: Sequence[Arm]) -> int | None:
        """Return how many workers to use; None leaves it to the cluster."""
        if self.options.backend != "local":
            return self.options.workers
        workers = min(self.options.workers or gpus(self.plan.execution) or 1, len(open_arms))
        self.processes += [Process() for _ in range(workers)]
        return workers

    def _start(self, threads: ThreadPoolExecutor, workers: int | None) -> list[Future[Any]]:
        left = None if self.deadline is None else self.deadline - time.monotonic()
        plan = dataclasses.replace(self.plan, seconds=left)
        options = self.options
        if options.backend != "local":
            execution = {**plan.execution, "threads": plan.execution["threads"] or 1}
            plan = dataclasses.replace(plan, execution=execution)
            note = self.display.note
            return [threads.submit(run_on_cluster, plan, workers, options.backend, options.address, note)]
        execution = {**plan.execution, "threads": threads_of(len(self.processes), plan.execution)}
        told = dataclasses.asdict(dataclasses.replace(plan, execution=execution))
        return [
            threads.submit(keep_working, told, index, process, self.display.note)
            for index, process in enumerate(self.processes)
        ]

    def _watch(self, futures: Sequence[Future[Any]], interruption: Any) -> list[dict[str, Any]]:
        pending, said, pause = set(futures), False, POLL
        while pending:
            pending = wait(pending, timeout=pause).not_done
            looked = time.process_time()
            # A file server that is away: if it stays away, the workers will say so.
            with suppress(OSError):
                self.display.arms(self.board.arms, self.board.states())
            # Looking at hundreds of arms must not keep a core from the workers.
            pause = min(10 * POLL, max(POLL, _IDLE * (time.process_time() - looked)))
            late = self.deadline is not None and time.monotonic() > self.deadline
            if (interruption.name or late or self.display.lost) and not said:
                said = True
                # All workers see the file, wherever they run; and only this machine's clock decides.
                self.plan.stop_file.touch()
                self.display.note(f"{interruption.name or 'out of time'}: arms are being saved")
        results = [future.result() for future in futures]
        return [end for result in results for end in (result if isinstance(result, list) else [result])]

    def _checked(self, ends: Sequence[dict[str, Any]]) -> Literal["done", "stopped"]:
        """Return how the sweep ended, or raise what kept its workers from what is left."""
        if all(is_settled(arm_folder(self.folder, name), self.plan.retries) for name in self.plan.arms):
            return "done"
        for end in ends:
            if end["ended"] == "refused":
                raise InputError(*end["error"])
            if end["ended"] == "broken":
                raise RuntimeError(f"worker processes end before they begin an arm: {end['error']}")
        return "stopped"
