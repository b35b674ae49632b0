"""Result files: JSON that says what kind it is and where its numbers come from, read strictly into dataclasses."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from gradpower.tools.provenance import checkout
from gradpower.tools.reading import Schema, read_json

Config = TypeVar("Config")
Content = TypeVar("Content")


@dataclass(frozen=True)
class Provenance(Generic[Config]):
    """Where the numbers of a file come from; written by `gradpower.tools.provenance.provenance`."""

    command: str
    config: Config
    versions: dict[str, str]
    machine: str
    commit: str | None
    dirty: bool | None


@dataclass(frozen=True)
class Kind(Generic[Content]):
    """A kind of result file, `NAME.json`.

    Attributes
    ----------
    name : str
        Of the files and of their schema.
    content : type
        A dataclass with the field `provenance` and the parts of the file.
    digits : int
        Significant digits that are written: so few that the last bits make no difference.
    """

    name: str
    content: type[Content]
    digits: int

    @property
    def file(self) -> str:
        """Name of the files."""
        return f"{self.name}.json"

    @property
    def schema(self) -> Schema:
        """The mark by which the files are known."""
        return Schema(f"gradpower/{self.name}")

    def dump(self, provenance: Mapping[str, Any], **parts: object) -> str:
        """Return the text of a file from dataclasses; what is not finite is written as null."""
        content = {"schema": self.schema._asdict(), "provenance": provenance, **parts}
        rounded = _rounded(msgspec.to_builtins(content), self.digits)
        return json.dumps(rounded, ensure_ascii=False, indent=1, allow_nan=False) + "\n"

    def read(self, path: Path) -> Content:
        """Return the content of a file, or of the one in a folder.

        Raises
        ------
        InputError
            If it cannot be read, is damaged or of another kind; the message names the field.
        """
        return read_json(path / self.file if path.is_dir() else path, self.content, self.schema, "results")

    def find(self, folder: Path) -> Content | None:
        """Return the content of the file in `folder`, or else of the checkout's; None if there is none."""
        path = find_result(self.file, folder)
        return self.read(path) if path else None


def find_result(name: str, folder: Path) -> Path | None:
    """Return a file or folder of results by name, in `folder` or else in the checkout's results; None if nowhere."""
    root = checkout()
    places = [folder, *([root / "results"] if root else [])]
    return next((place / name for place in places if (place / name).exists()), None)


def _rounded(value: Any, digits: int) -> Any:
    """Return plain data with floats to so many significant digits; what is not finite, as None.

    >>> _rounded({"power": [0.1 + 0.2, 1, math.inf]}, 10)
    {'power': [0.3, 1, None]}
    """
    if isinstance(value, dict):
        return {key: _rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item, digits) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    return value
