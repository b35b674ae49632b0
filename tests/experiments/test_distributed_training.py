"""Two processes (gloo), copied or sharded, against one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from experiments.checkpoints import load_latest
from experiments.execution import Execution
from experiments.records import read_metrics, read_recipe, read_result
from experiments.training import train
from tests.experiments.corpora import small_recipe, write_text
from theory.inputs import InputError

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="torch was built without gloo"
)
ROOT = Path(__file__).parents[2]
PATIENCE = 180


def launch(recipe: Path, folder: Path, cache: Path, *, shard: bool = False, pause: int = 0) -> Path:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command += ["-m", "tests.experiments.workers.rank"]
    command += [str(recipe), str(folder), str(cache), str(int(shard)), str(pause)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def losses(folder: Path) -> list[float]:
    return [row.get("loss", row.get("validation_loss")) for row in read_metrics(folder)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_latest(folder / "checkpoints")[0][1]


def farthest(first: Path, second: Path) -> float:
    a, b = weights(first), weights(second)
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.fixture(scope="module", params=["pocket", "pocket-moe"])
def alone(request, tmp_path_factory):
    """A run in one process, its recipe file and the cache; the mixture is sharded below, the other copied."""
    folder = tmp_path_factory.mktemp("alone")
    made = small_recipe(
        write_text(folder / "text"), request.param, optimizer__power=1.2, training__steps=12, model__layers=2
    )
    # The micro-batches of the ranks: the load-balancing loss is taken over each of them.
    here = Execution(device="cpu", threads=1, log_every=1, micro_batch_size=2, cache=folder / "cache")
    train(made, folder / "run", execution=here)
    return folder


def test_two_processes_find_the_losses_of_one(alone, tmp_path):
    shard = read_recipe(alone / "run" / "recipe.json").model.experts > 0
    folder = launch(alone / "run" / "recipe.json", tmp_path / "two", alone / "cache", shard=shard)
    assert losses(folder) == pytest.approx(losses(alone / "run"), rel=2e-5)
    # A gradient that is all rounding could move its weight by up to lr, 6e-3, a step.
    assert farthest(folder, alone / "run") < 1e-3
    result = read_result(folder)
    assert result["hardware"]["ranks"] == 2
    assert result["model"]["initial_weights"] == read_result(alone / "run")["model"]["initial_weights"]
    paused = launch(alone / "run" / "recipe.json", tmp_path / "paused", alone / "cache", shard=shard, pause=5)
    assert losses(paused) == losses(folder)
    assert farthest(paused, folder) == 0


@pytest.mark.parametrize("alone", ["pocket"], indirect=True)
def test_a_checkpoint_of_two_goes_on_in_one(alone, tmp_path):
    """The position in the data, the weights and the moments do not depend on the number of ranks."""
    launch(alone / "run" / "recipe.json", tmp_path / "run", alone / "cache", shard=True, pause=-5)
    assert read_result(tmp_path / "run") is None
    here = Execution(device="cpu", threads=1, log_every=1, micro_batch_size=2, cache=alone / "cache")
    made = read_recipe(alone / "run" / "recipe.json")
    assert train(made, tmp_path / "run", execution=here).status == "completed"
    assert losses(tmp_path / "run") == pytest.approx(losses(alone / "run"), rel=2e-5)
    assert farthest(tmp_path / "run", alone / "run") < 1e-3


@pytest.mark.parametrize("alone", ["pocket"], indirect=True)
def test_a_checkpoint_that_cannot_be_written_ends_all_ranks(alone, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").write_text("in the way")
    with pytest.raises(AssertionError, match="checkpoints"):
        launch(alone / "run" / "recipe.json", tmp_path / "run", alone / "cache", pause=-2)


def test_one_process_has_nothing_to_shard_over(tmp_path):
    made = small_recipe(write_text(tmp_path / "text"))
    with pytest.raises(InputError, match="two or more ranks"):
        train(made, tmp_path / "run", execution=Execution(device="cpu", shard=True, cache=tmp_path / "cache"))
