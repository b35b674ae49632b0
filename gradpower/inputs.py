"""The powers that a user may give, numbers or tensors."""

from __future__ import annotations

from torch import Tensor

from gradpower.tools.errors import real, require

POWER = "a finite number > 0, or a 0-dimensional floating-point tensor of one"


def check_power(value: object, argument: str = "power", *, read: bool = True) -> float | Tensor:
    """Return `value` if it is a power p: finite, > 0, a number or a 0-dimensional real tensor.

    Without `read` the value of a tensor is not looked at: that would wait for its device, or break a graph.
    """
    if not isinstance(value, Tensor):
        return real(argument, value, POWER, gt=0)
    require(value.is_floating_point(), argument, f"a tensor of {value.dtype}", POWER)
    require(value.ndim == 0, argument, f"a tensor of shape {tuple(value.shape)}", POWER)
    if read:
        real(argument, value.item(), POWER, gt=0)
    return value
