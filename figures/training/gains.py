"""What p = 1.2 changes of the final loss by memory of v and batch size, with the paper's changes beside.

Marks are means over paired seeds of the loss at p = 1.2 less that at p = 1, bars their 95 % t intervals; the paper has
no intervals. Studies that are not completed are left out. Left of 0 the power helps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from experiments.statistics import SeedMean
from experiments.studies.causes import Causes
from experiments.studies.figure_5 import PAPERS_GAINS
from experiments.studies.memory import POWER
from experiments.studies.paper import PaperStudies, read_paper_studies
from figures.style import Row, grouped, law_style, panels, single
from figures.training import where
from figures.training.means import draw_means, interval_of

Change = tuple[str, str, SeedMean]
"""Group, setting, and the change."""
_PAPERS = {
    "Figure 3: LLaMA 2B": -0.022,
    "Figure 4: mixture of experts 2B": -0.028,
    "Figure 5: LLaMA": -PAPERS_GAINS["P"],
}


def read(sources: Sequence[Path]) -> list[Change]:
    """Return the changes of the studies in results/causes, and of those in results/paper beside it."""
    return changes(where.read(sources), read_paper_studies(single(sources).parent / "paper"))


def changes(causes: Causes, paper: PaperStudies) -> list[Change]:
    """Return the paper's changes and those of the studies that are completed."""
    published = [("the paper", setting, SeedMean(1, change)) for setting, change in _PAPERS.items()]
    return [*published, *_of_causes(causes), *_of_paper(paper)]


def _of_causes(found: Causes) -> Iterator[Change]:
    studies = {"LLaMA 0.12M": found.surface or found.memory, "LLaMA 0.64M": found.larger}
    for model, study in studies.items():
        for row in study.rows if study else ():
            yield f"{model}, batch {row.batch_size}", f"β2 = {row.beta2:g}", row.changes[POWER]
    for size, change in found.head_batch.changes.items() if found.head_batch else ():
        yield "in the head alone, LLaMA 0.12M", f"batch {size}, β2 = 0.95", change


def _of_paper(found: PaperStudies) -> Iterator[Change]:
    if found.additivity:
        yield "LLaMA 0.12M, batch 2", "β2 = 0.95, rates of Figure 5", found.additivity.means["P"]
    if found.muon:
        for size in found.muon.sizes:
            yield "MuonPower, LLaMA 0.12M", f"batch {size}", found.muon.means[f"{POWER} {size}"]
    if found.mixtures:
        for width, gap in found.mixtures.gaps.means.items():
            yield "mixtures of experts, batch 2", f"width {width}", gap
    if found.sizes:
        for name, gap in found.sizes.gaps.means.items():
            parameters, schedule = name.split()
            yield "LLaMA by size, batch 2", f"{int(parameters) / 1e6:.2f}M, {schedule}", gap


def rows(shown: Sequence[Change]) -> list[Row]:
    """Return a row for every mark."""
    return [{"group": group, "where": setting, **interval_of(mean)} for group, setting, mean in shown]


def draw(shown: Sequence[Change]) -> Figure:
    """Draw the changes below each other, a colour a group."""
    groups = grouped(shown, lambda change: change[0])
    with panels(1, 1, height=1.0 + 0.17 * (len(shown) + len(groups)), letters=False) as (figure, grid):
        axis, place = grid[0, 0], 0
        labels: dict[int, str] = {}
        for index, (group, own) in enumerate(groups.items()):
            places = [place + step for step in range(1, len(own) + 1)]
            labels |= {place: group} | {at: f"{own[at - place - 1][1]}     " for at in places}
            style = law_style(index) | {"linestyle": "none"}
            draw_means(axis, places, [mean for *_, mean in own], across=True, **style)
            place = places[-1] + 1
        axis.axvline(0, color="black", linewidth=0.6, zorder=0)
        axis.set_yticks(list(labels), list(labels.values()))
        axis.tick_params(axis="y", length=0)
        for tick, label in zip(axis.get_yticklabels(), labels.values(), strict=True):
            tick.set_fontweight("bold" if label in groups else "normal")
        axis.invert_yaxis()
        axis.set(
            title="$p$ = 1.2 less $p$ = 1",
            xlabel="change of the final loss (nats a token); left of 0 the power helps",
        )
    return figure
