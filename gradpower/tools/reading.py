"""Files that are read back: strictly, into types of ours, or refused in one line that names file and field."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from gradpower.tools.errors import InputError
from gradpower.tools.files import write_file
from gradpower.tools.terminal import jsonable

T = TypeVar("T")
# What decoding and the checks of our own types raise; deep nesting exceeds the recursion limit.
DAMAGED = (ValueError, TypeError, ArithmeticError, RecursionError)


class Schema(NamedTuple):
    """Kind and version of a file, its first key."""

    name: str
    version: int = 1

    def __str__(self) -> str:
        """Return what an error says is allowed."""
        return f"a file of schema {self.name}, version {self.version}"


def convert(content: object, kind: type[T], *, whole: bool = False) -> T:
    """Return plain data as a type of ours, whose own checks run; whole numbers are taken for real ones.

    ValueError names the place of a wrong type, a missing or unknown key, or a value that is not allowed. `whole`
    refuses content without one of the type's lists or tables, also if that has a default. (Single values may have been
    added to the type since a file was written.)

    >>> convert({"version": "one"}, dict[str, int])
    Traceback (most recent call last):
    ...
    msgspec.ValidationError: Expected `int`, got `str` - at `$[...]`
    """
    try:
        value = msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at ")
        choices = _choices(kind, re.findall(r"\.(\w+)", place)) if "enum" in reason else ""
        raise type(error)(f"{reason}{choices} - at {place}" if place else reason) from None
    _require_known(content, jsonable(value), "$", whole)
    return value


def _choices(kind: Any, names: Sequence[str]) -> str:
    """Return in words which values the field at the end of these names may have."""
    if not names:
        return f"; expected {' or '.join(map(str, get_args(kind)))}" if get_origin(kind) is Literal else ""
    hints = get_type_hints(kind) if hasattr(kind, "__annotations__") else {}
    parts = (
        [(hints[names[0]], names[1:])] if names[0] in hints else [(part, names) for part in get_args(kind)]
    )
    return next((text for part in parts if (text := _choices(*part))), "")


def _require_known(given: object, known: object, place: str, whole: bool) -> None:
    """Refuse keys that the type does not have, which msgspec passes over, and absent ones as `convert` says."""
    if isinstance(given, dict) and isinstance(known, dict):
        for key, value in given.items():
            if key not in known:
                raise ValueError(f"unknown key `{key}`; expected {', '.join(known)} - at `{place}`")
            _require_known(value, known[key], f"{place}.{key}", whole)
        for key in known.keys() - given.keys():
            if whole and isinstance(known[key], dict | list | tuple):
                raise ValueError(f"missing key `{key}` - at `{place}`")
    elif isinstance(given, list | tuple) and isinstance(known, list | tuple):
        for index, (value, same) in enumerate(zip(given, known, strict=True)):
            _require_known(value, same, f"{place}[{index}]", whole)


def read_json(path: Path, kind: type[T], schema: Schema, argument: str) -> T:
    """Return the content of a file that `write_json` wrote, of type `kind` without its schema.

    InputError, in the name of the argument by which a user named the file, if it cannot be read, is damaged, or of
    another schema.
    """
    try:
        content = msgspec.json.decode(path.read_bytes())
        if not isinstance(content, dict) or content.pop("schema", None) != schema._asdict():
            raise ValueError("it says nothing of this schema")
        return convert(content, kind, whole=True)
    except (OSError, *DAMAGED) as error:
        raise InputError(argument, path, f"{schema} ({one_line(error)})") from None


def one_line(error: BaseException) -> str:
    """Return the message of an error in one line.

    >>> one_line(FileNotFoundError(2, "No such file or directory"))
    'No such file or directory'
    """
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


def json_content(content: Any, schema: Schema) -> dict[str, Any]:
    """Return a value of one of our types as plain data under its schema; NaN and infinities become none."""
    return {"schema": schema._asdict(), **jsonable(content)}


def write_json(path: Path, content: Any, schema: Schema) -> Path:
    """Write a value of one of our types for `read_json`, and return the path."""
    text = json.dumps(json_content(content, schema), indent=1, allow_nan=False) + "\n"
    return write_file(path, text)


def read_lines(path: Path, kind: type[T]) -> tuple[list[T], int]:
    """Return the lines of a file to which JSON is appended, and how many were damaged and left out.

    A last line without an end counts as damaged: a kill cut it off, or it is being written. No file has no lines.
    """
    if not path.exists():
        return [], 0
    *lines, last = path.read_bytes().split(b"\n")
    rows, damaged = [], int(bool(last))
    for line in lines:
        try:
            rows.append(convert(msgspec.json.decode(line), kind))
        except DAMAGED:
            damaged += 1
    return rows, damaged


def append_line(path: Path, row: Any) -> None:
    """Append a line for `read_lines`; after a line that a kill cut off, on a line of its own."""
    line = json.dumps(jsonable(row), allow_nan=False) + "\n"
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else "\n" + line
        file.write(line.encode())
