"""Flags that commands share: the noise example, and where the result goes. For the command line only."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from theory.inputs import InputError, decay, nonnegative, positive
from theory.laws import NoiseLaw, parse_law

_NOISE_TO_SIGNAL = 10.0  # where the best power is 1.22, the paper's working value


@dataclass(frozen=True)
class Example:
    """Adam on powered noisy gradients, g = μ + σξ (Example 4.1); the defaults are Figure 7's.

    >>> Example(mean=1e-3).sigma
    0.01
    """

    mean: float = 1e-6
    """Full-batch gradient μ > 0."""
    noise_to_signal: float | None = None
    """Noise-to-signal ratio σ/μ >= 0; 10 unless --noise-scale is given."""
    noise_scale: float | None = None
    """Noise level σ >= 0, instead of --noise-to-signal."""
    law: str = "uniform"
    """Law of ξ: uniform, binary, gaussian, laplace, generalized-normal:B, student-t:DF, two-point:Q,
    sparse:Q or empirical:FILE."""
    beta1: float = 0.9
    """Decay rate of Adam's first average, in [0, 0.999999]."""
    beta2: float = 0.95
    """Decay rate of Adam's second average, in [0, 0.999999]."""
    epsilon: float = 1e-8
    """Adam's ε >= 0, on the powered scale."""

    def __post_init__(self) -> None:
        """Check every value, before any work."""
        positive("mean", self.mean)
        if self.noise_to_signal is not None:
            nonnegative("noise_to_signal", self.noise_to_signal)
            if self.noise_scale is not None:
                raise InputError("noise_scale", self.noise_scale, "either it or noise_to_signal, not both")
        nonnegative("noise_scale", self.sigma)
        decay("beta1", self.beta1)
        decay("beta2", self.beta2)
        nonnegative("epsilon", self.epsilon)
        self.noise_law  # noqa: B018  (reads and checks the law)

    @property
    def sigma(self) -> float:
        """Noise level σ."""
        if self.noise_scale is not None:
            return self.noise_scale
        return self.mean * (_NOISE_TO_SIGNAL if self.noise_to_signal is None else self.noise_to_signal)

    @cached_property
    def noise_law(self) -> NoiseLaw:
        """The law that `law` spells."""
        return parse_law(self.law)

    def inputs(self) -> dict[str, Any]:
        """Return all inputs, for the JSON result."""
        return {
            "mean": self.mean,
            "noise_to_signal": self.sigma / self.mean,
            "noise_scale": self.sigma,
            "law": self.law,
            "beta1": self.beta1,
            "beta2": self.beta2,
            "epsilon": self.epsilon,
        }


@dataclass(frozen=True)
class Output:
    """Where the result goes: a table on stdout, or JSON; and a file."""

    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object with the results and all inputs instead of a table."""
    output: Path | None = None
    """Also write that JSON object to this file."""

    def __post_init__(self) -> None:
        """Refuse a place that cannot be written, before any work."""
        if self.output is not None:
            require_writable(self.output)

    def show(self, result: Mapping[str, Any], table: Table) -> None:
        """Print `result`, as `table` or as JSON, and write it to the file if one is named."""
        text = json.dumps(jsonable(result), allow_nan=False)
        if self.json:
            print(text)
        else:
            Console().print(table)
        if self.output is not None:
            write_atomically(self.output, text + "\n")
            # With --json, stdout holds the object and nothing else.
            print(f"wrote {self.output}", file=sys.stderr if self.json else sys.stdout)


ExampleFlags = Annotated[Example, tyro.conf.arg(name="")]
OutputFlags = Annotated[Output, tyro.conf.arg(name="")]


def require_writable(path: Path) -> None:
    """Raise InputError unless `path` can be a file in an existing, writable folder."""
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError("output", path, "a file in an existing folder that can be written")


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    require_writable(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def jsonable(value: Any) -> Any:
    """Return `value` with arrays as lists, and NaN and infinities as None.

    >>> jsonable({"power": np.array([1.0, np.nan]), "bound": math.inf})
    {'power': [1.0, None], 'bound': None}
    """
    if isinstance(value, np.ndarray | np.generic):
        return jsonable(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def result_table(title: str, columns: Mapping[str, Sequence[Any]], digits: int = 6) -> Table:
    """Return a rich table of `columns` by heading; numbers with so many significant digits."""
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=SIMPLE,
        collapse_padding=True,
        min_width=min(len(title), 80),
    )
    for heading in columns:
        table.add_column(heading, justify="right")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*(escape(_cell(value, digits)) for value in row))
    return table


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item, digits) for item in value) or "none"
    if value is None:
        return "none"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
