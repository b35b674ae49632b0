"""What a user may give: every refusal names the argument, the value and what is allowed."""

from __future__ import annotations

import math
from numbers import Real
from typing import TypeVar

from torch import Tensor

E = TypeVar("E", bound=Exception)

POWER = "a finite number > 0, or a 0-dimensional floating-point tensor of one"


def refusal(argument: str, value: object, allowed: str, kind: type[E]) -> E:
    """Return the error to raise: `argument: value is not allowed; expected allowed`.

    Examples
    --------
    >>> raise refusal("power", -1.0, "a finite number > 0", ValueError)
    Traceback (most recent call last):
    ...
    ValueError: power: -1.0 is not allowed; expected a finite number > 0
    """
    shown = repr(value) if isinstance(value, str) else str(value)
    return kind(f"{argument}: {shown} is not allowed; expected {allowed}")


def real(
    argument: str, value: object, allowed: str, *, low: float = -math.inf, open_low: bool = False
) -> float:
    """Return `value` if it is a finite real number >= `low` (> `low` if `open_low`).

    Raises
    ------
    TypeError
        If it is no real number; a bool or a string is none.
    ValueError
        If it is not finite or too small.

    Examples
    --------
    >>> real("offset", 1e-8, "a finite number >= 0", low=0)
    1e-08
    >>> real("offset", "small", "a finite number >= 0", low=0)
    Traceback (most recent call last):
    ...
    TypeError: offset: 'small' is not allowed; expected a finite number >= 0
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise refusal(argument, value, allowed, TypeError)
    number = float(value)
    if not math.isfinite(number) or number < low or (open_low and number == low):
        raise refusal(argument, value, allowed, ValueError)
    return number


def check_power(value: object, argument: str = "power", *, read: bool = True) -> float | Tensor:
    """Return `value` if it is a power p: finite, > 0, a number or a 0-dimensional real tensor.

    Without `read` the value of a tensor is not looked at: that would wait for its device, or break a graph.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If it is not finite or not positive, or the tensor has dimensions.

    Examples
    --------
    >>> check_power(1.2)
    1.2
    >>> check_power(float("nan"))
    Traceback (most recent call last):
    ...
    ValueError: power: nan is not allowed; expected a finite number > 0, or a 0-dimensional floating-point tensor of one
    """
    if not isinstance(value, Tensor):
        return real(argument, value, POWER, low=0, open_low=True)
    if not value.is_floating_point():
        raise refusal(argument, f"a tensor of {value.dtype}", POWER, TypeError)
    if value.ndim:
        raise refusal(argument, f"a tensor of shape {tuple(value.shape)}", POWER, ValueError)
    if read:
        real(argument, value.item(), POWER, low=0, open_low=True)
    return value
