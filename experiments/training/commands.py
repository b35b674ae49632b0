"""The commands `gradpower recipes` and `gradpower train`."""

import json as json_module
import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from experiments.recipes.fields import require_effect
from experiments.recipes.model_size import model_size
from experiments.recipes.named import RECIPES
from experiments.recipes.named import recipe as recipe_named
from experiments.recipes.settings import Recipe
from experiments.training.execution import Execution
from experiments.training.records import RUN_SCHEMA, read_recipe
from gradpower.tools.errors import InputError, require
from gradpower.tools.reading import json_content
from gradpower.tools.terminal import jsonable, result_table

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]
RecipeFlags = Annotated[Recipe, tyro.conf.arg(name="")]
ExecutionFlags = Annotated[Execution, tyro.conf.arg(name="")]
EXIT = {"completed": 0, "diverged": 1, "paused": 130}
_HERE = Execution()


def recipes(name: Annotated[str | None, tyro.conf.Positional] = None, json: Flag = False) -> None:
    """List the recipes, or print all settings of one.

    Parameters
    ----------
    name
        Print all settings of this recipe as JSON, every field by the name that `gradpower train` and studies use.
    json
        Print one JSON object instead of a table.
    """
    if name is not None:
        print(json_module.dumps(asdict(recipe_named(name)), indent=1))
        return
    rows = [_row(make()) for make in RECIPES.values()]
    if json:
        print(json_module.dumps(jsonable(rows)))
        return
    columns = {
        "name": [row["name"] for row in rows],
        "size": [_size(row) for row in rows],
        "data": [row["source"] for row in rows],
        "batch": [f"{row['batch_size']}×{row['sequence_length']}" for row in rows],
        "steps": [str(row["steps"]) for row in rows],
        "tokens": [_short(row["tokens"]) for row in rows],
        "lr_max": [f"{row['learning_rate']:g}" for row in rows],
    }
    table = result_table("Recipes: gradpower train NAME", columns)
    table.caption = "size: parameters/of them used by a token; batch: sequences × tokens"
    for column in table.columns:
        column.no_wrap = True
    Console().print(table)


def _row(recipe: Recipe) -> dict[str, Any]:
    size = model_size(recipe.model)
    return {
        "name": recipe.name,
        "parameters": size.total,
        "active_parameters": size.active,
        "source": recipe.data.source,
        "tokenizer": recipe.data.tokenizer,
        "sequence_length": recipe.data.sequence_length,
        "batch_size": recipe.training.batch_size,
        "steps": recipe.training.steps,
        "tokens": recipe.tokens,
        "learning_rate": recipe.optimizer.learning_rate,
    }


def _size(row: dict[str, Any]) -> str:
    total, active = _short(row["parameters"]), _short(row["active_parameters"])
    return total if total == active else f"{total}/{active}"


def _short(count: float) -> str:
    """Return a count in thousands, millions or billions.

    >>> _short(66_427_392)
    '66.4M'
    """
    unit, letter = next((u, c) for u, c in ((1e9, "B"), (1e6, "M"), (1e3, "k"), (1, "")) if count >= u)
    return f"{count / unit:.3g}{letter}"


def train(flags: Sequence[str]) -> tuple[Callable[..., int], list[str]]:
    """Return the command for the recipe that the first word names, its fields as defaults, and the flags."""
    words = list(flags)
    asks_help = not words or words[0] in ("-h", "--help")
    if not asks_help and words[0].startswith("-"):
        raise InputError("recipe", words[0], f"the first word, one of {', '.join(RECIPES)}, or a recipe.json")
    word = "pocket" if asks_help else words[0]
    chosen = read_recipe(Path(word)) if word.endswith(".json") else recipe_named(word)

    def train(
        recipe: RecipeFlags = chosen,
        execution: ExecutionFlags = _HERE,
        output: Path | None = None,
        json: Flag = False,
    ) -> int:
        """Train by a recipe, RECIPE being the first word: a name of `gradpower recipes`, or the recipe.json of a run.

        Every field of the recipe is a flag, and --power is short for --optimizer.power; the defaults shown are those of
        the recipe named (`pocket` if none is). A run that was interrupted, by Ctrl-C, SIGTERM or a crash, goes on when
        the same command is given again. Exit code 0: completed; 1: diverged; 130: interrupted, and saved.

        Parameters
        ----------
        recipe
            What to train.
        execution
            Where and how; no part of what the run is.
        output
            Folder of the run; runs/NAME-FINGERPRINT if not given.
        json
            Print the result as one JSON object.
        """
        require_effect(chosen, recipe)
        folder = output or Path("runs") / f"{recipe.name}-{recipe.fingerprint}"
        return _train(recipe, execution, folder, json)

    typed = [_as_typed(word) for word in words[1:]]
    twice = sum(word.partition("=")[0] == "--optimizer.power" for word in typed) > 1
    require(not twice, "power", "given twice", "--power or --optimizer.power, once")
    return train, ["--help"] if asks_help else typed


def _as_typed(word: str) -> str:
    """Return a word of the command line as tyro knows it: messages and tables say none, which it wants in capitals."""
    return "None" if word == "none" else re.sub(r"^--power(?==|$)", "--optimizer.power", word)


def _train(recipe: Recipe, execution: Execution, folder: Path, json: bool) -> int:
    from experiments.training.loop import RANK, train
    from experiments.training.reporting import LiveReporter, Reporter, summary

    require_torch()
    if RANK == 0:
        _require_own(folder)
    with LiveReporter() if RANK == 0 else Reporter() as reporter:
        outcome = train(recipe, folder, execution=execution, reporter=reporter)
    if RANK != 0:
        return EXIT[outcome.status]
    result = outcome.result
    if json and result is None:
        print(json_module.dumps({"status": outcome.status, "step": outcome.step}))
    elif json:
        print(json_module.dumps(json_content(result, RUN_SCHEMA)))
    if result is not None:
        out = sys.stderr if json else sys.stdout
        ending = "the loss is no longer finite"
        if result.status == "completed":
            ending = f"{summary(asdict(result.final))} nats a token"
        print(f"{result.status} after step {outcome.step}: {ending}", file=out)
        if result.status == "completed" and result.diverged is not None:
            guess = math.log(recipe.model.vocabulary)
            print(f"warning: diverged: a uniform guess has ln(vocabulary) = {guess:.4f}", file=sys.stderr)
        print(f"wrote {folder / 'result.json'}", file=out)
    return EXIT[outcome.status]


def _require_own(folder: Path) -> None:
    """Raise InputError if a folder holds other things than a run."""
    others = {path.name for path in folder.iterdir()} - {"lock"} if folder.is_dir() else set()
    own = not others or (folder / "recipe.json").exists()
    require(own, "output", folder, "a new or empty folder, or that of a run: it holds other files")


def require_torch() -> None:
    """Raise InputError unless what training needs is installed."""
    try:
        import accelerate  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        allowed = "an installation: pip install '.[train]' in the checkout"
        raise InputError(str(error.name), "missing", allowed) from None
