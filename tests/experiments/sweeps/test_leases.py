"""Leases: one winner among contenders, taken over when stale and only then, and lost for good."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from experiments.sweeps import leases as module
from experiments.sweeps.leases import LeaseLost, Watch, acquire, leases, newest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
ARMS, CONTENDERS = 25, 4


def stranger(folder: Path, number: int = 1, beats: int = 5) -> Path:
    """A lease as a worker of another machine would have written it."""
    path = folder / "leases" / f"{number:06d}"
    path.parent.mkdir(parents=True, exist_ok=True)
    identity = {"host": "elsewhere", "kernel": "another", "pid": 1, "token": "theirs"}
    path.write_text(f"{json.dumps(identity)}\n{beats:012d}\n")
    return path


def contend(folder: Path, limit: float, seconds: float) -> Counter[str]:
    """Let several processes take all arms at once, kill them, and return how often each arm was won."""
    command = [
        sys.executable,
        "-m",
        "tests.experiments.workers.contender",
        *map(str, (folder, limit, seconds)),
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(CONTENDERS)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    won = Counter(name for process in processes for name in process.stdout.readline().split())
    for process in processes:
        process.communicate("end\n", timeout=30)
    return won


def test_of_several_processes_one_wins_each_arm(tmp_path):
    arms = [tmp_path / f"arm-{index:02d}" for index in range(ARMS)]
    for arm in arms:
        arm.mkdir()
    assert contend(tmp_path, limit=60, seconds=0.5) == {arm.name: 1 for arm in arms}
    # The winners ended without a word: again one takes each over, at once, as they were of this machine.
    assert contend(tmp_path, limit=60, seconds=0.5) == {arm.name: 1 for arm in arms}
    assert all([lease.path.name for lease in leases(arm)] == ["000001", "000002"] for arm in arms)


def test_of_several_processes_one_takes_over_from_another_machine(tmp_path):
    arms = [tmp_path / f"arm-{index:02d}" for index in range(ARMS)]
    for arm in arms:
        stranger(arm)
    assert contend(tmp_path, limit=1.5, seconds=2.5) == {arm.name: 1 for arm in arms}


def test_a_living_lease_is_respected(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 0.02)
    # As seen from another machine: only the counter tells.
    monkeypatch.setattr(module, "kernel", lambda: None)
    watch = Watch(limit=0.3)
    with acquire(tmp_path, 0) as held:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            assert watch.free_after(tmp_path) is None
            time.sleep(0.02)
        held.require()
    with acquire(tmp_path, watch.free_after(tmp_path)):  # released: free at once
        assert [lease.path.name for lease in leases(tmp_path)] == ["000001", "000002"]


def test_a_silent_lease_is_taken_over_after_the_limit_and_not_before(tmp_path):
    stranger(tmp_path)
    watch, begun = Watch(limit=0.3), time.monotonic()
    while (after := watch.free_after(tmp_path)) is None:
        time.sleep(0.01)
    assert time.monotonic() - begun > 0.3
    with acquire(tmp_path, after) as taken:
        assert newest(tmp_path).holder.token == taken.token


def test_a_counter_that_moves_late_begins_the_wait_anew(tmp_path):
    stranger(tmp_path)
    watch = Watch(limit=0.3)
    assert watch.free_after(tmp_path) is None
    time.sleep(0.2)
    stranger(tmp_path, beats=6)
    assert watch.free_after(tmp_path) is None
    time.sleep(0.2)
    assert watch.free_after(tmp_path) is None
    time.sleep(0.2)
    assert watch.free_after(tmp_path) == 1


def test_the_age_of_a_lease_is_not_judged_by_clocks(tmp_path):
    import os

    path = stranger(tmp_path)
    os.utime(path, (0, 0))
    assert Watch(limit=60).free_after(tmp_path) is None
    os.utime(path, (2e9, 2e9))
    watch = Watch(limit=0.05)
    assert watch.free_after(tmp_path) is None
    time.sleep(0.1)
    assert watch.free_after(tmp_path) == 1


def test_who_was_taken_over_notices_and_disturbs_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 0.02)
    with acquire(tmp_path, 0) as held:
        held.require()
        stranger(tmp_path, number=2)
        before = newest(tmp_path).content
        with pytest.raises(LeaseLost, match="000001 was taken over"):
            held.require()
        time.sleep(0.1)
    assert newest(tmp_path).content == before
    assert not newest(tmp_path).released


def test_a_lease_that_is_being_written_is_left_alone(tmp_path):
    path = tmp_path / "leases" / "000001"
    path.parent.mkdir()
    path.touch()
    watch = Watch(limit=0.1)
    assert watch.free_after(tmp_path) is None
    time.sleep(0.15)
    with acquire(tmp_path, watch.free_after(tmp_path)) as held:  # its writer died in between
        assert held.path.name == "000002"


def test_a_lease_made_between_look_and_grasp_is_not_passed_over(tmp_path):
    stranger(tmp_path)
    (tmp_path / "leases" / "000001").write_text("{}\nreleased\n")
    after = Watch().free_after(tmp_path)
    stranger(tmp_path, number=2)
    assert acquire(tmp_path, after) is None
    assert [lease.path.name for lease in leases(tmp_path)] == ["000001", "000002"]


def test_the_lease_of_a_suspended_process_is_left_to_it(tmp_path):
    held = acquire(tmp_path, 0)
    held._end.set()  # its heartbeat stands still, as that of a stopped process
    held._thread.join()
    watch = Watch(limit=0.0)
    for _ in range(3):
        assert watch.free_after(tmp_path) is None
        time.sleep(0.01)
    held.require()
    held.__exit__(None, None, None)
    assert watch.free_after(tmp_path) == 1


@pytest.mark.parametrize(
    "damage", [b"", b"[]", b"\xff\xfe", b'{"host": 3}', b"[" * 100_000, b'{"pid": 1e999}']
)
def test_a_damaged_lease_is_one_of_somebody_else(tmp_path, damage):
    stranger(tmp_path).write_bytes(damage + b"\n000000000001\n")
    assert newest(tmp_path).holder.token == ""
    watch = Watch(limit=0.02)
    assert watch.free_after(tmp_path) is None
    time.sleep(0.05)
    assert watch.free_after(tmp_path) == 1
