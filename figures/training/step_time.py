"""The cost of the power: time of a step of AdamWPower over AdamW's, and the memory bandwidth that both reach.

Marks are medians over pairs of steps, bars their 95 % intervals. In (b) the line is the bandwidth of a plain copy:
an optimizer that moved no more than it must, 28 bytes a parameter, would lie on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.training.step_cost import STEP_COST, StepTime
from figures.style import Row, law_style, legend, panels, plain_ticks, single

FILE = "step_time"


def read(sources: Sequence[Path]) -> list[StepTime]:
    """Return the steps of a step_time.json."""
    return STEP_COST.read(single(sources)).steps


def rows(data: Sequence[StepTime]) -> list[Row]:
    """Return the rows of the measurement, which are what is drawn."""
    return [asdict(row) for row in data]


def draw(data: Sequence[StepTime]) -> Figure:
    """Draw the ratio of the times and the bandwidths against the number of parameters."""
    implementations = list(dict.fromkeys(row.implementation for row in data))
    with panels(1, 2, height=2.7) as (figure, grid):
        for index, name in enumerate(implementations):
            own = [row for row in data if row.implementation == name]
            _draw_ratios(grid[0, 0], own, index)
            _draw_bandwidths(grid[0, 1], own, index)
        copies = {row.parameters: row.copy_gb_per_second for row in data}
        grid[0, 1].plot(
            list(copies), list(copies.values()), color="black", linewidth=0.8, linestyle=(0, (4, 2))
        )
        grid[0, 0].axhline(1.0, color="black", linewidth=0.8, zorder=0)
        grid[0, 0].set(ylabel="AdamWPower's time over AdamW's")
        grid[0, 0].set_ylim(bottom=0)
        grid[0, 1].set(ylabel="28 bytes × parameters / time (GB/s)", yscale="log")
        plain_ticks(grid[0, 1].yaxis, [5, 10, 20, 50, 100, 200, 500, 1000, 2000])
        for axis in grid[0]:
            axis.set(xscale="log", xlabel="parameters")
        _legend(figure, implementations)
    return figure


def _draw_ratios(axis: Axes, own: Sequence[StepTime], index: int) -> None:
    x = [row.parameters for row in own]
    margins = [row.ratio_margin for row in own]
    axis.errorbar(x, [row.ratio for row in own], margins, **_marks(index), elinewidth=0.9, capsize=2)


def _draw_bandwidths(axis: Axes, own: Sequence[StepTime], index: int) -> None:
    x = [row.parameters for row in own]
    axis.plot(x, [row.powered_gb_per_second for row in own], **_marks(index))
    face = _marks(index) | {"markerfacecolor": "white", "linestyle": (0, (1, 1))}
    axis.plot(x, [row.base_gb_per_second for row in own], **face)


def _marks(index: int) -> dict[str, Any]:
    return law_style(index) | {"markersize": 4, "linewidth": 1.1}


def _legend(figure: Figure, implementations: Sequence[str]) -> None:
    entries = {name: _marks(index) for index, name in enumerate(implementations)}
    grey: dict[str, Any] = {"color": "0.25", "linewidth": 1.1, "markersize": 4, "marker": "o"}
    entries["(b) AdamWPower"] = grey
    entries["(b) AdamW"] = grey | {"markerfacecolor": "white", "linestyle": (0, (1, 1))}
    entries["(b) plain copy"] = {"color": "black", "linewidth": 0.8, "linestyle": (0, (4, 2))}
    legend(figure, "upper", entries)
