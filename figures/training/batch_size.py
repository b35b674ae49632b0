"""Figures 2 and 6 at this size: losses against p at three batch sizes, and the slope at p = 1 against the batch size.

Batch sizes 2 and 8 have the same rate as run and at one rate: only the largest is drawn twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.studies.batch_size import BatchSizeStudy, ByBatch, read_batch_size
from figures.style import Row, house_style, law_style, letter, single
from figures.training.sweep_losses import draw_group, draw_mean, rows_of, value_axis

FILE = "batch_size"
READINGS = ("each batch size at its own rate", "one rate for all batch sizes")
_TITLE = "Validation loss less that of $p$ = 1 against $p$ by batch size, and its slope at $p$ = 1"


def read(sources: Sequence[Path]) -> BatchSizeStudy:
    """Return the study, judged from the folder of its parts."""
    return read_batch_size(single(sources))


def rows(found: BatchSizeStudy) -> list[Row]:
    """Return a row for every mark, of both readings."""
    both = zip(READINGS, (found.as_run, found.one_rate), strict=True)
    return [{"reading": name, **row} for name, reading in both for row in rows_of(reading.groups)]


def draw(found: BatchSizeStudy) -> Figure:
    """Draw the study."""
    with house_style():
        figure = Figure(figsize=(6.75, 4.6), layout="constrained")
        panels: dict[str, Axes] = figure.subplot_mosaic(
            [["small", "middle", "large"], ["slopes", "slopes", "one"]]
        )
        for name, group in zip(("small", "middle", "large"), found.as_run.groups, strict=True):
            draw_group(panels[name], group, 1.0)
            panels[name].set_title(f"batch size {group.within}")
        draw_group(panels["one"], found.one_rate.groups[-1], 1.0)
        panels["large"].set_title(f"batch size {found.as_run.groups[-1].within}, own rate")
        panels["one"].set_title(f"batch size {found.as_run.groups[-1].within}, one rate")
        for name in ("small", "one"):
            panels[name].set_ylabel("loss − that of $p$ = 1")
        for name in ("small", "middle", "large", "one"):
            panels[name].set_xlabel("power $p$")
            panels[name].tick_params(axis="x", labelsize=6)
        _say_marks(panels["small"])
        _draw_slopes(panels["slopes"], found)
        figure.suptitle(_TITLE, fontsize=8)
        letter([panels[name] for name in ("small", "middle", "large", "slopes", "one")])
    return figure


def _say_marks(axis: Axes) -> None:
    """Say in a panel what its marks are."""
    words = "grey: one seed\nblue: mean, 95 % interval\nband: seed sd at $p$ = 1"
    axis.text(0.97, 0.96, words, ha="right", va="top", fontsize=6, transform=axis.transAxes)


def _draw_slopes(axis: Axes, found: BatchSizeStudy) -> None:
    value_axis(axis, [float(str(group.within)) for group in found.as_run.groups])
    axis.axhline(0, color="black", linewidth=0.6, zorder=0)
    low, high = axis.get_xlim()
    axis.set_xlim(low / 1.1, high * 1.1)
    for index, reading in enumerate((found.as_run, found.one_rate)):
        _draw_line(axis, reading, law_style(index), shift=(0.97, 1.03)[index])
    last = [reading.groups[-1] for reading in (found.as_run, found.one_rate)]
    for index, (name, group) in enumerate(zip(READINGS, last, strict=True)):
        if group.slope is not None:
            style: dict[str, Any] = {"color": law_style(index)["color"], "fontsize": 7, "ha": "right"}
            axis.text(29 if index == 0 else 34, group.slope.mean + (0.02, -0.08)[index], name, **style)
    note: dict[str, Any] = {"fontsize": 6.5, "color": "0.35", "transform": axis.transAxes}
    axis.text(0.02, 0.96, "above 0: $p$ < 1 is better", va="top", **note)
    axis.text(0.98, 0.04, "below 0: $p$ > 1 is better", ha="right", **note)
    axis.set(
        title="slope of the loss at $p$ = 1",
        xlabel="batch size (sequences)",
        ylabel="$dL/d\\,\\ln p$ (nats a token)",
    )
    axis.grid(alpha=0.25)


def _draw_line(axis: Axes, reading: ByBatch, style: dict[str, Any], *, shift: float) -> None:
    line = [(float(str(group.within)) * shift, group.slope) for group in reading.groups if group.slope]
    axis.plot([x for x, _ in line], [mean.mean for _, mean in line], **style | {"marker": ""}, linewidth=1.0)
    for place, mean in line:
        draw_mean(axis, place, mean, style | {"linestyle": "none"})
