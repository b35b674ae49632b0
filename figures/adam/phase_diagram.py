"""The phase diagram: the power p* that maximises u, against noise ratio and noise law, and against ratio and ε.

Lines and map are the limit β → 1, which takes a millisecond a point; markers are exact at finite β. Where the supremum
of u sits at p → 0 there is no best power: the lines lie on 0 there, and the map is grey.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.adam.example import Point, Setting
from figures.style import Row, Style, grouped, law_style, panels
from theory.adam.optimum import OptimalPower
from theory.numerics.inputs import Array

LAWS = ("uniform", "generalized-normal:4", "gaussian", "laplace", "student-t:5", "binary")
RATIOS = np.logspace(-1, 4, 31)
EPSILONS = np.logspace(-12, -2, 31)
SEARCHED = (0.0, 5.0)
_EXACT_LAWS = ("uniform", "gaussian", "laplace")  # exact optima under other laws take up to a minute a law
_WORKING_POINT = (10.0, 1e-8)  # σ/μ and ε of p* ≈ 1.2, the paper's power
_MAP_LAW = "uniform"


@dataclass(frozen=True)
class Optimum:
    """The optimal power of one noise example, by one method: a point of a line or a marker of panel "law"; or a cell.

    The cells are those of panel "epsilon", ratio by ratio.
    """

    panel: str
    point: Point
    method: str
    best: OptimalPower


def compute(setting: Setting, *, ratios: Array = RATIOS, epsilons: Array = EPSILONS) -> list[Optimum]:
    """Return the optimal powers; the exact ones at the setting's ratios, for uniform, Gaussian and Laplace noise."""
    laws = setting.law or LAWS
    # A logarithmic axis has no room for r = 0, where the supremum sits at p → 0 in any case.
    own = [ratio for ratio in setting.noise_to_signal if ratio > 0]
    along = replace(setting, noise_to_signal=tuple(np.union1d(ratios, own).tolist()))
    dense = replace(setting, noise_to_signal=tuple(ratios.tolist()))
    lines = [Optimum("law", p, "limit", p.limit_optimum(SEARCHED)) for law in laws for p in along.points(law)]
    sparse = [p for law in laws if law in _EXACT_LAWS for p in setting.points(law) if p.noise_to_signal > 0]
    markers = [Optimum("law", point, "exact", point.optimum()) for point in sparse]
    cells = [replace(point, epsilon=e) for point in dense.points(_MAP_LAW) for e in epsilons.tolist()]
    return [*lines, *markers, *(Optimum("epsilon", p, "limit", p.limit_optimum(SEARCHED)) for p in cells)]


def rows(optima: Sequence[Optimum]) -> list[Row]:
    """Return every drawn optimum; `at_edge` says whether the supremum of u sits at an end of the powers searched."""
    return [
        {
            "panel": optimum.panel,
            "law": optimum.point.law,
            "noise_to_signal": optimum.point.noise_to_signal,
            "epsilon": optimum.point.epsilon,
            "method": optimum.method,
            "optimal_power": float(optimum.best.power),
            "at_edge": optimum.best.at_edge or "",
        }
        for optimum in optima
    ]


def draw(optima: Sequence[Optimum]) -> Figure:
    """Draw p*(r, law) and p*(r, ε)."""
    by_panel = grouped(optima, lambda optimum: optimum.panel)
    with panels(1, 2, height=3.2, lines=False) as (figure, grid):
        by_law, by_epsilon = grid[0]
        for axis in (by_law, by_epsilon):
            axis.set_xscale("log")
            axis.set_xlabel("noise-to-signal ratio $r = \\sigma/\\mu$")
        _draw_laws(by_law, by_panel["law"])
        _draw_map(figure, by_epsilon, by_panel["epsilon"])
    return figure


def _draw_laws(axis: Axes, optima: Sequence[Optimum]) -> None:
    marks: Style = {"linestyle": "", "markersize": 4, "markerfacecolor": "white", "clip_on": False}
    for index, (law, own) in enumerate(grouped(optima, lambda optimum: optimum.point.law).items()):
        style = law_style(index)
        axis.plot(*_line(own, "limit"), label=law, **style | {"marker": ""})
        if law in _EXACT_LAWS:
            axis.plot(*_line(own, "exact"), **style | marks)
    axis.axhline(1.0, color="0.4", linewidth=0.6, zorder=0)
    axis.set_ylim(bottom=0.0)
    axis.set_title("by noise law (lines: limit, markers: exact)")
    axis.set_ylabel("optimal power $p$*")
    axis.legend(loc="upper left", handlelength=3.2)
    axis.text(1, 0.045, "at 0: supremum at $p \\to 0$", transform=axis.transAxes, ha="right", fontsize=7)
    axis.grid(alpha=0.25)


def _line(optima: Sequence[Optimum], method: str) -> tuple[list[float], list[float]]:
    own = [optimum for optimum in optima if optimum.method == method]
    return [o.point.noise_to_signal for o in own], [o.best.power for o in own]


def _draw_map(figure: Figure, axis: Axes, optima: Sequence[Optimum]) -> None:
    ratios = list(dict.fromkeys(optimum.point.noise_to_signal for optimum in optima))
    epsilons = list(dict.fromkeys(optimum.point.epsilon for optimum in optima))
    shape = len(ratios), len(epsilons)
    power = np.reshape([optimum.best.power for optimum in optima], shape).T
    # The supremum sits at p → 0, or so near that float64 could not tell.
    edge = np.reshape([o.best.at_edge == "low" or o.best.power < 1e-6 for o in optima], shape).T
    axis.set_yscale("log")  # before the contours: their labels are placed on the screen
    axis.set_facecolor("0.85")
    style: Style = {"cmap": "cividis", "shading": "nearest", "rasterized": True, "vmin": 0}
    mesh = axis.pcolormesh(ratios, epsilons, np.ma.masked_array(power, edge), **style)
    for levels, width in (([0.5, 1.5, 2, 3, 4], 0.7), ([1.0], 1.8)):
        lines = axis.contour(ratios, epsilons, power, levels=levels, colors="white", linewidths=width)
        axis.clabel(lines, fontsize=7, inline_spacing=2, fmt="%g")
    axis.plot(*_WORKING_POINT, marker="*", markersize=9, color="white", markeredgecolor="black")
    label = "$r = 10$, $\\epsilon = 10^{-8}$"
    axis.annotate(label, _WORKING_POINT, (-6, 7), textcoords="offset points", color="white", fontsize=6)
    axis.text(0.3, 1e-7, "supremum at $p \\to 0$", rotation=90, ha="center", va="center", fontsize=7)
    axis.set_ylabel("Adam's $\\epsilon$")
    axis.set_title(f"by $\\epsilon$, {_MAP_LAW} noise; thick: $p$* = 1")
    figure.colorbar(mesh, ax=axis, label="optimal power $p$*", pad=0.02)
