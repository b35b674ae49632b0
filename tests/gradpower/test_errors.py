"""The one error for what a user gave, and the checks of single values that raise it."""

from __future__ import annotations

import math
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from gradpower.tools.errors import InputError, real, require, whole


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.int64(1), np.uint8(1), Fraction(1), True + 0])
def test_every_kind_of_number_is_taken(value):
    for number in (real("x", value), whole("x", value)):
        assert (number, type(number)) == (1, type(number))
    assert type(real("x", value)) is float
    assert type(whole("x", value)) is int


@pytest.mark.parametrize(
    "value",
    [
        True,
        np.True_,
        "1",
        None,
        1j,
        [1],
        Decimal(1),
        torch.tensor(1),
        np.array(1),
        math.nan,
        math.inf,
        -math.inf,
    ],
)
@pytest.mark.parametrize("check", [real, whole])
def test_what_is_no_finite_number_is_refused(check, value):
    with pytest.raises(InputError, match=r"^x: .* is not allowed; expected "):
        check("x", value)


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "allowed"),
    [
        ({"gt": 0}, 5e-324, 0.0, "a finite number > 0"),
        ({"ge": 0}, 0.0, -5e-324, "a finite number >= 0"),
        ({"gt": 0, "lt": 1}, 0.5, 1.0, r"a number in \(0, 1\)"),
        ({"ge": 0, "le": 1}, 1.0, 1.5, r"a number in \[0, 1\]"),
        ({"ge": 0, "lt": 1}, 0.0, 1.0, r"a number in \[0, 1\)"),
        ({}, -1e300, 10**400, "a finite number$"),
    ],
)
def test_bounds_are_kept_and_told(bounds, inside, outside, allowed):
    assert real("x", inside, **bounds) == inside
    with pytest.raises(InputError, match=allowed):
        real("x", outside, **bounds)


def test_whole_numbers_are_exact_up_to_their_limit():
    assert whole("x", 2**53 - 1) == 2**53 - 1
    assert whole("x", 1e6) == 10**6
    assert whole("x", 0, minimum=0) == 0
    for large in (2**53 + 1, 10**400):
        with pytest.raises(InputError, match=r"at most 2\^53"):
            whole("x", large)
    for other in (0, 2.5, -1):
        with pytest.raises(InputError, match="a whole number >= 1"):
            whole("x", other)


@pytest.mark.parametrize(
    ("value", "shown"),
    [("", "''"), (" ", "' '"), ("a\nb", r"'a\\nb'"), ("linear", "linear"), (0.5, "0.5"), (None, "None")],
)
def test_the_message_is_one_line_that_shows_the_value(value, shown):
    with pytest.raises(InputError, match=rf"^x: {shown} is not allowed; expected another$"):
        require(False, "x", value, "another")
    require(True, "x", value, "another")


@pytest.mark.parametrize(("value", "shown"), [("1", "'1'"), (torch.tensor(1.0), r"tensor\(1\.\)")])
def test_what_looks_like_a_number_shows_its_kind(value, shown):
    with pytest.raises(InputError, match=rf"^x: {shown} is"):
        real("x", value)


def test_the_error_travels_between_processes():
    error = InputError("x", lambda: 0, "another")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.argument) == (InputError, str(error), "x")
