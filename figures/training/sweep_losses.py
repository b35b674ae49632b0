"""A study's losses against the compared value, less the baseline's, and the slope there against the `within` field.

A panel for each group: thin lines are seeds, marks their mean difference with its t interval (cut off where it would
dwarf the losses), the grey band the baseline's spread over seeds (± one standard deviation), crosses at the top values
that diverged in some seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments.statistics import SeedMean
from experiments.sweeps.analysis import Analysis, Group
from experiments.sweeps.display import short
from experiments.sweeps.groups import is_number
from experiments.sweeps.judge import judged
from experiments.sweeps.store import read_outcome
from experiments.sweeps.studies import study_folder
from experiments.sweeps.study import Settings
from figures.style import Row, law_style, panels, plain_ticks, single

FILE = "sweep_losses"
_COLUMNS = 3
_BAND, _SEED, _BLUE, _RED = "0.86", "0.6", "#0072B2", "#D55E00"


def read(sources: Sequence[Path]) -> Analysis:
    """Return the analysis of a study, named as `gradpower analyse` takes it."""
    return judged(read_outcome(study_folder(str(single(sources)))))


def rows(analysis: Analysis) -> list[Row]:
    """Return a row for every mark."""
    return rows_of(analysis.groups)


def rows_of(groups: Sequence[Group]) -> list[Row]:
    """Return a row for every mark of some groups: seeds, means, slopes and spreads."""
    found: list[Row] = []
    for group in groups:
        place = {"within": group.within, **group.others}
        found.append({"mark": "baseline spread", **place, "sd": group.baseline_spread})
        found.append({"mark": "slope", **place, **_cells(group.slope)})
        for each in group.comparisons:
            where = {**place, "value": each.value}
            found += [
                {"mark": "seed", **where, "seed": seed, "mean": difference}
                for seed, difference in zip(each.seeds, each.differences, strict=False)
            ]
            found.append({"mark": "mean", **where, **_cells(each.difference), "decision": each.decision})
    return found


def _cells(mean: SeedMean | None) -> dict[str, float | None]:
    return {} if mean is None else {"mean": mean.mean, "low": mean.low, "high": mean.high}


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
            draw_group(axis, group, rule.baseline)
            within = {rule.within: group.within} if rule.within else {}
            title = "\n".join(filter(None, (_label(within), _label(group.others))))
            axis.set(title=title, xlabel=axis_name(rule.compared))
        for row in grid:
            row[0].set_ylabel("loss − baseline's (nats a token)")
        if lines:
            _draw_slopes(axes[len(groups)], lines, analysis)
        for axis in axes[count:]:
            axis.set_visible(False)
        figure.legend(handles=_legend(groups), loc="outside upper center", ncols=5, columnspacing=1.2)
    return figure


def draw_group(axis: Axes, group: Group, baseline: float) -> None:
    """Draw the differences of a group from its baseline: seeds, and means with intervals."""
    value_axis(axis, [value.value for value in group.values])
    axis.grid(alpha=0.25)
    for value in group.values:
        if value.diverged:
            where: dict[str, Any] = {"transform": axis.get_xaxis_transform(), "linestyle": "none"}
            axis.plot(value.value, 0.97, marker="x", color=_RED, markersize=5, **where)
    means = {each.value: each.difference for each in group.comparisons if each.difference}
    if not means:
        axis.set_yticks([])
        axis.text(0.5, 0.55, "nothing tested", ha="center", fontsize=6.5, transform=axis.transAxes)
        return
    axis.axhline(0, color="black", linewidth=0.6, zorder=1)
    spread = group.baseline_spread or 0.0
    axis.axhspan(-spread, spread, color=_BAND, linewidth=0, zorder=0)
    seeds: dict[int, dict[float, float]] = {}
    for each in group.comparisons:
        for seed, difference in zip(each.seeds, each.differences, strict=False):
            seeds.setdefault(seed, {baseline: 0.0})[each.value] = difference
    for line in seeds.values():
        axis.plot(
            *zip(*sorted(line.items()), strict=True), color=_SEED, linewidth=0.5, marker=".", markersize=2
        )
    curve = sorted([(baseline, 0.0), *((value, mean.mean) for value, mean in means.items())])
    axis.plot(*zip(*curve, strict=True), color=_BLUE, linewidth=1.1, zorder=3)
    axis.plot(baseline, 0.0, color="black", marker="s", markersize=4, zorder=5)
    for place, mean in means.items():
        draw_mean(axis, place, mean, {"color": _BLUE, "marker": "o"})
    axis.set_ylim(*_vertical_limits(group, spread))


def draw_mean(axis: Axes, place: float, mean: SeedMean, style: dict[str, Any]) -> None:
    """Draw a mean with its interval, if it has one."""
    bars = (
        None if mean.low is None or mean.high is None else [[mean.mean - mean.low], [mean.high - mean.mean]]
    )
    axis.errorbar([place], [mean.mean], bars, elinewidth=1.0, capsize=2.5, markersize=3.5, zorder=4, **style)


def _vertical_limits(group: Group, spread: float) -> tuple[float, float]:
    """Return limits that hold all seeds, and most of the intervals."""
    inner = [spread, -spread, *(d for each in group.comparisons for d in each.differences)]
    means = [each.difference for each in group.comparisons if each.difference]
    low, high = min(inner), max(inner)
    room = (high - low) or 1e-3
    low = max(min([low, *(mean.low for mean in means if mean.low is not None)]), low - 0.6 * room)
    high = min(max([high, *(mean.high for mean in means if mean.high is not None)]), high + 0.6 * room)
    return low - 0.05 * room, high + 0.05 * room


def axis_name(name: str) -> str:
    """Return what an axis of a field's values is called."""
    return "power $p$" if name == "optimizer.power" else short(name)


def value_axis(axis: Axes, values: Sequence[float]) -> None:
    """Set a horizontal axis with a tick for every value, logarithmic if all are > 0."""
    log = min(values) > 0
    axis.set_xscale("log" if log else "linear")
    low, high = min(values), max(values)
    room = ((high / low) ** 0.06 if high > low else 1.1) if log else 0.06 * (high - low) or 1.0
    axis.set_xlim(*((low / room, high * room) if log else (low - room, high + room)))
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
    value_axis(axis, [place for line in lines.values() for place in line])
    axis.axhline(0, color="black", linewidth=0.6, zorder=0)
    for index, (label, line) in enumerate(lines.items()):
        shift = 1.03 ** (index - (len(lines) - 1) / 2)
        places = np.array(list(line)) * shift
        axis.plot(
            places, [mean.mean for mean in line.values()], label=label, **law_style(index) | {"marker": ""}
        )
        for place, mean in zip(places, line.values(), strict=True):
            draw_mean(axis, place, mean, law_style(index) | {"linestyle": "none"})
    title = f"slope at {short(rule.compared)} {rule.baseline:g}"
    axis.set(title=title, xlabel=short(rule.within or ""), ylabel=f"d loss / d ln {short(rule.compared)}")
    if len(lines) > 1:
        axis.legend(fontsize=5.5)


def _legend(groups: Sequence[Group]) -> list[Any]:
    lost = any(value.diverged for group in groups for value in group.values)
    cross = Line2D([], [], color=_RED, linestyle="none", marker="x", markersize=5, label="diverged")
    return [
        Line2D([], [], color=_BLUE, marker="o", markersize=3.5, linewidth=1.1, label="mean, t interval"),
        Line2D([], [], color=_SEED, marker=".", markersize=2, linewidth=0.5, label="one seed"),
        Patch(facecolor=_BAND, label="baseline ± sd over seeds"),
        Line2D([], [], color="black", linestyle="none", marker="s", markersize=4, label="baseline"),
        *([cross] if lost else []),
    ]
