"""How tensors lie in memory: what a pass over their elements in the order of memory has to know."""

from __future__ import annotations

import torch
from torch import Tensor


def fills_memory(tensor: Tensor) -> bool:
    """Return whether a strided tensor fills one stretch of memory, without gaps or overlaps, in any order.

    Examples
    --------
    >>> fills_memory(torch.ones(2, 3).T), fills_memory(torch.ones(2, 3)[:, :2])
    (True, False)
    """
    return tensor.is_contiguous() or bool(torch.ops.aten.is_non_overlapping_and_dense(tensor))


def same_layout(one: Tensor, other: Tensor) -> bool:
    """Return whether two strided tensors of one shape fill their memory in the same order of elements.

    Examples
    --------
    >>> same_layout(torch.ones(2, 3), torch.ones(2, 3)), same_layout(torch.ones(2, 3), torch.ones(3, 2).T)
    (True, False)
    """
    if one.shape != other.shape:
        return False
    if one.is_contiguous() or other.is_contiguous():
        return one.is_contiguous() and other.is_contiguous()
    return one.stride() == other.stride() and fills_memory(one)
