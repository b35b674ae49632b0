"""Columns of two panels, one column a law: curves against p, and below them each curve over its own maximum."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.adam.example import Point
from figures.style import MARKERS, Row, Style, legend, panels, ratio_style
from theory.adam.optimum import OptimalPower
from theory.numerics.inputs import Array

_TITLES = {law.lower(): f"{law} noise" for law in ("uniform", "binary", "Gaussian", "Laplace")}
_NOISELESS = {"linewidth": 4, "alpha": 0.35}  # under the curve of little noise, which covers it otherwise
# A marked power; a maximum at p → 0 lies on the axis itself.
MARK: Style = {"linestyle": "", "clip_on": False, "zorder": 4}
EDGE: Style = {"markeredgecolor": "black", "markeredgewidth": 0.6}

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
    styles: Mapping[str, Style],
    above_only: Sequence[str] = (),
) -> Figure:
    """Draw all curves, and all of them over their maxima; a single law has the two side by side.

    `curves` come law by law, with the same ratios; `labels` are those of the two vertical axes, `lowest` the limits of
    the first; `styles` are matplotlib's by series, with the label in the legend. Series in `above_only` are left out
    where curves are over their maxima, as they crowd there.
    """
    laws = list(dict.fromkeys(curve.point.law for curve in curves))
    ratios = list(dict.fromkeys(curve.point.noise_to_signal for curve in curves))
    by_ratio = {ratio: ratio_style(index, len(ratios)) for index, ratio in enumerate(ratios)}
    if 0.0 in by_ratio:
        by_ratio[0.0] |= _NOISELESS
    alone = len(laws) == 1
    shape: dict[str, Any] = {"height": 3.3} if alone else {"height": 4.8, "sharey": "row"}
    with panels(*((1, 2) if alone else (2, len(laws))), sharex=True, **shape) as (figure, grid):
        columns = [grid[0]] if alone else list(grid.T)
        for law, (top, bottom) in zip(laws, columns, strict=True):
            top.set_title(_TITLES.get(law, f"{law} noise"))
            bottom.set_title("each over the exact maximum")
            top.set_yscale("log")
            top.set_xlim(0, last_power)
            for curve in curves:
                if curve.point.law == law:
                    ratio = by_ratio[curve.point.noise_to_signal]
                    _draw_curve(top, curve, ratio, styles)
                    fewer = {name: style for name, style in styles.items() if name not in above_only}
                    _draw_curve(bottom, curve, ratio, fewer, over=curve.optimum.update)
            top.set_ylim(*lowest)
            bottom.set_ylim(0.55, 1.06)
        for axis in grid[-1]:
            axis.set_xlabel("power $p$")
        for axis, label in zip(columns[0], labels, strict=True):
            axis.set_ylabel(label)
        # In the first column: elsewhere the colours and marks are the same.
        _label_curves(columns[0][0], [curve for curve in curves if curve.point.law == laws[0]])
        series = {
            style["label"]: {"color": "0.25", "marker": "o", **style}
            for style in styles.values()
            if "label" in style
        }
        legend(figure, "lower", series)
    return figure


def _label_curves(axis: Axes, curves: Sequence[Curve]) -> None:
    """Write the noise ratio at the left end of each curve; curves that are one there share a label."""
    starts = {curve.point.noise_to_signal: curve.series["exact"][1][0] for curve in curves}
    together: list[list[float]] = []
    for ratio, start in starts.items():
        if together and np.isclose(start, starts[together[-1][-1]], rtol=0.1):
            together[-1].append(ratio)
        else:
            together.append([ratio])
    heights = [starts[ratios[0]] for ratios in together]
    # On the side where there is more room: above the uppermost, and below the lowest.
    room = [np.inf, *np.diff(-np.log(heights)), np.inf]
    for ratios, height, above, below in zip(together, heights, room[:-1], room[1:], strict=True):
        text = "σ/μ = " + ", ".join(f"{ratio:g}" for ratio in ratios)
        offset = (3, 6 if above >= below else -10)
        axis.annotate(text, (0, height), offset, textcoords="offset points", fontsize=7)


def _draw_curve(
    axis: Axes,
    curve: Curve,
    ratio: Style,
    styles: Mapping[str, Style],
    over: float = 1.0,
) -> None:
    for name, (powers, values, *margins) in curve.series.items():
        if name not in styles:
            continue
        style = {**ratio, **styles[name]}
        if "markevery" in style:  # marks of different ratios at different p
            style["markevery"] = (3 * MARKERS.index(style["marker"]), style["markevery"])
        margin = margins[0] / over if margins else None
        axis.errorbar(powers, values / over, margin, elinewidth=0.7, capsize=1.5, **style)
