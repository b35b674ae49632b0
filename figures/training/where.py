"""Where p = 1.2 gains at β2 = 0.95: in which modules, and on which tokens, beside a longer memory of v.

Marks are means over paired seeds, bars their 95 % t intervals. (a) Loss with p = 1.2 in some modules less that with
p = 1 everywhere, averaged over learning rates. (b) Change of the loss by tenths of the targets, at one rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.statistics import SeedMean
from experiments.studies.modules import MODULES, ModulesStudy, read_modules
from experiments.studies.rare_tokens import TENTHS, TOKENS, RareTokens, read_rare_tokens
from figures.style import Row, law_style, panels, single
from figures.training.sweep_losses import draw_mean

FILE = "where"


@dataclass(frozen=True)
class Where:
    """Both studies; None for tokens that were not compared yet."""

    modules: ModulesStudy
    tokens: RareTokens | None


def read(sources: Sequence[Path]) -> Where:
    """Return the studies, judged from their summaries in a folder."""
    folder = single(sources)
    modules, tokens = (folder / Path(name).name for name in (MODULES, TOKENS))
    return Where(read_modules(modules), read_rare_tokens(modules, tokens) if tokens.exists() else None)


def _by_tenth(found: RareTokens) -> dict[str, tuple[SeedMean, ...]]:
    return {"$p$ = 1.2": found.power.by_tenth, "β2 = 0.99": found.memory.by_tenth}


def rows(found: Where) -> list[Row]:
    """Return a row for every mark."""
    modules: list[Row] = [
        {"panel": "modules", "where": name, "change": "p = 1.2", **_numbers(mean)}
        for name, mean in found.modules.changes.items()
    ]
    if found.tokens is None:
        return modules
    tenths = [
        {"panel": "tenths", "where": int(tenth), "change": name.replace("$", ""), **_numbers(mean)}
        for name, means in _by_tenth(found.tokens).items()
        for tenth, mean in zip(TENTHS, means, strict=True)
    ]
    return [*modules, *tenths]


def _numbers(mean: SeedMean) -> Row:
    return {"mean": mean.mean, "low": mean.low, "high": mean.high}


def draw(found: Where) -> Figure:
    """Draw both studies side by side."""
    with panels(1, 1 if found.tokens is None else 2, height=2.7) as (figure, grid):
        _draw_modules(grid[0, 0], found.modules)
        if found.tokens is not None:
            _draw_tenths(grid[0, 1], found.tokens)
        for axis in grid[0]:
            axis.axhline(0, color="black", linewidth=0.6, zorder=0)
    return figure


def _draw_modules(axis: Axes, found: ModulesStudy) -> None:
    for place, mean in enumerate(found.changes.values()):
        draw_mean(axis, place, mean, {"color": law_style(0)["color"], "marker": "o"})
    names = [name.replace(" and ", ",\n") for name in found.changes]
    axis.set_xticks(range(len(names)), names, fontsize=6)
    axis.set(
        title="$p$ = 1.2 in these modules",
        xlim=(-0.5, len(names) - 0.5),
        ylabel="change of the loss (nats a token)",
    )


def _draw_tenths(axis: Axes, found: RareTokens) -> None:
    for index, (name, means) in enumerate(_by_tenth(found).items()):
        style = law_style(index) | {"markersize": 4, "linewidth": 1.1}
        places = TENTHS + (-0.08, 0.08)[index]
        axis.plot(places, [mean.mean for mean in means], label=name, **style)
        for place, mean in zip(places, means, strict=True):
            draw_mean(axis, place, mean, {"color": style["color"]})
    axis.set(
        title="change from $p$ = 1, β2 = 0.95", xlabel="tenth of the targets: 1 rarest, 10 most frequent"
    )
    axis.set_xticks(TENTHS)
    axis.legend()
