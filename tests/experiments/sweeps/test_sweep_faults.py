"""What befalls a sweep from outside: workers that fail, file servers that are away, a stderr that goes away."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from experiments.sweeps import engine
from experiments.sweeps.arms import read_failures
from experiments.sweeps.display import Display
from experiments.sweeps.engine import Options
from experiments.sweeps.leases import HeldLease, Watch, leases, newest
from experiments.sweeps.store import Store
from experiments.training.execution import Execution
from experiments.training.records import read_result
from gradpower.tools.errors import InputError
from tests.experiments.sweep_helpers import (
    STALE,
    ThreadWorker,
    arm_folder,
    given_workers,
    small_study,
    toml_of,
    words_of,
)
from tests.experiments.texts import small_recipe, write_text

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


@pytest.fixture
def sweep(text, tmp_path, monkeypatch):
    """Run a sweep of two arms with some workers, and return how it ended and its notes."""
    notes = []
    monkeypatch.setattr(engine, "POLL", 0.05)

    def run(*workers, **execution):
        monkeypatch.setattr(engine, "local_workers", given_workers(*workers))
        with Display() as display:
            monkeypatch.setattr(display, "note", notes.append)
            made = Execution(device="cpu", threads=1, cache=tmp_path / "cache", **execution)
            study = small_study(text, seeds=(0,))
            return engine.run_sweep(Store(tmp_path / "out", study), made, Options(), display), notes

    return run


def test_a_worker_that_met_an_error_of_the_file_system_is_started_anew(sweep, text, tmp_path):
    ended, notes = sweep(ThreadWorker(errors=2))
    assert ended == "done"
    notes = [note for note in notes if "worker" in note]
    assert len(notes) == 2
    assert all("worker 0 has ended, it is started anew" in note and "Stale" in note for note in notes)
    for arm in small_study(text, seeds=(0,)).arms():  # which had not begun
        assert read_failures(arm_folder(tmp_path / "out", arm.fingerprint)) == []


def test_one_worker_finishes_what_another_cannot(sweep):
    ended, notes = sweep(ThreadWorker(), ThreadWorker(errors=9))
    assert ended == "done"
    assert any("Stale file handle" in note for note in notes)


def test_a_file_server_that_is_away_for_a_while_costs_time_only(sweep, monkeypatch):
    monkeypatch.setattr(engine, "LIMIT", 0.1)
    real, looks = Watch.free_after, iter(range(10**6))

    def free_after(self, folder):
        if next(looks) < 3:
            raise STALE
        return real(self, folder)

    monkeypatch.setattr(Watch, "free_after", free_after)
    ended, notes = sweep()
    assert ended == "done"
    assert sum("Stale file handle" in note for note in notes) == 3


class Crashing(ThreadWorker):
    """A worker whose first attempt at each arm left a lease, after which another worker may have had the arm."""

    def __init__(self, *, taken_over):
        super().__init__()
        self.taken_over = taken_over

    def submit(self, job):
        place = job.folder / "leases"
        if not place.exists():
            place.mkdir(parents=True)
            (place / "000001").write_text(f'{{"token": "dead", "sweep": "{job.sweep}"}}\n000000000005\n')
            if self.taken_over:
                (place / "000002").write_text('{"token": "other", "sweep": "another"}\nreleased\n')
                self.errors = 1
        return super().submit(job)


@pytest.mark.parametrize(
    ("taken_over", "error"),
    # Without it, the second try of a job, as a cluster makes it, meets the lease that the first one left.
    [(True, "the process ended: Stale"), (False, "the process ended: its worker is gone")],
)
def test_a_crash_is_charged_to_its_arm(sweep, tmp_path, monkeypatch, taken_over, error):
    monkeypatch.setattr(engine, "LIMIT", 0.1)
    monkeypatch.setattr(engine, "Watch", lambda: Watch(limit=0.1))
    assert sweep(Crashing(taken_over=taken_over))[0] == "done"
    for run in (tmp_path / "arms").iterdir():
        (attempt,) = read_failures(run)
        assert attempt.lease == "dead"
        assert attempt.error.startswith(error)
        assert len(leases(run)) == 2 + taken_over


def test_a_stderr_that_goes_away_saves_the_arms(text, tmp_path):
    long = small_recipe(text, training__steps=4000, data__epochs=1e4)
    file, folder = toml_of(long, tmp_path / "study.toml", seeds=(0, 1)), tmp_path / "out"
    words = words_of(file, folder, tmp_path / "cache", "--workers", "1", "--threads", "1")
    # A terminal's bar speaks again and again: so does a quiet time of nothing.
    program = f"""
from experiments.training import reporting
reporting.QUIET = 0.0
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
    assert process.wait(60) == 1
    process.stdout.close()
    (run,) = (tmp_path / "arms").iterdir()
    assert list(run.glob("checkpoints/step-*"))
    assert newest(run).released


def test_a_full_disk_stops_the_sweep_and_is_charged_to_nobody(sweep, text, tmp_path, monkeypatch):
    real = HeldLease.require
    monkeypatch.setattr(
        HeldLease, "require", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    )
    with pytest.raises(InputError, match=r"output: .* a file system with room"):
        sweep()
    assert all(read_failures(run) == [] for run in (tmp_path / "arms").iterdir())
    assert not list((tmp_path / "out").glob("stop-*"))
    monkeypatch.setattr(HeldLease, "require", real)
    assert sweep()[0] == "done"


def test_a_damaged_result_is_named_and_the_others_go_on(sweep, text, tmp_path):
    study = small_study(text, seeds=(0,))
    store = Store(tmp_path / "out", study)
    sweep()
    damaged, other = (store.run(arm) / "result.json" for arm in study.arms())
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:100])
    other.unlink()
    assert sweep()[0] == "done"
    states = store.states()
    assert [state.state for state in states] == ["damaged", "completed"]
    assert str(damaged) in states[0].error
    assert [row.status for row in store.outcome().arms] == ["missing", "completed"]
    damaged.write_bytes(whole)
    assert [state.state for state in store.states()] == ["completed"] * 2


def test_a_result_on_a_file_server_that_is_away_is_no_damage(sweep, monkeypatch):
    real, looks = Path.read_bytes, iter(range(10**6))

    def read_bytes(path):
        is_sweep = threading.current_thread() is threading.main_thread()
        if path.name == "result.json" and is_sweep and next(looks) < 2:
            raise STALE
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    ended, notes = sweep()
    assert ended == "done"
    assert next(looks) > 3
    assert not any("damaged" in note for note in notes)


def test_a_study_on_python_source_keeps_its_text_when_a_package_is_installed(tmp_path, monkeypatch):
    library = tmp_path / "lib"
    paths = dict.fromkeys(("stdlib", "purelib", "platlib"), str(library))
    monkeypatch.setattr("experiments.corpora.documents.sysconfig", Mock(get_paths=lambda: paths))
    monkeypatch.setattr(engine, "local_workers", given_workers())
    library.mkdir()
    for number, content in enumerate(write_text(tmp_path / "text").read_text().split("\n\n")):
        (library / f"module_{number}.py").write_text(content)
    execution = Execution(device="cpu", threads=1, cache=tmp_path / "cache")
    for seeds in ((0,), (0, 1)):
        study = small_study(tmp_path, seeds=seeds, data__source="python-source")
        with Display() as display:
            assert engine.run_sweep(Store(tmp_path / "out", study), execution, Options(), display) == "done"
        (library / "installed.py").write_text("print(1)\n" * 100)
    results = [read_result(arm_folder(tmp_path / "out", arm.fingerprint)) for arm in study.arms()]
    assert len({result.data["text_sha256"] for result in results}) == 1
