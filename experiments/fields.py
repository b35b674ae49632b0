"""The fields of a recipe by their dotted names, such as "optimizer.power", and recipes as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin, get_type_hints

from experiments.settings import (
    DataSettings,
    ModelSettings,
    OptimizerSettings,
    Recipe,
    TrainingSettings,
)
from gradpower.tools.errors import InputError, require

SECTIONS: dict[str, type] = {
    "model": ModelSettings,
    "data": DataSettings,
    "optimizer": OptimizerSettings,
    "training": TrainingSettings,
}
FIELDS: dict[str, Any] = {
    f"{section}.{name}": kind
    for section, settings in SECTIONS.items()
    for name, kind in get_type_hints(settings).items()
}


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain data, for JSON.

    >>> sorted(to_dict(Recipe("mine")))
    ['data', 'model', 'name', 'optimizer', 'training']
    """
    return dataclasses.asdict(recipe)


def from_dict(content: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `to_dict` wrote.

    Raises
    ------
    InputError
        If it is none, a field is unknown or a value not allowed.

    Examples
    --------
    >>> from_dict(to_dict(Recipe("mine"))) == Recipe("mine")
    True
    """
    holds = isinstance(content, Mapping) and isinstance(content.get("name"), str)
    told = ", ".join(map(str, content)) if isinstance(content, Mapping) else content
    require(holds, "recipe", told or "nothing", "a name and sections of settings")
    for section, settings in content.items():
        known = section == "name" or (section in SECTIONS and isinstance(settings, Mapping))
        require(known, f"recipe.{section}", settings, f"a table of settings, in {', '.join(SECTIONS)}")
    flat = {
        f"{section}.{name}": value
        for section, settings in content.items()
        if section != "name"
        for name, value in settings.items()
    }
    return with_fields(Recipe(content["name"]), flat)


def with_fields(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """Return the recipe with some fields replaced, checked as a whole only after all of them are.

    Parameters
    ----------
    recipe : Recipe
        The recipe to start from.
    values : mapping
        By dotted name, such as {"optimizer.power": 1.2}. Whole numbers are taken for real ones.

    Raises
    ------
    InputError
        If a field is unknown (the nearest name is suggested), or a value of another type or not allowed.

    Examples
    --------
    >>> with_fields(Recipe("mine"), {"optimizer.power": 1.2}).optimizer.power
    1.2
    >>> with_fields(Recipe("mine"), {"data.sorce": "c4"})
    Traceback (most recent call last):
    ...
    gradpower.tools.errors.InputError: field: data.sorce is not allowed; expected ... (did you mean data.source?)
    """
    changes: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for name, value in values.items():
        section, _, key = require_field(name).partition(".")
        changes[section][key] = _typed(name, value)
    made = {
        section: dataclasses.replace(getattr(recipe, section), **fields)
        for section, fields in changes.items()
    }
    return dataclasses.replace(recipe, **made)


def get_field(recipe: Recipe, name: str) -> Any:
    """Return the value of a field by its dotted name.

    >>> get_field(Recipe("mine"), "training.batch_size")
    512
    """
    section, _, key = require_field(name).partition(".")
    return getattr(getattr(recipe, section), key)


def require_field(name: str) -> str:
    """Return `name` if it is the dotted name of a field; else raise InputError with the nearest."""
    if name not in FIELDS:
        ends = {field.partition(".")[2]: field for field in FIELDS}
        near = [ends[end] for end in get_close_matches(name.rpartition(".")[2], ends, n=1)]
        near = get_close_matches(name, FIELDS, n=1) or near
        hint = f" (did you mean {near[0]}?)" if near else f": {', '.join(FIELDS)}"
        raise InputError("field", name, f"a field of a recipe{hint}")
    return name


def _typed(name: str, value: Any) -> Any:
    """Return `value` if it is of the field's type, a whole number as a real one where that is meant."""
    kind = FIELDS[name]
    if get_origin(kind) is Literal:
        require(value in get_args(kind), name, value, " or ".join(map(str, get_args(kind))))
        return value
    kinds = [k for k in get_args(kind) or (kind,) if k is not type(None)]
    if value is None and len(kinds) < len(get_args(kind) or (kind,)):
        return None
    (plain,) = kinds
    if plain is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    require(type(value) is plain, name, value, names[plain])
    return value
