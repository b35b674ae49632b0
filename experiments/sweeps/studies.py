"""The studies that can be named: TOML files, one of them known by its name."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from experiments.recipes.fields import FIELDS, require_field
from experiments.recipes.named import recipe
from experiments.sweeps.study import RATE, Rule, Study
from experiments.training.records import read_recipe
from gradpower.tools.errors import InputError, nearest
from gradpower.tools.reading import DAMAGED, convert, one_line

RUNS = Path("runs")
STUDIES = {"example": Path(__file__).with_name("example.toml")}


def chosen_study(word: str) -> Study:
    """Return the study of this name, or the one in this TOML file.

    InputError if there is none (the nearest name is suggested), or its rule cannot decide anything with its seeds.

    >>> chosen_study("exampel")
    Traceback (most recent call last):
    ...
    gradpower.tools.errors.InputError: study: exampel is not allowed; expected one of ... (did you mean example?)
    """
    path = Path(word) if word.endswith(".toml") else STUDIES.get(word)
    if path is None:
        allowed = f"one of {', '.join(STUDIES)}, or a .toml file"
        raise InputError("study", word, allowed + nearest(word, STUDIES))
    study = read_study(path)
    # A learning rate is chosen, for other runs, and not tested.
    if study.rule.compared != RATE and len(study.seeds) < 2:
        allowed = "two seeds or more: the rule's t test needs their spread"
        raise InputError("seeds", list(study.seeds), allowed)
    return study


def study_folder(word: str) -> Path:
    """Return the folder of a study, or its summary.json: named by its path, the study's name or its .toml file.

    InputError if there is none.
    """
    path = Path(word)
    if path.suffix == ".toml":
        path = RUNS / read_study(path).name
    elif path.is_file():
        return path
    for folder in (path, RUNS / path):
        if any((folder / name).exists() for name in ("study.json", "summary.json")):
            return folder
    allowed = f"a study with a folder in {RUNS}, a folder with study.json, or a summary.json"
    raise InputError("study", word, allowed + nearest(word, STUDIES))


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
    the text "none" stands for it where a field may be none. InputError if the file cannot be read, a key is unknown,
    missing or of another kind, or the study is none that can be.
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
