"""Question 2: how fast the averages fall at low noise, against what Theorem 4.8 promises for each power.

Marks are exponents fitted over the last two decades of T, with their 95 % intervals over the runs (mostly smaller than
the marks). T is finite: pale bars lead from the exponent of the last decade but one to that of the last, at the dash.
Without noise, and with noise in proportion to the gradient, the exponent is about 1 whatever p, Adagrad's p = 1
included: the theorem is loose there. With fixed uniform or Gaussian noise, where Assumption 4.6 fails, it falls towards
½ whatever p. Only under sparse noise does it follow the theorem's 1/(p+1).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.style import Row, columns, law_style, legend, panels, select, single
from simulate.questions import CONVERGENCE
from simulate.questions.rates import AverageCurve, Exponents

_SHIFT = 0.018  # sideways, in units of p, from one kind of noise to the next
_POWERS = np.linspace(0.2, 1.05, 35)
_THEORY: dict[str, tuple[str, Any]] = {
    "theorem 4.8": ("Theorem 4.8: $1/(p+1)$", "-"),
    "relative noise": ("bound, relative noise: 1", (0, (5, 1.5))),
    "theorem 4.5": ("Theorem 4.5: 1/2", (0, (1, 1))),
}


def exponents_of_decades(curve: AverageCurve) -> tuple[float, float]:
    """Fit the exponent of a mean curve over its last decade but one, and over its last.

    >>> curve = AverageCurve([10, 30, 100, 300, 1000], [1, 1 / 3, 0.1, 0.1 / 9, 0.001], [])
    >>> [round(exponent, 3) for exponent in exponents_of_decades(curve)]
    [1.0, 2.0]
    """
    steps, mean = np.log(curve.steps), np.log(curve.mean)
    decade, room = np.log(10), 1e-9
    before = (steps >= steps[-1] - 2 * decade - room) & (steps <= steps[-1] - decade + room)
    last = steps >= steps[-1] - decade - room
    first, second = (-float(np.polyfit(steps[part], mean[part], 1)[0]) for part in (before, last))
    return first, second


def read(sources: Sequence[Path]) -> list[Exponents]:
    """Return the rows of question 2 from a convergence.json."""
    return CONVERGENCE.read(single(sources)).studies.rates


def rows(data: Sequence[Exponents]) -> list[Row]:
    """Return every drawn mark, with its interval and the exponents of its two decades, and the theory's lines."""
    table: list[Row] = []
    for row in data:
        before, last = exponents_of_decades(row.curve)
        noise = ("problem", "noise", "law", "noise_kind", "noise_to_signal")
        measured = {
            **{name: getattr(row, name) for name in noise},
            "series": "measured",
            **{name: getattr(row, name) for name in ("power", "steps", "learning_rate", "exponent")},
            "low": row.exponent - row.half_width,
            "high": row.exponent + row.half_width,
            "decade_before_last": before,
            "last_decade": last,
        }
        table.append(measured)
    for power in _POWERS.tolist():
        for series, exponent in zip(_THEORY, (1 / (power + 1), 1.0, 0.5), strict=True):
            table.append({"series": series, "power": power, "exponent": exponent})
    return table


def draw(data: Sequence[Exponents]) -> Figure:
    """Draw one panel a problem, with one mark a kind of noise and power."""
    table = rows(data)
    problems = list(dict.fromkeys(row.problem for row in data))
    noises = list(dict.fromkeys(row.noise for row in data))
    with panels(1, len(problems), height=3.3, sharey=True) as (figure, grid):
        for axis, problem in zip(grid[0], problems, strict=True):
            _draw_theory(axis, table)
            for index, noise in enumerate(noises):
                shift = _SHIFT * (index - (len(noises) - 1) / 2)
                _draw_marks(axis, select(table, problem=problem, noise=noise), shift, _style(index))
            axis.set(title=problem, xlabel="power $p$", xlim=(_POWERS[0], _POWERS[-1]))
            axis.set_xticks(sorted({row.power for row in data}))
        grid[0, 0].set_ylabel(
            "exponent $a$ of $(T^{-1}\\Sigma_t\\,\\|\\nabla F\\|_{p+1}^{p+1})^{2/(p+1)}\\propto T^{-a}$"
        )
        _legends(figure, noises)
    return figure


def _style(index: int) -> dict[str, Any]:
    style = law_style(index)
    del style["linestyle"]
    return style | {"markerfacecolor": "white" if index == 0 else None}


def _draw_theory(axis: Axes, table: Sequence[Row]) -> None:
    for series, (_, dashes) in _THEORY.items():
        line = columns(select(table, series=series), "power", "exponent")
        axis.plot(*line, color="0.35", linestyle=dashes, linewidth=1.1, zorder=1)


def _draw_marks(axis: Axes, table: Sequence[Row], shift: float, style: dict[str, Any]) -> None:
    names = ("power", "exponent", "low", "high", "decade_before_last", "last_decade")
    power, value, low, high, before, last = np.array(columns(table, *names))
    x = power + shift
    axis.vlines(x, before, last, color=style["color"], alpha=0.35, linewidth=3)
    axis.scatter(x, last, 14, color=style["color"], marker="_", linewidth=0.8)
    axis.errorbar(x, value, [value - low, high - value], linestyle="", markersize=4, elinewidth=1.0, **style)


def _legends(figure: Figure, noises: Sequence[str]) -> None:
    marks = {
        "no noise" if noise == "none" else noise: _style(index) | {"linestyle": "", "markersize": 5}
        for index, noise in enumerate(noises)
    }
    legend(figure, "upper", marks, columnspacing=1.4, handletextpad=0.2)
    lines: dict[str, dict[str, Any]] = {
        label: {"color": "0.35", "linewidth": 1.1, "linestyle": dashes} for label, dashes in _THEORY.values()
    }
    dash = {"marker": "_", "markersize": 5, "markeredgecolor": "0.25"}
    lines["two decades, dash: the last"] = {"color": "0.75", "linewidth": 3, **dash}
    legend(figure, "lower", lines, handlelength=2.4)
