"""What the power costs where there are many small parameters: launches and host time of a step, plain and sharded.

A launch is an operation that reaches torch's dispatcher. Its number depends on no machine, as seconds do.
"""

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn
from torch.optim import SGD, AdamW, Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from experiments.training.step_cost import CostConfig, LaunchCount, Layout
from experiments.training.step_time import alternately, summary
from gradpower import AdamWPower, SGDPower

WIDTH = 16  # of the square matrices
RANKS = 2
BASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "AdamW, for-loop": (AdamW, AdamWPower, {"foreach": False}),
    "AdamW, foreach": (AdamW, AdamWPower, {"foreach": True}),
    "AdamW, fused": (AdamW, AdamWPower, {"fused": True}),
    "SGD with momentum, foreach": (SGD, SGDPower, {"lr": 1e-3, "momentum": 0.9, "foreach": True}),
}


class Launches(TorchDispatchMode):
    """Counts the operations that reach the dispatcher while it is entered, and calls a function at each of them."""

    def __init__(self, at_each: Callable[[], None] = lambda: None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.at_each = at_each
        self.count: int = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation after counting it."""
        self.count += 1
        self.at_each()
        return function(*args, **(kwargs or {}))


def launches_of(optimizer: Optimizer) -> int:
    """Return the launches of a step that is not the first, which makes the state.

    >>> weight = nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.ones(2)
    >>> launches_of(SGD([weight], lr=0.1, foreach=True))
    3
    """
    optimizer.step()
    launches = Launches()
    with launches:
        optimizer.step()
    return launches.count


def launch_rows(config: CostConfig, layout: Layout = "plain") -> list[LaunchCount]:
    """Return launches and seconds of a step of both optimizers, for numbers of square matrices of `WIDTH` rows.

    "sharded" is by FSDP2 over the processes of the group that is there.
    """
    return [_row(name, count, layout, config) for count in config.tensors for name in BASES]


def _row(name: str, count: int, layout: Layout, config: CostConfig) -> LaunchCount:
    device = config.device
    base, powered, settings = BASES[name]
    pair = []
    for make in (base, partial(powered, power=config.power)):
        model: Any = nn.Sequential(
            *(nn.Linear(WIDTH, WIDTH, bias=False, device=device) for _ in range(count))
        )
        if layout == "sharded":
            from torch.distributed.fsdp import fully_shard

            mesh = dist.device_mesh.init_device_mesh(device, (dist.get_world_size(),))
            model = fully_shard(model, mesh=mesh)
        for p in model.parameters():
            p.grad = torch.full_like(p, 1e-3)
        pair.append(make(model.parameters(), **settings))
    counted = (launches_of(pair[0]), launches_of(pair[1]))
    times = summary(alternately(pair[0].step, pair[1].step, device, config.rounds))
    return LaunchCount(name, count, layout, *counted, **asdict(times))


def all_rows(config: CostConfig) -> list[LaunchCount]:
    """Return the rows of both layouts: shards on the CPU only, on the first of `RANKS` processes of one thread each."""
    rows = launch_rows(config)
    if config.device == "cpu" and dist.is_available():
        with tempfile.TemporaryDirectory() as folder:
            spawn(_rank, (Path(folder), config), nprocs=RANKS)  # type: ignore[no-untyped-call]
            rows += msgspec.json.decode((Path(folder) / "rows.json").read_bytes(), type=list[LaunchCount])
    return rows


def _rank(rank: int, folder: Path, config: CostConfig) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    # Where the parent is killed, the others end with it after this time.
    patience = timedelta(minutes=2)
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=RANKS, timeout=patience)
    rows = launch_rows(config, "sharded")
    if rank == 0:
        (folder / "rows.json").write_bytes(msgspec.json.encode(rows))
    dist.barrier()
    dist.destroy_process_group()
