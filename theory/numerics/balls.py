"""Ball arithmetic (python-flint): float64 values certain to the last bit, and proofs over whole boxes.

A ball is a midpoint with a radius; every operation returns a ball that contains every possible exact result. A
closed form evaluated on one number is thus certified, and evaluated on an interval it bounds all values there, so an
inequality that holds between balls is proved for every point of the box.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock

from flint import arb, ctx

MAX_BITS = 1 << 14
_OWNER = RLock()


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Work at so many bits. flint's precision belongs to the process, so one thread at a time may set it."""
    with _OWNER, ctx.workprec(bits):
        yield


def certified(formula: Callable[[], arb]) -> float:
    """The midpoint of `formula()`, under growing precision until its relative error is below 2^−53; NaN if none is.

    >>> certified(lambda: arb(1).exp() - 1)
    1.7182818284590453
    """
    working = 96
    while working <= MAX_BITS:
        with precision(working):
            value = formula()
        if value.is_finite() and (value.rel_accuracy_bits() >= 53 or (value.is_exact() and value == 0)):
            return float(value)
        working *= 2
    return math.nan


def hull(low: float | arb, high: float | arb) -> arb:
    """The ball that covers [low, high].

    >>> hull(1, 2).contains(arb(1.5))
    True
    """
    return arb(low).union(arb(high))


def proved(
    statement: Callable[..., bool], box: Sequence[tuple[float, float]], most: int = 200_000
) -> tuple[bool, int]:
    """Prove a statement over a box by adaptive subdivision: whether it is proved, and how many boxes were examined.

    `statement` takes one ball a side; it is True only if it is certain for every point in them. A ValueError, which
    flint raises for a series divided by a ball around 0, counts as undecided. False means 'not proved', not 'false';
    so it is after `most` boxes.

    >>> proved(lambda x: x * x - x + 1 > 0, [(-10, 10)])[0]
    True
    """
    pending, examined = [tuple((float(low), float(high)) for low, high in box)], 0
    while pending:
        current = pending.pop()
        examined += 1
        if examined > most:
            return False, examined
        try:
            if statement(*(hull(low, high) for low, high in current)):
                continue
        except ValueError:
            pass
        widths = [
            (high - low) / (top - bottom) for (low, high), (bottom, top) in zip(current, box, strict=True)
        ]
        side = widths.index(max(widths))
        low, high = current[side]
        middle = (low + high) / 2
        if not low < middle < high:
            return False, examined
        for half in ((low, middle), (middle, high)):
            pending.append((*current[:side], half, *current[side + 1 :]))
    return True, examined


def enclosed_root(function: Callable[[arb], arb], low: float, high: float, width: float = 1e-13) -> arb:
    """Enclose a root of `function` between `low` and `high`, where it has opposite signs, by certified bisection.

    ArithmeticError if the signs at the ends are not certainly opposite, or precision runs out before `width`.
    """
    left, right = arb(low), arb(high)
    rising = bool(function(right) > 0)
    if not (function(left) < 0 if rising else function(left) > 0 and function(right) < 0):
        raise ArithmeticError(f"no certain change of sign on [{low}, {high}]")
    while float((right - left).upper()) > width:
        middle = ((left + right) / 2).mid()
        value = function(middle)
        if (value < 0) if rising else (value > 0):
            left = middle
        elif (value > 0) if rising else (value < 0):
            right = middle
        else:
            raise ArithmeticError(f"sign at {middle} is undecided at {ctx.prec} bits")
    return left.union(right)
