"""A study's losses against the compared value, less the baseline's, and its best value against the `within` field.

A panel for each group of one view of the analysis: thin lines are seeds, marks their mean difference with its t
interval (cut off where it would dwarf the losses), the grey band the baseline's spread over seeds (± one standard
deviation), crosses at the top values that diverged in some seed, the baseline included. Below the curve the triangle
marks the grid's best value, the star the parabola's with Fieller's interval; dots run over the whole panel where the
seeds do not bound it. The last panel shows both against the `within` field.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from experiments.sweeps.groups import is_number
from experiments.sweeps.verdict import primary_view, short
from figures.style import Row, house_style, law_style, letter, new_figure

FILE = "sweep_losses"
_COLUMNS = 3
_BAND = "0.86"
_SEED = "0.6"
_LOW = 0.07  # height of the marks of the best value, as a share of the panel
Data = Mapping[str, Any]


def rows(analysis: Data) -> list[Row]:
    """Return a row for every mark of every view: seeds, means, spreads, and best values.

    Parameters
    ----------
    analysis : mapping
        From `experiments.sweeps.analysis.analyse`.
    """
    return [
        {"view": view["kind"], "mark": mark, "within": group["within"], **group["others"], **cells}
        for view in analysis["views"]
        for group in view["groups"]
        for mark, cells in _marks(group)
    ]


def _marks(group: Data) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "baseline spread", {"sd": group["baseline_spread"]}
    for comparison in group["comparisons"]:
        value, statistics = comparison["value"], comparison["statistics"]
        for seed, difference in zip(comparison["seeds"], comparison["differences"] or [], strict=False):
            yield "seed", {"value": value, "seed": seed, "difference": difference}
        low, high = (statistics or {}).get("t_interval") or (None, None)
        mean = None if statistics is None else statistics["mean"]
        cells = {"value": value, "difference": mean, "low": low, "high": high, "said": comparison["said"]}
        yield "mean", cells
    best = group["best"] or {}
    if "grid" in best:
        yield "grid best", {"value": best["grid"]["value"], "at_edge": best["grid"]["at_edge"]}
    if "parabola" in best:
        found = best["parabola"]
        low, high = found["interval"] or (None, None)
        yield "parabola best", {"value": found["value"], "low": low, "high": high, "said": found["status"]}


def draw(analysis: Data, view: Data | None = None) -> Figure:
    """Draw one view of an analysis.

    Parameters
    ----------
    analysis : mapping
        From `experiments.sweeps.analysis.analyse`.
    view : mapping, optional
        One of its views; the primary one if not given.
    """
    shown = view or primary_view(analysis)
    rule, groups = analysis["rule"], shown["groups"]
    along = _lines(groups)
    count = len(groups) + bool(along)
    columns = 2 if count == 4 else min(_COLUMNS, count)
    lines = math.ceil(count / columns)
    with house_style():
        figure, grid = new_figure(lines, columns, height=0.55 + 2.15 * lines)
        axes = list(grid.flat)
        for axis, group in zip(axes, groups, strict=False):
            _draw_group(axis, group, rule)
        if along:
            _draw_best(axes[len(groups)], along, rule)
        for axis in axes[count:]:
            axis.set_visible(False)
        for row in grid:
            row[0].set_ylabel("loss − baseline's (nats a token)")
        if along and len(groups) % columns == 0:
            axes[len(groups)].set_ylabel(f"best {short(rule['compared'])}")
        letter(axes[:count])
        figure.legend(handles=_legend(groups), loc="outside upper center", ncols=4, columnspacing=1.2)
    return figure


def _lines(groups: Sequence[Data]) -> list[tuple[str, list[Data]]]:
    """Return the groups by setting of the free fields, where they lie along numbers > 0."""
    found: dict[str, list[Data]] = {}
    for group in groups:
        if is_number(group["within"]) and group["within"] > 0 and group["best"]:
            found.setdefault(_label(group["others"]), []).append(group)
    return [(label, row) for label, row in found.items() if len(row) > 1]


def _label(fields: Data) -> str:
    return ", ".join(
        f"{short(name)} {value:g}" if is_number(value) else f"{short(name)} {value}"
        for name, value in fields.items()
    )


def _draw_group(axis: Axes, group: Data, rule: Data) -> None:
    values = [arm["value"] for arm in group["arms"]]
    positions = _positions(axis, values)
    spread = group["baseline_spread"]
    found = [c for c in group["comparisons"] if c["statistics"]]
    if found:
        axis.axhline(0, color="black", linewidth=0.6, zorder=1)
    if found and spread is not None:
        axis.axhspan(-spread, spread, color=_BAND, linewidth=0, zorder=0)
    _draw_seeds(axis, group, positions, rule["baseline"])
    if found:
        points = {positions[rule["baseline"]]: 0.0}
        points |= {positions[c["value"]]: c["statistics"]["mean"] for c in found}
        x = sorted(points)
        axis.plot(x, [points[place] for place in x], color="#0072B2", linewidth=1.1, zorder=3)
        axis.plot(positions[rule["baseline"]], 0.0, color="black", marker="s", markersize=4, zorder=5)
    else:
        _say_why_empty(axis, group, rule)
    for comparison in found:
        _draw_mean(axis, positions[comparison["value"]], comparison["statistics"])
    for arm in group["arms"]:
        if "diverged" in arm["status"]:
            style: dict[str, Any] = {"marker": "x", "color": "#D55E00", "markersize": 5}
            axis.plot(positions[arm["value"]], 0.97, transform=axis.get_xaxis_transform(), **style)
    if group["best"]:
        _draw_optimum(axis, group["best"], positions)
    _say_what_is_missing(axis, group)
    within = {rule["within"]: group["within"]} if rule["within"] else {}
    title = "\n".join(filter(None, (_label(within), _label(group["others"]))))
    axis.set(title=title, xlabel=_axis_name(rule["compared"]))
    axis.grid(alpha=0.25)
    axis.set_ylim(*_vertical_limits(group))


def _say_what_is_missing(axis: Axes, group: Data) -> None:
    """Say how many seeds the marks of a panel have, where some have fewer than planned."""
    there = [len(arm["status"]) - arm["status"].count("missing") for arm in group["arms"]]
    planned = max(len(arm["status"]) for arm in group["arms"])
    if min(there) < planned:
        few = f"{min(there)}" + (f" to {max(there)}" if max(there) > min(there) else "")
        said = f"{few} of {planned} seeds"
        axis.text(0.98, 0.97, said, ha="right", va="top", fontsize=6, transform=axis.transAxes)


def _say_why_empty(axis: Axes, group: Data, rule: Data) -> None:
    """Say in a panel without differences why there are none."""
    status: list[str] = next((arm["status"] for arm in group["arms"] if arm["value"] == rule["baseline"]), [])
    diverged = status.count("diverged")
    why = "no value has a tested pair" if set(status) - {"missing"} else "the baseline has no results"
    if diverged:
        why = f"the baseline diverged\nin {diverged} of {len(status)} seeds"
    axis.set_yticks([])
    axis.text(
        0.5, 0.55, f"no differences:\n{why}", ha="center", va="center", fontsize=6.5, transform=axis.transAxes
    )


def _vertical_limits(group: Data) -> tuple[float, float]:
    """Return limits that hold all seeds, most of the intervals, and below every curve the marks of the best value."""
    spread = group["baseline_spread"] or 0.0
    found = [c["statistics"] for c in group["comparisons"] if c["statistics"]]
    inner = [spread, -spread, *(d for c in group["comparisons"] for d in c["differences"] or [])]
    intervals = [end for statistics in found for end in statistics["t_interval"] or ()]
    low, high = min(inner), max(inner)
    room = (high - low) or 1e-3
    low = max(min([low, *intervals]), low - 0.6 * room)
    high = min(max([high, *intervals]), high + 0.6 * room)
    room = (high - low) or room
    return low - 0.25 * room, high + 0.05 * room


def _axis_name(name: str) -> str:
    return "power $p$" if name == "optimizer.power" else short(name)


def _positions(axis: Axes, values: Sequence[float]) -> dict[float, float]:
    """Set the horizontal axis, logarithmic if all values are > 0, and return where each value stands on it."""
    places = {value: float(value) for value in values}
    if min(values) > 0:
        axis.set_xscale("log")
    axis.set_xlim(*_padded(min(places.values()), max(places.values()), log=axis.get_xscale() == "log"))
    names = {place: f"{value:g}" for value, place in places.items()}
    axis.xaxis.set_major_locator(FixedLocator(sorted(names)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda place, _: names.get(place, "")))
    return places


def _draw_seeds(axis: Axes, group: Data, positions: Mapping[float, float], baseline: float) -> None:
    lines: dict[int, dict[float, float]] = {}
    for comparison in group["comparisons"]:
        for seed, difference in zip(comparison["seeds"], comparison["differences"] or [], strict=False):
            lines.setdefault(seed, {positions[baseline]: 0.0})[positions[comparison["value"]]] = difference
    for line in lines.values():
        x = sorted(line)
        axis.plot(
            x, [line[place] for place in x], color=_SEED, linewidth=0.5, marker=".", markersize=2, zorder=2
        )


def _draw_mean(axis: Axes, x: float, statistics: Data) -> None:
    mean, interval = statistics["mean"], statistics["t_interval"]
    bars = None if interval is None else [[mean - interval[0]], [interval[1] - mean]]
    style: dict[str, Any] = {"color": "#0072B2", "marker": "o", "markersize": 3.5, "zorder": 4}
    axis.errorbar([x], [mean], bars, elinewidth=1.0, capsize=2.5, **style)


def _draw_optimum(axis: Axes, best: Data, positions: Mapping[float, float]) -> None:
    style: dict[str, Any] = {"transform": axis.get_xaxis_transform(), "zorder": 6}
    limits = (min(positions.values()), max(positions.values()))
    parabola = best.get("parabola")
    if best["grid"]["value"] is not None:
        axis.plot(
            best["grid"]["value"],
            2 * _LOW,
            color="black",
            marker="v",
            markersize=4,
            markerfacecolor="white",
            **style,
        )
    if parabola is None or parabola["value"] is None:
        return
    if parabola["interval"]:
        axis.plot(parabola["interval"], [_LOW, _LOW], color="black", linewidth=1.2, **style)
    elif parabola["interval_kind"] == "unbounded":
        axis.plot(limits, [_LOW, _LOW], color="black", linewidth=1.0, linestyle=(0, (1, 2)), **style)
    axis.plot(parabola["value"], _LOW, color="black", marker="*", markersize=6, **style)


def _padded(low: float, high: float, *, log: bool) -> tuple[float, float]:
    if log:
        room = (high / low) ** 0.06 if high > low else 1.1
        return low / room, high * room
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room


def _draw_best(axis: Axes, lines: Sequence[tuple[str, Sequence[Data]]], rule: Data) -> None:
    """Draw the best values against the `within` field, a line for each setting of the free fields."""
    values = [arm["value"] for _, row in lines for group in row for arm in group["arms"]]
    within = sorted({group["within"] for _, row in lines for group in row})
    _positions(axis, within)
    step = min(b / a for a, b in pairwise(within))
    limits = _padded(min(values), max(values), log=False)
    # The lines are drawn side by side, all within a third of a step.
    apart = min(0.16, 1 / 3 / max(1, len(lines) - 1))
    for index, (label, row) in enumerate(lines):
        shift = step ** (apart * (index - (len(lines) - 1) / 2))
        style = law_style(index) | {"markersize": 5, "linewidth": 1.0}
        _draw_line(axis, row, shift, style, label, limits)
    axis.axhline(rule["baseline"], color="black", linewidth=0.6, zorder=0)
    room = step**0.3
    axis.set_xlim(within[0] / room, within[-1] * room)
    axis.set_ylim(*limits)
    axis.set(title=f"best {short(rule['compared'])}", xlabel=short(rule["within"]))
    axis.grid(alpha=0.25)
    if len(lines) > 1:
        axis.legend(fontsize=5.5)


def _draw_line(
    axis: Axes,
    row: Sequence[Data],
    shift: float,
    style: dict[str, Any],
    label: str,
    limits: tuple[float, float],
) -> None:
    grid = [
        (g["within"] * shift * 0.97, g["best"]["grid"]["value"])
        for g in row
        if g["best"]["grid"]["value"] is not None
    ]
    bare = style | {"linestyle": "none", "marker": "v", "markerfacecolor": "white", "markersize": 4}
    axis.plot(*np.array(grid).T, **bare)
    found = [(g["within"] * shift, g["best"]["parabola"]) for g in row if "parabola" in g["best"]]
    known = [(x, parabola) for x, parabola in found if parabola["value"] is not None]
    axis.plot([x for x, _ in known], [p["value"] for _, p in known], **style | {"marker": "*"}, label=label)
    for x, parabola in known:
        interval = parabola["interval"]
        if interval or parabola["interval_kind"] == "unbounded":
            bar: dict[str, Any] = {
                "linewidth": 1.0,
                "linestyle": "-" if interval else (0, (1, 2)),
                "color": style["color"],
            }
            axis.plot([x, x], interval or limits, **bar)


def _legend(groups: Sequence[Data]) -> list[Any]:
    black: dict[str, Any] = {"color": "black", "linestyle": "none"}
    lost = any(c["diverged"] or c["baseline_diverged"] for group in groups for c in group["comparisons"])
    cross = Line2D([], [], color="#D55E00", linestyle="none", marker="x", markersize=5, label="diverged")
    return [
        Line2D([], [], color="#0072B2", marker="o", markersize=3.5, linewidth=1.1, label="mean, t interval"),
        Line2D([], [], color=_SEED, marker=".", markersize=2, linewidth=0.5, label="one seed"),
        Patch(facecolor=_BAND, label="baseline ± sd over seeds"),
        Line2D([], [], marker="s", markersize=4, label="baseline", **black),
        Line2D([], [], marker="v", markersize=4, markerfacecolor="white", label="grid's best", **black),
        Line2D(
            [],
            [],
            color="black",
            marker="*",
            markersize=6,
            linewidth=1.2,
            label="parabola's best, Fieller interval",
        ),
        Line2D([], [], color="black", linewidth=1.0, linestyle=(0, (1, 2)), label="interval unbounded"),
        *([cross] if lost else []),
    ]
