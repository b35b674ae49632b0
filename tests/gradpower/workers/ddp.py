"""DistributedDataParallel and ZeroRedundancyOptimizer."""

from __future__ import annotations

import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from gradpower import AdamWPower, MuonPower
from tests.gradpower.workers.process import ADAMW, Result, tiny_llama, train, weights


def matrices(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.ndim == 2]


def accumulation() -> Result:
    """DDP with no_sync, and the same alone."""
    alone = tiny_llama()
    reference = train(alone, AdamWPower(alone.parameters(), power=1.2, **ADAMW), range(10), alone=True)
    ddp = DistributedDataParallel(tiny_llama())
    losses = train(
        ddp, AdamWPower(ddp.parameters(), power=1.2, **ADAMW), range(10), alone=False, accumulate=2
    )
    return {
        "alone": (reference, weights(alone)),
        "across": (losses, weights(ddp)),
    }


def muon() -> Result:
    results = {}
    for name, alone in (("alone", True), ("across", False)):
        model = tiny_llama()
        wrapped = model if alone else DistributedDataParallel(model)
        optimizer = MuonPower(matrices(model), lr=1e-3, power=1.2, adjust_lr_fn="match_rms_adamw")
        results[name] = (train(wrapped, optimizer, range(5), alone=alone), weights(wrapped))
    return results


def zero_redundancy() -> Result:
    """ZeRO-1 against the same optimizer on every rank, its state gathered and loaded again half-way."""
    # Not at the top: the import warns of torch.jit, and pytest reads this file too.
    from torch.distributed.optim import ZeroRedundancyOptimizer

    ddp = DistributedDataParallel(tiny_llama())
    full = train(ddp, AdamWPower(ddp.parameters(), power=1.2, **ADAMW), range(6), alone=False)

    def sharded(model: nn.Module) -> Optimizer:
        return ZeroRedundancyOptimizer(model.parameters(), optimizer_class=AdamWPower, power=1.2, **ADAMW)

    model = DistributedDataParallel(tiny_llama())
    first = sharded(model)
    losses = train(model, first, range(3), alone=False)
    first.consolidate_state_dict(to=0)
    gathered = [first.state_dict() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(gathered)
    second = sharded(model)
    second.param_groups[0]["power"] = 3.0
    second.load_state_dict(gathered[0])
    losses += train(model, second, range(3, 6), alone=False)
    owned = sum(len(group["params"]) for group in second.optim.param_groups)
    return {
        "alone": (full, weights(ddp)),
        "across": (losses, weights(model)),
        "powers": [second.param_groups[0]["power"], second.optim.param_groups[0]["power"]],
        "owned": [owned, len(list(model.parameters()))],
    }
