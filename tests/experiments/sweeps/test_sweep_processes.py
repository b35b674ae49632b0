"""Sweeps on processes of their own: shared, crashed, killed at any moment, interrupted, and gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from experiments.sweeps import worker
from experiments.sweeps.arms import read_failures
from experiments.sweeps.leases import leases, newest
from experiments.sweeps.studies import read_study
from gradpower.__main__ import main
from tests.experiments.sweep_helpers import outcomes, toml_of, words_of
from tests.experiments.texts import small_recipe
from tests.experiments.workers.crashing import crash, crash_at_once

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def words(file: Path, folder: Path, cache: Path, *more: str) -> list[str]:
    return words_of(file, folder, cache, "--threads", "1", "--checkpoint-steps", "7", *more)


def start(words: list[str]) -> subprocess.Popen[str]:
    """Start a sweep in a process group of its own."""
    command = [sys.executable, "-m", "gradpower", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    end = time.monotonic() + 90
    while not condition() and (process is None or process.poll() is None) and time.monotonic() < end:
        time.sleep(0.005)
    assert condition()


def steps_logged(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("arms/*/metrics.jsonl"))


def is_gone(kill: Callable[[int, int], None], number: int) -> bool:
    """Whether there is no process, by os.kill, or none of a group, by os.killpg."""
    try:
        kill(number, 0)
    except ProcessLookupError:
        return True
    return False


def test_two_sweeps_share_the_arms_and_one_is_killed(long_study, cache, tmp_path):
    file, unbroken = long_study
    study, folder = read_study(file), tmp_path / "out"
    other = start(words(file, folder, cache, "--workers", "1"))
    # Somewhere in its second arm it is held up, until this sweep has done an arm; then all its processes are killed.
    wait_until(lambda: steps_logged(folder) > 61 + 17, other)
    os.killpg(other.pid, signal.SIGSTOP)
    (first,) = folder.glob("arms/*/result.json")
    second = next(run for run in (tmp_path / "arms").iterdir() if run != first.parent.resolve())

    def kill() -> None:
        try:
            wait_until(lambda: len(list(folder.glob("arms/*/result.json"))) > 1)
        finally:
            os.killpg(other.pid, signal.SIGKILL)

    with ThreadPoolExecutor(1) as threads:
        killed = threads.submit(kill)
        assert main(words(file, folder, cache, "--workers", "1")) == 0
        killed.result()
    other.communicate(timeout=30)
    assert outcomes(folder, study) == unbroken
    runs = list((tmp_path / "arms").iterdir())
    assert {run.name: len(leases(run)) for run in runs} == {
        run.name: 2 if run == second else 1 for run in runs
    }
    assert len({newest(run).holder.sweep for run in runs}) == 2
    # That a sweep was killed is no failure of its arms.
    assert all(read_failures(run) == [] for run in runs)


def test_ctrl_c_saves_and_the_same_command_goes_on(text, cache, tmp_path):
    made = small_recipe(text, training__steps=3000, data__epochs=1e4)
    long, folder = toml_of(made, tmp_path / "study.toml"), tmp_path / "out"
    process = start(words(long, folder, cache, "--workers", "1"))
    wait_until(lambda: steps_logged(folder) > 10, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command goes on" in err
    assert "Traceback" not in err
    wait_until(
        lambda: is_gone(os.killpg, process.pid)
    )  # whoever adopts its orphans may take a moment to bury them
    (run,) = (tmp_path / "arms").iterdir()
    assert list(run.glob("checkpoints/step-*"))
    assert newest(run).released
    assert not list(folder.glob("stop-*"))


def test_an_arm_at_which_the_process_crashes_fails_after_some_attempts(
    long_study, cache, tmp_path, monkeypatch, capsys
):
    file, _ = long_study
    monkeypatch.setattr(worker, "run_job", crash)
    assert main(words(file, tmp_path / "out", cache, "--workers", "2", "--retries", "1")) == 1
    assert "started anew" in capsys.readouterr().err
    for run in (tmp_path / "arms").iterdir():
        failed = read_failures(run)
        assert len(failed) == 2
        assert len({row.lease for row in failed}) == 2
        assert all("the process ended" in row.error for row in failed)
        assert "SIGKILL" in failed[0].error


def test_processes_that_cannot_begin_are_not_started_for_ever(long_study, cache, tmp_path, monkeypatch):
    file, _ = long_study
    monkeypatch.setattr(worker, "run_job", crash_at_once)
    with pytest.raises(RuntimeError, match="before they begin an arm"):
        main(words(file, tmp_path / "out", cache, "--workers", "1"))
    assert not (tmp_path / "arms").exists()


ORPHAN = """
import os
from experiments.sweeps import worker
from joblib.externals.loky import ProcessPoolExecutor
executor = ProcessPoolExecutor(max_workers=1, initializer=worker._prepare)
print(executor.submit(os.getpid).result(), flush=True)
os._exit(0)
"""


def test_a_worker_does_not_outlive_the_sweep():
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    wait_until(lambda: is_gone(os.kill, int(done.stdout)))
