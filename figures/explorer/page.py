"""The page: panels and controls of Bokeh in a template, with all scripts and numbers in one file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from bokeh.document import Document
from bokeh.embed import components
from bokeh.events import ButtonClick, DocumentReady
from bokeh.models import (
    Button,
    CategoricalSlider,
    ColumnDataSource,
    CustomJS,
    Select,
    Slider,
    Span,
    UIElement,
)
from bokeh.resources import Resources
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from figures.explorer import panels
from figures.explorer.grids import LEVELS, MEAN, Axes, Grids
from figures.explorer.studies import batch_views, cause_views, intervention_views
from figures.explorer.study_panels import add_diagonal, study
from gradpower.tools.terminal import jsonable

_HERE = Path(__file__).parent
_ENVIRONMENT = Environment(loader=FileSystemLoader(_HERE), undefined=StrictUndefined, autoescape=False)
_LEVEL_NAMES = {
    "none": "0",
    "relative": "0.1·max(μ, σ)^p",
    "figure-7": "1e-8 (Figure 7)",
}
_CURVES = ("drift", "rms", "progress")
_SOURCES = {  # columns that the page's scripts fill
    "densities": ("x", "plain", "powered"),
    "stems": ("x", "top"),
    "powered_stems": ("x", "top"),
    "steps": ("step", "first", "average", "low", "high", "exact"),
    "curves": ("power", *_CURVES, *(f"{name}_share" for name in _CURVES)),
    "best": ("power", "share"),
}
_DIGITS = 5
_EVERY_NAME = re.compile(r"\bp\d{4,}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def explorer_page(grids: Grids, results: Path) -> str:
    """Return the page as HTML that needs no server and no network; `results` is the folder of the studies."""
    document = Document()
    parts = _noise_model(grids.provenance.config, document) | _studies(results)
    for part in parts.values():
        document.add_root(part)
    script, places = components(parts, wrap_script=False)
    script, *renamed = _renamed([script, *places.values()])
    axes = grids.provenance.config
    content = {
        "errors": grids.errors,
        "range": {"lowest": axes.lowest, "highest": axes.highest},
        "levels": [asdict(level) | {"mean": MEAN} for level in LEVELS],
        "curves": grids.curves,
    }
    return _ENVIRONMENT.get_template("page.html.j2").render(
        resources=Resources(mode="inline", components=["bokeh", "bokeh-widgets"]).render(),
        scripts=[(_HERE / name).read_text(encoding="utf-8") for name in ("noise_model.js", "controls.js")],
        grids=json.dumps(jsonable(content, _DIGITS), separators=(",", ":")),
        script=script,
        place=dict(zip(places, renamed, strict=True)),
        errors=grids.errors,
    )


def _noise_model(axes: Axes, document: Document) -> dict[str, UIElement]:
    """Return the controls and panels of the first tab, and have the document call the page's script."""
    wide = {"sizing_mode": "stretch_width"}
    controls = {
        "power": Slider(title="power p", start=axes.lowest, end=axes.highest, step=0.01, value=1.2, **wide),
        "ratio": CategoricalSlider(
            title="noise ratio σ/μ", categories=[f"{ratio:g}" for ratio in axes.ratios], value="10", **wide
        ),
        "law": Select(title="law of the noise", options=list(axes.laws), value=axes.laws[0], **wide),
        "level": Select(title="ε", options=list(_LEVEL_NAMES.items()), value="none", **wide),
        "betas": Select(
            title="Adam's β1, β2",
            options=[(f"{beta1:g} {beta2:g}", f"{beta1:g}, {beta2:g}") for beta1, beta2 in axes.betas],
            value="0.9 0.95",
            **wide,
        ),
    }
    again = Button(label="Again", **wide)
    sources = {name: ColumnDataSource({each: [] for each in columns}) for name, columns in _SOURCES.items()}
    marker = Span(dimension="height", line_color="black", line_dash="dotted", location=1.2)
    density = panels.densities(sources["densities"], (sources["stems"], sources["powered_stems"]))
    one, mean = panels.trajectory(sources["steps"])
    curves = panels.curves(sources["curves"], sources["best"], marker)
    shown = {"density": density, "trajectory": one, "mean": mean, "curves": curves}
    parts = {"controls": controls, "sources": sources, "marker": marker, "density_range": density.y_range}
    update = CustomJS(args={"parts": parts}, code="Explorer.update(parts)")
    for control in controls.values():
        control.js_on_change("value", update)
    again.js_on_event(ButtonClick, CustomJS(args={"parts": parts}, code="Explorer.update(parts, true)"))
    document.js_on_event(DocumentReady, update)
    return {**controls, "again": again, **shown}


def _studies(results: Path) -> dict[str, UIElement]:
    """Return the choices and panels of the second tab."""
    loss = "change of the loss (nats a token)"
    batch = study(batch_views(results), "learning rate", "power p", loss, joined=True, x_axis_type="log")
    causes = study(cause_views(results), "study", "condition", loss)
    reach = (-6, 6)
    changes = study(
        intervention_views(results), "level of the noise", "predicted ΔL (1e-3 nats)", "measured ΔL (1e-3 nats)",
        x_range=reach, y_range=reach,
    )  # fmt: skip
    add_diagonal(changes[1])
    named: Mapping[str, tuple[Select, panels.Figure]] = {"batch": batch, "causes": causes, "changes": changes}
    return {
        name: part
        for panel, pair in named.items()
        for name, part in zip((f"{panel}_choice", f"{panel}_panel"), pair, strict=True)
    }


def _renamed(texts: list[str]) -> list[str]:
    """Number the names that Bokeh makes up, in their order: the same content gives the same page."""
    names = dict.fromkeys(name for text in texts for name in _EVERY_NAME.findall(text))
    number = {name: f"e{index}" for index, name in enumerate(names)}
    return [_EVERY_NAME.sub(lambda match: number[match[0]], text) for text in texts]
