"""Figure 7 with drift/RMS, E u/√(E u²), in place of the mean update u: progress per unit of movement.

A learning rate can make up for the size of an update, not for its noise. Stars mark the power that maximises drift/RMS,
triangles the curves that still rise at the last power, open diamonds the power that maximises u: where the two differ,
Figure 7's best power is one of size. All curves are exact.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from figures.adam.example import INTERVAL, Point, Setting
from figures.adam.panels import EDGE, MARK, Curve, Series, draw_by_law, tabulated
from figures.style import Row, Style
from theory.numerics.inputs import Array

LAWS = ("uniform", "gaussian", "laplace")
POWERS = np.linspace(0.05, 3.0, 60)
_FLAT = 1e-6  # curves that vary less, as without noise, have no maximum worth a mark


def compute(setting: Setting, *, powers: Array = POWERS) -> list[Curve]:
    """Return the curves, law by law, in the order of the ratios."""
    return [_curve(point, powers) for law in setting.law or LAWS for point in setting.points(law)]


def _curve(point: Point, powers: Array) -> Curve:
    """The curve, and both optimal powers with drift/RMS there; an edge p → 0 is not a point of it."""
    values, best, of_drift = point.exact(powers).drift_to_rms, point.drift_to_rms_optimum(), point.optimum()
    series: Series = {"exact": (powers, values)}
    if np.ptp(values) >= _FLAT and best.at_edge != "low":
        name = "still rising" if best.at_edge else "optimum of drift/RMS"
        series[name] = (np.array([best.power]), np.array([best.update]))
    if of_drift.at_edge != "low":
        power = np.array([of_drift.power])
        series["optimum of u"] = (power, point.exact(power).drift_to_rms)
    return Curve(point, best, series)


def rows(curves: Sequence[Curve]) -> list[Row]:
    """Return every drawn mark: law, ratio, series, p and drift/RMS, also over the curve's maximum."""
    return tabulated(curves, "drift_to_rms")


_STYLES: dict[str, Style] = {
    "exact": {"markersize": 2.6, "markevery": 21, "label": "exact"},
    "optimum of drift/RMS": MARK | EDGE | {"marker": "*", "markersize": 8, "label": "optimum of drift/RMS"},
    "still rising": MARK | EDGE | {"marker": ">", "markersize": 6, "label": "still rising"},
    "optimum of u": MARK
    | {"marker": "D", "markersize": 4, "markerfacecolor": "white", "label": "optimum of $u$ (Figure 7)"},
}


def draw(curves: Sequence[Curve]) -> Figure:
    """Draw drift/RMS against p, and each curve over its maximum, in columns by law."""
    lowest = min(0.5, *(float(curve.series["exact"][1].min()) for curve in curves))
    labels = ("drift/RMS", "drift/RMS over its maximum")
    return draw_by_law(curves, labels, INTERVAL[1], (lowest, 2.0), _STYLES)
