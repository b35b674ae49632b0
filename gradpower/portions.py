"""A step a few parameters at a time, so that the powered gradients never need more room than one parameter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gradpower.layout import fills_memory
from gradpower.transform import SignPower, is_plain

Group = dict[str, Any]


class Scratch:
    """Room for the powered gradients of one portion on the CPU, where new memory costs more than the power.

    Parameters
    ----------
    size : int
        Entries of the largest parameter: the only extra memory of a step, freed after it.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.flat: dict[torch.dtype, Tensor] = {}

    def apply(self, transform: SignPower, gradients: list[Tensor]) -> list[Tensor]:
        """Return the images of dense contiguous-in-memory gradients of one portion, in this room."""
        used, powered = 0, []
        for g in gradients:
            flat = self.flat.setdefault(g.dtype, torch.empty(0, dtype=g.dtype))
            if flat.numel() < self.size:
                flat = self.flat[g.dtype] = torch.empty(self.size, dtype=g.dtype)
            room = flat[used : used + g.numel()].as_strided(g.shape, g.stride())
            powered.append(transform(g, out=room))
            used += g.numel()
        return powered


def with_gradient(group: Group) -> list[Tensor]:
    """Return the parameters of a group that have a gradient."""
    return [p for p in group["params"] if p.grad is not None]


def gradients_of(group: Group) -> list[Tensor]:
    """Return the gradients of a group, of the parameters that have one."""
    return [p.grad for p in group["params"] if p.grad is not None]


def powered_gradients(gradients: list[Tensor], transform: SignPower, scratch: Scratch | None) -> list[Tensor]:
    """Return the images of all gradients, in `scratch` where that saves new memory."""
    if scratch is None or transform.is_identity:
        return transform.foreach(gradients)
    if all(g.device.type == "cpu" and is_plain(g) and fills_memory(g) for g in gradients):
        return scratch.apply(transform, gradients)
    return transform.foreach(gradients)


def portions(group: Group, transform: SignPower, largest: int) -> Iterator[Group]:
    """Split a group into portions of at most as many entries as the largest parameter, in order."""
    if transform.is_identity:
        yield group
        return
    portion: list[Tensor] = []
    total = 0
    for p in with_gradient(group):
        if portion and total + p.numel() > largest:
            yield {**group, "params": portion}
            portion, total = [], 0
        portion.append(p)
        total += p.numel()
    if portion:
        yield {**group, "params": portion}
