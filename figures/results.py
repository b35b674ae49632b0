"""The committed result file of Section 4.1, `results/section_4_1.json`: its schema, and how it is read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from figures.style import Row
from theory.inputs import InputError

SCHEMA = {"name": "gradpower/section-4.1", "version": 1}
_KEYS = ("schema", "provenance", "optimal_powers", "claims")


def results(origin: Mapping[str, Any], powers: Sequence[Row], claims: Sequence[Row]) -> dict[str, Any]:
    """Return the result file's content; numbers to ten digits, so that the last bits make no difference.

    Parameters
    ----------
    origin : mapping
        From `figures.provenance.provenance`.
    powers : sequence of mapping
        From `figures.optima.optimal_powers`.
    claims : sequence of mapping
        The checked claims of the registry.
    """
    content = {"schema": SCHEMA, "provenance": origin, "optimal_powers": powers, "claims": claims}
    return {key: _rounded(value) for key, value in content.items()}


def dump(content: Mapping[str, Any]) -> str:
    """Return the result file's text."""
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def load(path: Path) -> dict[str, Any]:
    """Read a result file.

    Raises
    ------
    InputError
        If it cannot be read, or is not of this schema.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA or set(content) != set(_KEYS):
        raise InputError("results", path, f"a file of schema {SCHEMA['name']}, version {SCHEMA['version']}")
    return content


def _rounded(value: Any) -> Any:
    """Return plain data with floats to ten significant digits.

    >>> _rounded({"power": (0.1 + 0.2, 1)})
    {'power': [0.3, 1]}
    """
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.10g}") if isinstance(value, float) else value
