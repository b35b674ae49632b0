"""Sweeps on a Dask cluster of this machine: the same numbers as without, and an address that is none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
