"""Claims: one winner among contenders, taken over when stale and only then, and lost for good."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from experiments.sweeps import claims
from experiments.sweeps.claims import ClaimLost, Watch, claim, claim_files, holder

ROOT = Path(__file__).parents[2]
ARMS, CONTENDERS = 25, 4


def stranger(folder: Path, number: int = 1, beats: int = 5) -> Path:
    """A claim as a worker of another machine would have written it."""
    path = folder / "claims" / f"{number:06d}"
    path.parent.mkdir(parents=True, exist_ok=True)
    identity = {"host": "elsewhere", "kernel": "another", "pid": 1, "token": "theirs"}
    path.write_text(f"{json.dumps(identity)}\n{beats:012d}\n")
    return path


def contend(folder: Path, limit: float, seconds: float) -> Counter[str]:
    """Let several processes claim all arms at once, kill them, and return how often each arm was won."""
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
    assert all([path.name for path in claim_files(arm)] == ["000001", "000002"] for arm in arms)


def test_of_several_processes_one_takes_over_from_another_machine(tmp_path):
    arms = [tmp_path / f"arm-{index:02d}" for index in range(ARMS)]
    for arm in arms:
        stranger(arm)
    assert contend(tmp_path, limit=1.5, seconds=2.5) == {arm.name: 1 for arm in arms}


def test_a_living_claim_is_respected(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT", 0.02)
    monkeypatch.setattr(
        claims, "kernel", lambda: None
    )  # as seen from another machine: only the counter tells
    watch = Watch(limit=0.3)
    with claim(tmp_path, Watch()) as held:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            assert claim(tmp_path, watch) is None
            time.sleep(0.02)
        held.require()
    with claim(tmp_path, watch):  # released: free at once
        assert [path.name for path in claim_files(tmp_path)] == ["000001", "000002"]


def test_a_silent_claim_is_taken_over_after_the_limit_and_not_before(tmp_path):
    stranger(tmp_path)
    watch, begun = Watch(limit=0.3), time.monotonic()
    while (taken := claim(tmp_path, watch)) is None:
        time.sleep(0.01)
    assert time.monotonic() - begun > 0.3
    with taken:
        assert holder(tmp_path).identity["token"] == taken.token


def test_a_counter_that_moves_late_begins_the_wait_anew(tmp_path):
    stranger(tmp_path)
    watch = Watch(limit=0.3)
    assert not watch.is_free(tmp_path)
    time.sleep(0.2)
    stranger(tmp_path, beats=6)
    assert not watch.is_free(tmp_path)
    time.sleep(0.2)
    assert not watch.is_free(tmp_path)
    time.sleep(0.2)
    assert watch.is_free(tmp_path)


def test_the_age_of_a_claim_is_not_judged_by_clocks(tmp_path):
    import os

    path = stranger(tmp_path)
    os.utime(path, (0, 0))
    assert not Watch(limit=60).is_free(tmp_path)
    os.utime(path, (2e9, 2e9))
    watch = Watch(limit=0.05)
    assert not watch.is_free(tmp_path)
    time.sleep(0.1)
    assert watch.is_free(tmp_path)


def test_who_was_taken_over_notices_and_disturbs_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT", 0.02)
    with claim(tmp_path, Watch()) as held:
        held.require()
        stranger(tmp_path, number=2)
        before = holder(tmp_path).content
        with pytest.raises(ClaimLost, match="000001 was taken over"):
            held.require()
        time.sleep(0.1)
    assert holder(tmp_path).content == before
    assert not holder(tmp_path).released


def test_a_claim_that_is_being_written_is_left_alone(tmp_path):
    path = tmp_path / "claims" / "000001"
    path.parent.mkdir()
    path.touch()
    watch = Watch(limit=0.1)
    assert claim(tmp_path, watch) is None
    time.sleep(0.15)
    with claim(tmp_path, watch) as held:  # its writer died in between
        assert held.path.name == "000002"


def test_a_claim_made_between_look_and_grasp_is_not_passed_over(tmp_path, monkeypatch):
    stranger(tmp_path)

    def meanwhile(self, folder):
        stranger(folder, number=2)
        return True

    monkeypatch.setattr(Watch, "is_free", meanwhile)
    assert claim(tmp_path, Watch()) is None
    assert [path.name for path in claim_files(tmp_path)] == ["000001", "000002"]
