"""What a user may give: one error, and the checks of single values that raise it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from numbers import Real
from typing import SupportsFloat, SupportsInt, cast


class InputError(ValueError):
    """A value that a user gave and that is not allowed, whatever is wrong with it: its kind, its size, its meaning.

    The message names the argument, the value and what is allowed, so that the command line can print it as it is.

    Examples
    --------
    >>> print(InputError("power", -1.0, "a finite number > 0"))
    power: -1.0 is not allowed; expected a finite number > 0
    """

    def __init__(self, argument: str, value: object, allowed: str) -> None:
        self.argument, self.value, self.allowed = argument, value, allowed
        # Blank text, and a line break in it, would be lost in the one line of the message.
        hidden = isinstance(value, str) and not (value.strip() and value.isprintable())
        shown = repr(value) if hidden else value
        super().__init__(f"{argument}: {shown} is not allowed; expected {allowed}")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        return type(self), (self.argument, str(self.value), self.allowed)  # the value may be a function


def require(holds: object, argument: str, value: object, allowed: str) -> None:
    """Raise InputError(argument, value, allowed) unless it `holds`."""
    if not holds:
        raise InputError(argument, value, allowed)


def nearest(word: str, names: Iterable[str]) -> str:
    """Return what an error adds to help: " (did you mean NAME?)", or nothing if no name is like the word."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(names), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def real(
    argument: str,
    value: object,
    allowed: str = "",
    *,
    ge: float = -math.inf,
    gt: float = -math.inf,
    le: float = math.inf,
    lt: float = math.inf,
) -> float:
    """Return `value` as a float if it is a finite real number, no bool, with ge <= value <= le and gt < value < lt.

    >>> real("offset", 1, ge=0)
    1.0
    >>> real("level", "high", gt=0, lt=1)
    Traceback (most recent call last):
    ...
    gradpower.tools.errors.InputError: level: 'high' is not allowed; expected a number in (0, 1)
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(cast(SupportsFloat, value))
            if math.isfinite(number) and ge <= number <= le and gt < number < lt:
                return number
    low, high = max(ge, gt), min(le, lt)
    if not allowed and high < math.inf:
        allowed = f"a number in {'(' if gt == low else '['}{low:g}, {high:g}{')' if lt == high else ']'}"
    elif not allowed:
        allowed = "a finite number" + (f" >{'' if gt == low else '='} {low:g}" if low > -math.inf else "")
    raise InputError(argument, _seen(value), allowed)


def whole(argument: str, value: object, minimum: int = 1) -> int:
    """Return `value` as an int if it is a whole number, 1e6 too, of at least `minimum` and at most 2^53.

    >>> whole("steps", 1e6)
    1000000
    """
    number = None
    if isinstance(value, Real) and not isinstance(value, bool):
        with suppress(OverflowError, ValueError):  # infinity, NaN
            number = int(cast(SupportsInt, value))
    if number is not None and number == value and minimum <= number <= 2**53:
        return number
    large = number is not None and number > 2**53
    raise InputError(argument, _seen(value), "at most 2^53" if large else f"a whole number >= {minimum}")


def _seen(value: object) -> object:
    """Return a number as it is, and else what tells its kind: the text "1" and a tensor of 1 look like numbers."""
    return value if isinstance(value, Real) else repr(value)
