"""The phase diagram: the power p* that maximises u, against noise ratio and noise law, and against ratio and ε.

Lines and map are the limit β → 1, which takes a millisecond a point; markers are exact at finite β. Where the supremum
of u sits at p → 0 there is no best power: the lines lie on 0 there, and the map is hatched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from figures.curves import Point, Setting
from figures.style import Row, house_style, law_style, letter, new_figure
from theory.inputs import Array
from theory.laws import parse_law
from theory.moments import PowerMoments, power_moments
from theory.optimum import OptimalPower, maximise

LAWS = ("uniform", "generalized-normal:4", "gaussian", "laplace", "student-t:5", "binary")
RATIOS = np.logspace(-1, 4, 41)
EPSILONS = np.logspace(-12, -2, 31)
SEARCHED = (0.0, 5.0)
_WORKING_POINT = (10.0, 1e-8)  # σ/μ and ε of p* ≈ 1.2, the paper's power
_MAP_LAW = "uniform"


@dataclass(frozen=True)
class Optimum:
    """The optimal power of one noise example, by one method."""

    point: Point
    method: str
    best: OptimalPower

    def row(self, panel: str) -> Row:
        """One line of the table: `at_edge` says whether the supremum of u sits at an end of the powers searched."""
        return {
            "panel": panel,
            "law": self.point.law,
            "noise_to_signal": self.point.noise_to_signal,
            "epsilon": self.point.epsilon,
            "method": self.method,
            "optimal_power": float(self.best.power),
            "at_edge": self.best.at_edge or "",
        }


@dataclass(frozen=True)
class PhaseDiagram:
    """p*(r, law) as lines (limit) and markers (exact), and p*(r, ε) as a map (limit), ratios by epsilons."""

    lines: list[Optimum]
    markers: list[Optimum]
    map: list[list[Optimum]]


def compute(setting: Setting, *, ratios: Array = RATIOS, epsilons: Array = EPSILONS) -> PhaseDiagram:
    """Return the optimal powers.

    The exact ones stand at the setting's ratios, for laws with all moments: heavy tails take a hundred times longer.
    """
    laws = setting.law or LAWS
    dense = replace(setting, noise_to_signal=tuple(ratios.tolist()))
    lines = [Optimum(p, "limit", p.limit_optimum(SEARCHED)) for law in laws for p in dense.points(law)]
    light = [law for law in laws if np.isinf(parse_law(law).moment_limit)]
    sparse = [p for law in light for p in setting.points(law) if ratios[0] <= p.noise_to_signal <= ratios[-1]]
    markers = [Optimum(p, "exact", p.optimum()) for p in sparse]
    return PhaseDiagram(lines, markers, [_over_epsilon(point, epsilons) for point in dense.points(_MAP_LAW)])


def _over_epsilon(point: Point, epsilons: Array) -> list[Optimum]:
    """Limit optima for all ε at once: the moments do not depend on it."""
    law = parse_law(point.law)

    @lru_cache
    def moments(powers: tuple[float, ...]) -> PowerMoments:
        return power_moments(powers, point.mean, point.noise_scale, law)

    def best(epsilon: float) -> OptimalPower:
        def update(powers: Array) -> Array:
            known = moments(tuple(powers.tolist()))
            return known.first / (known.rms + epsilon)

        return maximise(update, SEARCHED, "limit")

    values = epsilons.tolist()
    return [Optimum(replace(point, epsilon=epsilon), "limit", best(epsilon)) for epsilon in values]


def rows(diagram: PhaseDiagram) -> list[Row]:
    """Return every drawn optimum: panel, law, ratio, ε, method, p* and the edge it sits at, if any."""
    by_law = [optimum.row("law") for optimum in (*diagram.lines, *diagram.markers)]
    return by_law + [optimum.row("epsilon") for line in diagram.map for optimum in line]


def draw(diagram: PhaseDiagram) -> Figure:
    """Draw p*(r, law) and p*(r, ε)."""
    with house_style():
        figure, grid = new_figure(1, 2, height=3.2)
        by_law, by_epsilon = grid[0]
        _draw_laws(by_law, diagram)
        _draw_map(figure, by_epsilon, diagram.map)
        for axis in (by_law, by_epsilon):
            axis.set_xscale("log")
            axis.set_xlabel("noise-to-signal ratio $r = \\sigma/\\mu$")
        letter([by_law, by_epsilon])
    return figure


def _draw_laws(axis: Axes, diagram: PhaseDiagram) -> None:
    laws = list(dict.fromkeys(optimum.point.law for optimum in diagram.lines))
    for index, law in enumerate(laws):
        style = law_style(index)
        marker = {"marker": style.pop("marker"), "markersize": 4, "markerfacecolor": "white"}
        axis.plot(*_line(diagram.lines, law), **style)
        axis.plot(*_line(diagram.markers, law), color=style["color"], linestyle="", clip_on=False, **marker)
        axis.plot([], [], label=law, **style, **marker)
    axis.axhline(1.0, color="0.4", linewidth=0.6, zorder=0)
    axis.set_ylim(bottom=0.0)
    axis.set_title("by noise law")
    axis.set_ylabel("optimal power $p^*$")
    axis.legend(loc="upper left", handlelength=3.2)
    axis.text(0.98, 0.02, "$p^* = 0$: supremum at $p \\to 0$", transform=axis.transAxes, ha="right", fontsize=7)
    axis.grid(alpha=0.25)


def _line(optima: Sequence[Optimum], law: str) -> tuple[list[float], list[float]]:
    own = [optimum for optimum in optima if optimum.point.law == law]
    return [o.point.noise_to_signal for o in own], [o.best.power for o in own]


def _draw_map(figure: Figure, axis: Axes, optima: list[list[Optimum]]) -> None:
    ratios = [line[0].point.noise_to_signal for line in optima]
    epsilons = [optimum.point.epsilon for optimum in optima[0]]
    power = np.array([[optimum.best.power for optimum in line] for line in optima]).T
    edge = np.array([[optimum.best.at_edge == "low" for optimum in line] for line in optima]).T
    shown = np.ma.masked_array(power, edge)
    mesh = axis.pcolormesh(ratios, epsilons, shown, cmap="cividis", shading="nearest", rasterized=True, vmin=0)
    axis.contourf(ratios, epsilons, edge, levels=[0.5, 1.5], colors="none", hatches=["////"])
    thin = axis.contour(ratios, epsilons, shown, levels=[0.5, 1.5, 2, 3, 4], colors="white", linewidths=0.7)
    one = axis.contour(ratios, epsilons, shown, levels=[1.0], colors="white", linewidths=1.8)
    axis.clabel(thin, fontsize=7, fmt="%g")
    axis.clabel(one, fontsize=7, fmt="$p^*$ = 1")
    axis.plot(*_WORKING_POINT, marker="*", markersize=9, color="white", markeredgecolor="black")
    axis.set_yscale("log")
    axis.set_ylabel("Adam's $\\epsilon$")
    axis.set_title(f"by $\\epsilon$, {_MAP_LAW} noise")
    figure.colorbar(mesh, ax=axis, label="optimal power $p^*$", pad=0.02)
    edge_mark = Patch(facecolor="white", hatch="////", label="supremum at $p \\to 0$", edgecolor="black")
    star = Line2D([], [], marker="*", markersize=8, color="white", markeredgecolor="black", linestyle="")
    star.set_label("$r = 10$, $\\epsilon = 10^{-8}$")
    axis.legend(handles=[edge_mark, star], loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
