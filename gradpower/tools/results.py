"""Result files: JSON that says what kind it is and where its numbers come from, read strictly into dataclasses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from gradpower.tools.provenance import checkout
from gradpower.tools.reading import Schema, read_json
from gradpower.tools.terminal import jsonable

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
    """A kind of result file, `NAME.json`, whose `content` is a dataclass with the field `provenance`."""

    name: str
    content: type[Content]
    digits: int  # significant ones that are written: so few that the last bits make no difference
    version: int = 1  # raised when files of before can no longer be read

    @property
    def file(self) -> str:
        """Name of the files."""
        return f"{self.name}.json"

    @property
    def schema(self) -> Schema:
        """The mark by which the files are known."""
        return Schema(f"gradpower/{self.name}", self.version)

    def dump(self, provenance: Mapping[str, Any], **parts: object) -> str:
        """Return the text of a file from dataclasses; what is not finite is written as null."""
        content = {"schema": self.schema._asdict(), "provenance": provenance, **parts}
        rounded = jsonable(msgspec.to_builtins(content), self.digits)
        return json.dumps(rounded, ensure_ascii=False, indent=1, allow_nan=False) + "\n"

    def read(self, path: Path) -> Content:
        """Return the content of a file, or of the one in a folder; its errors are those of `read_json`."""
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
