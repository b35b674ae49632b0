"""What a power changes against what the theory predicts, a panel for each law of the noise.

Each mark is a level of the noise and a power: the loss less that of p = 1 at tuned rates, measured, against the loss
that p = 1 has at the noise level that the power is predicted to act like. Bars are standard errors over seeds. On the
diagonal the prediction, which has no free parameter, is exact. It is made for strong noise: weaker noise is grey. Axes
are linear near 0 and logarithmic beyond.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from figures.style import Row, Style, grouped, law_style, legend, panels, plain_ticks, single
from simulate.intervention.study import INTERVENTION, STRONG, Change

_UNIT = 1e3  # losses are drawn in 1e-3 nats
_TICKS = (-500, -100, -20, -5, 0, 5, 20, 100, 500)
_MARK = law_style(0) | {"linestyle": "none", "markersize": 4}
_OTHER, _BOTH = (_MARK | {"color": law_style(k)["color"], "marker": law_style(k)["marker"]} for k in (1, 2))
_WEAK = _MARK | {"color": "0.65", "marker": "s", "markersize": 3}
_HOLLOW = {"markerfacecolor": "white"}
_USUAL = Change.beta2
_STRONG = f"σ/|∇F| ≥ {STRONG:g}"


def kind(change: Change) -> tuple[str, Style]:
    """Return what a mark is, for the legend, and how it looks."""
    if change.beta2 != _USUAL:
        return ("another β2, p = 1", _OTHER) if change.power == 1 else ("another β2, another p", _BOTH)
    power, hollow = ("p < 1", _HOLLOW) if change.power < 1 else ("p ≥ 1", {})
    return (
        (f"{power}, {_STRONG}", _MARK | hollow)
        if change.strong
        else (f"{power}, weaker noise", _WEAK | hollow)
    )


def read(sources: Sequence[Path]) -> list[Change]:
    """Return the changes of an intervention.json, or of the one in a folder."""
    return [change for cell in INTERVENTION.read(single(sources)).cells for change in cell.changes]


def rows(changes: Sequence[Change]) -> list[Row]:
    """Return a row for every mark."""
    return [asdict(change) | {"strong": change.strong} for change in changes]


def draw(changes: Sequence[Change]) -> Figure:
    """Draw a panel a law, all on the same axes."""
    by_law = grouped(changes, lambda change: change.law)
    columns = 2 if len(by_law) == 4 else min(3, len(by_law))
    lines = -(-len(by_law) // columns)
    with panels(lines, columns, height=0.8 + 2 * lines, lines=False, sharex=True, sharey=True) as (
        figure,
        grid,
    ):
        for axis, law in zip(grid.flat, by_law, strict=False):
            _draw_changes(axis, by_law[law])
            axis.set_title(law)
        for axis in grid.flat[len(by_law) :]:
            axis.set_visible(False)
        ends = [_UNIT * value for change in changes for value in (change.measured, change.predicted)]
        _scale(grid, 1.5 * max(map(abs, ends)))
        legend(figure, "upper", dict(map(kind, changes)))
    return figure


def _draw_changes(axis: Axes, changes: Sequence[Change]) -> None:
    for change in sorted(changes, key=lambda change: change.strong):
        axis.errorbar(
            _UNIT * change.predicted,
            _UNIT * change.measured,
            xerr=_UNIT * change.predicted_error,
            yerr=_UNIT * change.measured_error,
            elinewidth=0.8,
            **kind(change)[1],
        )


def _scale(grid: NDArray[Any], reach: float) -> None:
    """Draw the diagonal, and make the axes linear about 0, so that small effects are seen beside large ones."""
    line = np.linspace(-reach, reach, 401)
    for axis in grid.flat:
        axis.plot(line, line, color="black", linewidth=0.8, zorder=0)
        axis.axhline(0, color="0.7", linewidth=0.6, zorder=0)
        axis.axvline(0, color="0.7", linewidth=0.6, zorder=0)
        axis.set_xscale("symlog", linthresh=5)
        axis.set_yscale("symlog", linthresh=5)
        plain_ticks(axis.xaxis, _TICKS)
        plain_ticks(axis.yaxis, _TICKS)
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach))
    for axis in grid[:, 0]:
        axis.set_ylabel("measured ΔL (1e-3 nats)")
    for axis in grid[-1]:
        axis.set_xlabel("predicted ΔL (1e-3 nats)")
