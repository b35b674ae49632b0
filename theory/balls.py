"""Ball arithmetic (python-flint) as a source of certified float64 values.

A closed form written once in `arb` serves twice: here it is rounded to a float whose last bit is certain, and in
the rigorous checks it is evaluated over whole intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from flint import arb, ctx

MAX_BITS = 1 << 14


def certified(formula: Callable[[], arb], bits: int = 53) -> float:
    """Evaluate `formula` with growing precision until its relative error is below 2^−bits.

    Parameters
    ----------
    formula : callable
        Takes nothing, returns an `arb`; called under increasing working precision.
    bits : int
        Relative accuracy asked for.

    Returns
    -------
    float
        The midpoint, rounded. NaN if no precision up to `MAX_BITS` is enough.

    Examples
    --------
    >>> certified(lambda: arb(1).exp() - 1)
    1.7182818284590453
    """
    saved = ctx.prec
    precision = 96
    try:
        while precision <= MAX_BITS:
            ctx.prec = precision
            value = formula()
            if value.is_finite() and (value.rel_accuracy_bits() >= bits or (value.is_exact() and value == 0)):
                return float(value)
            precision *= 2
    finally:
        ctx.prec = saved
    return math.nan
