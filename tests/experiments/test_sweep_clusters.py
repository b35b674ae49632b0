"""Sweeps on Ray and Dask clusters of this machine: the same numbers as without."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from experiments.sweeps.claims import holder
from experiments.sweeps.study_files import read_study
from experiments.sweeps.worker import work
from gradpower.__main__ import main
from tests.experiments.corpora import small_recipe, write_text
from tests.experiments.sweep_helpers import outcomes, plan_of, toml_of

ROOT = Path(__file__).parents[2]
QUIET = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def cluster(kind: str) -> Iterator[str]:
    """Yield the address of a cluster in a process of its own."""
    command = [sys.executable, "-m", f"tests.experiments.workers.{kind}_cluster"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | QUIET, **pipes)
    address = process.stdout.readline().strip()
    try:
        assert address, process.stderr.read()
        yield address
    finally:
        process.communicate(timeout=60)


@pytest.mark.parametrize(("kind", "package", "workers"), [("ray", "ray", 2), ("dask", "distributed", 1)])
@pytest.mark.filterwarnings("ignore")  # the libraries' own
def test_a_cluster_brings_the_same_numbers(tmp_path, capsys, kind, package, workers):
    pytest.importorskip(package)
    file, cache, folder = tmp_path / "study.toml", tmp_path / "cache", tmp_path / "out"
    toml_of(small_recipe(write_text(tmp_path / "text")), file)
    study = read_study(file)
    assert work(asdict(plan_of(study, tmp_path / "here", cache)), 0)["ended"] == "done"
    words = ["sweep", str(file), "--output", str(folder), "--backend", kind, "--workers", str(workers)]
    with cluster(kind) as address:
        flags = ["--device", "cpu", "--log-every", "1", "--cache", str(cache), "--address", address]
        assert main([*words, *flags]) == 0
    err = capsys.readouterr().err
    assert "4 arms: 4 completed" in err
    assert f"of the {kind} cluster" in err
    assert outcomes(folder, study) == outcomes(tmp_path / "here", study)
    assert {holder(own).identity["worker"] for own in folder.glob("arms/*")} <= set(range(workers))
