"""DTensors: what this process has of them, without importing torch.distributed.tensor for those who have none."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, cast

from torch import Tensor

from gradpower.inputs import refusal


def is_dtensor(g: Tensor) -> bool:
    """Return whether `g` is a DTensor, without importing torch.distributed.tensor for those who have none."""
    return any_dtensor((g,))


def any_dtensor(tensors: Iterable[Tensor]) -> bool:
    """Return whether there is a DTensor among some tensors."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and any(isinstance(g, module.DTensor) for g in tensors)


def refuse_shards(argument: str, tensors: Iterable[Tensor]) -> None:
    """Raise ValueError if there are DTensors among the tensors, of which a process sees its own shard only."""
    if any_dtensor(tensors):
        raise refusal(
            argument, "DTensors", "plain tensors (each process would measure its own shard)", ValueError
        )


def shard_of(g: Tensor) -> Tensor:
    """Return what this process has of a DTensor, other tensors as they are."""
    if not is_dtensor(g):
        return g
    dtensor = cast(Any, g)
    if any(placement.is_partial() for placement in dtensor.placements):
        allowed = "Shard or Replicate (redistribute it first: the power of a sum is not the sum of powers)"
        raise refusal("placements of the gradient", dtensor.placements, allowed, ValueError)
    return cast(Tensor, dtensor.to_local())


def like_shard(g: Tensor, image: Tensor) -> Tensor:
    """Return the DTensor laid out as `g` whose shard here is `image`; if `g` is no DTensor, `image`."""
    if not is_dtensor(g):
        return image
    from torch.distributed.tensor import DTensor

    where = cast(DTensor, g)
    return DTensor.from_local(
        image, where.device_mesh, where.placements, run_check=False, shape=g.shape, stride=g.stride()
    )


def reduce_and_localize(
    params: list[Tensor], grads: list[Tensor], *rest: list[Tensor], local: bool = True
) -> bool:
    """Reduce the gradients in the lists of a step and, if `local`, replace DTensors by this process's shards.

    Return whether there were DTensors.
    """
    sharded = any_dtensor(params)
    if sharded:
        grads[:] = map(reduced, params, grads)
        for tensors in (params, grads, *rest) if local else ():
            # to_local() would wrap a parameter anew at every step.
            tensors[:] = [cast(Any, t)._local_tensor if is_dtensor(t) else t for t in tensors]
    return sharded


def reduced(p: Any, g: Any) -> Tensor:
    """Return the gradient in the placement of its parameter where it is a sum that is still to be made (Partial).

    The power of a sum is not the sum of powers.
    """
    if is_dtensor(g) and any(placement.is_partial() for placement in g.placements):
        return cast(Tensor, g.redistribute(p.device_mesh, p.placements))
    return cast(Tensor, g)
