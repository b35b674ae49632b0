"""The committed result files, `results/*.json`: their schemas, and how they are read and written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from gradpower.tools.errors import InputError
from gradpower.tools.provenance import checkout

Kind = Literal["theory", "convergence", "step_time"]
KINDS: tuple[Kind, ...] = get_args(Kind)
VERSION = 1
# What a file of each kind holds, beside its schema and provenance.
_PARTS: dict[Kind, tuple[str, ...]] = {
    "theory": ("optimal_powers", "claims"),
    "convergence": ("studies",),
    "step_time": ("steps", "training", "launches"),
}
_DIGITS: dict[Kind, int] = {"theory": 10, "convergence": 6, "step_time": 4}


def schema(kind: Kind) -> dict[str, Any]:
    """Return the mark by which a file of this kind is known."""
    return {"name": f"gradpower/{kind}", "version": VERSION}


def results(kind: Kind, origin: Mapping[str, Any], **parts: Any) -> dict[str, Any]:
    """Return a result file's content; numbers to so many digits that the last bits make no difference.

    Parameters
    ----------
    kind : str
        "theory": `optimal_powers` from `figures.optima.optimal_powers`, and the checked `claims` of the registry;
        "convergence": `studies`, the rows of each of `simulate.questions`; "step_time": `steps` and `training` of
        `experiments.training.step_time`, `launches` of `experiments.training.launches`.
    origin : mapping
        From `gradpower.tools.provenance.provenance`.
    **parts
        What the kind asks for.
    """
    if set(parts) != set(_PARTS[kind]):
        raise ValueError(f"a {kind} file holds {_PARTS[kind]}, not {tuple(parts)}")
    content = {"schema": schema(kind), "provenance": origin, **parts}
    return {key: _rounded(value, _DIGITS[kind]) for key, value in content.items()}


def dump(content: Mapping[str, Any]) -> str:
    """Return the result file's text."""
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def load(path: Path, kind: Kind) -> dict[str, Any]:
    """Read a result file.

    Raises
    ------
    InputError
        If it cannot be read, or is not of this kind.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    keys = {"schema", "provenance", *_PARTS[kind]}
    if not isinstance(content, dict) or content.get("schema") != schema(kind) or set(content) != keys:
        raise InputError("results", path, f"a file of schema gradpower/{kind}, version {VERSION}")
    return content


def committed(kind: Kind, folder: Path) -> dict[str, Any] | None:
    """Return the results of this kind that lie in `folder`, or else in the checkout; None if there are none."""
    root = checkout()
    for place in (folder, *([root / "results"] if root else [])):
        path = place / f"{kind}.json"
        if path.is_file():
            return load(path, kind)
    return None


def _rounded(value: Any, digits: int) -> Any:
    """Return plain data with floats to so many significant digits; what is not finite, as None.

    >>> _rounded({"power": (0.1 + 0.2, 1, math.inf)}, 10)
    {'power': [0.3, 1, None]}
    """
    if isinstance(value, Mapping):
        return {key: _rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item, digits) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    return value
