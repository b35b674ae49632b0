"""What p = 1.2 and a longer memory of the second moment do to the loss, alone and together.

Marks are means over paired seeds of losses averaged over learning rates, bars their 95 % t intervals. (a) All
differences are from p = 1 at β2 = 0.95. (b) What the power changes at each β2; the band is ±0.01 nats.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.studies.memory import POWER, SMALLEST_EFFECT, USUAL, MemoryStudy, read_memory
from figures.style import Row, law_style, panels, plain_ticks, single
from figures.training.means import draw_means, interval_of

FILE = "memory"


def read(sources: Sequence[Path]) -> MemoryStudy:
    """Return the study, judged from its summary."""
    return read_memory(single(sources))


def rows(study: MemoryStudy) -> list[Row]:
    """Return a row for every mark."""
    return [
        {"series": series, "beta2": row.beta2, **interval_of(getattr(row, series))}
        for series in ("memory", "both", "power")
        for row in study.rows
    ]


def draw(study: MemoryStudy) -> Figure:
    """Draw the losses, and what the power changes of them."""
    lengths = 1 / (1 - np.array([row.beta2 for row in study.rows]))
    plain, powered = law_style(0), law_style(1)
    with panels(1, 2, height=2.7) as (figure, grid):
        losses, change = grid[0]
        # side by side, so that intervals do not cover each other
        draw_means(losses, 0.96 * lengths, [row.memory for row in study.rows], label="$p$ = 1", **plain)
        draw_means(
            losses, 1.04 * lengths, [row.both for row in study.rows], label=f"$p$ = {POWER:g}", **powered
        )
        draw_means(change, lengths, [row.power for row in study.rows], **powered)
        losses.legend(loc="lower left")
        losses.set(
            title=f"loss less that of $p$ = 1, β2 = {USUAL:g}", ylabel="difference of the loss (nats a token)"
        )
        change.set_title(f"$p$ = {POWER:g} less $p$ = 1 at the same β2")
        change.axhspan(-SMALLEST_EFFECT, SMALLEST_EFFECT, color="0.9", linewidth=0, zorder=0)
        note = f"below 0: $p$ = {POWER:g} helps\nband: ±{SMALLEST_EFFECT:g} nats"
        change.text(0.97, 0.04, note, ha="right", fontsize=6.5, transform=change.transAxes)
        for axis in grid[0]:
            axis.axhline(0, color="black", linewidth=0.6, zorder=0)
            axis.set(xscale="log", xlabel="memory of $v$: 1/(1 − β2) steps")
            plain_ticks(axis.xaxis, lengths.round().tolist())
    return figure
