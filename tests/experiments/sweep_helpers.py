"""Small studies for the tests, and worker processes that are none."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from experiments.fields import to_dict
from experiments.records import read_metrics, read_result
from experiments.settings import Recipe
from experiments.sweeps.arms import arm_folder
from experiments.sweeps.rule import Rule
from experiments.sweeps.study import Study
from experiments.sweeps.worker import Plan
from tests.experiments.corpora import small_recipe

TIMES = ("tokens_per_second", "mfu")
POWER = "optimizer.power"


def small_study(
    text: Path, *, powers: Sequence[float] = (1.0, 1.2), seeds: Sequence[int] = (0, 1), **fields: Any
) -> Study:
    """A study of seconds; fields with __ for the dot."""
    return Study(
        "small", small_recipe(text, **fields), [{POWER: tuple(powers)}], Rule(POWER, 1.0), seeds=seeds
    )


def toml_of(
    base: Recipe, path: Path, *, powers: Sequence[float] = (1.0, 1.2), seeds: Sequence[int] = (0, 1)
) -> Path:
    """Write a study of a recipe as TOML, the recipe beside it, and return the file."""
    from experiments.records import RECIPE_SCHEMA

    content = {"schema": RECIPE_SCHEMA, "recipe": to_dict(base)}
    (path.parent / "recipe.json").write_text(json.dumps(content))
    path.write_text(
        f'name = "small"\nrecipe = "recipe.json"\nseeds = {list(seeds)}\n'
        f'[[axes]]\n"{POWER}" = {list(powers)}\n[rule]\ncompared = "{POWER}"\nbaseline = 1.0\n'
    )
    return path


def plan_of(study: Study, folder: Path, cache: Path, **more: Any) -> Plan:
    """The plan of all arms of a study."""
    execution = {"device": "cpu", "threads": 1, "log_every": 1, "cache": str(cache)} | more.pop(
        "execution", {}
    )
    arms = {arm.fingerprint: to_dict(arm.recipe) for arm in study.arms()}
    return Plan(str(folder), arms, execution, more.pop("retries", 2), more.pop("sweep", "test"), **more)


def outcomes(folder: Path, study: Study) -> dict[str, Any]:
    """All numbers that a study's arms left behind, but times: results and every line of metrics."""
    found = {}
    for arm in study.arms():
        own = arm_folder(folder, arm.fingerprint)
        result = read_result(own) or {}
        parts = ("status", "final", "evaluations", "fingerprint", "data", "model")
        rows = [{k: v for k, v in row.items() if k not in TIMES} for row in read_metrics(own)]
        found[arm.fingerprint] = ({part: result.get(part) for part in parts}, rows)
    return found


class Inline:
    """Stands for `Process`, and makes the calls in this process."""

    def call(self, function: Any, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        first, *rest = arguments
        if isinstance(first, Mapping) and first.get("parent") is not None:
            first = {**first, "parent": os.getppid()}
        try:
            future.set_result(function(first, *rest))
        except BaseException as error:
            future.set_exception(error)
        return future

    def close(self, *, kill: bool = False) -> None:
        pass
