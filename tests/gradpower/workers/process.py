"""What the distributed scenarios share: a model, data, training across processes or alone, and the process itself.

A scenario trains across the processes and alone, on the same data, and hands both back to be compared.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

Result = dict[str, Any]
VOCABULARY, BATCH, LENGTH = 128, 8, 12
ADAMW: dict[str, Any] = {"lr": 1e-3, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}


def tiny_llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=LENGTH, **sizes))


def tokens(step: int) -> Tensor:
    return torch.randint(VOCABULARY, (BATCH, LENGTH), generator=torch.Generator().manual_seed(step))


def mean_over_ranks(value: Tensor) -> Tensor:
    """Return the mean over the ranks, without ReduceOp.AVG, which gloo does not have."""
    value = value.detach().clone()
    dist.all_reduce(value)
    return value / dist.get_world_size()


def train(
    model: nn.Module,
    optimizer: Optimizer,
    steps: range,
    *,
    alone: bool,
    accumulate: int = 1,
) -> list[float]:
    """Return the loss of every step; across ranks each takes its share of the batch, in `accumulate` pieces."""
    losses = []
    for step in steps:
        share = tokens(step) if alone else tokens(step).chunk(dist.get_world_size())[dist.get_rank()]
        total = torch.zeros(())
        for piece, ids in enumerate(share.chunk(accumulate)):
            last = piece == accumulate - 1
            quiet = isinstance(model, DistributedDataParallel) and not last
            with model.no_sync() if quiet else contextlib.nullcontext():
                loss = model(input_ids=ids, labels=ids).loss / accumulate
                loss.backward()
            total += loss.detach()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(total if alone else mean_over_ranks(total)))
    return losses


def weights(model: nn.Module) -> dict[str, Tensor]:
    whole = {name: p.full_tensor() if isinstance(p, DTensor) else p for name, p in model.named_parameters()}
    return {name.removeprefix("module."): p.detach().clone() for name, p in whole.items()}


def shard(model: nn.Module) -> nn.Module:
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in model.model.layers if hasattr(model, "model") else []:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def run(*scenarios: Callable[[], Result]) -> None:
    """Be process RANK of WORLD: run all scenarios and write their results to FOLDER/RANK.pt."""
    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    dist.init_process_group(
        "gloo", init_method=store, rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    torch.save({scenario.__name__: scenario() for scenario in scenarios}, folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
