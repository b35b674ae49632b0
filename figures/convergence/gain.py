"""Questions 3 and 4: the gain over Adagrad at high noise, by noise law, each power at its own best learning rate.

Filled marks are averages of ‖∇F‖² over Adagrad's, with 95 % intervals: below 1 the power gains. Open marks use
Adagrad's learning rate for every power; they are drawn where that is not the power's own. They follow the lines,
Q(1)/Q(p): p > 1 gains under bounded noise, loses a little under Gaussian and much under heavier tails (less than
told under Student's law at p = 3, whose sixth moment so few steps do not exhaust). Theorem 4.11's ρ (dashed;
bounded laws, p >= 1) has the gain under binary noise, but says "loss" under uniform noise, where p > 1 gains. In (c),
at the largest r the runs are still on their way, and the ratio returns towards 1. (d) shows what the ratio means in
steps; its lines are (Q(p)/Q(1))², exact if averages fall like T^(−1/2).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.style import Row, columns, law_style, legend, panels, plain_ticks, select, single
from simulate.questions import CONVERGENCE
from simulate.questions.gains import Gain, quality_ratio, rho
from theory.laws import parse_law

PROBLEMS = ("pseudo-huber", "river-valley")
RATIO = 10.0  # of the panels against p
RATIO_POWERS = (1.2, 2.0)  # of the panel against r
_POWERS = np.linspace(0.45, 3.05, 53)
_PROVED = np.linspace(1.0, 3.05, 42)  # where Theorem 4.11 speaks


def read(sources: Sequence[Path]) -> list[Gain]:
    """Return the rows of questions 3 and 4 from a convergence.json."""
    return CONVERGENCE.read(single(sources)).studies.gains


def rows(gains: Sequence[Gain]) -> list[Row]:
    """Return every drawn mark with its interval, and the points of the theory's lines."""
    table: list[Row] = []
    data = [asdict(gain) for gain in gains]
    for law in dict.fromkeys(row["law"] for row in data):
        for problem in PROBLEMS:
            own = select(data, problem=problem, law=law, noise_to_signal=RATIO)
            table += [_mark(problem, row, "tuned") for row in own]
            table += [
                _mark(problem, row, "shared") for row in own if row["learning_rate"] != row["adagrad_rate"]
            ]
            table += [{"panel": problem} | row for row in _predictions(law)]
        own = select(data, problem=PROBLEMS[0], law=law)
        table += [_mark("ratios", row, "tuned") for row in own if row["power"] in RATIO_POWERS]
        for row in select(own, noise_to_signal=RATIO):
            table.append({"panel": "steps"} | _named(row, "speed-up") | {"value": row["speed_up"]})
        table += [
            row | {"panel": "steps", "series": "(Q(p)/Q(1))^2", "value": row["value"] ** -2.0}
            for row in _predictions(law)
            if row["series"] == "Q(1)/Q(p)"
        ]
    return table


def _named(row: Row, series: str) -> dict[str, Any]:
    names = ("problem", "law", "noise_to_signal", "power", "steps", "learning_rate", "adagrad_rate")
    return {"series": series} | {name: row[name] for name in names}


def _mark(panel: str, row: Row, series: str) -> Row:
    numbers = {"value": row[series], "low": row[f"{series}_low"], "high": row[f"{series}_high"]}
    return {"panel": panel} | _named(row, series) | numbers


def _predictions(law_name: str) -> list[dict[str, Any]]:
    """Q(1)/Q(p), and ρ where R is finite, at the noise ratio of the panels."""
    law = parse_law(law_name)
    lines = [("Q(1)/Q(p)", _POWERS, quality_ratio(_POWERS, law))]
    if math.isfinite(law.reach):
        lines.append(("rho", _PROVED, rho(_PROVED, RATIO, law)))
    return [
        {"law": law_name, "noise_to_signal": RATIO, "series": series, "power": power, "value": value}
        for series, powers, values in lines
        for power, value in zip(powers.tolist(), values.tolist(), strict=True)
    ]


def draw(gains: Sequence[Gain]) -> Figure:
    """Draw the ratio against p on two problems and against r, and the speed-up."""
    table = rows(gains)
    laws = list(dict.fromkeys(gain.law for gain in gains))
    with panels(2, 2, height=5.6) as (figure, grid):
        for axis, problem in zip(grid[0], PROBLEMS, strict=True):
            _draw_powers(axis, select(table, panel=problem), laws)
            axis.set_title(f"{problem}, $r={RATIO:g}$")
        _draw_ratios(grid[1, 0], select(table, panel="ratios"), laws)
        grid[1, 0].set_title(
            f"{PROBLEMS[0]}, $p={RATIO_POWERS[0]:g}$ (dotted) and $p={RATIO_POWERS[1]:g}$ (solid)"
        )
        _draw_steps(grid[1, 1], select(table, panel="steps"), laws)
        grid[1, 1].set_title(f"{PROBLEMS[0]}, $r={RATIO:g}$: in steps")
        for axis in (*grid[0], grid[1, 0]):
            axis.set_ylabel("average of $\\|\\nabla F\\|^2$ over Adagrad's")
        _legends(figure, laws)
    return figure


def _line(own: Sequence[Row], series: str) -> list[list[float]]:
    return columns(select(own, series=series), "power", "value")


def _draw_marks(axis: Axes, own: Sequence[Row], along: str = "power", **style: Any) -> None:
    x, value, low, high = np.array(columns(own, along, "value", "low", "high"))
    style = {"markersize": 4, "elinewidth": 0.9, "capsize": 1.5} | style
    axis.errorbar(x, value, [value - low, high - value], **style)


def _draw_powers(axis: Axes, table: Sequence[Row], laws: Sequence[str]) -> None:
    for index, law in enumerate(laws):
        style = law_style(index)
        own, colour = select(table, law=law), {"color": style["color"]}
        axis.plot(*_line(own, "Q(1)/Q(p)"), linewidth=1.3, **colour)
        axis.plot(*_line(own, "rho"), linewidth=0.9, linestyle=(0, (4, 2)), **colour)
        marks = {"linestyle": "", "marker": style["marker"], **colour}
        _draw_marks(axis, select(own, series="shared"), markerfacecolor="white", **marks)
        _draw_marks(axis, select(own, series="tuned"), **marks)
    _scale(axis, (0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0))
    axis.set_xlabel("power $p$")


def _draw_ratios(axis: Axes, table: Sequence[Row], laws: Sequence[str]) -> None:
    for index, law in enumerate(laws):
        style = law_style(index)
        for power, dashes in zip(RATIO_POWERS, ((0, (1, 1)), "-"), strict=True):
            own = select(table, law=law, power=power)
            face = {"markerfacecolor": "white"} if power == RATIO_POWERS[0] else {}
            _draw_marks(axis, own, "noise_to_signal", linewidth=1.0, **{**style, "linestyle": dashes}, **face)
    axis.set_xscale("log")
    plain_ticks(axis.xaxis, sorted({row["noise_to_signal"] for row in table}))
    _scale(axis, (0.5, 0.7, 1.0, 1.5, 2.0))
    axis.set_xlabel("noise-to-signal ratio $r$")


def _draw_steps(axis: Axes, table: Sequence[Row], laws: Sequence[str]) -> None:
    for index, law in enumerate(laws):
        style, own = law_style(index), select(table, law=law)
        axis.plot(*_line(own, "(Q(p)/Q(1))^2"), linewidth=1.3, color=style["color"])
        axis.plot(*_line(own, "speed-up"), markersize=4, **{**style, "linestyle": ""})
    _scale(axis, (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0))
    axis.set(xlabel="power $p$", ylabel="speed-up: Adagrad's steps over $T$")


def _scale(axis: Axes, ticks: Sequence[float]) -> None:
    """A logarithmic axis with plain numbers, and a line at Adagrad's 1."""
    axis.set_yscale("log")
    plain_ticks(axis.yaxis, ticks)
    axis.axhline(1.0, color="black", linewidth=0.8, zorder=0)


def _legends(figure: Figure, laws: Sequence[str]) -> None:
    marks = {
        law: law_style(index) | {"markersize": 4, "linewidth": 1.3, "linestyle": "-"}
        for index, law in enumerate(laws)
    }
    legend(figure, "upper", marks, columnspacing=1.6)
    grey: dict[str, Any] = {"color": "0.25"}
    bare = grey | {"linestyle": "", "marker": "o", "markersize": 4}
    others = {
        "each power's best $\\eta$": bare,
        "Adagrad's best $\\eta$ (a, b)": bare | {"markerfacecolor": "white"},
        "$Q(1)/Q(p)$; (d) inverse square": grey | {"linewidth": 1.3},
        "Theorem 4.11's $\\rho$": grey | {"linewidth": 0.9, "linestyle": (0, (4, 2))},
        "Adagrad": {"linewidth": 0.8, "color": "black"},
    }
    legend(figure, "lower", others, columnspacing=1.1, handlelength=1.8)
