"""How tensors lie in memory: what a pass over their elements in the order of memory has to know."""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from gradpower.transform import is_plain


def fills_memory(tensor: Tensor) -> bool:
    """Return whether a strided tensor fills one stretch of memory, without gaps or overlaps, in any order."""
    return tensor.is_contiguous() or bool(torch.ops.aten.is_non_overlapping_and_dense(tensor))


def same_layout(one: Tensor, other: Tensor) -> bool:
    """Return whether two strided tensors of one shape fill their memory in the same order of elements."""
    if one.shape != other.shape:
        return False
    if one.is_contiguous() or other.is_contiguous():
        return one.is_contiguous() and other.is_contiguous()
    return one.stride() == other.stride() and fills_memory(one)


def fit_together(
    params: Sequence[Tensor],
    *others: Sequence[Tensor],
    dtypes: Sequence[torch.dtype],
    device: torch.device,
) -> bool:
    """Return whether all tensors are plain, dense, of some dtypes and on a device, the others laid out as `params`."""

    def fits(t: Tensor) -> bool:
        return is_plain(t) and t.dtype in dtypes and t.device == device and not t.is_neg()

    return (
        all(len(tensors) == len(params) for tensors in others)
        and all(map(fits, chain(params, *others)))
        and all(all(map(same_layout, params, tensors)) for tensors in others)
    )
