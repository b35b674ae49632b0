"""Figure 7: Adam's mean update u against the power p, one curve a noise-to-signal ratio r = σ/μ (Example 4.1).

Solid lines are exact at finite β, thin dashed ones the limit β → 1, markers with 95% error bars a Monte Carlo in which
all powers see the same noise. A filled star is the exact optimal power p*. As in the paper, the best and the
second-best power of each curve carry stars too (hollow): the paper does not name its grid of powers, here it is
p = 0.1, 0.2, …, 3. Vertical ticks mark Proposition 4.3's p* on the curves of uniform noise with σ > μ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from figures.adam.example import Point, Setting
from figures.adam.panels import draw_by_law
from figures.style import Row
from simulate import simulate_adam
from theory.adam.optimum import OptimalPower
from theory.laws import parse_law
from theory.numerics.inputs import Array

FILE = "figure7"
LAWS = ("uniform",)
POWERS = np.linspace(0.05, 3.0, 200)
_COARSE = np.linspace(0.05, 3.0, 60)  # enough for the narrow panels of several laws
SIMULATED = np.linspace(0.05, 3.0, 25)
STARRED = np.arange(1, 31) / 10
_LAST, _LOWEST = 2.4, 2e-3  # of the axes; beyond their maxima the curves fall by many more orders
_Z95 = float(norm.ppf(0.975))


@dataclass(frozen=True)
class Curve:
    """One curve of Figure 7."""

    point: Point
    powers: Array
    exact: Array
    limit: Array  # u∞; NaN where the law lacks the moment
    simulated: Array  # Monte Carlo mean at `SIMULATED`
    error: Array  # half its 95% confidence interval
    optimum: OptimalPower  # exact p*
    starred: Array  # best and second-best power of the grid `STARRED`
    proposition: float | None  # Proposition 4.3's p*, where it speaks

    @property
    def marked(self) -> dict[str, tuple[Array, Array]]:
        """The marked powers by name, with the exact update there."""
        starred = self.point.exact(self.starred).drift
        marks = {
            "optimum": (np.array([self.optimum.power]), np.array([self.optimum.update])),
            "best on grid": (self.starred[:1], starred[:1]),
            "second best on grid": (self.starred[1:], starred[1:]),
        }
        if self.proposition is not None:
            power = np.array([self.proposition])
            marks["proposition"] = (power, self.point.exact(power).drift)
        return marks


def compute(setting: Setting, *, powers: Array | None = None) -> list[Curve]:
    """Return the curves, law by law, in the order of the ratios; by default at `POWERS` for a single law."""
    curves, laws = [], setting.law or LAWS
    if powers is None:
        powers = POWERS if len(laws) == 1 else _COARSE
    for law in laws:
        points = setting.points(law)
        trials = simulate_adam(
            SIMULATED,
            setting.mean,
            [point.noise_scale for point in points],
            parse_law(law),
            **points[0].adam,
            trials=setting.trials,
            seed=setting.seed,
        )
        margins = _Z95 * trials.standard_error
        for point, mean, margin in zip(points, trials.drift, margins, strict=True):
            starred = STARRED[np.argsort(-point.exact(STARRED).drift, kind="stable")[:2]]
            exact = powers, point.exact(powers).drift, point.limit(powers)
            marked = point.optimum(), starred, point.proposition_power()
            curves.append(Curve(point, *exact, mean, margin, *marked))
    return curves


def rows(curves: Sequence[Curve]) -> list[Row]:
    """Return every drawn mark: law, ratio, series, p, u, u over the curve's maximum, half the 95% interval."""
    table: list[Row] = []
    for curve in curves:
        series: dict[str, tuple[Array, ...]] = {
            "exact": (curve.powers, curve.exact),
            "limit": (curve.powers, curve.limit),
            "monte-carlo": (SIMULATED, curve.simulated, curve.error),
            **curve.marked,
        }
        for name, (powers, updates, *margins) in series.items():
            for index, (power, update) in enumerate(zip(powers.tolist(), updates.tolist(), strict=True)):
                row: dict[str, Any] = {
                    "law": curve.point.law,
                    "noise_to_signal": curve.point.noise_to_signal,
                    "series": name,
                    "power": power,
                    "update": update,
                    "over_maximum": update / curve.optimum.update,
                }
                if margins:
                    row["margin_95"] = float(margins[0][index])
                table.append(row)
    return table


_STAR: dict[str, Any] = {"marker": "*", "linestyle": ""}
_SECOND = _STAR | {"markersize": 5.5, "markerfacecolor": "white", "markeredgewidth": 0.8}
_TICK = {"marker": "|", "markersize": 11, "linestyle": "", "markeredgecolor": "black", "markeredgewidth": 0.9}
_MARKS: dict[str, dict[str, Any]] = {
    "optimum": _STAR | {"markersize": 8, "markeredgecolor": "black", "markeredgewidth": 0.6},
    "best on grid": _SECOND,
    "second best on grid": _SECOND,
    "proposition": _TICK,
}
_LEGEND: dict[str, dict[str, Any]] = {
    "exact": {},
    "limit β → 1": {"linestyle": "--", "linewidth": 0.7},
    "Monte Carlo": {"marker": "o", "markersize": 3, "linestyle": ""},
    "exact $p$*": _MARKS["optimum"],
    "best two of $p$ = 0.1, 0.2, …": _SECOND,
    "Proposition 4.3": _TICK,
}


def draw(curves: Sequence[Curve]) -> Figure:
    """Draw u against p, and each curve over its maximum, in columns by law."""
    labels = ("mean update $u$", "$u\\,/\\,u(p$*)")
    return draw_by_law(curves, labels, _LAST, (_LOWEST, 1.5), _LEGEND, _draw_curve)


def _draw_curve(axis: Axes, curve: Curve, style: dict[str, Any], relative: bool) -> None:
    color, scale = style["color"], curve.optimum.update if relative else 1.0
    axis.plot(curve.powers, curve.exact / scale, color=color)
    axis.plot(curve.powers, curve.limit / scale, color=color, linestyle="--", linewidth=0.7)
    simulated = (SIMULATED, curve.simulated / scale, curve.error / scale)
    axis.errorbar(*simulated, **style, markersize=2.3, linestyle="", elinewidth=0.7, capsize=1.5)
    for name, (powers, updates) in curve.marked.items():
        if relative or "grid" not in name:
            # The star of a maximum at p → 0 sits on the axis itself.
            axis.plot(powers, updates / scale, color=color, clip_on=False, zorder=4, **_MARKS[name])
