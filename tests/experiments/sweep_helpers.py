"""Small studies for the tests, and workers that are no processes."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.recipes.settings import Recipe
from experiments.sweeps.store import Store
from experiments.sweeps.study import Rule, Study
from experiments.sweeps.worker import Job, run_job
from experiments.training.execution import Execution
from experiments.training.records import RECIPE_SCHEMA, read_result
from tests.experiments.texts import small_recipe, untimed

POWER = "optimizer.power"
STALE = OSError(errno.ESTALE, "Stale file handle", "leases")


def arm_folder(folder: Path, fingerprint: str) -> Path:
    """The folder of an arm's run as that of its study names it."""
    return folder / "arms" / fingerprint


def write_summary(folder: Path, study: Study) -> Path:
    """Write the summary of what lies in a study's folder, and return its path."""
    store = Store(folder, study)
    return store.write_summary(store.outcome())


def small_study(
    text: Path, *, powers: Sequence[float] = (1.0, 1.2), seeds: Sequence[int] = (0, 1), **fields: Any
) -> Study:
    """A study of seconds; fields with __ for the dot."""
    return Study(
        "small", small_recipe(text, **fields), [{POWER: tuple(powers)}], Rule(POWER, 1.0), seeds=seeds
    )


def toml_of(
    base: Recipe, path: Path, *, powers: Sequence[float] = (1.0, 1.2), seeds: Sequence[int] = (0, 1)
) -> Path:
    """Write a study of a recipe as TOML, the recipe beside it, and return the file."""
    content = {"schema": RECIPE_SCHEMA._asdict(), "recipe": asdict(base)}
    (path.parent / "recipe.json").write_text(json.dumps(content))
    path.write_text(
        f'name = "small"\nrecipe = "recipe.json"\nseeds = {list(seeds)}\n'
        f'[[axes]]\n"{POWER}" = {list(powers)}\n[rule]\ncompared = "{POWER}"\nbaseline = 1.0\n'
    )
    return path


def words_of(file: Path, folder: Path, cache: Path, *more: str) -> list[str]:
    """The words of a sweep of a study's file on the CPU."""
    words = ["sweep", str(file), "--output", str(folder), "--cache", str(cache)]
    return [*words, "--device", "cpu", "--log-every", "1", *more]


def job_of(study: Study, folder: Path, cache: Path, index: int = 0, after: int = 0) -> Job:
    """The job of one of a study's arms."""
    arm = study.arms()[index]
    execution = Execution(device="cpu", threads=1, log_every=1, cache=cache)
    return Job(
        arm.recipe,
        arm_folder(folder, arm.fingerprint).resolve(),
        after,
        "test",
        folder / "stop-test",
        execution,
    )


def outcomes(folder: Path, study: Study) -> dict[str, Any]:
    """All numbers that a study's arms left behind, but times: results and every line of metrics."""
    numbers = {}
    for arm in study.arms():
        run = arm_folder(folder, arm.fingerprint)
        result = asdict(read_result(run))
        parts = ("status", "final", "evaluations", "fingerprint", "data", "model")
        numbers[arm.fingerprint] = ({part: result[part] for part in parts}, untimed(run))
    return numbers


class ThreadWorker:
    """A worker in a thread of this process; the first jobs may end in an error of the file system."""

    def __init__(self, errors: int = 0) -> None:
        self.errors = errors
        self._executor = ThreadPoolExecutor(1)

    def submit(self, job: Job) -> Future[Any]:
        self.errors -= 1
        return self._executor.submit(_stale if self.errors >= 0 else run_job, job)

    def kill(self) -> None:
        pass

    check = kill


def _stale(job: Job) -> None:
    raise STALE


def given_workers(*workers: Any) -> Any:
    """What stands for `local_workers`: these, or threads if there are none."""

    @contextmanager
    def local_workers(count: int) -> Iterator[list[Any]]:
        yield list(workers) or [ThreadWorker() for _ in range(count)]

    return local_workers
