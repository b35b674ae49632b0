"""Studies as TOML files, read strictly: what is not understood is refused."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from experiments.fields import FIELDS, require_field
from experiments.recipes import recipe as recipe_named
from experiments.records import read_recipe
from experiments.sweeps.rule import Rule
from experiments.sweeps.study import Study
from gradpower.tools.errors import InputError, require

KEYS = {"name": str, "recipe": str, "seeds": list, "fields": dict, "axes": list, "rule": dict}
NEEDED = ("name", "recipe", "axes", "rule")
_KINDS = {str: "text", list: "a list", dict: "a table"}


def read_study(path: Path) -> Study:
    """Return the study that a TOML file describes.

    Its `recipe` is the name of a recipe, or the path of a run's recipe.json beside the file. TOML has no empty value:
    the text "none" stands for it where a field may be none.

    Raises
    ------
    InputError
        If the file cannot be read, a key is unknown (the nearest is suggested), missing or of another kind, or
        the study is none that can be.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("study", path, f"a TOML file that can be read ({error.strerror})") from None
    except ValueError as error:  # of the encoding as well
        raise InputError("study", path, f"a TOML file, texts and dotted names in quotes ({error})") from None
    return _study(content, path.parent)


def _study(content: Mapping[str, Any], folder: Path) -> Study:
    _known("key", content, KEYS)
    for key, kind in KEYS.items():
        require(key in content or key not in NEEDED, "study", f"one without `{key}`", ", ".join(KEYS))
        value = content.get(key, kind())
        require(isinstance(value, kind), key, value, _KINDS[kind])
    named = content["recipe"]
    base = read_recipe(folder / named) if named.endswith(".json") else recipe_named(named)
    given = {"seeds": tuple(content["seeds"])} if "seeds" in content else {}
    return Study(
        content["name"],
        base,
        [_axis(axis) for axis in content["axes"]],
        _rule(content["rule"]),
        fields={name: _value(name, value) for name, value in content.get("fields", {}).items()},
        **given,
    )


def _axis(axis: Any) -> dict[str, tuple[Any, ...]]:
    require(isinstance(axis, dict), "axes", axis, "tables [[axes]]")
    for name, values in axis.items():
        _quoted(name, values)
        require_field(name)
        require(isinstance(values, list), name, values, "a list of values")
    return {name: tuple(_value(name, value) for value in values) for name, values in axis.items()}


def _rule(table: Mapping[str, Any]) -> Rule:
    fields = dataclasses.fields(Rule)
    _known("rule", table, [field.name for field in fields])
    for field in fields:
        needed = field.default is dataclasses.MISSING
        require(
            not needed or field.name in table, "rule", f"one without `{field.name}`", "compared and baseline"
        )
    return Rule(**table)


def _quoted(name: str, value: Any) -> None:
    """Refuse a table where a field is meant: without quotes, a dotted name is one in TOML."""
    if isinstance(value, dict):
        dotted = ".".join([name, *list(value)[:1]])
        raise InputError("study", f"{dotted} without quotes", f'"{dotted}" = …: quote the dotted name')


def _value(name: str, value: Any) -> Any:
    """Return a field's value; the text none as no value, where the field may have none."""
    _quoted(name, value)
    require_field(name)
    return None if value == "none" and type(None) in get_args(FIELDS[name]) else value


def _known(argument: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for name in names:
        near = get_close_matches(name, known, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        require(name in known, argument, name, f"one of {', '.join(known)}{hint}")
