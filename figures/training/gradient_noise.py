"""Measured gradient noise: its ratio to the signal and its shape by module, and the power that it calls for.

(a) Quantiles of σ_i/|μ_i| over the coordinates of a module at the micro-batches' size, by a log-normal fit free of the
means' own noise: thin 10–90 %, thick 25–75 %, dot the median with its 95 % interval. Open circles: the median of
σ̂_i/|μ̂_i| as measured, which noise makes too small; crosses: √(Σσ²/Σμ²), where large coordinates count most.
(b) The fitted generalized-normal shape b, 95 % intervals. (c), (d) The power with the largest expected first-order
decrease by noise law, at equal learning rate and at equal RMS of the update, 95 % intervals, which leave out how far a
law is from the truth. Open triangles point beyond the range that was searched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from experiments.noise.measurement import read_measurement
from figures.style import Row, house_style, law_style, letter, new_figure, single

FILE = "gradient_noise"
_Z = 1.96
_LAWS = ("uniform", "generalized-normal", "empirical", "direct")
_NAMES = {"direct": "direct (no law)"}


def read(sources: Sequence[Path]) -> Mapping[str, Any]:
    """Return the content of a noise.json, or of the one in a folder."""
    return read_measurement(single(sources))


def rows(content: Mapping[str, Any]) -> list[Row]:
    """Return a row for every mark: those of the modules, then the predictions for all modules together.

    Parameters
    ----------
    content : mapping
        Of a noise.json.
    """
    modules = []
    for row in content["modules"]:
        quantiles = row["ratio_quantiles"]
        names = [f"ratio_{100 * q:.0f}" for q in quantiles["probability"]]
        middle = len(names) // 2
        modules.append(
            {
                "panel": "module",
                "module": row["module"],
                "ratio_of_sums": row["noise_to_signal"],
                **dict(zip(names, quantiles["debiased"], strict=True)),
                "ratio_50_error": quantiles["standard_error"][middle],
                "ratio_50_naive": quantiles["naive"][middle],
                "shape": row["shape"]["shape"],
                "shape_error": row["shape"]["error"],
                "shape_at_edge": row["shape"]["at_edge"],
            }
        )
    keys = ("objective", "law", "batch_size", "power", "low", "high", "at_edge")
    predictions = [
        {"panel": "power", **{key: row[key] for key in keys}}
        for row in content["predictions"]
        if row["module"] == "all" and row.get("power") is not None and row["resolved"]
    ]
    return [*modules, *predictions]


def draw(content: Mapping[str, Any]) -> Figure:
    """Draw the marks of a noise.json."""
    data, sequences = rows(content), content["settings"]["micro_batch_size"]
    modules = [row for row in data if row["panel"] == "module"]
    powers = [row for row in data if row["panel"] == "power"]
    with house_style():
        figure, grid = new_figure(2, 2, height=4.6)
        _draw_ratios(grid[0, 0], modules)
        _draw_shapes(grid[0, 1], modules)
        for axis, objective in zip(grid[1], ("equal learning rate", "equal RMS"), strict=True):
            _draw_powers(axis, [row for row in powers if row["objective"] == objective], objective)
        grid[0, 0].set(xlabel=f"noise-to-signal ratio σ/|μ|, {sequences} sequences", xscale="log")
        grid[0, 1].set(xlabel="generalized-normal shape b", xscale="log")
        grid[0, 0].xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        grid[0, 1].set_xticks([0.25, 0.5, 1, 2, 4, 8])
        for axis in grid[0]:
            axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
        for axis in grid.flat:
            axis.grid(alpha=0.25)
        letter(list(grid.flat))
        figure.legend(*_legend(grid[:1, 0]), loc="outside upper center", ncols=4)
        handles, labels = _legend(grid[1])
        if handles:
            figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def _draw_ratios(axis: Axes, modules: Sequence[Row]) -> None:
    colour = law_style(0)["color"]
    for place, row in enumerate(modules):
        if row["ratio_50"] is not None:
            ends = [row["ratio_10"], row["ratio_90"]]
            axis.plot(
                ends, [place] * 2, color=colour, linewidth=1.0, label="(a): half and 80 % of the coordinates"
            )
            axis.plot(
                [row["ratio_25"], row["ratio_75"]], [place] * 2, color=colour, linewidth=4.0, alpha=0.45
            )
            margin = _Z * row["ratio_50_error"]
            low = min(margin, 0.99 * row["ratio_50"])
            axis.errorbar(
                row["ratio_50"], place, xerr=[[low], [margin]], color="black", marker="o", markersize=4,
                capsize=2, elinewidth=0.9, label="median, free of the means' noise",
            )  # fmt: skip
            axis.plot(
                row["ratio_50_naive"], place, "o", color="black", markersize=4, markerfacecolor="white",
                label="naive median",
            )  # fmt: skip
        if row["ratio_of_sums"] is not None:
            colour_of_sums = law_style(1)["color"]
            axis.plot(
                row["ratio_of_sums"], place, "x", color=colour_of_sums, markersize=5, label="√(Σσ²/Σμ²)"
            )
    _name_modules(axis, modules, "noise-to-signal ratio")


def _draw_shapes(axis: Axes, modules: Sequence[Row]) -> None:
    for place, row in enumerate(modules):
        if row["shape"] is not None:
            margin = _Z * (row["shape_error"] or 0.0)
            if row["shape_at_edge"]:
                beyond = "<" if row["shape"] < 1 else ">"
                axis.plot(row["shape"], place, beyond, color=law_style(0)["color"], markerfacecolor="white")
                continue
            axis.errorbar(
                row["shape"], place, xerr=margin, color=law_style(0)["color"], marker="o", markersize=4,
                capsize=2, elinewidth=0.9,
            )  # fmt: skip
    for shape, name in ((1, "Laplace"), (2, "Gauss")):
        axis.axvline(shape, color="0.35", linewidth=0.8, linestyle=(0, (4, 2)), zorder=0)
        axis.annotate(
            name, (shape, 0.01), xycoords=("data", "axes fraction"), xytext=(2, 0),
            textcoords="offset points", fontsize=6, color="0.25",
        )  # fmt: skip
    _name_modules(axis, modules, "shape of the noise")


def _name_modules(axis: Axes, modules: Sequence[Row], title: str) -> None:
    axis.set_yticks(range(len(modules)), [str(row["module"]) for row in modules])
    axis.set_ylim(len(modules) - 0.4, -0.6)
    axis.set_title(title)


def _draw_powers(axis: Axes, own: Sequence[Row], objective: str) -> None:
    for index, law in enumerate(_LAWS):
        points = [row for row in own if row["law"] == law]
        if not points:
            continue
        # side by side, so that intervals of equal batch sizes do not cover each other
        x = np.array([row["batch_size"] for row in points]) * 2 ** (0.12 * (index - 1.5))
        y = np.array([row["power"] for row in points], dtype=float)
        errors = [y - [row["low"] for row in points], [row["high"] for row in points] - y]
        style = law_style(index) | {"markersize": 4, "linewidth": 1.0}
        axis.errorbar(
            x, y, np.maximum(errors, 0), capsize=2, elinewidth=0.9, label=_NAMES.get(law, law), **style
        )
        for edge, mark in (("low", "v"), ("high", "^")):
            at = [k for k, row in enumerate(points) if row["at_edge"] == edge]
            axis.plot(x[at], y[at], mark, color=style["color"], markersize=7, markerfacecolor="white")
    axis.axhline(1.0, color="black", linewidth=0.8, zorder=0)
    sizes = sorted({int(row["batch_size"]) for row in own})
    axis.set(xscale="log", xlabel="batch size (sequences)", ylabel="best power p", title=objective)
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xticks([], minor=True)
    if not own:
        axis.annotate("no signal resolved", (0.5, 0.5), xycoords="axes fraction", ha="center")


def _legend(axes: Sequence[Axes]) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for axis in axes:
        found |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    return list(found.values()), list(found)
