"""The best power against the batch size: measured in training, and predicted from measured gradient noise.

(a), (b) Stars: the measured best power, the minimum of a parabola in ln p where it lies within the grid, with Fieller's
95 % interval (dotted over the panel where seeds do not bound it); white triangles: the best of the grid. Lines: the
powers with the largest expected first-order decrease by noise law, at equal learning rate and at equal RMS of the
update; bars from the least to the greatest over the snapshots of that batch size's runs.
(c) √(Σσ²/Σμ²) of the gradient of a whole batch along the training, all modules. (d) The fitted shape b of the
gradient's noise at each batch size by module, at the end of training; 2 is the Gauss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator, StrMethodFormatter

from experiments.noise.prediction import VARIANTS
from figures.style import MARKERS, Row, house_style, law_style, letter, new_figure, ratio_style
from theory.prediction.predicted_power import RANGE

OBJECTIVES = ("equal learning rate", "equal RMS")
Data = Mapping[str, Any]


def rows(content: Data) -> list[Row]:
    """Return a row for every mark.

    Parameters
    ----------
    content : mapping
        From `figures.batch_size.collect`.
    """
    measured = [
        {"panel": "measured", **{key: cell for key, cell in row.items() if key != "through_all"}}
        for row in content["measured"]
    ]
    predicted = [
        {"panel": row["objective"], "law": row["law"], **each}
        for row in content["ablation"]
        if row["objective"] in OBJECTIVES
        for each in row["predicted"]
    ]
    ratios = [
        {
            "panel": "noise to signal",
            "batch_size": row["trained_at"],
            "seed": row["seed"],
            "share": row["share"],
            "ratio": whole_ratio(row),
        }
        for row in content["noise"]
    ]
    shapes = [
        {"panel": "shape", "module": module, "batch_size": batch, "shape": shape}
        for module, curve in final_shapes(content["noise"]).items()
        for batch, shape in curve.items()
    ]
    return [*measured, *predicted, *ratios, *shapes]


def whole_ratio(row: Data) -> float | None:
    """Return √(N/(B·S)) of a measurement at its run's batch size B: noise N = tr Σ and signal S of one sequence."""
    simple = row["noise_scale"]["trace"]["simple"]
    return math.sqrt(simple / row["trained_at"]) if simple and simple > 0 else None


def final_shapes(noise: Sequence[Data]) -> dict[str, dict[int, float]]:
    """Return by module the fitted shape at each batch size, at the last snapshot of that batch size's runs."""
    curves: dict[str, dict[int, list[float]]] = {}
    last: dict[int, float] = {}
    for row in noise:
        last[row["trained_at"]] = max(row["share"], last.get(row["trained_at"], 0.0))
    for row in noise:
        if row["share"] != last[row["trained_at"]]:
            continue
        own = next(b for b in row["batch_sizes"] if b["batch_size"] == row["trained_at"])
        for module in own["modules"]:
            if module["shape"] is not None:
                curve = curves.setdefault(module["module"], {})
                curve.setdefault(row["trained_at"], []).append(module["shape"])
    return {
        name: {batch: float(np.mean(curve[batch])) for batch in sorted(curve)}
        for name, curve in curves.items()
    }


def draw(content: Data) -> Figure:
    """Draw the figure.

    Parameters
    ----------
    content : mapping
        From `figures.batch_size.collect`.
    """
    batches = [row["batch_size"] for row in content["measured"]]
    with house_style():
        figure, grid = new_figure(2, 2, height=5.2)
        for axis, objective in zip(grid[0], OBJECTIVES, strict=True):
            _draw_powers(axis, content, objective, batches)
        if content["noise"]:
            _draw_ratios(grid[1, 0], content["noise"])
            _draw_shapes(grid[1, 1], final_shapes(content["noise"]), batches)
        else:
            for axis in grid[1]:
                axis.set_axis_off()
                axis.text(0, 0.5, "no gradient noise measured: gradpower noise-along", fontsize=7)
        letter(list(grid.flat))
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, columnspacing=1.2)
    return figure


def _draw_powers(axis: Axes, content: Data, objective: str, batches: Sequence[int]) -> None:
    limits = (RANGE[0] - 0.05, RANGE[1] + 0.05)
    drawn = [row for row in content["ablation"] if row["law"] not in VARIANTS]
    own = [row for row in drawn if row["objective"] == objective]
    for index, row in enumerate(own):
        shift = 1.06 ** (index - (len(own) - 1) / 2)
        style = law_style(index) | {"linewidth": 1.0, "markersize": 3.5}
        x = [p["batch_size"] * shift for p in row["predicted"]]
        y = np.array([p["mean"] for p in row["predicted"]])
        bars = np.array([[p["mean"] - p["low"], p["high"] - p["mean"]] for p in row["predicted"]]).T
        axis.errorbar(x, y, np.maximum(bars, 0), label=f"predicted: {row['law']}", elinewidth=0.7, **style)
        ends = [k for k, p in enumerate(row["predicted"]) if p["at_edge"]]
        hollow = style | {"linestyle": "none", "markerfacecolor": "white", "zorder": 4}
        axis.plot([x[k] for k in ends], y[ends], **hollow)
    for row in content["measured"]:
        _draw_measured(axis, row, limits)
    axis.plot([], [], color="black", marker="*", linestyle="none", label="measured: parabola, 95 %")
    axis.plot(
        [], [], color="black", marker="v", markerfacecolor="white", linestyle="none", label="measured: grid"
    )
    edge: dict[str, Any] = {"color": "0.4", "marker": "o", "markerfacecolor": "white", "linestyle": "none"}
    axis.plot([], [], label="hollow: at an end of the range in some snapshot", markersize=3.5, **edge)
    axis.axhline(1, color="black", linewidth=0.5, zorder=0)
    axis.set(title=objective, ylabel="best power $p$", ylim=limits)
    _batch_axis(axis, batches)


def _draw_measured(axis: Axes, row: Data, limits: tuple[float, float]) -> None:
    x = row["batch_size"]
    style: dict[str, Any] = {"color": "black", "linestyle": "none", "zorder": 6}
    if row["grid"] is not None:
        axis.plot(x / 1.12, row["grid"], marker="v", markerfacecolor="white", markersize=4, **style)
    if row["status"] != "interior":
        return
    axis.plot(x, row["power"], marker="*", markersize=8, **style)
    bar: dict[str, Any] = {"color": "black", "linewidth": 1.2, "zorder": 5}
    if row["low"] is not None:
        axis.plot([x, x], (row["low"], row["high"]), **bar)
    elif row["interval_kind"] == "unbounded":
        axis.plot([x, x], limits, linestyle=(0, (1, 2)), **bar)


def _batch_axis(axis: Axes, batches: Sequence[int]) -> None:
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(FixedLocator(list(batches)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_xlim(min(batches) / 1.5, max(batches) * 1.5)
    axis.set_xlabel("batch size (sequences)")
    axis.grid(alpha=0.25)


def _draw_ratios(axis: Axes, noise: Sequence[Data]) -> None:
    batches = sorted({row["trained_at"] for row in noise})
    for index, batch in enumerate(batches):
        found: dict[float, list[float]] = {}
        for row in noise:
            ratio = whole_ratio(row)
            if row["trained_at"] == batch and ratio is not None:
                found.setdefault(row["share"], []).append(ratio)
        x = sorted(found)
        y = [float(np.mean(found[share])) for share in x]
        style = ratio_style(index, len(batches)) | {"markersize": 4}
        axis.plot([100 * s for s in x], y, label=f"batch size {batch}", **style)
    axis.set(
        title="noise to signal of a batch's gradient",
        xlabel="trained (% of the steps)",
        ylabel="$\\sigma/|\\mu|$",
    )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(StrMethodFormatter("{x:g}"))
        side.set_minor_locator(NullLocator())
    axis.grid(alpha=0.25)
    axis.legend(fontsize=6)


def _draw_shapes(axis: Axes, shapes: Mapping[str, Mapping[int, float]], batches: Sequence[int]) -> None:
    for index, (module, curve) in enumerate(shapes.items()):
        style = law_style(index) | {"marker": MARKERS[index % len(MARKERS)], "markersize": 3.5}
        axis.plot(list(curve), list(curve.values()), label=module, **style)
    axis.axhline(2, color="black", linewidth=0.5)
    axis.text(min(batches), 2, "Gauss", fontsize=6, va="bottom")
    axis.set(title="shape of the noise at the end", ylabel="shape $b$ of a batch's noise")
    _batch_axis(axis, batches)
    if shapes:
        axis.legend(fontsize=6, ncols=2)
