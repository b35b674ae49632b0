"""What a power changes against what the theory predicts, for noise of chosen laws.

Each mark is a law, a level of the noise and a power: the loss less that of p = 1 at tuned rates, measured, against the
loss that p = 1 has at the noise level that the power is predicted to act like. Bars are standard errors over seeds. On
the diagonal the prediction, which has no free parameter, is exact.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.style import Row, Style, law_style, legend, panels, plain_ticks, single
from simulate.intervention.study import INTERVENTION, STRONG, Change

FILE = "intervention"
_UNIT = 1e3  # losses are drawn in 1e-3 nats
_TICKS = (-500, -100, -20, -5, -2, 0, 2, 5, 20, 100, 500)


def read(sources: Sequence[Path]) -> list[Change]:
    """Return the changes of an intervention.json, or of the one in a folder."""
    return [change for cell in INTERVENTION.read(single(sources)).cells for change in cell.changes]


def rows(changes: Sequence[Change]) -> list[Row]:
    """Return a row for every mark."""
    return [asdict(change) | {"strong": change.strong} for change in changes]


def draw(changes: Sequence[Change]) -> Figure:
    """Draw strong noise and weaker noise side by side."""
    laws = list(dict.fromkeys(change.law for change in changes))
    styles = {
        law: law_style(index) | {"linestyle": "none", "markersize": 4} for index, law in enumerate(laws)
    }
    with panels(1, 2, height=3.3, lines=False) as (figure, grid):
        for axis, strong in zip(grid.flat, (True, False), strict=True):
            own = [change for change in changes if change.strong == strong]
            _draw_changes(axis, own, styles)
            sign = "≥" if strong else "<"
            axis.set_title(f"mean σ/|∇F| {sign} {STRONG:g}; filled: p > 1, hollow: p < 1")
        grid[0, 0].set_ylabel("measured ΔL (1e-3 nats)")
        legend(figure, "upper", styles)
    return figure


def _draw_changes(axis: Axes, changes: Sequence[Change], styles: dict[str, Style]) -> None:
    for change in changes:
        axis.errorbar(
            _UNIT * change.predicted,
            _UNIT * change.measured,
            xerr=_UNIT * change.predicted_error,
            yerr=_UNIT * change.measured_error,
            elinewidth=0.8,
            **styles[change.law] | ({} if change.power > 1 else {"markerfacecolor": "white"}),
        )
    ends = [_UNIT * value for change in changes for value in (change.measured, change.predicted)]
    reach = 1.15 * max(map(abs, ends), default=1.0)
    line = np.linspace(-reach, reach, 401)
    axis.plot(line, line, color="black", linewidth=0.8, zorder=0)
    axis.axhline(0, color="0.7", linewidth=0.6, zorder=0)
    axis.axvline(0, color="0.7", linewidth=0.6, zorder=0)
    # linear about 0, so that small effects are seen beside large ones
    axis.set_xscale("symlog", linthresh=5)
    axis.set_yscale("symlog", linthresh=5)
    plain_ticks(axis.xaxis, _TICKS)
    plain_ticks(axis.yaxis, _TICKS)
    axis.set(xlabel="predicted ΔL (1e-3 nats)", xlim=(-reach, reach), ylim=(-reach, reach))
