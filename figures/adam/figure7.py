"""Figure 7: Adam's mean update u against the power p, one curve a noise-to-signal ratio r = σ/μ (Example 4.1).

Solid lines are exact at finite β, thin dashed ones the limit β → 1, markers with 95% error bars a Monte Carlo in which
all powers see the same noise. The broad pale curve is the one without noise, on which that of little noise lies. A
filled star is the exact optimal power p*. As in the paper, the best and the second-best power of each curve carry stars
too (hollow): the paper does not name its grid of powers, here it is p = 0.1, 0.2, …, 3. Vertical ticks mark Proposition
4.3's p* on the curves of uniform noise with σ > μ.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm

from figures.adam.example import Point, Setting
from figures.adam.panels import EDGE, MARK, Curve, Series, draw_by_law, tabulated
from figures.style import Row, Style
from simulate import simulate_adam
from theory.laws import parse_law
from theory.numerics.inputs import Array

LAWS = ("uniform",)
POWERS = np.linspace(0.05, 3.0, 200)
_COARSE = np.linspace(0.05, 3.0, 60)  # enough for the narrow panels of several laws
SIMULATED = np.linspace(0.05, 3.0, 25)
STARRED = np.arange(1, 31) / 10
_LAST, _LOWEST = 2.4, 2e-3  # of the axes; beyond their maxima the curves fall by many more orders
_Z95 = float(norm.ppf(0.975))


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
            curve: Series = {
                "exact": (powers, point.exact(powers).drift),
                "limit": (powers, point.limit(powers)),  # NaN where the law lacks the moment
                "monte-carlo": (SIMULATED, mean, margin),
            }
            curves.append(Curve(point, point.optimum(), curve | _marked(point)))
    return curves


def _marked(point: Point) -> Series:
    """The marked powers by name, with the exact update there."""
    optimum = point.optimum()
    starred = STARRED[np.argsort(-point.exact(STARRED).drift, kind="stable")[:2]]
    updates = point.exact(starred).drift
    marks: Series = {
        "optimum": (np.array([optimum.power]), np.array([optimum.update])),
        "best on grid": (starred[:1], updates[:1]),
        "second best on grid": (starred[1:], updates[1:]),
    }
    proposition = point.proposition_power()
    if proposition is not None:
        power = np.array([proposition])
        marks["proposition"] = (power, point.exact(power).drift)
    return marks


def rows(curves: Sequence[Curve]) -> list[Row]:
    """Return every drawn mark: law, ratio, series, p, u, u over the curve's maximum, half the 95% interval."""
    return tabulated(curves, "update")


_STAR: Style = MARK | {"marker": "*"}
_SECOND = _STAR | {
    "markersize": 5.5,
    "markerfacecolor": "white",
    "markeredgewidth": 0.8,
    "label": "best two of $p$ = 0.1, 0.2, …",
}
_STYLES: dict[str, Style] = {
    "exact": {"marker": "", "label": "exact"},
    "limit": {"marker": "", "linestyle": "--", "linewidth": 0.7, "label": "limit β → 1"},
    "monte-carlo": {"markersize": 2.3, "linestyle": "", "label": "Monte Carlo"},
    "optimum": _STAR | EDGE | {"zorder": 5, "markersize": 8, "label": "exact $p$*"},
    "best on grid": _SECOND,
    "second best on grid": _SECOND,
    "proposition": MARK | EDGE | {"marker": "|", "markersize": 11},
}


def draw(curves: Sequence[Curve]) -> Figure:
    """Draw u against p, and each curve over its maximum, in columns by law."""
    labels = ("mean update $u$", "$u\\,/\\,u(p$*)")
    crowded = ("best on grid", "second best on grid", "proposition")
    figure = draw_by_law(curves, labels, _LAST, (_LOWEST, 2.0), _STYLES, above_only=crowded)
    marks = [curve.series["proposition"] for curve in curves if "proposition" in curve.series]
    for power, update in marks[-1:]:
        place = (float(power[0]), float(update[0]))
        figure.axes[0].annotate(
            "Proposition 4.3", place, (-3, -13), textcoords="offset points", ha="right", fontsize=7
        )
    return figure
