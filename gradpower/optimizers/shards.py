"""DTensors: what this process has of them, without importing torch.distributed.tensor for those who have none."""

import sys
from collections.abc import Iterable
from typing import Any, cast

from torch import Tensor
from torch.autograd.graph import increment_version

from gradpower.tools.errors import InputError


def is_dtensor(g: Tensor) -> bool:
    """Return whether `g` is a DTensor."""
    return any_dtensor((g,))


def any_dtensor(tensors: Iterable[Tensor]) -> bool:
    """Return whether there is a DTensor among some tensors."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and any(isinstance(g, module.DTensor) for g in tensors)


def refuse_shards(argument: str, tensors: Iterable[Tensor]) -> None:
    """Raise InputError if there are DTensors among the tensors, of which a process sees its own shard only."""
    if any_dtensor(tensors):
        raise InputError(argument, "DTensors", "plain tensors (each process would measure its own shard)")


def shard_of(g: Tensor) -> Tensor:
    """Return what this process has of a gradient, which may not be a sum that is still to be made (Partial)."""
    if is_dtensor(g) and any(place.is_partial() for place in cast(Any, g).placements):
        allowed = "Shard or Replicate (redistribute it first: the power of a sum is not the sum of powers)"
        raise InputError("placements of the gradient", cast(Any, g).placements, allowed)
    return cast(Tensor, cast(Any, g).to_local()) if is_dtensor(g) else g


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
        if local:
            # What the step does to the shards would not count as a change of the DTensors.
            increment_version([t for tensors in (params, *rest) for t in tensors if is_dtensor(t)])
        for tensors in (params, grads, *rest) if local else ():
            tensors[:] = map(local_part, tensors)
    return sharded


def local_part(tensor: Tensor) -> Tensor:
    """Return what this process has of a DTensor, other tensors as they are."""
    # to_local() would wrap a parameter anew at every step.
    return cast(Tensor, cast(Any, tensor)._local_tensor) if is_dtensor(tensor) else tensor


def reduced(p: Any, g: Any) -> Tensor:
    """Return the gradient in the placement of its parameter: sums that are still to be made (Partial) are made.

    The power of a sum is not the sum of powers. Tensor parallelism leaves other placements as well.
    """
    if is_dtensor(g) and is_dtensor(p) and g.placements != p.placements:
        return cast(Tensor, g.redistribute(p.device_mesh, p.placements))
    return cast(Tensor, g)
