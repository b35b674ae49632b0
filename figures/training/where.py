"""Where p = 1.2 gains at β2 = 0.95: in which modules, and on which tokens, beside a longer memory of v.

Marks are means over paired seeds, bars their 95 % t intervals. (a) Loss with p = 1.2 in some modules less that with
p = 1 everywhere, averaged over learning rates. (b) Change of the loss by tenths of the targets, at one rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.statistics import SeedMean
from experiments.studies.modules import MODULES, ModulesStudy, read_modules
from experiments.studies.rare_tokens import TENTHS, TOKENS, RareTokens, read_rare_tokens
from figures.style import Row, law_style, panels, single
from figures.training.means import draw_means, interval_of

FILE = "where"


Studies = tuple[ModulesStudy, RareTokens]


def read(sources: Sequence[Path]) -> Studies:
    """Return both studies, judged from their summaries in a folder."""
    folder = single(sources)
    modules, tokens = (folder / Path(name).name for name in (MODULES, TOKENS))
    return read_modules(modules), read_rare_tokens(modules, tokens)


def _by_tenth(found: RareTokens) -> dict[str, tuple[SeedMean, ...]]:
    return {"p = 1.2": found.power.by_tenth, "β2 = 0.99": found.memory.by_tenth}


def rows(studies: Studies) -> list[Row]:
    """Return a row for every mark."""
    modules, tokens = studies
    changes: list[Row] = [
        {"panel": "modules", "where": name, "change": "p = 1.2", **interval_of(mean)}
        for name, mean in modules.changes.items()
    ]
    tenths = [
        {"panel": "tenths", "where": int(tenth), "change": name, **interval_of(mean)}
        for name, means in _by_tenth(tokens).items()
        for tenth, mean in zip(TENTHS, means, strict=True)
    ]
    return [*changes, *tenths]


def draw(studies: Studies) -> Figure:
    """Draw both studies side by side."""
    with panels(1, 2, height=2.7) as (figure, grid):
        _draw_modules(grid[0, 0], studies[0])
        _draw_tenths(grid[0, 1], studies[1])
        for axis in grid[0]:
            axis.axhline(0, color="black", linewidth=0.6, zorder=0)
    return figure


def _draw_modules(axis: Axes, found: ModulesStudy) -> None:
    names = [name.replace(" and ", ",\n") for name in found.changes]
    draw_means(axis, range(len(names)), list(found.changes.values()), **law_style(0) | {"linestyle": "none"})
    axis.set_xticks(range(len(names)), names, fontsize=6)
    axis.set(
        title="$p$ = 1.2 in these modules",
        xlim=(-0.5, len(names) - 0.5),
        ylabel="change of the loss (nats a token)",
    )


def _draw_tenths(axis: Axes, found: RareTokens) -> None:
    for index, (name, means) in enumerate(_by_tenth(found).items()):
        places = TENTHS + (-0.08, 0.08)[index]
        draw_means(axis, places, means, label=name.replace("p", "$p$"), **law_style(index))
    axis.set(
        title="change from $p$ = 1, β2 = 0.95", xlabel="tenth of the targets: 1 rarest, 10 most frequent"
    )
    axis.set_xticks(TENTHS)
    axis.legend()
