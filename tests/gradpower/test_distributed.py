"""Powered optimizers on two processes (gloo) against the same training in one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

pytest.importorskip("transformers", reason="needs transformers' LLaMA")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (dist.is_available() and dist.is_gloo_available()), reason="torch was built without gloo"
    ),
]

ROOT = Path(__file__).parents[2]
WORLD, PATIENCE = 2, 300.0
Run = tuple[list[float], dict[str, Tensor]]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return what each of the processes found; a process that hangs or fails takes the others with it."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    logs = [(folder / f"{rank}.log").open("w+", encoding="utf-8") for rank in range(WORLD)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.gradpower.workers.scenarios", str(rank), str(WORLD), str(folder)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        for rank, log in enumerate(logs)
    ]
    try:
        codes = [process.wait(PATIENCE) for process in processes]
    finally:
        for process, log in zip(processes, logs, strict=True):
            process.kill()
            process.wait()
            log.close()
    output = "\n".join((folder / f"{rank}.log").read_text(encoding="utf-8") for rank in range(WORLD))
    assert codes == [0] * WORLD, output
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


def farthest(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def assert_same_training(first: Run, second: Run, *, weight_error: float) -> None:
    """Compare within float32 error: Adam takes a step of the size of lr wherever a gradient is all rounding."""
    assert first[0] == pytest.approx(second[0], rel=2e-6)
    assert farthest(first[1], second[1]) < weight_error


def test_ddp_with_accumulation_is_one_process_on_the_whole_batch(ranks: list[dict[str, Any]]) -> None:
    results = ranks[0]["accumulation"]
    assert len(results["across"][0]) == 10
    assert_same_training(results["across"], results["alone"], weight_error=5e-6)
    assert results["across"][0] == ranks[1]["accumulation"]["across"][0]
    assert farthest(results["across"][1], ranks[1]["accumulation"]["across"][1]) == 0


def test_muon_under_ddp(ranks: list[dict[str, Any]]) -> None:
    # Newton-Schulz in bfloat16 turns a last-digit difference into one of 2^-8 of a step.
    results = ranks[0]["muon"]
    assert results["across"][0] == pytest.approx(results["alone"][0], rel=5e-6)
    assert farthest(results["across"][1], results["alone"][1]) < 2e-4


def test_zero_redundancy_optimizer_is_exact_and_resumes(ranks: list[dict[str, Any]]) -> None:
    for results in (rank["zero_redundancy"] for rank in ranks):
        assert results["across"][0] == results["alone"][0]
        assert farthest(results["across"][1], results["alone"][1]) == 0
        assert results["powers"] == [1.2, 1.2]
    owned = [rank["zero_redundancy"]["owned"] for rank in ranks]
    assert sum(mine for mine, _ in owned) == owned[0][1]
    assert all(0 < mine < every for mine, every in owned)


ADAMS = [
    f"{name} {setting}{clip}"
    for setting in ("default", "foreach", "fused")
    for name, clip in (
        ("AdamW", ""),
        *(("AdamWPower", f" {order}") for order in ("unclipped", "clip_then_power", "power_then_clip")),
    )
]
SGDS = [f"SGDPower {kind}" for kind in ("unclipped", "clip_then_power", "power_then_clip", "momentum")]


@pytest.mark.parametrize("optimizer", ADAMS + SGDS)
def test_fsdp_is_one_process_on_the_whole_batch(optimizer: str, ranks: list[dict[str, Any]]) -> None:
    for results in (rank["sharded"][optimizer] for rank in ranks):
        assert len(results["across"][0]) == 5
        assert_same_training(results["across"], results["alone"], weight_error=2e-6)
        assert results["state_is_sharded"]


@pytest.mark.parametrize("optimizer", ADAMS + SGDS)
def test_fsdp_of_shards_of_unequal_size(optimizer: str, ranks: list[dict[str, Any]]) -> None:
    assert [rank["uneven"]["smallest"] for rank in ranks] == [1, 0]
    for results in (rank["uneven"][optimizer] for rank in ranks):
        assert farthest(results["across"], results["alone"]) < 2e-7


def test_tensor_parallel_with_partial_gradients_is_one_process(ranks: list[dict[str, Any]]) -> None:
    for results in (dict(rank["tensor_parallel"]) for rank in ranks):
        assert results.pop("partial")
        assert results.pop("elsewhere")
        assert all(version >= 4 for version in results.pop("versions"))  # autograd sees that they changed
        assert len(results) == 18
        for name, weights in results.items():
            assert farthest(weights["across"], weights["alone"]) < 2e-6, name


def test_each_process_steps_its_own_experts(ranks: list[dict[str, Any]]) -> None:
    for results in (rank["experts"] for rank in ranks):
        assert results["own"] == 2
        # Newton-Schulz in bfloat16 turns a last-digit difference into one of 2^-8 of a step.
        assert farthest(results["across"], results["alone"]) < 2e-4


@pytest.mark.parametrize("how", ["foreach", "fused"])
def test_a_step_on_shards_has_no_more_launches_than_the_bases(how: str, ranks: list[dict[str, Any]]) -> None:
    for results in (rank["launches"] for rank in ranks):
        assert 0 < results[f"{how} ours"] <= results[f"{how} base"] + 4
        if how == "fused" and results["kernel"].startswith("one pass"):
            assert results["fused ours"] <= 4


@pytest.mark.parametrize("order", ["clip_then_power", "power_then_clip"])
def test_the_clipping_of_these_runs_clips(order: str, ranks: list[dict[str, Any]]) -> None:
    results = ranks[0]["sharded"]
    for optimizer, gap in (("SGDPower", 1e-2), ("AdamWPower default", 1e-5)):
        free, clipped = (results[f"{optimizer} {name}"]["across"][1] for name in ("unclipped", order))
        assert farthest(free, clipped) > gap


@pytest.mark.parametrize("kind", ["sharded", "full", "flat", "disk"])
def test_distributed_checkpoint_resumes_bit_for_bit(kind: str, ranks: list[dict[str, Any]]) -> None:
    for results in (rank["checkpoint"] for rank in ranks):
        assert results[kind][0] == results["unbroken"][0]
        assert farthest(results[kind][1], results["unbroken"][1]) == 0
        assert results[f"{kind} powers"] == [1.2, 0.6]


def test_checkpoint_of_plain_adamw_keeps_the_power(ranks: list[dict[str, Any]]) -> None:
    assert [rank["plain_checkpoint"] for rank in ranks] == [{"power": 1.3, "same": True}] * WORLD


def test_shards_and_replicas_are_exact(ranks: list[dict[str, Any]]) -> None:
    images = {key: value for key, value in ranks[0]["images"].items() if isinstance(value, dict)}
    assert len(images) == 27
    for key, image in images.items():
        assert image["kept"], key
        # A shard has other entries beyond its last whole vector, where pow may round otherwise than within one.
        torch.testing.assert_close(image["image"], image["expected"], rtol=2**-22, atol=0, msg=str(key))


def test_partial_gradients_are_summed_by_the_optimizer_before_the_power(ranks: list[dict[str, Any]]) -> None:
    for results in (rank["images"] for rank in ranks):
        message = results["refusal"]  # of the map by itself, which knows no parameter
        assert message.startswith("placements of the gradient: (Partial(sum),) is not allowed; expected")
        assert results["gradient_kept"]
        assert len(results["meters"]) == 2
        assert all(
            "DTensors is not allowed; expected plain tensors" in message for message in results["meters"]
        )
        torch.testing.assert_close(results["moment"], results["expected_moment"], rtol=0, atol=0)
