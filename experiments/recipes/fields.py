"""The fields of a recipe by their dotted names, such as "optimizer.power"."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from experiments.recipes.settings import Recipe
from gradpower.tools.errors import InputError, require

SECTIONS: dict[str, type] = {name: kind for name, kind in get_type_hints(Recipe).items() if name != "name"}
FIELDS: dict[str, Any] = {
    f"{section}.{name}": kind
    for section, settings in SECTIONS.items()
    for name, kind in get_type_hints(settings).items()
}
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "none"}


def with_fields(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """Return the recipe with some fields replaced by dotted name, checked as a whole only after all of them are.

    Whole numbers are taken for real ones. Raises InputError if a field is unknown (the nearest name is suggested), or
    a value of another type or not allowed.

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
    sections = {
        section: dataclasses.replace(getattr(recipe, section), **fields)
        for section, fields in changes.items()
    }
    return dataclasses.replace(recipe, **sections)


def get_field(recipe: Recipe, name: str) -> Any:
    """Return the value of a field by its dotted name.

    >>> get_field(Recipe("mine"), "training.batch_size")
    512
    """
    section, _, key = require_field(name).partition(".")
    return getattr(getattr(recipe, section), key)


def differences(old: Recipe, new: Recipe) -> list[str]:
    """Return the fields in which two recipes differ, as `name: old → new`.

    >>> differences(Recipe("a"), with_fields(Recipe("a"), {"optimizer.power": 1.2}))
    ['optimizer.power: 1.0 → 1.2']
    """
    pairs = {name: (get_field(old, name), get_field(new, name)) for name in FIELDS}
    return [f"{name}: {before} → {after}" for name, (before, after) in pairs.items() if before != after]


# Fields that do nothing unless another has one of these values.
_NEEDS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "model.experts_per_token": ("model.family", ("qwen2-moe",)),
    "model.balance_loss": ("model.family", ("qwen2-moe",)),
    "optimizer.final_power": ("optimizer.power_schedule", ("linear", "cosine", "wsd")),
    "optimizer.beta2": ("optimizer.beta2_half_life", (None,)),
    "optimizer.momentum": ("optimizer.algorithm", ("muon",)),
    "optimizer.stretch_warmup": ("optimizer.module_rates", ("blockwise",)),
    **dict.fromkeys(
        (f"optimizer.mols_{name}" for name in ("share", "every", "exponent", "limit")),
        ("optimizer.module_rates", ("mols",)),
    ),
}


def require_effect(old: Recipe, new: Recipe) -> None:
    """Raise InputError if a field changed from the old recipe to the new one does nothing there.

    >>> require_effect(Recipe("a"), with_fields(Recipe("a"), {"optimizer.final_power": 1.2}))
    Traceback (most recent call last):
    ...
    gradpower.tools.errors.InputError: optimizer.final_power: 1.2 is not allowed; expected optimizer.power_schedule ...
    """
    for name, (other, values) in _NEEDS.items():
        value = get_field(new, name)
        if value != get_field(old, name) and get_field(new, other) not in values:
            needed = " or ".join(str(each or "none").lower() for each in values)
            raise InputError(name, value, f"{other} {needed}: it has no effect otherwise")
    powers = {new.optimizer.power, new.optimizer.embedding_power, new.optimizer.head_power}
    idle = new.optimizer.power_start != old.optimizer.power_start and powers <= {1.0, None}
    require(not idle, "optimizer.power_start", new.optimizer.power_start, "0 where every power is 1")


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
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        if get_origin(kind) is Literal:
            raise InputError(name, value, " or ".join(map(str, get_args(kind)))) from None
        allowed = ", or ".join(_KINDS[each] for each in get_args(kind) or (kind,))
        raise InputError(name, value, allowed) from None
