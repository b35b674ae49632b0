"""What a run leaves in its folder, beside its checkpoints: the recipe, metrics line by line, one result file.

| file | what |
|---|---|
| recipe.json | all settings |
| metrics.jsonl | a line for every few steps, and one for every evaluation |
| result.json | the final record, when the run is completed or has diverged |
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.fields import from_dict, to_dict
from experiments.settings import Recipe
from gradpower.tools.errors import InputError
from gradpower.tools.files import write_file
from gradpower.tools.terminal import jsonable

RUN_SCHEMA = {"name": "gradpower/run", "version": 1}
RECIPE_SCHEMA = {"name": "gradpower/recipe", "version": 1}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run's folder for this process.

    Raises
    ------
    InputError
        If another process of this machine trains there.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout:
        raise InputError("output", folder, "a folder where no other process is training") from None


def differences(old: Recipe, new: Recipe) -> list[str]:
    """Return the fields in which two recipes differ, as `name: old → new`.

    Examples
    --------
    >>> from experiments.fields import with_fields
    >>> differences(Recipe("a"), with_fields(Recipe("a"), {"optimizer.power": 1.2}))
    ['optimizer.power: 1.0 → 1.2']
    """
    before, after = to_dict(old), to_dict(new)
    return [
        f"{section}.{name}: {value} → {after[section][name]}"
        for section, fields in before.items()
        if section != "name"
        for name, value in fields.items()
        if after[section][name] != value
    ]


def read_recipe(path: Path) -> Recipe:
    """Return the recipe of a run from its recipe.json.

    Raises
    ------
    InputError
        If it cannot be read, or is no recipe.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or content.get("schema") != RECIPE_SCHEMA:
        raise InputError("recipe", path, "a file of schema gradpower/recipe, version 1")
    try:
        return from_dict(content.get("recipe", {}))
    except InputError as error:
        raise InputError("recipe", path, f"a recipe that can be ({error})") from None


def require_same(folder: Path, recipe: Recipe) -> None:
    """Check that the folder holds no run of another recipe.

    Raises
    ------
    InputError
        If the folder holds another run; the message names the fields that differ.
    """
    path = folder / "recipe.json"
    if path.exists():
        differing = differences(read_recipe(path), recipe)
        if differing:
            allowed = f"an empty folder: it holds a run of another recipe ({'; '.join(differing)})"
            raise InputError("output", folder, allowed)


def claim_folder(folder: Path, recipe: Recipe) -> None:
    """Write recipe.json, unless it is there."""
    path = folder / "recipe.json"
    if path.exists():
        return
    content = {"schema": RECIPE_SCHEMA, "fingerprint": recipe.fingerprint, "recipe": to_dict(recipe)}
    write_file(path, json.dumps(content, indent=1) + "\n")


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return the result in a run's folder; None if there is none yet.

    Raises
    ------
    InputError
        If the file is none of ours.
    """
    path = folder / "result.json"
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("schema") != RUN_SCHEMA:
        raise InputError("output", path, "a file of schema gradpower/run, version 1")
    return content


def write_result(folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Write result.json and return its content, as it can be read back."""
    result = run_result(content)
    write_file(folder / "result.json", json.dumps(result, indent=1, allow_nan=False) + "\n")
    return result


def run_result(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of result.json.

    >>> run_result({"status": "completed"})["schema"]["name"]
    'gradpower/run'
    """
    return dict(jsonable({"schema": RUN_SCHEMA, **content}))


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl; damaged ones, as a last one that was cut off by a kill, are left out."""
    path = folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1] if path.exists() else []
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return [row for row in rows if isinstance(row, dict) and "step" in row]


class Metrics:
    """metrics.jsonl, to which lines are appended; what lies after the step resumed from is cut off first."""

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / "metrics.jsonl"
        kept = [row for row in read_metrics(folder) if row["step"] <= step]
        write_file(self.path, "".join(map(_line, kept)))

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(row))


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(jsonable(row), allow_nan=False) + "\n"
