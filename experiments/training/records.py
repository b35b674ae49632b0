"""What a run leaves in its folder, beside its checkpoints: the recipe, metrics line by line, one result file.

| file | what |
|---|---|
| recipe.json | all settings |
| metrics.jsonl | a line for every few steps, and one for every evaluation |
| result.json | the final record, when the run is completed or has diverged |
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Required, TypedDict

from experiments.recipes.fields import differences
from experiments.recipes.settings import Recipe
from gradpower.tools.errors import InputError, require
from gradpower.tools.files import write_file
from gradpower.tools.reading import Schema, append_line, read_json, read_lines, write_json
from gradpower.tools.terminal import jsonable

RUN_SCHEMA = Schema("gradpower/run")
RECIPE_SCHEMA = Schema("gradpower/recipe")


class FolderInUse(InputError):
    """Another process of this machine trains in the folder."""


class Metric(TypedDict, total=False):
    """A line of metrics: of some steps of training, or of an evaluation (with a validation loss)."""

    step: Required[int]
    tokens: int
    loss: float | None
    gradient_norm: float | None
    learning_rate: float
    power: float
    tokens_per_second: float | None
    mfu: float | None
    validation_loss: float | None
    standard_error: float | None
    sequences: int
    documents: int
    targets: int
    loss_by_frequency: list[float | None]
    calibration_by_frequency: list[float | None]
    expert_load: list[list[float]] | None
    update_rms: float | None
    sharpness: float | None
    squared_snr: dict[str, float] | None


@dataclass(frozen=True)
class Final:
    """Where a run ended; losses in nats a token, none if it diverged."""

    step: int
    tokens: int
    validation_loss: float | None = None
    standard_error: float | None = None
    validation_sequences: int | None = None
    expert_load: list[list[float]] | None = None
    spikes: int | None = None
    """Of the training loss, by the lines of metrics."""


@dataclass(frozen=True)
class Timing:
    """How long a run took, and the median of its training speed."""

    seconds: float | None = None
    tokens_per_second: float | None = None
    mfu: float | None = None


@dataclass(frozen=True)
class RunResult:
    """The content of result.json; InputError if the fingerprint is not that of the recipe."""

    status: Literal["completed", "diverged"]
    fingerprint: str
    recipe: Recipe
    final: Final
    data: dict[str, Any]
    """The text: its `fingerprint`, where it comes from, and how much there is."""
    provenance: dict[str, Any]
    """As of `gradpower.tools.provenance.provenance`."""
    hardware: dict[str, Any]
    evaluations: tuple[Metric, ...] = ()
    timing: Timing = field(default_factory=Timing)
    model: dict[str, Any] | None = None
    """Its size, and the digest of its initial weights."""
    module_scales: Mapping[str, float | None] | None = None
    diverged: dict[str, Any] | None = None
    """The step and the loss that was no longer finite; of a completed run, a last one above ln(vocabulary)."""
    execution: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Check the fingerprint."""
        _require_fingerprint(self.fingerprint, self.recipe)


@dataclass(frozen=True)
class _RecipeFile:
    recipe: Recipe
    fingerprint: str | None = None
    tokens: str | None = None
    """Name of the folder of its tokens in the cache."""

    def __post_init__(self) -> None:
        named = self.tokens is None or re.fullmatch("[0-9a-f]{24}", self.tokens)
        require(named, "tokens", self.tokens, "24 hexadecimal digits")
        if self.fingerprint is not None:
            _require_fingerprint(self.fingerprint, self.recipe)


def _require_fingerprint(given: str, recipe: Recipe) -> None:
    require(given == recipe.fingerprint, "fingerprint", given, f"that of the recipe, {recipe.fingerprint}")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run's folder for this process; FolderInUse if another one of this machine trains there."""
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout:
        raise FolderInUse("output", folder, "a folder where no other process is training") from None


def read_recipe(path: Path) -> Recipe:
    """Return the recipe of a run from its recipe.json; InputError if it cannot be read."""
    return read_json(path, _RecipeFile, RECIPE_SCHEMA, "recipe").recipe


def require_same(folder: Path, recipe: Recipe) -> None:
    """Raise InputError, with the fields that differ, if the folder holds a run of another recipe."""
    path = folder / "recipe.json"
    changed = differences(read_recipe(path), recipe) if path.exists() else []
    allowed = f"an empty folder: it holds a run of another recipe ({'; '.join(changed)})"
    require(not changed, "output", folder, allowed)


def read_tokens(folder: Path) -> str | None:
    """Return the name of the tokens of the run in a folder, if there is one that is known."""
    path = folder / "recipe.json"
    return read_json(path, _RecipeFile, RECIPE_SCHEMA, "recipe").tokens if path.exists() else None


def write_recipe(folder: Path, recipe: Recipe, tokens: str | None = None) -> None:
    """Write recipe.json, unless it is there."""
    path = folder / "recipe.json"
    if not path.exists():
        write_json(path, _RecipeFile(recipe, recipe.fingerprint, tokens), RECIPE_SCHEMA)


def read_result(folder: Path) -> RunResult | None:
    """Return the result in a run's folder; None if there is none yet."""
    path = folder / "result.json"
    return read_json(path, RunResult, RUN_SCHEMA, "output") if path.exists() else None


def write_result(folder: Path, result: RunResult) -> None:
    """Write result.json."""
    write_json(folder / "result.json", result, RUN_SCHEMA)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl, see `Metric`; damaged ones, as a last one cut off by a kill, are left out."""
    return [dict(row) for row in read_lines(folder / "metrics.jsonl", Metric)[0]]


def cut_metrics(folder: Path, step: int) -> int:
    """Take from metrics.jsonl what lies after this step, and damaged lines; return how many were damaged."""
    rows, damaged = read_lines(folder / "metrics.jsonl", Metric)
    kept = [json.dumps(jsonable(row)) + "\n" for row in rows if row["step"] <= step]
    write_file(folder / "metrics.jsonl", "".join(kept))
    return damaged


def append_metric(folder: Path, row: dict[str, Any]) -> None:
    """Add a line to metrics.jsonl."""
    append_line(folder / "metrics.jsonl", row)
