"""Loss against tokens of some training runs: (a) the training loss, (b) the validation loss with its standard error.

The training loss is the mean of the steps between two lines of metrics. In (b) bars are one standard error over the
validation sequences, which all runs share.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from experiments.training.records import read_metrics, read_recipe
from figures.style import Row, law_style, panels
from gradpower.tools.errors import require

FILE = "training_curves"
_LONGEST = 8  # differences in a label
_WIDE = 50  # characters of a label, for which half the width is enough


def read(sources: Sequence[Path]) -> list[Row]:
    """Return a row for every line of metrics of some runs, each with the run's label.

    Folders in which nothing was trained yet are left out, and named on stderr; if there is no other, InputError.
    """
    runs = [run for run in sources if (run / "metrics.jsonl").exists()]
    require(runs, "sources", sources[0], "the folder of a run, with its metrics.jsonl")
    for run in [run for run in sources if run not in runs]:
        print(f"left out, as nothing was trained in it: {run}", file=sys.stderr)
    recipes = {run: read_recipe(run / "recipe.json") for run in runs}
    names = labels([{**_flat(asdict(recipe)), "name": recipe.name} for recipe in recipes.values()])
    if len(set(names)) < len(names):  # equal recipes, or different in what a label leaves out
        names = [f"{name} ({run.name})" for name, run in zip(names, recipes, strict=True)]
    return [
        {"run": label, "tokens": row["step"] * recipe.tokens_per_step, **_losses(row)}
        for (run, recipe), label in zip(recipes.items(), names, strict=True)
        for row in read_metrics(run)
    ]


def rows(data: Sequence[Row]) -> list[Row]:
    """Return what is drawn."""
    return list(data)


def labels(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a label for each flat recipe: its name and the fields in which the recipes differ.

    >>> labels([{"name": "pocket", "optimizer.power": p, "training.seed": 0} for p in (1.0, 1.2)])
    ['pocket, power 1.0', 'pocket, power 1.2']
    """
    varied = [key for key in recipes[0] if key != "name" and len({str(r.get(key)) for r in recipes}) > 1]
    shown = [key for key in varied if not key.startswith("model.")][:_LONGEST]
    return [", ".join([r["name"], *(f"{key.rpartition('.')[2]} {r[key]}" for key in shown)]) for r in recipes]


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{section}.{name}": value
        for section, fields in content.items()
        if section != "name"
        for name, value in fields.items()
    }


def _losses(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: row[key] for key in ("loss", "validation_loss", "standard_error") if row.get(key) is not None
    }


def draw(data: Sequence[Row]) -> Figure:
    """Draw the losses of all runs."""
    runs = list(dict.fromkeys(row["run"] for row in data))
    with panels(1, 2, height=2.6 + 0.15 * len(runs), sharex=True) as (figure, grid):
        for index, run in enumerate(runs):
            own = [row for row in data if row["run"] == run]
            _draw_training(grid[0, 0], own, index)
            _draw_validation(grid[0, 1], own, index, run)
        grid[0, 0].set(title="training", ylabel="loss (nats a token)")
        grid[0, 1].set(title="validation", ylabel="loss (nats a token)")
        for axis in grid[0]:
            axis.set(xlabel="tokens")
            axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        handles, names = grid[0, 1].get_legend_handles_labels()
        columns = 2 if max(map(len, names), default=0) < _WIDE else 1
        folded = [fill(name, 2 * _WIDE) for name in names]
        figure.legend(handles, folded, loc="outside upper center", ncols=columns)
    return figure


def _draw_training(axis: Axes, own: Sequence[Row], index: int) -> None:
    points = [row for row in own if "loss" in row]
    style = law_style(index) | {"marker": None, "linewidth": 0.8}
    axis.plot([row["tokens"] for row in points], [row["loss"] for row in points], **style)


def _draw_validation(axis: Axes, own: Sequence[Row], index: int, label: str) -> None:
    points = [row for row in own if "validation_loss" in row]
    x, y = ([row[key] for row in points] for key in ("tokens", "validation_loss"))
    errors = [row.get("standard_error", 0.0) for row in points]
    style = law_style(index) | {"markersize": 3.5, "linewidth": 1.0}
    axis.errorbar(x, y, errors, elinewidth=0.9, capsize=2, label=label, **style)
