"""What a power and a longer memory of the second moment do to the loss, alone and together.

Marks are means over paired seeds of losses averaged over learning rates, bars their 95 % t intervals; a line a power, a
row of panels a batch size. (a) Losses less that of p = 1 at β2 = 0.95. (b) What the power changes at each β2; the band
is ±0.01 nats.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.statistics import SeedMean
from experiments.studies.memory import SMALLEST_EFFECT, USUAL, MemoryRow
from figures.style import Row, grouped, law_style, panels, plain_ticks, single
from figures.training import where
from figures.training.means import draw_means, interval_of
from gradpower.tools.errors import InputError


def read(sources: Sequence[Path]) -> tuple[MemoryRow, ...]:
    """Return all powers and memories of the studies in a folder, or else those of memory.json."""
    causes = where.read(sources)
    study = causes.surface or causes.memory
    if study is None:
        raise InputError("sources", single(sources), "the folder of these studies, as results/causes")
    return study.rows


def rows(study: Sequence[MemoryRow]) -> list[Row]:
    """Return a row for every mark."""
    return [
        {"series": series, "batch_size": row.batch_size, "beta2": row.beta2, "power": p, **interval_of(mean)}
        for row in study
        for series in ("losses", "changes")
        for p, mean in getattr(row, series).items()
    ]


def draw(study: Sequence[MemoryRow]) -> Figure:
    """Draw the losses, and what the powers change of them."""
    by_size = grouped(study, lambda row: row.batch_size)
    with panels(len(by_size), 2, height=2.7 * len(by_size)) as (figure, grid):
        for (losses, change), (size, own) in zip(grid, by_size.items(), strict=True):
            _draw_powers(losses, own, "losses")
            _draw_powers(change, own, "changes")
            losses.legend(ncols=2)
            losses.set(
                title=f"batch {size}: loss less that of $p$ = 1, β2 = {USUAL:g}",
                ylabel="difference of the loss (nats a token)",
            )
            change.set_title(f"batch {size}: less $p$ = 1 at the same β2")
            change.axhspan(-SMALLEST_EFFECT, SMALLEST_EFFECT, color="0.9", linewidth=0, zorder=0)
            note = f"below 0: the power helps\nband: ±{SMALLEST_EFFECT:g} nats"
            change.text(0.97, 0.04, note, ha="right", fontsize=6.5, transform=change.transAxes)
        for axis in grid[-1]:
            axis.set_xlabel("memory of $v$: 1/(1 − β2) steps")
    return figure


def _draw_powers(axis: Axes, own: Sequence[MemoryRow], series: str) -> None:
    """Draw a line a power, side by side, so that intervals do not cover each other."""
    lengths = 1 / (1 - np.array([row.beta2 for row in own]))
    powers = list(own[0].losses)
    for place, p in enumerate(powers):
        means: list[SeedMean | None] = [getattr(row, series).get(p) for row in own]
        if None not in means:
            at = lengths * 1.05 ** (place - (len(powers) - 1) / 2)
            draw_means(axis, at, [mean for mean in means if mean], label=f"$p$ = {p:g}", **law_style(place))
    axis.axhline(0, color="black", linewidth=0.6, zorder=0)
    axis.set_xscale("log")
    plain_ticks(axis.xaxis, lengths.round().tolist())
