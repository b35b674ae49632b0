"""Validation of the numbers that a user may give, and arrays from files."""

import warnings
from collections.abc import Callable
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradpower.tools.errors import InputError
from gradpower.tools.reading import DAMAGED, one_line

Array = NDArray[np.float64]
# What numpy raises for a damaged array: it reads the header as Python.
NO_ARRAY = (TokenError, SyntaxError, EOFError, MemoryError, *DAMAGED)
LARGEST_POWER = 10.0


def checked(argument: str, value: ArrayLike, allowed: str, test: Callable[[Array], Any]) -> Array:
    """Return `value` as float64 if every entry passes the test; else InputError says what is `allowed`."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(argument, value, allowed) from None
    bad = ~np.broadcast_to(test(array), array.shape)
    if np.any(bad):
        raise InputError(argument, float(array[bad].flat[0]), allowed)
    return array


def positive(argument: str, value: ArrayLike) -> Array:
    """Return `value` as float64 if every entry is finite and > 0."""
    return checked(argument, value, "a finite number > 0", lambda a: np.isfinite(a) & (a > 0))


def shape_of(kind: str, value: float, low: float, high: float) -> float:
    """Return `value` if it is a shape in [low, high] for the law `kind`."""
    if not low <= value <= high:
        raise InputError("law", f"{kind}:{value:g}", f"{kind}:NUMBER with a number in [{low:g}, {high:g}]")
    return float(value)


def nonnegative(argument: str, value: ArrayLike) -> Array:
    """Return `value` as float64 if every entry is finite and >= 0."""
    return checked(argument, value, "a finite number >= 0", lambda a: np.isfinite(a) & (a >= 0))


def finite(argument: str, value: ArrayLike) -> Array:
    """Return `value` as float64 if every entry is finite."""
    return checked(argument, value, "a finite number", np.isfinite)


def at_least_one(argument: str, value: ArrayLike) -> Array:
    """Return `value` as float64 if every entry is finite and >= 1."""
    return checked(argument, value, "a finite number >= 1", lambda a: np.isfinite(a) & (a >= 1))


def power_in_range(argument: str, value: ArrayLike) -> Array:
    """Return `value` as float64 if every entry is a power that the computations are made for: in (0, 10]."""
    return checked(argument, value, "a number in (0, 10]", lambda a: (a > 0) & (a <= LARGEST_POWER))


def decay(argument: str, value: float) -> float:
    """Return `value` if it is a decay rate of a moving average: in [0, 1), and with a memory of at most 10⁶ steps."""
    allowed = "a number in [0, 1), for this computation at most 0.999999"
    return float(checked(argument, value, allowed, lambda a: (a >= 0) & (a <= 0.999999)))


def entrywise(function: Callable[..., float], *arguments: Array) -> Array:
    """`function` of the floats at every place of the broadcast arguments."""
    places = np.broadcast(*arguments)
    results = [function(*map(float, values)) for values in places]
    return np.array(results, dtype=np.float64).reshape(places.shape)


def interval(argument: str, value: tuple[float, float]) -> tuple[float, float]:
    """Return `value` = (low, high), an interval of powers with an interior: 0 <= low < high <= 10."""
    low, high = (float(v) for v in value)
    if not (0 <= low < high <= LARGEST_POWER and high - low >= 1e-6):
        allowed = f"two numbers 0 <= LOW < HIGH <= {LARGEST_POWER:g}, at least 1e-6 apart"
        raise InputError(argument, f"({low!r}, {high!r})", allowed)
    return low, high


def read_npy(path: Path) -> NDArray[Any]:
    """Return the array in a .npy file, memory-mapped: a damaged header may promise more than the memory holds.

    ValueError if it is none, or one of objects.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of headers by Python 2
            loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except NO_ARRAY as error:
        raise ValueError(one_line(error)) from None
    if not isinstance(loaded, np.ndarray):
        loaded.close()
        raise ValueError("an archive of arrays")
    return loaded
