"""Columns of two panels, one column a law: curves against p, and below them each curve over its own maximum."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.adam.example import Point
from figures.style import Row, legend, panels, ratio_style
from theory.adam.optimum import OptimalPower
from theory.numerics.inputs import Array

_TITLES = {law.lower(): f"{law} noise" for law in ("uniform", "binary", "Gaussian", "Laplace")}


Series = dict[str, tuple[Array, ...]]


@dataclass(frozen=True)
class Curve:
    """What is drawn of one noise example, and where its curve is largest.

    By name, `series` are powers, values, and half their 95% intervals if they are simulated.
    """

    point: Point
    optimum: OptimalPower
    series: Series


def tabulated(curves: Sequence[Curve], name: str) -> list[Row]:
    """Return every mark; its value is called `name`, and stands there over the curve's maximum, too."""
    return [
        {
            "law": curve.point.law,
            "noise_to_signal": curve.point.noise_to_signal,
            "series": series,
            "power": power,
            name: value,
            "over_maximum": value / curve.optimum.update,
            **dict(zip(("margin_95",), margin, strict=False)),
        }
        for curve in curves
        for series, columns in curve.series.items()
        for power, value, *margin in zip(*(column.tolist() for column in columns), strict=True)
    ]


def draw_by_law(
    curves: Sequence[Curve],
    labels: tuple[str, str],
    last_power: float,
    lowest: tuple[float, float | None],
    marks: Mapping[str, Mapping[str, Any]],
    draw_curve: Callable[[Axes, Curve, dict[str, Any], bool], None],
) -> Figure:
    """Draw all curves, and all of them over their maxima; a single law has the two side by side.

    `curves` come law by law, with the same ratios; `labels` are those of the two vertical axes, `lowest` the limits of
    the first; `marks` are styles by their meaning; `draw_curve` draws a curve on an axis in the style of its ratio,
    over its maximum if the last argument says so.
    """
    laws = list(dict.fromkeys(curve.point.law for curve in curves))
    alone = len(laws) == 1
    shape: dict[str, Any] = {"height": 3.3} if alone else {"height": 4.8, "sharey": "row"}
    with panels(*((1, 2) if alone else (2, len(laws))), sharex=True, **shape) as (figure, grid):
        columns = [grid[0]] if alone else list(grid.T)
        for law, (top, bottom) in zip(laws, columns, strict=True):
            top.set_title(_TITLES.get(law, f"{law} noise"))
            bottom.set_title("each over its maximum")
            top.set_yscale("log")
            top.set_xlim(0, last_power)
            own = [curve for curve in curves if curve.point.law == law]
            for index, curve in enumerate(own):
                style = ratio_style(index, len(own))
                draw_curve(top, curve, style, False)
                draw_curve(bottom, curve, style, True)
            top.set_ylim(*lowest)
            bottom.set_ylim(0.55, 1.06)
        for axis in grid[-1]:
            axis.set_xlabel("power $p$")
        for axis, label in zip(columns[0], labels, strict=True):
            axis.set_ylabel(label)
        _legends(figure, [curve.point.noise_to_signal for curve in own], marks)
    return figure


def _legends(figure: Figure, ratios: Sequence[float], marks: Mapping[str, Mapping[str, Any]]) -> None:
    """Put above the axes what the colours (ratios), and below them what the marks mean."""
    curves = {
        f"{'σ/μ = ' if index == 0 else ''}{ratio:g}": {"markersize": 4, **ratio_style(index, len(ratios))}
        for index, ratio in enumerate(ratios)
    }
    legend(figure, "upper", curves, columnspacing=1.6)
    legend(figure, "lower", {label: {"color": "0.25", **style} for label, style in marks.items()})
