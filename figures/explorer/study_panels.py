"""The panels of the studies: a choice of views, and the view that is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bokeh.models import ColumnDataSource, CustomJS, FactorRange, FixedTicker, HoverTool, Select, Span

from figures.explorer.panels import Figure, look, panel
from figures.explorer.studies import Mark, View, stretched

_TICKS = (-500, -100, -20, -5, 0, 5, 20, 100, 500)  # 1e-3 nats
_SWITCH = """
    if (range.type === "FactorRange") range.factors = categories[cb_obj.value];
    for (const part in shown) shown[part].data = views[cb_obj.value][part].data;
"""


def study(
    views: Mapping[str, View], title: str, x: str, y: str, *, joined: bool = False, **options: Any
) -> tuple[Select, Figure]:
    """Return a choice of views, and the panel that shows the chosen one; marks of a series are joined if wanted."""
    first, *_ = views
    categories = {name: _categories(view) for name, view in views.items()}
    if categories[first]:
        options["x_range"] = FactorRange(*categories[first])
    drawn = panel(x, y, height=380, **options)
    if categories[first]:
        drawn.xaxis.major_label_orientation = 0.5
    sources = {name: _sources(view) for name, view in views.items()}
    shown = {part: ColumnDataSource(dict(source.data)) for part, source in sources[first].items()}
    drawn.add_layout(Span(location=0, dimension="width", line_color="black", line_width=1))
    drawn.scatter("x", "y", source=shown["seeds"], size=4, color="#999999")
    if joined:
        middle = views[first][len(views[first]) // 2]  # whose marks are not shifted to the side
        drawn.xaxis.ticker = FixedTicker(ticks=[mark.x for mark in middle.marks])
        drawn.multi_line("x", "y", source=shown["lines"], color="color", line_dash="dash", line_width=1.5)
    for ends in (("x", "low", "x", "high"), ("left", "y", "right", "y")):
        drawn.segment(*ends, source=shown["marks"], color="color", line_width=1.5)
    marks = drawn.scatter(
        "x", "y", source=shown["marks"], size=9, marker="marker", line_color="color", fill_color="fill",
        legend_field="series",
    )  # fmt: skip
    drawn.add_tools(HoverTool(renderers=[marks], tooltips="@series, @label"))
    choice = Select(title=title, options=list(views), value=first, sizing_mode="stretch_width")
    parts = {"views": sources, "shown": shown, "categories": categories, "range": drawn.x_range}
    choice.js_on_change("value", CustomJS(args=parts, code=_SWITCH))
    return choice, drawn


def add_diagonal(drawn: Figure) -> None:
    """Add the line where measured is predicted, and ticks for axes that are stretched about 0."""
    ends = [stretched(-0.5), stretched(0.5)]
    drawn.line(ends, ends, line_color="black", line_width=1)
    drawn.add_layout(Span(location=0, dimension="height", line_color="#999999", line_width=1))
    places = {stretched(tick / 1e3): f"{tick:g}" for tick in _TICKS}
    for axis in (*drawn.xaxis, *drawn.yaxis):
        axis.ticker = FixedTicker(ticks=list(places))
        axis.major_label_overrides = places


def _categories(view: View) -> list[str]:
    """Return the categories of a view in their order, none if its axis is numeric."""
    places = [mark.x for series in view for mark in series.marks]
    return list(dict.fromkeys(place[0] for place in places if isinstance(place, tuple)))


def _sources(view: View) -> dict[str, ColumnDataSource]:
    looks = {series.name: look(index) for index, series in enumerate(view)}
    # full marks first: the legend takes the look of the first
    rows = [
        (series.name, mark) for series in view for mark in sorted(series.marks, key=lambda each: each.hollow)
    ]
    marks: dict[str, list[Any]] = {
        name: [getattr(mark, name) for _, mark in rows]
        for name in ("x", "y", "label", "low", "high", "left", "right")
    }
    marks["series"] = [name for name, _ in rows]
    marks |= {part: [looks[name][part] for name, _ in rows] for part in ("color", "marker")}
    marks["fill"] = [_fill(mark, looks[name]["color"]) for name, mark in rows]
    lines: dict[str, list[Any]] = {
        "x": [[mark.x for mark in series.marks] for series in view],
        "y": [[mark.y for mark in series.marks] for series in view],
        **{part: [style[part] for style in looks.values()] for part in ("color", "dash")},
    }
    seeds = [seed for series in view for seed in series.seeds]
    single: dict[str, list[Any]] = {"x": [place for place, _ in seeds], "y": [loss for _, loss in seeds]}
    return {
        "marks": ColumnDataSource(marks),
        "lines": ColumnDataSource(lines),
        "seeds": ColumnDataSource(single),
    }


def _fill(mark: Mark, color: str) -> str:
    return "white" if mark.hollow else color
