"""Measured gradient noise: its ratio to the signal and its shape by module, and the power that it calls for.

(a) Quantiles of σ_i/|μ_i| over the coordinates of a module at the micro-batches' size, by a log-normal fit free of the
means' own noise: thin 10–90 %, thick 25–75 %, dot the median with its 95 % interval. Open circles: the median of
σ̂_i/|μ̂_i| as measured, which noise makes too small; crosses: √(Σσ²/Σμ²), where large coordinates count most.
(b) The fitted generalized-normal shape b, 95 % intervals. (c) The predicted best power at a tuned rate, of each module
and of all together, 95 % intervals. Open triangles point beyond the range that was searched.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.noise.measurement import NOISE, Measurement
from experiments.noise.replay import POWERS
from experiments.noise.statistics import ModuleRow
from figures.style import Row, Style, law_style, legend_of, panels, plain_ticks, single
from theory.measured.noise_to_signal import QUANTILES

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
    powers = [{"panel": "power", **asdict(row)} for row in measurement.predictions if row.resolved]
    for power in powers:
        del power["equivalent"]  # of all powers, not drawn
    return [*modules, *powers]


def draw(measurement: Measurement) -> Figure:
    """Draw the marks of a measurement."""
    names = [row.module for row in measurement.modules]
    with panels(1, 3, height=3.0) as (figure, grid):
        ratios, shapes, powers = grid.flat
        _draw_ratios(ratios, measurement.modules)
        _draw_shapes(shapes, measurement.modules)
        _draw_powers(powers, measurement, [*names, "all"])
        sequences = measurement.settings.micro_batch_size
        ratios.set(title="noise-to-signal ratio", xscale="log", xlabel=f"σ/|μ|, batches of {sequences}")
        shapes.set(title="shape of the noise", xscale="log", xlabel="generalized-normal shape b")
        plain_ticks(ratios.xaxis, [factor * 10.0**k for k in range(-3, 7) for factor in (1, 2, 5)])
        plain_ticks(shapes.xaxis, [0.25, 0.5, 1, 2, 4, 8])
        for axis, places in ((ratios, names), (shapes, names), (powers, [*names, "all"])):
            axis.set_yticks(range(len(places)), places)
            axis.set_ylim(len(names) + 0.6, -0.6)
        legend_of(figure, (ratios,), ncols=4)
        if powers.get_legend_handles_labels()[1]:
            handles = dict(zip(*reversed(powers.get_legend_handles_labels()), strict=True))
            powers.legend(handles.values(), handles, loc="center right", title="batch size", title_fontsize=7)
    return figure


def _draw_ratios(axis: Axes, modules: Sequence[ModuleRow]) -> None:
    blue, red = law_style(0)["color"], law_style(1)["color"]
    for place, row in enumerate(modules):
        if row.ratios:
            low, lower, median, upper, high = row.ratios
            label = "(a): half (thick) and 80 % of the coordinates"
            axis.plot([low, high], [place] * 2, color=blue, linewidth=1.0, label=label)
            axis.plot([lower, upper], [place] * 2, color=blue, linewidth=4.0, alpha=0.45)
            margin = _Z * row.ratio_errors[2]
            label = "median, free of the means' noise"
            ends = (max(median - margin, 0.01 * median), median + margin)  # of which a logarithm exists
            _draw_interval(axis, place, median, *ends, color="black", label=label)
            naive: Style = {
                "color": "black",
                "markersize": 4,
                "markerfacecolor": "white",
                "label": "naive median",
            }
            axis.plot(row.naive_ratios[2], place, "o", **naive)
        if row.noise_to_signal is not None:
            axis.plot(row.noise_to_signal, place, "x", color=red, markersize=5, label="√(Σσ²/Σμ²)")


def _draw_shapes(axis: Axes, modules: Sequence[ModuleRow]) -> None:
    for place, row in enumerate(modules):
        if row.shape is not None:
            margin = _Z * (row.shape_error or 0.0)
            ends = (row.shape - margin, row.shape + margin)
            _draw_interval(axis, place, row.shape, *ends, row.shape_at_edge, color=law_style(0)["color"])
    for shape, name in ((1, "Laplace"), (2, "Gauss")):
        axis.axvline(shape, color="0.35", linewidth=0.8, linestyle=(0, (4, 2)), zorder=0)
        text: Style = {"fontsize": 6, "color": "0.25", "rotation": 90, "va": "bottom"}
        axis.text(1.05 * shape, 0.02, name, transform=axis.get_xaxis_transform(), **text)


def _draw_powers(axis: Axes, measurement: Measurement, names: Sequence[str]) -> None:
    sizes = measurement.settings.batch_sizes
    resolved = [row for row in measurement.predictions if row.resolved]
    for index, size in enumerate(sizes):
        style = law_style(index) | {"label": f"{size}"}
        # side by side, so that intervals of equal modules do not cover each other
        shift = 0.6 * ((index + 0.5) / len(sizes) - 0.5)
        for row in resolved:
            if row.batch_size == size:
                place = names.index(row.module) + shift
                _draw_interval(axis, place, row.power, row.low, row.high, row.at_edge, **style)
    axis.axvline(1.0, color="black", linewidth=0.8, zorder=0)
    axis.set(xlabel="best power p", xlim=(POWERS[0] - 0.1, POWERS[-1] + 0.1), title="power called for")
    if not resolved:
        axis.annotate("no signal resolved", (0.5, 0.5), xycoords="axes fraction", ha="center")


def _draw_interval(
    axis: Axes, place: float, value: float, low: float, high: float, at_edge: bool = False, **style: Any
) -> None:
    """Draw a value with its interval, or a triangle that points beyond the range if it lies at an end."""
    marks: Style = {"marker": "o", "markersize": 4, **style, "linestyle": "none"}
    if at_edge:
        marks |= {"marker": "<" if value < 1 else ">", "markerfacecolor": "white", "markersize": 5}
        axis.plot(value, place, **marks)
    else:
        axis.errorbar(value, place, xerr=[[value - low], [high - value]], capsize=2, elinewidth=0.9, **marks)
