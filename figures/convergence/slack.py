"""Question 1: how far the bounds of Theorems 4.5, 4.8 and 4.11 lie above what is measured.

Maps of the slack, bound/measured at the last T, as a geometric mean over problems and learning rates; below it stands
the smallest ratio over these and over all T, which would be under 1 where a bound fails. The strips show every arm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FixedLocator, FuncFormatter, MultipleLocator

from figures.style import Row, columns, grouped, law_style, panels, select, single
from simulate.questions import CONVERGENCE
from simulate.questions.bounds import BoundedArm

FILE = "convergence_slack"
Regime = tuple[str, str]  # kind of noise and law
_CELL = ("noise", "law", "noise_to_signal", "power")
_NAMES = {
    ("multiplicative", "uniform"): "relative, uniform",
    ("additive", "uniform"): "fixed, uniform",
    ("additive", "binary"): "fixed, binary",
    ("additive", "sparse:0.25"): "fixed, sparse",
}


def read(sources: Sequence[Path]) -> list[BoundedArm]:
    """Return the rows of question 1 from a convergence.json."""
    return CONVERGENCE.read(single(sources)).studies.bounds


def rows(data: Sequence[BoundedArm]) -> list[Row]:
    """Return every cell of the maps (geometric mean and least slack), and every mark of the strips."""
    bounded = [asdict(row) for row in data if row.slack is not None]
    table: list[Row] = []
    for cell, own in grouped(bounded, lambda row: tuple(row[name] for name in _CELL)).items():
        slacks, least, violated = columns(own, "slack", "least_slack", "violated")
        numbers = {
            "arms": len(own),
            "slack": float(np.exp(np.mean(np.log(slacks)))),
            "least_slack": min(least),
            "violated": sum(violated),
        }
        table.append({"panel": "map", **dict(zip(_CELL, cell, strict=True)), **numbers})
    names = (*_CELL, "slack", "least_slack", "violated", "problem", "learning_rate", "theorem", "steps")
    return table + [{"panel": "strip"} | {name: row[name] for name in names} for row in bounded]


def _regime(row: Row) -> Regime:
    return row["noise"], row["law"]


def draw(data: Sequence[BoundedArm]) -> Figure:
    """Draw a map for each kind of noise studied at several ratios, three of them, and the strips by problem."""
    table = rows(data)
    cells = select(table, panel="map")
    by_regime = grouped(cells, _regime)
    logs = np.log10([row["slack"] for row in cells])
    norm = Normalize(logs.min(), logs.max())
    with panels(2, 2, height=4.6, lines=False) as (figure, grid):
        axes = list(grid.flat)
        mapped = [pair for pair in by_regime.items() if len({row["noise_to_signal"] for row in pair[1]}) > 1]
        for axis, (regime, own) in zip(axes, mapped, strict=False):
            image = _draw_map(axis, own, norm)
            axis.set_title(f"{_NAMES[regime]} noise")
        _draw_strips(axes[-1], select(table, panel="strip"), list(by_regime))
        bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=40)
        bar.set_label("slack: bound / measured, geometric mean over problems and $\\eta$")
        bar.ax.yaxis.set_major_locator(MultipleLocator(1))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"$10^{{{value:g}}}$"))
    return figure


def _draw_map(axis: Axes, cells: Sequence[Row], norm: Normalize) -> AxesImage:
    """Powers by noise-to-signal ratios; a cell without a bound stays blank."""
    powers = sorted({row["power"] for row in cells})
    ratios = sorted({row["noise_to_signal"] for row in cells})
    logs = np.full((len(ratios), len(powers)), np.nan)
    for row in cells:
        i, j = ratios.index(row["noise_to_signal"]), powers.index(row["power"])
        logs[i, j] = np.log10(row["slack"])
        colour = "white" if norm(logs[i, j]) < 0.5 else "black"
        centre: dict[str, Any] = {"ha": "center", "va": "center", "color": colour}
        axis.text(j, i + 0.14, f"$10^{{{logs[i, j]:.1f}}}$", fontsize=9, **centre)
        least = row["least_slack"]
        axis.text(j, i - 0.26, f"least {least:.{1 if least < 99.95 else 0}f}", fontsize=7, **centre)
    image = axis.imshow(logs, cmap="cividis", norm=norm, aspect="auto", origin="lower")
    axis.set_xticks(range(len(powers)), [f"{power:g}" for power in powers])
    axis.set_yticks(range(len(ratios)), [f"{ratio:g}" for ratio in ratios])
    axis.tick_params(length=0)
    axis.set(xlabel="power $p$", ylabel="noise-to-signal ratio $r$")
    return image


def _draw_strips(axis: Axes, strips: Sequence[Row], regimes: Sequence[Regime]) -> None:
    problems = list(dict.fromkeys(row["problem"] for row in strips))
    for index, regime in enumerate(regimes):
        own = [row for row in strips if _regime(row) == regime]
        height = [problems.index(row["problem"]) + 0.22 * (index - (len(regimes) - 1) / 2) for row in own]
        style = law_style(index) | {"linestyle": "", "markersize": 3, "markerfacecolor": "none"}
        axis.plot([row["slack"] for row in own], height, markeredgewidth=0.5, label=_NAMES[regime], **style)
    axis.axvline(1.0, color="black", linewidth=0.8)
    axis.text(0.4, -0.7, "violated", fontsize=7, ha="right", va="center")
    axis.set(xscale="log", xlabel="slack: bound / measured", title="every arm, by problem")
    axis.set_xlim(left=1e-5)
    axis.xaxis.set_major_locator(FixedLocator([10.0**k for k in range(0, 30, 3)]))
    axis.set_yticks(range(len(problems)), problems)
    axis.set_ylim(len(problems) - 0.5, -1.0)
    axis.grid(alpha=0.25, axis="x")
    axis.legend(loc="upper right", handletextpad=0.1, borderaxespad=0.1)
