"""What a spawned process does with an optimizer that was sent to it."""

from __future__ import annotations

import pickle
from typing import Any

import torch


def stepped(sent: bytes) -> tuple[str, list[Any], list[list[float]]]:
    """Return class name, powers and weights after a step on gradients of 0.5."""
    optimizer = pickle.loads(sent)
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = torch.full_like(p, 0.5)
    optimizer.step()
    powers = [group["power"] for group in optimizer.param_groups]
    weights = [p.detach().flatten().tolist() for group in optimizer.param_groups for p in group["params"]]
    return type(optimizer).__name__, powers, weights
