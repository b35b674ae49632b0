"""The page's sections on training studies, and the figure of the one on the memory of the second moment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from experiments.noise.measurement import NOISE
from experiments.studies.batch_size import PARTS, read_batch_size
from experiments.studies.memory import MEMORY, read_memory
from experiments.studies.modules import MODULES, ModulesStudy, read_modules
from experiments.studies.rare_tokens import TOKENS, read_rare_tokens
from figures.report.render import render
from figures.report.studies import batch_size_section, noise_label, noise_section
from figures.training import where
from figures.training.memory import rows
from gradpower.tools.labels import Label
from tests.figures.rows import column, select

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "results"
BRANCHES = (Label.REPRODUCED, Label.IN_PART, Label.INCONCLUSIVE, Label.NOT_REPRODUCED)


def where_section(modules, tokens):
    return render("where", modules=modules, tokens=tokens)


SECTIONS = {
    "batch_size": batch_size_section,
    "memory": lambda study: render("memory", study=study),
    "where": lambda found: where_section(*(found or (None, None))),
}


@pytest.fixture(scope="module")
def studies():
    modules, tokens = RESULTS / MODULES, RESULTS / TOKENS
    return {
        "batch_size": read_batch_size(RESULTS / PARTS),
        "memory": read_memory(RESULTS / MEMORY),
        "where": (read_modules(modules), read_rare_tokens(modules, tokens)),
    }


def rendered(name, study, label, monkeypatch):
    """Return the section of a study with a label of one's own."""
    first = study[0] if isinstance(study, tuple) else study
    monkeypatch.setattr(type(first), "label", label)
    return SECTIONS[name](study)


@pytest.mark.parametrize("name", SECTIONS)
def test_the_committed_page_has_the_section_as_it_is_rendered(name, studies):
    section = SECTIONS[name](studies[name])
    assert section in (ROOT / "paper_repro.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SECTIONS)
def test_every_label_has_a_branch(name, studies, monkeypatch):
    texts = {label: rendered(name, studies[name], label, monkeypatch) for label in BRANCHES}
    texts[Label.NOT_ATTEMPTED] = SECTIONS[name](None)
    for label, text in texts.items():
        assert f": {label}.**" in text
        assert "{" not in text
    assert len({text.replace(label, "") for label, text in texts.items()}) == len(texts)


@pytest.mark.parametrize("name", SECTIONS)
def test_a_label_or_a_value_without_a_place_is_an_error(name, studies, monkeypatch):
    with pytest.raises(UndefinedError, match="no_branch_for_this_label"):
        rendered(name, studies[name], Label.HOLDS, monkeypatch)
    with pytest.raises(UndefinedError):
        render(name, label=Label.REPRODUCED)


@pytest.mark.parametrize("label", [Label.REPRODUCED, Label.NOT_REPRODUCED, Label.INCONCLUSIVE])
def test_every_label_of_the_measured_prediction_has_a_branch(label, studies, monkeypatch):
    monkeypatch.setattr(ModulesStudy, "measured_label", label)
    text = where_section(*studies["where"])
    assert f"gradients' prediction: {label}.**" in text
    assert "correlation" in text
    assert "**p = 1.2 gains most on rare tokens.**" in text
    assert "correlation" not in where_section(studies["where"][0], None)


def powers(found, *places):
    """Return the predictions for all modules with powers and intervals of one's own, ± 0.05."""
    rows = [row for row in found.predictions if row.module == "all"]
    return [replace(row, power=p, low=p - 0.05, high=p + 0.05) for row, p in zip(rows, places, strict=True)]


@pytest.mark.parametrize(
    ("places", "label"),
    [
        ((1.5, 1.2, 0.9), Label.REPRODUCED),
        ((1.5, 1.2, 1.0), Label.IN_PART),
        ((1.02, 1.0, 0.9), Label.INCONCLUSIVE),
        ((1.5, 1.2, 1.45), Label.INCONCLUSIVE),
        ((1.0, 1.2, 1.4), Label.NOT_REPRODUCED),
    ],
)
def test_the_section_on_measured_gradients(places, label):
    found = NOISE.read(RESULTS / "causes" / "noise.json")
    assert noise_section(found) in (ROOT / "paper_repro.md").read_text(encoding="utf-8")
    others = [row for row in found.predictions if row.module != "all"]
    made = replace(found, predictions=(*powers(found, *places), *others))
    assert noise_label(powers(found, *places)) is label
    text = noise_section(made)
    assert f"**Verdict: {label}**" in text
    assert "{" not in text
    assert "not attempted" in noise_section(None)


def test_the_figures_rows_are_what_the_study_found(studies):
    drawn = rows(studies["memory"])
    found = studies["memory"].rows
    assert column(select(drawn, series="power"), "mean") == [row.power.mean for row in found]
    assert column(select(drawn, series="both"), "low") == [row.both.low for row in found]
    assert column(select(drawn, series="memory"), "beta2") == [0.95, 0.99, 0.999]
    by_module, by_token = studies["where"]
    drawn = where.rows((by_module, by_token))
    modules, tenths = (select(drawn, panel=panel) for panel in ("modules", "tenths"))
    assert column(modules, "mean") == [mean.mean for mean in by_module.changes.values()]
    assert column(tenths, "low")[:10] == [mean.low for mean in by_token.power.by_tenth]


def test_the_table_of_causes_has_a_row_for_what_was_tried(studies):
    modules, tokens = studies["where"]
    whole = render("causes", memory=studies["memory"], modules=modules, tokens=tokens)
    assert whole in (ROOT / "paper_repro.md").read_text(encoding="utf-8")
    assert f"| the head | p = 1.2 there alone | {modules.changes['head'].mean:+.4f} [" in whole
    without = render("causes", memory=None, modules=None, tokens=None)
    assert len(whole.splitlines()) == len(without.splitlines()) + 4
