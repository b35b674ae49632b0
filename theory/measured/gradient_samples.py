"""Measured stochastic gradients at one point: read from a file, validated, and streamed tile by tile."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradpower.tools.errors import InputError, require
from gradpower.tools.reading import one_line
from theory.numerics.inputs import NO_ARRAY, Array, read_npy

FEWEST = 2  # one sample has no variance
_TILE = 2**20  # numbers in float64 at a time
_NARROWEST = 4096  # columns: below, reading a row-major file skips more than it reads
_BINARY, _TEXT = (".npy", ".npz"), (".txt", ".csv")
_READABLE = (
    "numbers in a .npy or .npz file (no pickled objects), or in a .txt or .csv file with one sample a row"
)


@dataclass(frozen=True, eq=False)
class GradientSamples:
    """n >= 2 stochastic gradients g of one network at one point θ, for the assumptions of Section 4.2.

    >>> data = GradientSamples(np.array([[1.0, -2.0], [3.0, 0.5], [2.0, 1.0]]))
    >>> data.count, data.coordinates, data.largest.tolist()
    (3, 2, [3.0, 2.0])
    """

    samples: NDArray[Any]
    """Shape (n, d), a row for each sample; (n,) means one coordinate. Any real type; computed with in float64, tile
    by tile, so that a memory-mapped file need not fit into memory."""
    gradient: NDArray[Any] | None = None
    """The full-batch gradient ∇F(θ), shape (d,), if it is known."""

    def __post_init__(self) -> None:
        """Check the shapes and read all samples once."""
        samples = np.asanyarray(self.samples)
        samples = samples[:, None] if samples.ndim == 1 else samples
        object.__setattr__(self, "samples", samples)
        require(samples.dtype.kind in "fiu", "samples", samples.dtype, "an array of real numbers")
        if samples.ndim != 2 or samples.shape[1] == 0 or len(samples) < FEWEST:
            allowed = f"shape (samples, coordinates) with at least {FEWEST} samples"
            raise InputError("samples", f"shape {samples.shape}", allowed)
        if self.gradient is not None:
            object.__setattr__(self, "gradient", _full_gradient(self.gradient, samples.shape[1]))
        if not np.any(self.largest):  # reads and checks every sample
            raise InputError("samples", "an array of zeros", "gradients that are not all 0")

    @classmethod
    def read(cls, path: Path, gradient: Path | None = None, array: str | None = None) -> GradientSamples:
        """Read samples, and the d numbers of the full-batch gradient if there is one, from files.

        They are .npy (memory-mapped), .npz (read whole; `array` is needed if it holds several), or .txt and .csv: a
        sample a line, numbers separated by white space in .txt and by commas in .csv, and comments after #.
        """
        return cls(_read("samples", path, array), None if gradient is None else _read("gradient", gradient))

    @property
    def count(self) -> int:
        """Number n of samples."""
        return int(self.samples.shape[0])

    @property
    def coordinates(self) -> int:
        """Number d of coordinates."""
        return int(self.samples.shape[1])

    @cached_property
    def largest(self) -> Array:
        """Largest |g_i| of every coordinate, shape (d,)."""
        largest = np.zeros(self.coordinates)
        for columns in self.blocks():
            row = 0
            for tile in self.tiles(columns):
                bad = ~np.isfinite(tile)
                if np.any(bad):
                    at, column = np.argwhere(bad)[0]
                    place = f"row {row + at + 1}, column {columns.start + column + 1}"
                    raise InputError("samples", f"{tile[at, column]} in {place}", "finite numbers")
                row += len(tile)
                np.maximum(largest[columns], np.abs(tile).max(axis=0), out=largest[columns])
        return largest

    def blocks(self) -> list[slice]:
        """Ranges of columns to work on one after the other."""
        narrowest = 1 if self.samples.flags.f_contiguous else _NARROWEST
        width = max(narrowest, _TILE // self.count)
        ends = [*range(0, self.coordinates, width), self.coordinates]
        return [slice(start, stop) for start, stop in pairwise(ends)]

    def tiles(self, columns: slice) -> Iterator[Array]:
        """The samples of a range of columns in float64, some rows at a time."""
        height = max(1, _TILE // (columns.stop - columns.start))
        for start in range(0, self.count, height):
            with np.errstate(over="ignore"):  # a long double beyond float64 is found to be infinite
                yield np.array(self.samples[start : start + height, columns], dtype=np.float64)


def _full_gradient(gradient: NDArray[Any], coordinates: int) -> Array:
    require(gradient.dtype.kind in "fiu", "gradient", gradient.dtype, "an array of real numbers")
    if gradient.size != coordinates or max(gradient.shape, default=0) != gradient.size:
        allowed = f"one number for each of the {coordinates} coordinates of the samples"
        raise InputError("gradient", f"shape {gradient.shape}", allowed)
    values = gradient.astype(np.float64).ravel()
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise InputError("gradient", f"{values[bad[0]]} in place {bad[0] + 1}", "finite numbers")
    return values


def _read(argument: str, path: Path, array: str | None = None) -> NDArray[Any]:
    suffix = path.suffix.lower()
    # A pipe or a device might never end; what is not there says so itself.
    plain = path.is_file() or not path.exists()
    require(plain and suffix in _BINARY + _TEXT, argument, path, _READABLE)
    if array is not None and suffix != ".npz":
        raise InputError("array", array, "given for an .npz file only")
    try:
        return _read_binary(path, array) if suffix in _BINARY else _read_text(path)
    except InputError:
        raise
    except (OSError, NotImplementedError, zipfile.BadZipFile, zlib.error, *NO_ARRAY) as error:
        raise InputError(argument, path, f"{_READABLE} ({one_line(error)})") from None


def _read_binary(path: Path, array: str | None) -> NDArray[Any]:
    if path.suffix.lower() == ".npy":
        return read_npy(path)
    # Opened here: numpy leaves a file open that turns out to be no archive.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as loaded:
        names = loaded.files
        chosen = names[0] if array is None and len(names) == 1 else array
        require(chosen in names, "array", chosen or "no name", "one of " + ", ".join(names))
        return np.asarray(loaded[chosen])


def _read_text(path: Path) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of an empty file, whose shape is refused
        return np.loadtxt(path, delimiter="," if path.suffix.lower() == ".csv" else None, ndmin=2)
