"""Loss against tokens of some training runs: (a) the training loss, (b) the validation loss with its standard error.

The training loss is the mean of the steps between two lines of metrics. In (b) bars are one standard error over the
validation sequences, which all runs share.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from experiments.recipes.fields import FIELDS, get_field
from experiments.recipes.settings import Recipe
from experiments.training.records import read_metrics, read_recipe
from figures.style import Row, columns, grouped, law_style, legend_of, panels
from gradpower.tools.errors import require

_LOSSES = ("loss", "validation_loss", "standard_error")
_LONGEST = 8  # differences in a label
_WIDE = 100  # characters of a label in one line


def read(sources: Sequence[Path]) -> list[Row]:
    """Return a row for every line of metrics of some runs, each with the run's label.

    Folders in which nothing was trained yet are left out, and named on stderr; if there is no other, InputError.
    """
    runs = [run for run in sources if (run / "metrics.jsonl").exists()]
    require(runs, "sources", sources[0], "the folder of a run, with its metrics.jsonl")
    for run in [run for run in sources if run not in runs]:
        print(f"left out, as nothing was trained in it: {run}", file=sys.stderr)
    recipes = [read_recipe(run / "recipe.json") for run in runs]
    names = labels(recipes)
    if len(set(names)) < len(names):  # equal recipes, or different in what a label leaves out
        names = [f"{name} ({run.name})" for name, run in zip(names, runs, strict=True)]
    return [
        {
            "run": label,
            "tokens": row["step"] * recipe.tokens_per_step,
            **{key: row[key] for key in _LOSSES if row.get(key) is not None},
        }
        for run, recipe, label in zip(runs, recipes, names, strict=True)
        for row in read_metrics(run)
    ]


def rows(data: Sequence[Row]) -> list[Row]:
    """Return what is drawn."""
    return list(data)


def labels(recipes: Sequence[Recipe]) -> list[str]:
    """Return a label for each recipe: its name and the fields in which the recipes differ.

    >>> from experiments.recipes.fields import with_fields
    >>> labels([with_fields(Recipe("pocket"), {"optimizer.power": p}) for p in (1.0, 1.2)])
    ['pocket, power 1.0', 'pocket, power 1.2']
    """
    varied = [name for name in FIELDS if len({get_field(recipe, name) for recipe in recipes}) > 1]
    shown = [name for name in varied if not name.startswith("model.")][:_LONGEST]
    return [
        ", ".join([recipe.name, *(f"{name.rpartition('.')[2]} {get_field(recipe, name)}" for name in shown)])
        for recipe in recipes
    ]


def draw(data: Sequence[Row]) -> Figure:
    """Draw the losses of all runs."""
    runs = grouped(data, lambda row: row["run"])
    with panels(1, 2, height=2.6 + 0.15 * len(runs), sharex=True) as (figure, grid):
        training, validation = grid[0]
        for index, (run, own) in enumerate(runs.items()):
            style = law_style(index)
            x, y = columns([row for row in own if "loss" in row], "tokens", "loss")
            training.plot(x, y, linewidth=0.8, **style | {"marker": ""})
            points = [row for row in own if "validation_loss" in row]
            x, y = columns(points, "tokens", "validation_loss")
            errors = [row.get("standard_error", 0.0) for row in points]
            style |= {"markersize": 3.5, "linewidth": 1.0}
            validation.errorbar(x, y, errors, elinewidth=0.9, capsize=2, label=fill(run, _WIDE), **style)
        training.set_title("training")
        validation.set_title("validation")
        for axis in grid[0]:
            axis.set(xlabel="tokens", ylabel="loss (nats a token)")
            axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        legend_of(figure, [validation])
    return figure
