"""What befalls a sweep from outside: workers that die, holders that are suspended, a stderr that goes away."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from concurrent.futures import Future
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

from experiments.execution import Execution
from experiments.sweeps import engine, processes
from experiments.sweeps.arms import arm_folder, read_failures
from experiments.sweeps.claims import Watch, claim, claim_files
from experiments.sweeps.display import Display, StderrConsole
from experiments.sweeps.options import Options
from experiments.sweeps.processes import keep_working
from experiments.sweeps.worker import _Worker, work
from tests.experiments.corpora import small_recipe, write_text
from tests.experiments.sweep_helpers import Inline, plan_of, small_study, toml_of

ROOT = Path(__file__).parents[2]
STALE = OSError(errno.ESTALE, "Stale file handle", "claims")


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    return write_text(tmp_path_factory.mktemp("text"))


@pytest.fixture
def at_once(monkeypatch):
    """No waiting after an error."""
    monkeypatch.setattr(processes, "POLL", 0.0)


class Ailing(Inline):
    """A worker whose first calls end in an error."""

    def __init__(self, times: int) -> None:
        self.times = times

    def call(self, function, *arguments):
        if self.times > 0:
            self.times -= 1
            failed: Future[object] = Future()
            failed.set_exception(STALE)
            return failed
        return super().call(function, *arguments)


def test_a_worker_that_met_an_error_of_the_file_system_is_started_anew(text, tmp_path, at_once):
    plan, notes = plan_of(small_study(text, seeds=(0,)), tmp_path / "out", tmp_path / "cache"), []
    end = keep_working(asdict(plan), 1, Ailing(2), notes.append)
    assert (end["ended"], len(end["trained"])) == ("done", 2)
    assert len(notes) == 2
    assert all("worker 1 has ended, it is started anew" in note and "Stale" in note for note in notes)
    end = keep_working(asdict(plan), 1, Ailing(9), notes.append)
    assert end["ended"] == "broken"
    assert "it is not started again" in notes[-1]


def sweep(text, folder, monkeypatch, workers):
    """Run a sweep of two arms with these workers, and return how it ended and what was said."""
    given, said = iter(workers), []
    monkeypatch.setattr(engine, "Process", lambda: next(given))
    monkeypatch.setattr(engine, "POLL", 0.05)
    display = Display(StderrConsole(file=open(os.devnull, "w")))  # noqa: PTH123, SIM115
    monkeypatch.setattr(display, "note", said.append)
    execution = Execution(device="cpu", threads=1, cache=folder.parent / "cache")
    study = small_study(text, seeds=(0,))
    try:
        return engine.run_sweep(study, folder, execution, Options(workers=len(workers)), display), said
    finally:
        display.console.file.close()


def test_the_outcome_is_kept_when_another_worker_finishes(text, tmp_path, monkeypatch, at_once):
    ended, said = sweep(text, tmp_path / "out", monkeypatch, [Inline(), Ailing(9)])
    assert ended == "done"
    assert any("Stale file handle" in line for line in said)


def test_arms_that_are_left_open_are_an_error(text, tmp_path, monkeypatch, at_once):
    with pytest.raises(RuntimeError, match="Stale file handle"):
        sweep(text, tmp_path / "out", monkeypatch, [Ailing(9)])


def test_a_worker_told_to_leave_when_all_is_done_does_not_stop_the_sweep(text, tmp_path, monkeypatch):
    class Leaving(Inline):
        def call(self, function, *arguments):
            future = super().call(function, *arguments)
            future.result()["ended"] = "stopped"
            return future

    assert sweep(text, tmp_path / "out", monkeypatch, [Leaving()])[0] == "done"


def test_a_crash_is_charged_although_the_arm_was_taken_over(text, tmp_path):
    study = small_study(text, seeds=(0,))
    plan = plan_of(study, tmp_path, tmp_path)
    own = arm_folder(tmp_path, study.arms()[0].fingerprint)
    (own / "claims").mkdir(parents=True)
    dead = {"host": "h", "pid": 1, "token": "dead", "sweep": plan.sweep, "worker": 0}
    (own / "claims" / "000001").write_text(json.dumps(dead) + "\n000000000005\n")
    (own / "claims" / "000002").write_text(
        json.dumps(dead | {"token": "o", "worker": 1}) + "\n000000000001\n"
    )
    assert processes._charge(plan, 0, "SIGKILL")
    assert [row["claim"] for row in read_failures(own)] == ["dead"]
    assert not processes._charge(plan, 0, "SIGKILL")


def test_the_arm_of_a_suspended_worker_is_left_to_it(text, tmp_path):
    study = small_study(text, seeds=(0,))
    own = arm_folder(tmp_path, study.arms()[0].fingerprint)
    plan = plan_of(study, tmp_path, tmp_path / "cache")
    plan = replace(plan, arms={own.name: plan.arms[own.name]})
    held = claim(own, Watch())
    held._end.set()  # its heartbeat stands still, as that of a stopped process
    taker = _Worker(plan, 0, SimpleNamespace(name=None))
    taker.watch = Watch(limit=0.0)
    with FileLock(own / "lock"):
        taker._run_one()
        time.sleep(0.01)
        taker._run_one()
        assert len(claim_files(own)) == 1
    held.require()
    taker._busy.clear()
    taker._run_one()  # nobody trains there: the holder is gone for good
    assert len(claim_files(own)) == 2
    assert taker.trained == [own.name]
    held.release()


def test_a_stderr_that_goes_away_saves_the_arms(text, tmp_path):
    made = small_recipe(text / "text.txt" if text.is_dir() else text, training__steps=4000, data__epochs=1e4)
    file, folder = toml_of(made, tmp_path / "study.toml", seeds=(0, 1)), tmp_path / "out"
    flags = ["--workers", "1", "--threads", "1", "--device", "cpu", "--log-every", "1"]
    words = ["sweep", str(file), "--output", str(folder), "--cache", str(tmp_path / "cache"), *flags]
    # A terminal's bar speaks again and again: so does a quiet time of nothing.
    program = f"""
from experiments.sweeps import display
display.QUIET = 0.0
from gradpower.__main__ import main
raise SystemExit(main({words!r}))
"""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, **pipes)
    assert any("4 arms" in line for line in process.stderr)
    end = time.monotonic() + 60
    while not any(p.stat().st_size for p in folder.glob("arms/*/metrics.jsonl")) and time.monotonic() < end:
        time.sleep(0.01)
    process.stderr.close()
    assert process.wait(60) == 130
    process.stdout.close()
    (own,) = folder.glob("arms/*")
    assert list(own.glob("checkpoints/step-*"))
    assert b"released" in claim_files(own)[-1].read_bytes()


def test_a_stop_file_makes_an_error_a_stop(text, tmp_path):
    plan = plan_of(small_study(text, seeds=(0,)), tmp_path, tmp_path)
    plan.stop_file.touch()
    assert keep_working(asdict(plan), 0, Ailing(9))["ended"] == "stopped"
    assert work(asdict(plan), 0)["ended"] == "stopped"
