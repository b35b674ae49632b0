"""Measured gradient noise: its ratio to the signal and its shape by module, and the power that it calls for.

(a) Quantiles of σ_i/|μ_i| over the coordinates of a module at the micro-batches' size, by a log-normal fit free of the
means' own noise: thin 10–90 %, thick 25–75 %, dot the median with its 95 % interval. Open circles: the median of
σ̂_i/|μ̂_i| as measured, which noise makes too small; crosses: √(Σσ²/Σμ²), where large coordinates count most.
(b) The fitted generalized-normal shape b, 95 % intervals. (c) The predicted best power at a tuned rate, of each module
and of all together, 95 % intervals. Open triangles point beyond the range that was searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from experiments.noise.measurement import NOISE, Measurement
from experiments.noise.replay import POWERS, PredictedPower
from experiments.noise.statistics import ModuleRow
from figures.style import Row, house_style, law_style, letter, new_figure, single
from theory.measured.noise_to_signal import QUANTILES

FILE = "gradient_noise"
_Z = 1.96


def read(sources: Sequence[Path]) -> Measurement:
    """Return the content of a noise.json, or of the one in a folder."""
    return NOISE.read(single(sources))


def rows(measurement: Measurement) -> list[Row]:
    """Return a row for every mark: those of the modules, then the predictions."""
    names = [f"ratio_{100 * q:.0f}" for q in QUANTILES]
    modules = [
        {
            "panel": "module",
            "module": row.module,
            "ratio_of_sums": row.noise_to_signal,
            **dict(zip(names, row.ratios or [None] * len(names), strict=True)),
            "ratio_50_error": row.ratio_errors[2] if row.ratios else None,
            "ratio_50_naive": row.naive_ratios[2] if row.ratios else None,
            "shape": row.shape,
            "shape_error": row.shape_error,
            "shape_at_edge": row.shape_at_edge,
        }
        for row in measurement.modules
    ]
    powers = [asdict(row) for row in measurement.predictions if row.resolved]
    return [
        *modules,
        *({"panel": "power"} | {k: v for k, v in row.items() if k != "equivalent"} for row in powers),
    ]


def draw(measurement: Measurement) -> Figure:
    """Draw the marks of a measurement."""
    with house_style():
        figure, grid = new_figure(1, 3, height=3.0)
        ratios, shapes, powers = grid.flat
        _draw_ratios(ratios, measurement.modules)
        _draw_shapes(shapes, measurement.modules)
        _draw_powers(powers, measurement)
        sequences = measurement.settings.micro_batch_size
        ratios.set(xlabel=f"σ/|μ|, micro-batches of {sequences} sequences", xscale="log")
        shapes.set(xlabel="generalized-normal shape b", xscale="log")
        ratios.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        shapes.set_xticks([0.25, 0.5, 1, 2, 4, 8])
        for axis in (ratios, shapes):
            axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
        for axis in grid.flat:
            axis.grid(alpha=0.25)
        letter(list(grid.flat))
        found: dict[str, Any] = {}
        for axis in (ratios, powers):
            handles, labels = axis.get_legend_handles_labels()
            found |= dict(zip(labels, handles, strict=True))
        figure.legend(list(found.values()), list(found), loc="outside upper center", ncols=4)
    return figure


def _draw_ratios(axis: Axes, modules: Sequence[ModuleRow]) -> None:
    colour = law_style(0)["color"]
    for place, row in enumerate(modules):
        if row.ratios:
            ends = [row.ratios[0], row.ratios[-1]]
            axis.plot(
                ends, [place] * 2, color=colour, linewidth=1.0, label="(a): half and 80 % of the coordinates"
            )
            axis.plot([row.ratios[1], row.ratios[3]], [place] * 2, color=colour, linewidth=4.0, alpha=0.45)
            margin = _Z * row.ratio_errors[2]
            low = min(margin, 0.99 * row.ratios[2])
            axis.errorbar(
                row.ratios[2], place, xerr=[[low], [margin]], color="black", marker="o", markersize=4,
                capsize=2, elinewidth=0.9, label="median, free of the means' noise",
            )  # fmt: skip
            axis.plot(
                row.naive_ratios[2], place, "o", color="black", markersize=4, markerfacecolor="white",
                label="naive median",
            )  # fmt: skip
        if row.noise_to_signal is not None:
            colour_of_sums = law_style(1)["color"]
            axis.plot(row.noise_to_signal, place, "x", color=colour_of_sums, markersize=5, label="√(Σσ²/Σμ²)")
    _name_modules(axis, modules, "noise-to-signal ratio")


def _draw_shapes(axis: Axes, modules: Sequence[ModuleRow]) -> None:
    for place, row in enumerate(modules):
        if row.shape is not None:
            margin = _Z * (row.shape_error or 0.0)
            if row.shape_at_edge:
                beyond = "<" if row.shape < 1 else ">"
                axis.plot(row.shape, place, beyond, color=law_style(0)["color"], markerfacecolor="white")
                continue
            axis.errorbar(
                row.shape, place, xerr=margin, color=law_style(0)["color"], marker="o", markersize=4,
                capsize=2, elinewidth=0.9,
            )  # fmt: skip
    for shape, name in ((1, "Laplace"), (2, "Gauss")):
        axis.axvline(shape, color="0.35", linewidth=0.8, linestyle=(0, (4, 2)), zorder=0)
        axis.annotate(
            name, (shape, 0.02), xycoords=("data", "axes fraction"), xytext=(2, 0),
            textcoords="offset points", fontsize=6, color="0.25", rotation=90, va="bottom",
        )  # fmt: skip
    _name_modules(axis, modules, "shape of the noise")


def _name_modules(axis: Axes, modules: Sequence[ModuleRow], title: str) -> None:
    axis.set_yticks(range(len(modules)), [row.module for row in modules])
    axis.set_ylim(len(modules) - 0.4, -0.6)
    axis.set_title(title)


def _draw_powers(axis: Axes, measurement: Measurement) -> None:
    names = ["all", *(row.module for row in measurement.modules)]
    sizes = measurement.settings.batch_sizes
    for index, size in enumerate(sizes):
        style = law_style(index) | {"linestyle": "none", "markersize": 4}
        # side by side, so that intervals of equal modules do not cover each other
        shift = 0.6 * ((index + 0.5) / len(sizes) - 0.5)
        own = [row for row in measurement.predictions if row.batch_size == size and row.resolved]
        for row in own:
            _draw_power(axis, row, names.index(row.module) + shift, style | {"label": f"batch size {size}"})
    axis.axvline(1.0, color="black", linewidth=0.8, zorder=0)
    axis.set(xlabel="best power p", xlim=(POWERS[0] - 0.1, POWERS[-1] + 0.1), title="power called for")
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)
    if not any(row.resolved for row in measurement.predictions):
        axis.annotate("no signal resolved", (0.5, 0.5), xycoords="axes fraction", ha="center")


def _draw_power(axis: Axes, row: PredictedPower, place: float, style: dict[str, Any]) -> None:
    if row.at_edge:
        mark = "<" if row.power < 1 else ">"
        axis.plot(row.power, place, **style | {"marker": mark, "markerfacecolor": "white", "markersize": 5})
        return
    errors = [[row.power - row.low], [row.high - row.power]]
    axis.errorbar(row.power, place, xerr=errors, capsize=2, elinewidth=0.9, **style)
