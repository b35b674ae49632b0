"""The studies that can be named: those known by name, functions that return a whole `Study`, and TOML files."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from experiments.recipes.fields import FIELDS, require_field
from experiments.recipes.named import recipe
from experiments.sweeps.study import RATE, Rule, Study
from experiments.training.records import read_recipe
from gradpower.tools.errors import InputError, require
from gradpower.tools.reading import DAMAGED, convert, one_line


def example() -> Study:
    """Two powers at two batch sizes, the same tokens at each, learning rate ∝ √(batch size), two seeds: 15 minutes.

    It shows how a study works; two seeds are too few to decide anything but large effects.

    Examples
    --------
    >>> len(example().arms())
    8
    """
    batches = {
        "training.batch_size": (8, 16),
        "training.steps": (800, 400),
        "optimizer.warmup_steps": (60, 30),
        "optimizer.learning_rate": (4.2e-3, 6e-3),
    }
    return Study(
        "example",
        recipe("pocket"),
        axes=({"optimizer.power": (1.0, 1.2)}, batches),
        rule=Rule("optimizer.power", 1.0, within="training.batch_size"),
        seeds=(0, 1),
    )


RUNS = Path("runs")
STUDIES: dict[str, Callable[[], Study]] = {"example": example}


def chosen_study(word: str) -> Study:
    """Return the study of this name, or the one in this TOML file.

    Raises
    ------
    InputError
        If there is none (the nearest name is suggested), or its rule cannot decide anything with its seeds.

    Examples
    --------
    >>> chosen_study("exampel")
    Traceback (most recent call last):
    ...
    gradpower.tools.errors.InputError: study: exampel is not allowed; expected one of ... (did you mean example?)
    """
    if word.endswith(".toml"):
        study = read_study(Path(word))
    elif word in STUDIES:
        study = STUDIES[word]()
    else:
        near = get_close_matches(word, STUDIES, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError("study", word, f"one of {', '.join(STUDIES)}, or a .toml file{hint}")
    # A learning rate is chosen, for other runs, and not tested.
    if study.rule.compared != RATE and len(study.seeds) < 2:
        allowed = "two seeds or more: the rule's t test needs their spread"
        raise InputError("seeds", list(study.seeds), allowed)
    return study


def study_folder(word: str) -> Path:
    """Return the folder of a study, or its summary.json, that a word names: as a path, or as `chosen_study` does.

    InputError if there is none.
    """
    path = Path(word)
    if path.is_file() and path.suffix != ".toml":
        return path
    for near in (path, RUNS / word):
        if any((near / name).exists() for name in ("study.json", "summary.json")):
            return near
    try:
        folder = RUNS / chosen_study(word).name
    except InputError as error:
        if path.suffix == ".toml":
            raise
        allowed = f"{error.allowed}, or a folder with study.json, or a summary.json"
        raise InputError("study", word, allowed) from None
    require(folder.is_dir(), "study", word, f"one with a folder: there is no {folder} yet")
    return folder


@dataclass(frozen=True)
class _File:
    """What a TOML file holds: a `Study` whose recipe is named."""

    name: str
    recipe: str
    axes: Sequence[Mapping[str, Sequence[Any]]]
    rule: Rule
    seeds: Sequence[int] = (0, 1, 2)
    fields: Mapping[str, Any] = field(default_factory=dict)


def read_study(path: Path) -> Study:
    """Return the study that a TOML file describes.

    Its `recipe` is the name of a recipe, or the path of a run's recipe.json beside the file. TOML has no empty value:
    the text "none" stands for it where a field may be none.

    Raises
    ------
    InputError
        If the file cannot be read, a key is unknown, missing or of another kind, or the study is none that can be.
    """
    try:
        content = convert(tomllib.loads(path.read_text(encoding="utf-8")), _File)
        is_file = content.recipe.endswith(".json")
        return Study(
            name=content.name,
            recipe=read_recipe(path.parent / content.recipe) if is_file else recipe(content.recipe),
            axes=[
                {name: tuple(_value(name, value) for value in values) for name, values in axis.items()}
                for axis in content.axes
            ],
            rule=content.rule,
            seeds=tuple(content.seeds),
            fields={name: _value(name, value) for name, value in content.fields.items()},
        )
    except (OSError, *DAMAGED) as error:
        allowed = f"the TOML file of a study, dotted names in quotes ({one_line(error)})"
        raise InputError("study", path, allowed) from None


def _value(name: str, value: Any) -> Any:
    """Return a field's value; the text none as no value, where the field may have none."""
    return None if value == "none" and type(None) in get_args(FIELDS[require_field(name)]) else value
