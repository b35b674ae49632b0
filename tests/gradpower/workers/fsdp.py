"""FSDP2: sharded parameters, gradients and state, with and without clipping of the global norm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import Shard
from torch.optim import AdamW, Optimizer

from gradpower import AdamWPower, Clip, SGDPower, clip_then_power, power_then_clip
from tests.gradpower.workers.process import ADAMW, Result, shard, tiny_llama, train, weights


def odd_network() -> nn.Module:
    """Return a network whose parameters do not divide evenly: a rank has no entry of some of them."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 1))


SETTINGS: dict[str, dict[str, Any]] = {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def optimizers() -> Iterator[tuple[str, Callable[[nn.Module], Optimizer]]]:
    """Yield what is sharded; for SGD, unlike Adam, a wrong clipping factor is a wrong step at once."""
    clips: dict[str, Clip | None] = {
        "unclipped": None,
        "clip_then_power": clip_then_power(0.05),
        "power_then_clip": power_then_clip(0.02),
    }
    for name, setting in SETTINGS.items():
        yield f"AdamW {name}", lambda model, s=setting: AdamW(model.parameters(), **ADAMW, **s)
        for order, clip in clips.items():
            yield (
                f"AdamWPower {name} {order}",
                lambda model, s=setting, c=clip: AdamWPower(
                    model.parameters(), power=1.2, clip=c, **ADAMW, **s
                ),
            )
    for order, clip in clips.items():
        yield (
            f"SGDPower {order}",
            lambda model, c=clip: SGDPower(model.parameters(), lr=0.3, power=1.2, clip=c),
        )


def sharded() -> Result:
    results: Result = {}
    for name, make in optimizers():
        alone, across = tiny_llama(), shard(tiny_llama())
        optimizer = make(across)
        results[name] = {
            "alone": (train(alone, make(alone), range(5), alone=True), weights(alone)),
            "across": (train(across, optimizer, range(5), alone=False), weights(across)),
        }
        moments = [state["exp_avg"] for state in optimizer.state.values() if "exp_avg" in state]
        results[name]["state_is_sharded"] = all(m.placements == (Shard(0),) for m in moments)
    return results


def uneven() -> Result:
    results: Result = {}
    for name, make in optimizers():
        alone, across = odd_network(), shard(odd_network())
        for model in (alone, across):
            optimizer = make(model)
            for step in range(4):
                x = torch.randn(8, 5, generator=torch.Generator().manual_seed(step))
                share = x if model is alone else x.chunk(dist.get_world_size())[dist.get_rank()]
                model(share).square().mean().backward()
                optimizer.step()
                optimizer.zero_grad()
        results[name] = {"alone": weights(alone), "across": weights(across)}
    results["smallest"] = min(p.to_local().numel() for p in across.parameters())
    return results
