"""Adam's bias under skewed noise: of two atoms, exactly; and of a network's gradients without their mean.

(a) The mean update where the mean gradient is 0, against the power; above 0 it is towards the rare atom. (b) What noise
alone drifts along the gradient, over the drift of the whole gradients at p = 1; bars are 95 % jackknife intervals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import stdtrit

from experiments.noise.measurement import NOISE
from experiments.noise.replay import CONTROL, PredictedPower
from figures.style import Row, law_style, panels, plain_ticks, single
from theory.adam.noise_bias import noise_bias
from theory.laws import TwoPoint
from theory.measured.micro_batch_gradients import GROUPS

_CHANCE = 0.03
_MEMORIES = (0.95, 0.99, 0.999)
_POWERS = np.linspace(0.7, 1.8, 34)
_MODULES = ("head", "embedding")


@dataclass(frozen=True)
class Biases:
    """What is drawn."""

    exact: dict[float, list[float]]
    """By β2, at each power."""
    measured: tuple[PredictedPower, ...]
    """Of some modules, by batch size."""


def read(sources: Sequence[Path]) -> Biases:
    """Compute the exact bias, and read what was measured from a noise.json, or the one in a folder."""
    measured = NOISE.read(single(sources)).predictions
    exact = {
        beta2: [noise_bias(power, TwoPoint(_CHANCE), beta2=beta2) for power in _POWERS.tolist()]
        for beta2 in _MEMORIES
    }
    return Biases(exact, tuple(row for row in measured if row.module in _MODULES))


def rows(found: Biases) -> list[Row]:
    """Return a row for every mark."""
    exact: list[Row] = [
        {"series": "exact", "beta2": beta2, "power": power, "bias": bias}
        for beta2, curve in found.exact.items()
        for power, bias in zip(_POWERS.tolist(), curve, strict=True)
    ]
    return exact + [
        {"series": row.module, "batch_size": row.batch_size, "power": power, "bias": share, "error": error}
        for row in found.measured
        for power, share, error in zip((1.0, CONTROL), row.noise_alone, row.noise_alone_errors, strict=True)
    ]


def draw(found: Biases) -> Figure:
    """Draw both."""
    with panels(1, 2, height=2.7) as (figure, grid):
        left, right = grid[0]
        for index, (beta2, curve) in enumerate(found.exact.items()):
            left.plot(_POWERS, curve, label=f"β2 = {beta2:g}", **law_style(index) | {"marker": ""})
        left.legend(loc="lower right")
        left.set(
            title=f"two atoms, the rare one of chance {_CHANCE:g}",
            xlabel="power $p$",
            ylabel="mean update $u$",
        )
        for index, name in enumerate(_MODULES):
            own = sorted(
                (row for row in found.measured if row.module == name), key=lambda row: row.batch_size
            )
            _draw_measured(right, own, index)
        right.legend(loc="lower right")
        right.set(
            title="measured gradients without their mean",
            xscale="log",
            xlabel="batch size (sequences)",
            ylabel="relative drift",
        )
        plain_ticks(right.xaxis, sorted({row.batch_size for row in found.measured}))
        for axis in grid[0]:
            axis.axhline(0, color="black", linewidth=0.6, zorder=0)
    return figure


def _draw_measured(axis: Axes, rows: Sequence[PredictedPower], index: int) -> None:
    for place, power in enumerate((1.0, CONTROL)):
        style = law_style(index) | ({"markerfacecolor": "white", "linestyle": ":"} if place else {})
        axis.errorbar(
            [row.batch_size * 1.07 ** (2 * index + place - 1.5) for row in rows],
            [row.noise_alone[place] for row in rows],
            [stdtrit(GROUPS - 1, 0.975) * row.noise_alone_errors[place] for row in rows],
            label=f"{rows[0].module}, $p$ = {power:g}",
            linewidth=1.1,
            markersize=4,
            elinewidth=1.0,
            capsize=2.5,
            **style,
        )
