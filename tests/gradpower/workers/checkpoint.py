"""torch.distributed.checkpoint of a powered optimizer under FSDP2."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import AdamW

from gradpower import AdamWPower
from tests.gradpower.workers.process import ADAMW, Result, shard, tiny_llama, train, weights


def checkpoint() -> Result:
    """Stop after 3 steps, put the state into a new model and optimizer of other powers, go on."""

    def powered(model: nn.Module, power: float) -> AdamWPower:
        decayed = [p for p in model.parameters() if p.ndim == 2]
        rest = [p for p in model.parameters() if p.ndim != 2]
        groups = [{"params": decayed}, {"params": rest, "power": power / 2, "weight_decay": 0.0}]
        return AdamWPower(groups, power=power, **ADAMW)

    whole = shard(tiny_llama())
    results: Result = {"unbroken": (train(whole, powered(whole, 1.2), range(6), alone=False), weights(whole))}
    choices: dict[str, dict[str, bool]] = {
        "sharded": {},
        "full": {"full_state_dict": True},
        "flat": {"flatten_optimizer_state_dict": True},
        "disk": {},
    }
    for name, choice in choices.items():
        options = StateDictOptions(**choice)
        first, second = shard(tiny_llama()), shard(tiny_llama())
        optimizer, resumed = powered(first, 1.2), powered(second, 2.0)
        losses = train(first, optimizer, range(3), alone=False)
        saved = get_optimizer_state_dict(first, optimizer, options=options)
        second.load_state_dict(first.state_dict())
        if name == "disk":
            dcp.save({"optimizer": saved}, checkpoint_id=Path(sys.argv[3]) / "checkpoint")
            saved = get_optimizer_state_dict(second, resumed)
            dcp.load({"optimizer": saved}, checkpoint_id=Path(sys.argv[3]) / "checkpoint")
        set_optimizer_state_dict(second, resumed, saved, options=options)
        losses += train(second, resumed, range(3, 6), alone=False)
        results[name] = (losses, weights(second))
        results[f"{name} powers"] = [group["power"] for group in resumed.param_groups]
    return results


def plain_checkpoint() -> Result:
    """AdamW's checkpoint, of no power, in AdamWPower."""
    first = shard(tiny_llama())
    plain = AdamW(first.parameters(), **ADAMW)
    train(first, plain, range(3), alone=False)
    powered = AdamWPower(first.parameters(), power=1.3, **ADAMW)
    set_optimizer_state_dict(first, powered, get_optimizer_state_dict(first, plain))
    same = [
        torch.equal(plain.state[p]["exp_avg"].to_local(), powered.state[p]["exp_avg"].to_local())
        for p in first.parameters()
    ]
    return {"power": powered.param_groups[0]["power"], "same": all(same)}
