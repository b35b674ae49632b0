"""The panels of the explorer as Bokeh figures; what is on them comes from the page's scripts, or from the studies."""

from __future__ import annotations

from typing import Any

from bokeh.models import ColumnDataSource, HoverTool, Legend, Span
from bokeh.plotting import figure

from figures.style import law_style

Figure = Any  # Bokeh's figures take their glyphs as keywords of any type
_MARKERS = {
    "o": "circle",
    "s": "square",
    "^": "triangle",
    "D": "diamond",
    "v": "inverted_triangle",
    "P": "star",
}


def look(index: int) -> dict[str, Any]:
    """Colour, dashes and marker of a curve, as on the printed figures."""
    style = law_style(index)
    dashes = style["linestyle"]
    return {
        "color": style["color"],
        "dash": "solid" if dashes == "-" else [round(2 * length) for length in dashes[1]],
        "marker": _MARKERS[style["marker"]],
    }


def panel(x: str, y: str, **options: Any) -> Figure:
    """Return an empty figure that is as wide as its place on the page."""
    options = {"height": 300, "sizing_mode": "stretch_width", "min_width": 0} | options
    drawn: Figure = figure(toolbar_location=None, tools="", x_axis_label=x, y_axis_label=y, **options)
    drawn.add_layout(Legend(orientation="horizontal", border_line_color=None, padding=2, margin=2), "above")
    drawn.legend.ncols = 2
    drawn.legend.label_text_font_size = "13px"
    drawn.axis.major_label_text_font_size = "12px"
    drawn.grid.grid_line_alpha = 0.5
    return drawn


def densities(lines: ColumnDataSource, atoms: tuple[ColumnDataSource, ColumnDataSource]) -> Figure:
    """The laws of g and of φ_p(g): curves, or stems where they have atoms."""
    drawn = panel("g/s and φₚ(g)/sᵖ", "density", height=380, x_range=(-3, 3), y_range=(0, 1))
    for index, (column, name) in enumerate((("plain", "g"), ("powered", "φₚ(g)"))):
        curve, stems, style = _line(drawn, lines, "x", column, index, name), atoms[index], look(index)
        drawn.segment(
            "x", 0, "x", "top", source=stems, line_width=2, color=style["color"], line_dash=style["dash"]
        )
        marks = drawn.scatter("x", "top", source=stems, size=9, color=style["color"], marker=style["marker"])
        drawn.add_tools(
            HoverTool(renderers=[curve], tooltips=f"{name}: density @{column}{{0.000}} at @x{{0.00}}"),
            HoverTool(renderers=[marks], tooltips=f"{name}: @x{{0.000}} with probability ½"),
        )
    return drawn


def trajectory(steps: ColumnDataSource) -> tuple[Figure, Figure]:
    """Adam's update of one coordinate step by step; and the running mean of many, beside the exact drift."""
    one = panel("step", "u", height=160)
    path = one.line("step", "first", source=steps, color="#555555", legend_label="u, one coordinate")
    one.add_tools(HoverTool(renderers=[path], tooltips="step @step: u = @first{0.0000}", mode="vline"))
    mean = panel("step", "mean of u", height=220, x_range=one.x_range)
    mean.varea("step", "low", "high", source=steps, fill_color=look(0)["color"], fill_alpha=0.2)
    curve = _line(mean, steps, "step", "average", 0, "running mean ± 2 s.e.")
    _line(mean, steps, "step", "exact", 1, "exact drift")
    text = "step @step: @average{0.00000}, from @low{0.00000} to @high{0.00000}; exact @exact{0.00000}"
    mean.add_tools(HoverTool(renderers=[curve], tooltips=text, mode="vline"))
    return one, mean


def curves(values: ColumnDataSource, best: ColumnDataSource, marker: Span) -> Figure:
    """Drift, RMS and progress against the power, each over its maximum, and where the maxima are."""
    drawn = panel("power p", "share of the maximum", x_range=(0.15, 3.08), y_range=(0, 1.08))
    names = {"drift": "drift E u", "rms": "RMS of u", "progress": "drift/√LRV"}
    for index, (column, name) in enumerate(names.items()):
        line = _line(drawn, values, "power", f"{column}_share", index, name)
        text = f"{name} = @{column}{{0.00000}} at p = @power{{0.00}}"
        drawn.add_tools(HoverTool(renderers=[line], tooltips=text))
    star = {"marker": "star", "size": 16, "color": "black", "legend_label": "best power"}
    drawn.scatter("power", "share", source=best, **star)
    drawn.add_layout(marker)
    return drawn


def _line(drawn: Figure, source: ColumnDataSource, x: str, y: str, index: int, name: str) -> Any:
    style = look(index)
    drawing = {"line_width": 2, "color": style["color"], "line_dash": style["dash"], "legend_label": name}
    return drawn.line(x, y, source=source, **drawing)
