"""Ball arithmetic helpers: what they certify is true, and what is false they do not prove."""

import math

import pytest
from flint import arb, ctx

from theory.numerics.balls import certified, enclosed_root, hull, proved


def test_certified_survives_cancellation():
    """(1 + 1e-40 − 1)/1e-40 needs 180 bits."""
    tiny = arb(10) ** -40
    assert certified(lambda: (1 + arb(10) ** -40 - 1) * 10**40) == 1.0
    assert certified(lambda: arb(2).sqrt()) == math.sqrt(2)
    assert float(tiny) > 0
    assert ctx.prec == 53


def test_certified_gives_up_as_nan():
    assert math.isnan(certified(lambda: hull(1, 2)))


def test_proved_and_not_proved():
    assert proved(lambda x, y: x * x + y * y + 1 > 2 * x * y, [(-3, 3), (-3, 3)])[0]
    assert not proved(lambda x: x * x > 0, [(-1, 1)])[0]
    assert not proved(lambda x: x.sin() < 0.99, [(0, 3)], most=1000)[0]


def test_enclosed_root():
    root = enclosed_root(lambda x: x * x - 2, 1, 2, width=1e-14)
    assert root.contains(arb(2).sqrt())
    falling = enclosed_root(lambda x: x.cos(), 1, 2, width=1e-14)
    assert falling.overlaps(arb.pi() / 2)
    with pytest.raises(ArithmeticError, match="no certain change of sign"):
        enclosed_root(lambda x: x * x + 1, 0, 1)
