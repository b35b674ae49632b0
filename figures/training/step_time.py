"""The cost of the power: time of a step of AdamWPower over AdamW's, and the memory bandwidth that both reach.

Marks are medians over pairs of steps, bars their 95 % intervals. In (b) the line is the bandwidth of a plain copy:
an optimizer that moved no more than it must, 28 bytes a parameter, would lie on it.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure

from experiments.training.step_cost import STEP_COST, StepTime
from figures.style import Row, Style, law_style, legend, panels, plain_ticks, single


def read(sources: Sequence[Path]) -> list[StepTime]:
    """Return the steps of a step_time.json."""
    return STEP_COST.read(single(sources)).steps


def rows(data: Sequence[StepTime]) -> list[Row]:
    """Return the rows of the measurement, which are what is drawn."""
    return [asdict(row) for row in data]


_COPY: Style = {"color": "black", "linewidth": 0.8, "linestyle": (0, (4, 2))}
_POWERED: Style = {"linewidth": 1.1, "markersize": 4}
_BASE = _POWERED | {"markerfacecolor": "white", "linestyle": (0, (1, 1))}


def draw(data: Sequence[StepTime]) -> Figure:
    """Draw the ratio of the times and the bandwidths against the number of parameters."""
    implementations = list(dict.fromkeys(row.implementation for row in data))
    with panels(1, 2, height=2.7) as (figure, grid):
        ratios, bandwidths = grid[0]
        for index, name in enumerate(implementations):
            own = [row for row in data if row.implementation == name]
            sizes = [row.parameters for row in own]
            style = law_style(index)
            margins = [row.ratio_margin for row in own]
            values = [row.ratio for row in own]
            ratios.errorbar(sizes, values, margins, elinewidth=0.9, capsize=2, **style | _POWERED)
            place = (sizes[0], values[0])
            ratios.annotate(name, place, (6, 4), textcoords="offset points", fontsize=7, color=style["color"])
            bandwidths.plot(sizes, [row.powered_gb_per_second for row in own], **style | _POWERED)
            bandwidths.plot(sizes, [row.base_gb_per_second for row in own], **style | _BASE)
        copies = {row.parameters: row.copy_gb_per_second for row in data}
        bandwidths.plot(list(copies), list(copies.values()), **_COPY)
        ratios.axhline(1.0, color="black", linewidth=0.8, zorder=0)
        ratios.set(title="AdamWPower's time over AdamW's", ylabel="ratio", ylim=(0, None))
        bandwidths.set(title="28 bytes × parameters / time", ylabel="GB/s", yscale="log")
        plain_ticks(bandwidths.yaxis, [5, 10, 20, 50, 100, 200, 500, 1000, 2000])
        for axis in grid[0]:
            axis.set(xscale="log", xlabel="parameters")
        grey = {"color": "0.25", "marker": "o"}
        entries = {"(b) AdamWPower": grey | _POWERED, "(b) AdamW": grey | _BASE, "(b) plain copy": _COPY}
        legend(figure, "upper", entries)
    return figure
