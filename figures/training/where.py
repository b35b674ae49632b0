"""Where and when p = 1.2 gains at β2 = 0.95, and what makes it gain: changes of the loss from p = 1.

Marks are means over paired seeds, bars their 95 % t intervals. (a) With p = 1.2, or a longer memory of v, in some
modules. (b) By tenths of the targets. (c) With p = 1.2 in the head, by batch size and by the form of the noise.
(d) Steps after p = 1.2 sets in. Panels of studies that are not completed are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.statistics import SeedMean
from experiments.studies.causes import Causes, read_causes
from experiments.studies.rare_tokens import TENTHS
from figures.style import Row, law_style, panels, single
from figures.training.means import draw_means, interval_of
from gradpower.tools.errors import require

Panel = dict[str, dict[Any, SeedMean]]
"""Changes by place on the horizontal axis, a series each."""


def read(sources: Sequence[Path]) -> Causes:
    """Return the studies in a folder; InputError if none of them is completed there."""
    folder = single(sources)
    found = read_causes(folder)
    require(found != Causes(), "sources", folder, "the folder of these studies, as results/causes")
    return found


def changes(found: Causes) -> dict[str, Panel]:
    """Return the changes that each panel shows, by the panel's name."""
    panels: dict[str, Panel] = {}
    if found.modules:
        panels["modules"] = {"p = 1.2": dict(found.modules.means)}
        if found.memory_modules:
            own = found.memory_modules.means
            panels["modules"]["β2 = 0.99"] = {name: own[name] for name in found.modules.means}
    if found.tokens:
        series = {"p = 1.2": found.tokens.power, "β2 = 0.99": found.tokens.memory}
        panels["tenths"] = {
            name: dict(zip(TENTHS.tolist(), change.by_tenth, strict=True)) for name, change in series.items()
        }
    head = {
        **(
            {f"batch {size}": mean for size, mean in found.head_batch.changes.items()}
            if found.head_batch
            else {}
        ),
        **({f"{form} noise": mean for form, mean in found.signs.changes.items()} if found.signs else {}),
    }
    if head:
        panels["head"] = {"p = 1.2 in the head": dict(head)}
    if found.branching:
        panels["branch"] = {"p = 1.2": dict(found.branching.changes)}
    return panels


def rows(found: Causes) -> list[Row]:
    """Return a row for every mark."""
    return [
        {"panel": panel, "where": place, "change": name, **interval_of(mean)}
        for panel, series in changes(found).items()
        for name, means in series.items()
        for place, mean in means.items()
    ]


def draw(found: Causes) -> Figure:
    """Draw the panels, two in a row."""
    shown = changes(found)
    draw_panel: dict[str, Callable[[Axes, Panel], None]] = {
        "modules": partial(_draw_places, title="change in these modules"),
        "tenths": partial(
            _draw_places, title="change by tenth of the targets", label="1 rarest, 10 most frequent"
        ),
        "head": partial(_draw_places, title="$p$ = 1.2 in the head"),
        "branch": _draw_branch,
    }
    lines = -(-len(shown) // 2)
    with panels(lines, 2, height=2.5 * lines) as (figure, grid):
        for axis, (name, panel) in zip(grid.flat, shown.items(), strict=False):
            draw_panel[name](axis, panel)
            axis.axhline(0, color="black", linewidth=0.6, zorder=0)
        for axis in grid.flat[len(shown) :]:
            axis.set_visible(False)
        for axis in grid[:, 0]:
            axis.set_ylabel("change of the loss (nats a token)")
    return figure


def _draw_places(axis: Axes, panel: Panel, title: str, label: str = "") -> None:
    """Draw series side by side, so that their intervals do not cover each other."""
    places = next(iter(panel.values()))
    for index, (name, means) in enumerate(panel.items()):
        at = np.arange(len(means)) + (0.16 * index - 0.08 if len(panel) > 1 else 0.0)
        style = law_style(index) | {"linestyle": "none"}
        draw_means(axis, at, list(means.values()), label=name.replace("p", "$p$"), **style)
    names = [str(name).replace(" and ", ",\n").replace("-", "\n").replace(" ", "\n") for name in places]
    axis.set_xticks(range(len(names)), names, fontsize=6)
    axis.set(title=title, xlabel=label, xlim=(-0.5, len(names) - 0.5))
    if len(panel) > 1:
        axis.legend()


def _draw_branch(axis: Axes, panel: Panel) -> None:
    for means in panel.values():
        places = [int(place) for place in means]
        draw_means(axis, places, list(means.values()), **law_style(0) | {"markersize": 2})
    axis.set(title="$p$ = 1.2 from one step on", xlabel="steps since then")
