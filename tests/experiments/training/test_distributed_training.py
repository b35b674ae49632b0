"""Two processes (gloo), copied or sharded, against one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import torch.distributed as dist

from experiments.training.checkpoints import load_latest
from experiments.training.execution import Execution
from experiments.training.loop import train
from experiments.training.records import read_metrics, read_recipe, read_result
from gradpower.tools.errors import InputError
from tests.experiments.texts import small_recipe, write_text

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (dist.is_available() and dist.is_gloo_available()), reason="torch was built without gloo"
    ),
]
ROOT = Path(__file__).parents[3]
PATIENCE = 300


class Run(NamedTuple):
    """What `workers.rank` is told of a run."""

    recipe: Path
    folder: Path
    shard: bool = False
    pause: int = 0


def launch(cache: Path, *runs: Run) -> None:
    """Train one after the other on two ranks: importing torch takes longer than training."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command += ["-m", "tests.experiments.workers.rank", str(cache)]
    for run in runs:
        command += [str(run.recipe), str(run.folder), str(int(run.shard)), str(run.pause)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr


def losses(folder: Path) -> list[float]:
    return [row.get("loss", row.get("validation_loss")) for row in read_metrics(folder)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_latest(folder / "checkpoints")[0][1]


def farthest(first: Path, second: Path) -> float:
    a, b = weights(first), weights(second)
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


NAMES = ("pocket", "pocket-moe")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Runs in one process, with their recipe files, and the cache."""
    folder = tmp_path_factory.mktemp("alone")
    text = write_text(folder / "text")
    here = Execution(device="cpu", threads=1, log_every=1, cache=folder / "cache")
    for name in NAMES:
        made = small_recipe(text, name, optimizer__power=1.2, training__steps=12, model__layers=2)
        train(made, folder / name, execution=here)
    return folder


@pytest.fixture(scope="module")
def together(alone, tmp_path_factory):
    """The same runs on two ranks, the mixture sharded and the other copied; and a sharded one that is not done."""
    folder = tmp_path_factory.mktemp("together")
    runs = [
        Run(alone / name / "recipe.json", folder / f"{name}{kind}", name == "pocket-moe", pause)
        for name in NAMES
        for kind, pause in (("", 0), ("-paused", 5))
    ]
    launch(alone / "cache", *runs, Run(alone / "pocket" / "recipe.json", folder / "begun", True, -5))
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_find_the_losses_of_one(alone, together, name):
    folder, paused = together / name, together / f"{name}-paused"
    assert losses(folder) == pytest.approx(losses(alone / name), rel=2e-5)
    # A gradient that is all rounding could move its weight by up to lr, 6e-3, a step.
    assert farthest(folder, alone / name) < 1e-3
    result = read_result(folder)
    assert result.hardware["ranks"] == 2
    sizes = [[row["update_rms"] for row in read_result(run).evaluations] for run in (folder, alone / name)]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-3)
    assert result.model["initial_weights"] == read_result(alone / name).model["initial_weights"]
    assert losses(paused) == losses(folder)
    assert farthest(paused, folder) == 0


def test_a_checkpoint_of_two_goes_on_in_one(alone, together):
    """The position in the data, the weights and the moments do not depend on the number of ranks."""
    begun = together / "begun"
    assert read_result(begun) is None
    here = Execution(device="cpu", threads=1, log_every=1, micro_batch_size=2, cache=alone / "cache")
    made = read_recipe(alone / "pocket" / "recipe.json")
    assert train(made, begun, execution=here).status == "completed"
    assert losses(begun) == pytest.approx(losses(alone / "pocket"), rel=2e-5)
    assert farthest(begun, alone / "pocket") < 1e-3


def test_a_checkpoint_that_cannot_be_written_ends_all_ranks(alone, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").write_text("in the way")
    with pytest.raises(AssertionError, match="checkpoints"):
        launch(alone / "cache", Run(alone / "pocket" / "recipe.json", tmp_path / "run", pause=-2))


def test_one_process_has_nothing_to_shard_over(tmp_path):
    made = small_recipe(write_text(tmp_path / "text"))
    with pytest.raises(InputError, match="two or more ranks"):
        train(made, tmp_path / "run", execution=Execution(device="cpu", shard=True, cache=tmp_path / "cache"))
