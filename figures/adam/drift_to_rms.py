"""Figure 7 with drift/RMS, E u/√(E u²), in place of the mean update u: progress per unit of movement.

A learning rate can make up for the size of an update, not for its noise. Stars mark the power that maximises drift/RMS,
triangles the curves that still rise at the last power, open diamonds the power that maximises u: where the two differ,
Figure 7's best power is one of size. All curves are exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.adam.example import INTERVAL, Point, Setting
from figures.adam.panels import draw_by_law
from figures.style import MARKERS, Row
from theory.adam.optimum import OptimalPower
from theory.numerics.inputs import Array

FILE = "drift_to_rms"
LAWS = ("uniform", "gaussian", "laplace")
POWERS = np.linspace(0.05, 3.0, 60)
_FLAT = 1e-6  # curves that vary less have no maximum worth a mark


@dataclass(frozen=True)
class Curve:
    """Drift/RMS, E u/√(E u²), of one noise example, and where it (`optimum`) and where u is largest."""

    point: Point
    powers: Array
    drift_to_rms: Array
    optimum: OptimalPower
    drift_optimum: OptimalPower

    @property
    def drawn(self) -> Iterator[tuple[str, tuple[float, float]]]:
        """The points of the curve."""
        return (
            ("exact", pair) for pair in zip(self.powers.tolist(), self.drift_to_rms.tolist(), strict=True)
        )

    @property
    def marked(self) -> dict[str, tuple[float, float]]:
        """Both optimal powers by name, with drift/RMS there; an edge p → 0 is not a point of the curve."""
        marks = {}
        if np.ptp(self.drift_to_rms) >= _FLAT and self.optimum.at_edge != "low":
            name = "still rising" if self.optimum.at_edge else "optimum of drift/RMS"
            marks[name] = (self.optimum.power, self.optimum.update)
        if self.drift_optimum.at_edge != "low":
            power = self.drift_optimum.power
            marks["optimum of u"] = (power, float(self.point.exact(np.array([power])).drift_to_rms[0]))
        return marks


def compute(setting: Setting, *, powers: Array = POWERS) -> list[Curve]:
    """Return the curves, law by law, in the order of the ratios."""
    return [
        Curve(point, powers, point.exact(powers).drift_to_rms, point.drift_to_rms_optimum(), point.optimum())
        for law in setting.law or LAWS
        for point in setting.points(law)
    ]


def rows(curves: Sequence[Curve]) -> list[Row]:
    """Return every drawn mark: law, ratio, series, p and drift/RMS, also over the curve's maximum."""
    return [
        {
            "law": curve.point.law,
            "noise_to_signal": curve.point.noise_to_signal,
            "series": series,
            "power": power,
            "drift_to_rms": value,
            "over_maximum": value / curve.optimum.update,
        }
        for curve in curves
        for series, (power, value) in [*curve.drawn, *curve.marked.items()]
    ]


_EDGE = {"markeredgecolor": "black", "markeredgewidth": 0.6}
_MARKS: dict[str, dict[str, Any]] = {
    "optimum of drift/RMS": {"marker": "*", "markersize": 8, **_EDGE},
    "still rising": {"marker": ">", "markersize": 6, **_EDGE},
    "optimum of u": {"marker": "D", "markersize": 4, "markerfacecolor": "white"},
}


def draw(curves: Sequence[Curve]) -> Figure:
    """Draw drift/RMS against p, and each curve over its maximum, in columns by law."""
    marks = {name: {"linestyle": ""} | style for name, style in _MARKS.items()}
    marks["optimum of $u$ (Figure 7)"] = marks.pop("optimum of u")
    lowest = min(0.5, *(float(curve.drift_to_rms.min()) for curve in curves))
    labels = ("drift/RMS", "drift/RMS over its maximum")
    return draw_by_law(curves, labels, INTERVAL[1], (lowest, None), {"exact": {}, **marks}, _draw_curve)


def _draw_curve(axis: Axes, curve: Curve, style: dict[str, Any], relative: bool) -> None:
    color, scale = style["color"], curve.optimum.update if relative else 1.0
    every = (3 * MARKERS.index(style["marker"]), 21)  # marks of different ratios at different p
    axis.plot(curve.powers, curve.drift_to_rms / scale, **style, markersize=2.6, markevery=every)
    for name, (power, value) in curve.marked.items():
        axis.plot(power, value / scale, color=color, clip_on=False, zorder=4, **_MARKS[name])
