"""FSDP2: sharded parameters, gradients and state, with and without clipping of the global norm."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from torch.optim import AdamW, Optimizer

from experiments.training.launches import launches_of
from gradpower import (
    AdamWPower,
    Clip,
    MuonAdamWPower,
    SGDPower,
    clip_then_power,
    muon_groups,
    power_then_clip,
    step_paths,
)
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
    yield "SGDPower momentum", lambda model: SGDPower(model.parameters(), lr=0.1, momentum=0.9, power=1.2)


def sharded() -> Result:
    results: Result = {}
    for name, make in optimizers():
        alone, across = tiny_llama(), shard(tiny_llama())
        optimizer = make(across)
        results[name] = {
            "alone": (train(alone, make(alone), range(5), alone=True), weights(alone)),
            "across": (train(across, optimizer, range(5), alone=False), weights(across)),
        }
        moments = [
            state[key]
            for state in optimizer.state.values()
            for key in ("exp_avg", "momentum_buffer")
            if key in state
        ]
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


class Experts(nn.Module):
    """A stack of matrices, as transformers 5 keeps experts, and a norm."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.stack = nn.Parameter(torch.randn(4, 6, 5, generator=generator))
        self.scale = nn.Parameter(torch.ones(5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bi,eji->bej", x * self.scale, self.stack).tanh()


def experts() -> Result:
    """Experts sharded on their own dimension, as fully_shard does: each process orthogonalises those it has."""
    results: Result = {}
    for model in (Experts(), shard(Experts())):
        optimizer = MuonAdamWPower(muon_groups(model, adamw_patterns=()), lr=0.02, power=1.2)
        alone = not isinstance(model.stack, DTensor)
        for step in range(4):
            x = torch.randn(8, 5, generator=torch.Generator().manual_seed(step))
            share = x if alone else x.chunk(dist.get_world_size())[dist.get_rank()]
            model(share).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        results["alone" if alone else "across"] = weights(model)
    results["own"] = model.stack.to_local().shape[0]
    return results


def launches() -> Result:
    """Dispatches of a step on the shards of many small parameters, of torch's AdamW and of ours."""
    results: Result = {
        "kernel": step_paths(AdamWPower([nn.Parameter(torch.ones(2))], power=1.2, fused=True))[0]
    }
    for how in ("foreach", "fused"):
        model = shard(nn.Sequential(*(nn.Linear(8, 8, bias=False) for _ in range(60))))
        for p in model.parameters():
            p.grad = torch.full_like(p, 0.5)
        for name, make in (("base", AdamW), ("ours", partial(AdamWPower, power=1.2))):
            results[f"{how} {name}"] = launches_of(make(model.parameters(), **{how: True}))
    return results


class Feedforward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(10, 8)
        self.norm = nn.LayerNorm(8)
        self.up = nn.Linear(8, 16)
        self.down = nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(self.norm(self.embedding(x))).relu())


def tensor_parallel() -> Result:
    """Linear layers cut by columns and rows, an embedding by rows, and a norm on pieces of the sequence.

    The gradient of the norm is Partial, and that of the embedding, which is cut, is whole on every process.
    """
    results: Result = {}
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    plan = {
        "embedding": RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1)),
        "norm": SequenceParallel(use_local_output=False),
        "up": ColwiseParallel(input_layouts=Shard(1)),
        "down": RowwiseParallel(output_layouts=Shard(1)),
    }
    tokens = torch.randint(10, (4, 6), generator=torch.Generator().manual_seed(1))
    target = torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(2))
    kinds = {"AdamWPower": partial(AdamWPower, **ADAMW), "SGDPower": partial(SGDPower, lr=0.1, momentum=0.9)}
    clips = (None, clip_then_power(0.1), power_then_clip(0.1))
    for kind, how, clip in itertools.product(kinds, SETTINGS, clips):
        alone, across = Feedforward(), parallelize_module(Feedforward(), mesh, plan)
        for model in (alone, across):
            optimizer = kinds[kind](model.parameters(), power=1.2, clip=clip, **SETTINGS[how])
            share = target if model is alone else target.chunk(dist.get_world_size(), dim=1)[dist.get_rank()]
            for _ in range(4):
                ((model(tokens) - share).square().sum() / target.numel()).backward()
                results["partial"] = any(is_partial(p.grad) for p in model.parameters())
                results["elsewhere"] = any(is_elsewhere(p) for p in model.parameters())
                optimizer.step()
                optimizer.zero_grad()
        order = clip.order if clip else "unclipped"
        results[f"{kind} {how} {order}"] = {"alone": weights(alone), "across": weights(across)}
    results["versions"] = [p._version for p in across.parameters()]
    return results


def is_elsewhere(p: nn.Parameter) -> bool:
    """Whether the gradient is whole on every process, and the parameter cut."""
    return isinstance(p, DTensor) and p.placements == (Shard(0),) and p.grad.placements == (Replicate(),)


def is_partial(g: Tensor) -> bool:
    return isinstance(g, DTensor) and any(placement.is_partial() for placement in g.placements)
