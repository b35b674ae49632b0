"""What φ_p does to a problem: mean map, smoothness, stationary points and correlations of powered gradients.

Everything is homogeneous, so each panel is in units of the noise scale σ; no panel depends on an optimizer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.adam.example import Setting
from figures.style import Row, columns, grouped, law_style, panels, select
from theory.adagrad.distortion import effective_smoothness, mean_map, stalling_gradient
from theory.adagrad.powered_noise import powered_correlation
from theory.laws import parse_law
from theory.numerics.inputs import Array

FILE = "distortion"
LAWS = ("uniform", "gaussian", "laplace", "student-t:5", "binary")
POWERS = np.linspace(0.05, 3.0, 60)
GRADIENTS = 1.6 * np.linspace(-1.0, 1.0, 65) * np.abs(np.linspace(-1.0, 1.0, 65))  # dense where φ_p bends
CORRELATIONS = np.sin(np.linspace(0.0, np.pi / 2, 41))  # dense where small p bend
LARGEST_GRADIENT = 0.1  # G_max/σ behind the smoothness
_MEAN_LAW = "uniform"
_MEAN_POWERS = (0.5, 1.0, 1.2, 2.0)
_PROBABILITIES = (0.01, 0.1, 0.3, 0.5)
_CORRELATED_POWERS = (0.2, 0.5, 1.0, 2.0, 3.0)
_NO_NOISE = "no noise"


_ALONG = {"mean map": "gradient", "smoothness": "power", "stalling": "power", "correlation": "correlation"}


def compute(
    setting: Setting,
    *,
    powers: Array = POWERS,
    gradients: Array = GRADIENTS,
    correlations: Array = CORRELATIONS,
) -> list[Row]:
    """Return the points of all curves; of the setting only the laws matter, and only to the smoothness."""
    table: list[Row] = []
    for power in _MEAN_POWERS:
        for name, scale in ((_MEAN_LAW, 1.0), (_NO_NOISE, 0.0)):
            value = mean_map(power, gradients, scale, parse_law(_MEAN_LAW))
            table += _curve("mean map", name, f"p = {power:g}", gradients, value, power=power)
    for name in setting.law or LAWS:
        law = parse_law(name)
        own = powers[powers - 1 < law.moment_limit]
        table += _curve("smoothness", name, name, own, effective_smoothness(own, 1.0, LARGEST_GRADIENT, law))
    own = powers[powers >= 1]
    value = effective_smoothness(own, 0.0, LARGEST_GRADIENT, parse_law(_MEAN_LAW))
    table += _curve("smoothness", _NO_NOISE, f"{_NO_NOISE} ($\\infty$ for $p<1$)", own, value)
    for probability in _PROBABILITIES:
        name = f"two-point:{probability:g}"
        value = -stalling_gradient(powers, 1.0, parse_law(name)) + 0.0
        table += _curve("stalling", name, f"Q = {probability:g}", powers, value)
    for power in _CORRELATED_POWERS:
        value = powered_correlation(power, correlations)
        table += _curve("correlation", "gaussian", f"p = {power:g}", correlations, value, power=power)
    return table


def _curve(panel: str, law: str, series: str, along: Array, values: Array, **power: float) -> list[Row]:
    same = {"panel": panel, "law": law, "series": series} | power
    points = zip(along.tolist(), values.tolist(), strict=True)
    return [same | {_ALONG[panel]: x, "value": value} for x, value in points]


def rows(data: Sequence[Row]) -> list[Row]:
    """Return every drawn point: panel, law, what it depends on, and its value, in the units of the axes."""
    return list(data)


_TITLES = {
    "mean map": f"mean of the powered gradient, {_MEAN_LAW} noise",
    "smoothness": f"effective smoothness where $|G|\\leq{LARGEST_GRADIENT:g}\\,\\sigma$",
    "stalling": "stalling gradient $G_0$, two-point noise",
    "correlation": "correlation after $\\varphi_p$, Gaussian noise",
}
_LABELS = {
    "mean map": ("gradient $G/\\sigma$", "$E\\,\\varphi_p(G+\\sigma\\xi)\\;/\\;\\sigma^p$"),
    "smoothness": ("power $p$", "Lipschitz constant $/\\;L\\sigma^{p-1}$"),
    "stalling": ("power $p$", "$-G_0/\\sigma$"),
    "correlation": (
        "correlation of $g_i$ and $g_j$",
        "correlation of $\\varphi_p(g_i)$ and $\\varphi_p(g_j)$",
    ),
}


def draw(data: Sequence[Row]) -> Figure:
    """Draw the four panels, two by two."""
    with panels(2, 2, height=5.0) as (figure, grid):
        for axis, (panel, title) in zip(grid.flat, _TITLES.items(), strict=True):
            _draw_curves(axis, select(data, panel=panel), _ALONG[panel])
            axis.set_title(title)
            axis.set_xlabel(_LABELS[panel][0])
            axis.set_ylabel(_LABELS[panel][1])
        mean, smoothness, stalling, correlation = grid.flat
        mean.legend(loc="upper left", title="thin: without noise", title_fontsize=7, handlelength=3.2)
        smoothness.set_ylim(0.0, 3.3)
        smoothness.legend(loc="upper left", handlelength=2.6)
        stalling.axhline(0.0, color="0.4", linewidth=0.6, zorder=0)
        stalling.legend(loc="upper left", handlelength=3.2)
        correlation.legend(loc="upper left", handlelength=3.2)
    return figure


def _draw_curves(axis: Axes, table: Sequence[Row], along: str) -> None:
    curves = grouped(table, lambda row: (row["law"], row["series"]))
    noisy = [series for law, series in curves if law != _NO_NOISE]
    for (law, series), own in curves.items():
        line = columns(own, along, "value")
        style = law_style(noisy.index(series)) if series in noisy else {"color": "0.5"}
        if law == _NO_NOISE:
            label = None if series in noisy else series
            axis.plot(*line, color=style["color"], linewidth=0.6, label=label)
        else:
            every = (2 + 2 * noisy.index(series), 12)
            axis.plot(*line, label=series, markersize=3, markevery=every, **style)
