"""What φ_p does to a problem: mean map, smoothness, stationary points and correlations of powered gradients.

Everything is homogeneous, so each panel is in units of the noise scale σ; no panel depends on an optimizer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.adam.example import Setting
from figures.style import Row, law_style, panels
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


@dataclass(frozen=True)
class Curve:
    """One line of one panel; its columns are of equal length, "value" and those that it depends on."""

    panel: str
    law: str  # "no noise" without
    label: str
    along: str  # the column on the horizontal axis
    columns: Mapping[str, Array]


def compute(
    setting: Setting,
    *,
    powers: Array = POWERS,
    gradients: Array = GRADIENTS,
    correlations: Array = CORRELATIONS,
) -> list[Curve]:
    """Return the curves of all panels; of the setting only the laws matter, and only to the smoothness."""
    curves = []
    for power in _MEAN_POWERS:
        for name, scale in ((_MEAN_LAW, 1.0), (_NO_NOISE, 0.0)):
            value = mean_map(power, gradients, scale, parse_law(_MEAN_LAW))
            columns = {"power": np.full(gradients.shape, power), "gradient": gradients, "value": value}
            curves.append(Curve("mean map", name, f"p = {power:g}", "gradient", columns))
    curves += _smoothness(setting.law or LAWS, powers)
    for probability in _PROBABILITIES:
        name = f"two-point:{probability:g}"
        value = -stalling_gradient(powers, 1.0, parse_law(name)) + 0.0
        columns = {"power": powers, "value": value}
        curves.append(Curve("stalling", name, f"Q = {probability:g}", "power", columns))
    for power in _CORRELATED_POWERS:
        value = powered_correlation(power, correlations)
        columns = {"power": np.full(correlations.shape, power), "correlation": correlations, "value": value}
        curves.append(Curve("correlation", "gaussian", f"p = {power:g}", "correlation", columns))
    return curves


def _smoothness(laws: Sequence[str], powers: Array) -> Iterator[Curve]:
    above = powers[powers >= 1]
    known = [(name, name, 1.0, powers[powers - 1 < parse_law(name).moment_limit]) for name in laws]
    for name, label, scale, own in [*known, (_NO_NOISE, f"{_NO_NOISE} ($\\infty$ for $p<1$)", 0.0, above)]:
        law = parse_law(_MEAN_LAW if name == _NO_NOISE else name)
        value = effective_smoothness(own, scale, LARGEST_GRADIENT, law)
        yield Curve("smoothness", name, label, "power", {"power": own, "value": value})


def rows(curves: Sequence[Curve]) -> list[Row]:
    """Return every drawn point: panel, law, what it depends on, and its value, in the units of the axes."""
    table: list[Row] = []
    for curve in curves:
        names = list(curve.columns)
        for numbers in zip(*(curve.columns[name].tolist() for name in names), strict=True):
            table.append({"panel": curve.panel, "law": curve.law} | dict(zip(names, numbers, strict=True)))
    return table


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


def draw(curves: Sequence[Curve]) -> Figure:
    """Draw the four panels, two by two."""
    with panels(2, 2, height=5.0) as (figure, grid):
        for axis, (panel, title) in zip(grid.flat, _TITLES.items(), strict=True):
            _draw_curves(axis, [curve for curve in curves if curve.panel == panel])
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


def _draw_curves(axis: Axes, curves: Sequence[Curve]) -> None:
    noisy = [curve for curve in curves if curve.law != _NO_NOISE]
    labels = [curve.label for curve in noisy]
    for curve in curves:
        x, y = curve.columns[curve.along], curve.columns["value"]
        if curve.law == _NO_NOISE:
            own = law_style(labels.index(curve.label))["color"] if curve.label in labels else "0.5"
            label = "" if curve.label in labels else curve.label
            axis.plot(x, y, color=own, linewidth=0.6, linestyle="-", label=label or None)
            continue
        index = labels.index(curve.label)
        axis.plot(x, y, label=curve.label, markersize=3, markevery=(2 + 2 * index, 12), **law_style(index))
