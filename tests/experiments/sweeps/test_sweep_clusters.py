"""Sweeps on a Dask cluster of this machine: the same numbers as without, and an address that is none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from experiments.sweeps.leases import leases, newest
from experiments.sweeps.studies import read_study
from gradpower.__main__ import main
from tests.experiments.sweep_helpers import outcomes, words_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
pytest.importorskip("distributed")


@contextmanager
def cluster(threads: int = 1) -> Iterator[str]:
    """Yield the address of a cluster in a process of its own."""
    command = [sys.executable, "-m", "tests.experiments.workers.dask_cluster", str(threads)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, **pipes)
    address = process.stdout.readline().strip()
    try:
        assert address, process.stderr.read()
        yield address
    finally:
        process.communicate(timeout=60)


@pytest.mark.filterwarnings("ignore")  # the library's own
def test_a_cluster_brings_the_same_numbers_although_its_worker_is_killed(long_study, cache, tmp_path, capsys):
    file, expected = long_study
    folder = tmp_path / "out"

    def kill() -> int:
        """Kill the process that trains the first arm, somewhere in it."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for metrics in (tmp_path / "arms").glob("*/metrics.jsonl"):
                if metrics.read_bytes().count(b"\n") > 17:
                    pid = newest(metrics.parent).holder.pid
                    os.kill(pid, signal.SIGKILL)
                    return pid
            time.sleep(0.005)
        return 0

    with cluster() as address, ThreadPoolExecutor(1) as threads:
        killed = threads.submit(kill)
        assert (
            main(
                words_of(
                    file, folder, cache, "--checkpoint-steps", "7", "--cluster", address, "--workers", "1"
                )
            )
            == 0
        )
        assert killed.result()
    assert "4 arms: 4 completed" in capsys.readouterr().err
    assert outcomes(folder, read_study(file)) == expected
    assert sorted(len(leases(run)) for run in (tmp_path / "arms").iterdir()) == [1, 1, 1, 2]


def started(*words: str) -> subprocess.Popen[str]:
    """Start Python in a process group of its own, which can be killed whole."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def killed(process: subprocess.Popen[str]) -> str:
    """Kill a process group if it is there, and return what it said on stderr; nothing the second time."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return "" if process.stderr.closed else process.communicate()[1]


@pytest.mark.parametrize("death", ["worker", "scheduler", "sweep"])
def test_a_death_in_a_cluster_costs_nothing(long_study, cache, tmp_path, death):
    """The worker with the process that watches over it, the scheduler, or the sweep, somewhere in an arm."""
    file, expected = long_study
    port = 49152 + os.getpid() % 16000
    address = f"tcp://127.0.0.1:{port}"
    quiet = ("--no-dashboard", "--host", "127.0.0.1")
    words = words_of(file, tmp_path / "out", cache, "--checkpoint-steps", "7", "--cluster", address)
    start = {
        "scheduler": ("distributed.cli.dask_scheduler", "--port", str(port), *quiet),
        "worker": ("distributed.cli.dask_worker", address, "--nthreads", "1", *quiet),
        "sweep": ("gradpower", *words),
    }
    running = {}
    try:
        for name in ("scheduler", "worker"):
            running[name] = started(*start[name])
        end = time.monotonic() + 60
        while not has_worker(address) and time.monotonic() < end:
            time.sleep(0.2)
        running["sweep"] = started(*start["sweep"])
        while time.monotonic() < end + 60 and not any(
            metrics.read_bytes().count(b"\n") > 17 for metrics in (tmp_path / "arms").glob("*/metrics.jsonl")
        ):
            time.sleep(0.005)
        killed(running[death])
        if death == "scheduler":
            assert running["sweep"].wait(120) == 2
            message = killed(running["sweep"])
            assert "Traceback" not in message
            assert "the same command goes on" in message
            assert not list((tmp_path / "arms").glob("*/attempts.jsonl"))  # no arm is charged
            killed(running["worker"])
        for name in ("scheduler", "worker", "sweep"):
            if death in (name, "scheduler"):
                running[name] = started(*start[name])
        code = running["sweep"].wait(120)
        assert code == 0, killed(running["sweep"])
        assert outcomes(tmp_path / "out", read_study(file)) == expected
    finally:
        for process in running.values():
            killed(process)


def has_worker(address: str) -> bool:
    from distributed import Client

    try:
        with Client(address, timeout=5) as client:
            return bool(client.scheduler_info()["workers"])
    except (OSError, TimeoutError):
        return False


@pytest.mark.filterwarnings("ignore")
def test_what_a_cluster_cannot_do_is_said(long_study, cache, tmp_path, capsys):
    file, _ = long_study
    with cluster() as address:
        assert main(words_of(file, tmp_path / "out", cache, "--cluster", address, "--workers", "3")) == 2
        assert "workers: 3 is not allowed; expected at most 1" in capsys.readouterr().err
    with cluster(threads=2) as address:
        assert main(words_of(file, tmp_path / "out", cache, "--cluster", address)) == 2
        assert "--nthreads 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "address",
    ["tcp://127.0.0.1:1", "127.0.0.1", "nonsense", "http://127.0.0.1:8786", "tcp://nowhere.invalid:8786", "", "tcp://[::1"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_an_address_without_a_cluster_is_an_error_of_one_line(long_study, cache, tmp_path, capfd, address):
    file, _ = long_study
    begun = time.monotonic()
    assert main(words_of(file, tmp_path / "out", cache, "--cluster", address)) == 2
    assert time.monotonic() - begun < 15
    err = capfd.readouterr().err
    assert "cluster" in err
    assert len([line for line in err.splitlines() if line.strip()]) == 1
