"""What a sceptic's controls change: the difference of p = 1.2 and of p = 0.8 from p = 1, at both ends of the batches.

A dot is the mean over paired seeds of the loss at p less that at p = 1, with its 95 % t interval (no correction: the
intervals describe); small grey dots are seeds; where a run diverged there is no mean. The band is the interval without
any control: a control that explained a difference away would move its dot to zero. The panels have scales of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from experiments.sweeps.contrasts import AS_RUN, SHOWN
from figures.style import Row, house_style, letter, new_figure

_BELOW = 0.11  # where seeds are drawn, below their mean
_SEEDS: dict[str, Any] = {"color": "0.45", "marker": ".", "markersize": 3, "linestyle": "none"}
Data = Mapping[str, Any]


def rows(contrasts: Sequence[Data]) -> list[Row]:
    """Return a row for every seed and every mean.

    Parameters
    ----------
    contrasts : sequence of mapping
        From `experiments.sweeps.contrasts.contrasts`.
    """
    table: list[Row] = []
    for row in contrasts:
        about = {key: row[key] for key in ("control", "batch_size", "power")}
        table += [{**about, "seed": s, "difference": d} for s, d in row["differences"].items()]
        statistics = row["statistics"] or {"mean": None, "t_interval": None}
        low, high = statistics["t_interval"] or (None, None)
        mean = {"difference": statistics["mean"], "low": low, "high": high, "diverged": row["diverged"]}
        table.append({**about, **mean})
    return table


def draw(contrasts: Sequence[Data]) -> Figure:
    """Draw the figure.

    Parameters
    ----------
    contrasts : sequence of mapping
        From `experiments.sweeps.contrasts.contrasts`.
    """
    names = list(dict.fromkeys(row["control"] for row in contrasts))
    batches = sorted({row["batch_size"] for row in contrasts})
    with house_style():
        figure, grid = new_figure(1, max(1, len(batches)), height=1.2 + 0.42 * len(names), sharey=True)
        for axis, batch in zip(grid[0], batches, strict=False):
            for index, power in enumerate(SHOWN):
                own = [r for r in contrasts if (r["batch_size"], r["power"]) == (batch, power)]
                _draw(axis, own, names, index)
            axis.axvline(0, color="black", linewidth=0.6)
            axis.set(title=f"batch size {batch}", xlabel="loss − that at $p$ = 1 (nats a token)")
            axis.xaxis.set_major_locator(MaxNLocator(5))
            axis.grid(alpha=0.25, axis="x")
        grid[0, 0].set_yticks(range(len(names)), names)
        grid[0, 0].set_ylim(len(names) - 0.4, -0.6)
        letter(list(grid[0]))
        handles, labels = grid[0, 0].get_legend_handles_labels()
        handles += [Line2D([], [], **_SEEDS), Patch(facecolor="0.92")]
        labels = [f"{label}, 95 %" for label in labels] + ["one seed", "interval as run"]
        figure.legend(handles, labels, loc="outside upper center", ncols=4)
    return figure


def _draw(axis: Axes, own: Sequence[Data], names: Sequence[str], index: int) -> None:
    colour, marker = (("#0072B2", "o"), ("#D55E00", "s"))[index]
    shift = 0.3 * (index - 0.5)
    for row in own:
        y = names.index(row["control"]) + shift
        seeds = [d for d in row["differences"].values() if d is not None]
        axis.plot(seeds, [y + _BELOW] * len(seeds), **_SEEDS)
        if row["statistics"] is None:
            axis.text(0, y, f" {row['diverged']} diverged", fontsize=6, va="center", color=colour)
            continue
        mean, interval = row["statistics"]["mean"], row["statistics"]["t_interval"]
        bars = None if interval is None else [[mean - interval[0]], [interval[1] - mean]]
        style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4, "linestyle": "none"}
        label = f"$p$ = {row['power']:g}" if row["control"] == AS_RUN else None
        axis.errorbar([mean], [y], xerr=bars, elinewidth=1.0, capsize=2, label=label, zorder=3, **style)
        if row["control"] == AS_RUN and interval is not None:
            axis.axvspan(*interval, color=colour, alpha=0.08, linewidth=0)
