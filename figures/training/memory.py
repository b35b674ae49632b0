"""What p = 1.2 and a longer memory of the second moment do to the loss, alone and together.

Marks are means over paired seeds of losses averaged over learning rates, bars their 95 % t intervals. (a) All
differences are from p = 1 at β2 = 0.95. (b) What the power changes at each β2; the band is ±0.01 nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.statistics import SeedMean
from experiments.studies.memory import POWER, SMALLEST_EFFECT, USUAL, MemoryStudy, read_memory
from figures.style import Row, law_style, panels, plain_ticks, single
from figures.training.sweep_losses import draw_mean

FILE = "memory"
_SERIES = {"memory": "$p$ = 1", "both": f"$p$ = {POWER:g}", "power": ""}


def read(sources: Sequence[Path]) -> MemoryStudy:
    """Return the study, judged from its summary."""
    return read_memory(single(sources))


def rows(study: MemoryStudy) -> list[Row]:
    """Return a row for every mark."""
    return [
        {"series": name, "beta2": row.beta2, "mean": mean.mean, "low": mean.low, "high": mean.high}
        for name in _SERIES
        for row in study.rows
        for mean in [_mean(row, name)]
    ]


def _mean(row: Any, name: str) -> SeedMean:
    mean: SeedMean = getattr(row, name)
    return mean


def draw(study: MemoryStudy) -> Figure:
    """Draw the losses, and what the power changes of them."""
    with panels(1, 2, height=2.7) as (figure, grid):
        for index, name in enumerate(("memory", "both")):
            _draw(grid[0, 0], study, name, index, shift=(0.96, 1.04)[index])
        _draw(grid[0, 1], study, "power", 1)
        grid[0, 0].legend()
        grid[0, 0].set(
            title=f"loss less that of $p$ = 1, β2 = {USUAL:g}", ylabel="difference of the loss (nats a token)"
        )
        grid[0, 1].set_title(f"$p$ = {POWER:g} less $p$ = 1 at the same β2")
        grid[0, 1].axhspan(-SMALLEST_EFFECT, SMALLEST_EFFECT, color="0.9", linewidth=0, zorder=0)
        note: dict[str, Any] = {"ha": "right", "fontsize": 6.5, "transform": grid[0, 1].transAxes}
        grid[0, 1].text(0.97, 0.04, f"below 0: $p$ = 1.2 helps\nband: ±{SMALLEST_EFFECT:g} nats", **note)
        for axis in grid[0]:
            axis.axhline(0, color="black", linewidth=0.6, zorder=0)
            axis.set(xscale="log", xlabel="memory of $v$: 1/(1 − β2) steps")
            plain_ticks(axis.xaxis, [round(1 / (1 - row.beta2)) for row in study.rows])
    return figure


def _draw(axis: Axes, study: MemoryStudy, name: str, index: int, *, shift: float = 1.0) -> None:
    places = [shift / (1 - row.beta2) for row in study.rows]
    means = [_mean(row, name) for row in study.rows]
    style = law_style(index) | {"markersize": 4, "linewidth": 1.1}
    axis.plot(places, [mean.mean for mean in means], label=_SERIES[name], **style)
    for place, mean in zip(places, means, strict=True):
        draw_mean(axis, place, mean, {"color": style["color"]})
