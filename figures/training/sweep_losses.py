"""A study's losses against the compared value, less the baseline's, and the slope there against the `within` field.

A panel for each group: thin lines are seeds, marks their mean difference with its t interval (cut off where it would
dwarf the losses), the grey band the baseline's spread over seeds (± one standard deviation), crosses at the top values
that diverged in some seed.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.statistics import SeedMean
from experiments.sweeps.analysis import Analysis, Group
from experiments.sweeps.display import short
from experiments.sweeps.groups import is_number
from experiments.sweeps.judge import judged
from experiments.sweeps.store import read_outcome
from experiments.sweeps.studies import study_folder
from experiments.sweeps.study import Settings
from figures.style import Row, Style, law_style, legend_of, panels, plain_ticks, single
from figures.training.means import draw_means, interval_of

_COLUMNS = 3
_BLUE, _RED = "#0072B2", "#D55E00"


def read(sources: Sequence[Path]) -> Analysis:
    """Return the analysis of a study, named as `gradpower analyse` takes it."""
    return judged(read_outcome(study_folder(str(single(sources)))))


def rows(analysis: Analysis) -> list[Row]:
    """Return a row for every mark: seeds, means, slopes and spreads."""
    found: list[Row] = []
    for group in analysis.groups:
        place = {"within": group.within, **group.others}
        found.append({"mark": "baseline spread", **place, "sd": group.baseline_spread})
        found.append({"mark": "slope", **place, **(interval_of(group.slope) if group.slope else {})})
        for each in group.comparisons:
            where = {**place, "value": each.value}
            found += [
                {"mark": "seed", **where, "seed": seed, "mean": difference}
                for seed, difference in zip(each.seeds, each.differences, strict=False)
            ]
            mean = interval_of(each.difference) if each.difference else {}
            found.append({"mark": "mean", **where, **mean, "decision": each.decision})
    return found


def draw(analysis: Analysis) -> Figure:
    """Draw an analysis."""
    rule, groups = analysis.rule, analysis.groups
    lines = _lines(groups)
    count = len(groups) + bool(lines)
    columns = 2 if count == 4 else min(_COLUMNS, count)
    down = math.ceil(count / columns)
    with panels(down, columns, height=0.55 + 2.15 * down) as (figure, grid):
        axes = list(grid.flat)
        for axis, group in zip(axes, groups, strict=False):
            _draw_group(axis, group, rule.baseline)
            within = {rule.within: group.within} if rule.within else {}
            title = "\n".join(filter(None, (_label(within), _label(group.others))))
            name = "power $p$" if rule.compared == "optimizer.power" else short(rule.compared)
            axis.set(title=title, xlabel=name)
        low, high = zip(*(axis.get_ylim() for axis in axes[: len(groups)]), strict=True)
        for axis in axes[: len(groups)]:
            axis.set_ylim(min(low), max(high))
        for row in grid:
            row[0].set_ylabel("loss − baseline's (nats a token)")
        if lines:
            _draw_slopes(axes[len(groups)], lines, analysis)
        for axis in axes[count:]:
            axis.set_visible(False)
        legend_of(figure, axes[: len(groups)], ncols=5)
    return figure


def _draw_group(axis: Axes, group: Group, baseline: float) -> None:
    """Draw the differences of a group from its baseline: seeds, and means with intervals."""
    _scale(axis, [value.value for value in group.values])
    means = {each.value: each.difference for each in group.comparisons if each.difference}
    if not means:
        axis.set_yticks([])
        axis.text(0.5, 0.55, "nothing tested", ha="center", fontsize=6.5, transform=axis.transAxes)
    else:
        curve = sorted([(baseline, 0.0), *((value, mean.mean) for value, mean in means.items())])
        axis.plot(*zip(*curve, strict=True), color=_BLUE, linewidth=1.1, zorder=3)
        mark: Style = {"color": _BLUE, "marker": "o", "linestyle": "none", "zorder": 4}
        draw_means(axis, means, list(means.values()), label="mean, t interval", **mark)
        _draw_seeds(axis, group, baseline)
    for value in group.values:
        if value.diverged:
            where: Style = {"transform": axis.get_xaxis_transform(), "linestyle": "none"}
            axis.plot(value.value, 0.97, marker="x", color=_RED, markersize=5, label="diverged", **where)


def _draw_seeds(axis: Axes, group: Group, baseline: float) -> None:
    """Draw the differences of each seed and the baseline's spread, and fit the axis to them."""
    seeds: dict[int, dict[float, float]] = {}
    for each in group.comparisons:
        for seed, difference in zip(each.seeds, each.differences, strict=False):
            seeds.setdefault(seed, {baseline: 0.0})[each.value] = difference
    thin: Style = {"color": "0.6", "linewidth": 0.5, "marker": ".", "markersize": 2, "label": "one seed"}
    for line in seeds.values():
        axis.plot(*zip(*sorted(line.items()), strict=True), **thin)
    spread = group.baseline_spread or 0.0
    axis.axhspan(-spread, spread, color="0.86", linewidth=0, zorder=0, label="baseline ± sd over seeds")
    axis.axhline(0, color="black", linewidth=0.6, zorder=1)
    square: Style = {
        "color": "black",
        "marker": "s",
        "markersize": 4,
        "linestyle": "none",
        "label": "baseline",
    }
    axis.plot(baseline, 0.0, zorder=5, **square)
    drawn = [spread, -spread, *(difference for line in seeds.values() for difference in line.values())]
    room = 0.2 * (max(drawn) - min(drawn)) or 1e-3
    axis.set_ylim(min(drawn) - room, max(drawn) + room)


def _scale(axis: Axes, values: Sequence[float]) -> None:
    """Set a horizontal axis with a tick for every value, logarithmic if all are > 0."""
    axis.set_xscale("log" if min(values) > 0 else "linear")
    plain_ticks(axis.xaxis, sorted(set(values)))


def _label(fields: Settings) -> str:
    return ", ".join(
        f"{short(name)} {value:g}" if is_number(value) else f"{short(name)} {value}"
        for name, value in fields.items()
    )


def _lines(groups: Sequence[Group]) -> dict[str, dict[float, SeedMean]]:
    """Return the slopes against the `within` numbers > 0, for each setting of the free fields."""
    found: dict[str, dict[float, SeedMean]] = {}
    for group in groups:
        if is_number(group.within) and group.within > 0 and group.slope is not None:
            found.setdefault(_label(group.others), {})[group.within] = group.slope
    return {label: line for label, line in found.items() if len(line) > 1}


def _draw_slopes(axis: Axes, lines: dict[str, dict[float, SeedMean]], analysis: Analysis) -> None:
    rule = analysis.rule
    _scale(axis, [place for line in lines.values() for place in line])
    axis.axhline(0, color="black", linewidth=0.6, zorder=0)
    for index, (label, line) in enumerate(lines.items()):
        shift = 1.03 ** (index - (len(lines) - 1) / 2)
        places = np.array(list(line)) * shift
        draw_means(axis, places, list(line.values()), label=label, **law_style(index))
    title = f"slope at {short(rule.compared)} {rule.baseline:g}"
    axis.set(title=title, xlabel=short(rule.within or ""), ylabel=f"d loss / d ln {short(rule.compared)}")
    if len(lines) > 1:
        axis.legend(fontsize=5.5)
