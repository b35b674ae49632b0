"""The page's sections on training studies, and the figure of the one on the memory of the second moment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from experiments.noise.measurement import NOISE
from experiments.statistics import Contrasts, SeedMean
from experiments.studies.batch_size import PARTS, Reading, read_batch_size
from experiments.studies.branching import Branching
from experiments.studies.causes import Causes, read_causes
from experiments.studies.head import HeadChanges
from experiments.studies.head_memory import HeadMemory
from experiments.studies.modules import MemoryByModule, PowerByModule
from figures.report.render import render
from figures.report.studies import batch_size_section, memory_section, noise_label, noise_section
from figures.training import where
from figures.training.memory import read, rows
from gradpower.tools.labels import Label
from tests.figures.rows import column, select

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "results"
BRANCHES = (Label.REPRODUCED, Label.IN_PART, Label.INCONCLUSIVE, Label.NOT_REPRODUCED)


SECTIONS = {
    "batch_size": batch_size_section,
    "memory": lambda found: memory_section(found or Causes()),
    "where": lambda found: render("where", found=found or Causes()),
}
LABELLED = {
    "batch_size": lambda found: found,
    "memory": lambda found: found.memory,
    "where": lambda found: found.modules,
}


@pytest.fixture(scope="module")
def causes():
    return read_causes(RESULTS / "causes")


@pytest.fixture(scope="module")
def studies(causes):
    return {"batch_size": read_batch_size(RESULTS / PARTS), "memory": causes, "where": causes}


def rendered(name, study, label, monkeypatch):
    """Return the section of a study with a label of one's own."""
    monkeypatch.setattr(type(LABELLED[name](study)), "label", label)
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
def test_every_label_of_the_measured_prediction_has_a_branch(label, causes, monkeypatch):
    monkeypatch.setattr(PowerByModule, "measured_label", label)
    text = SECTIONS["where"](causes)
    assert f"gradients' prediction: {label}.**" in text
    assert "correlation" in text
    assert "**p = 1.2 gains most on rare tokens.**" in text
    assert "correlation" not in SECTIONS["where"](replace(causes, tokens=None))


@pytest.mark.parametrize("label", [*BRANCHES, Label.HOLDS])
def test_the_study_that_decides(label, studies, monkeypatch):
    """The earlier study stands in for its readings."""
    monkeypatch.setattr(Reading, "label", label)
    found = studies["batch_size"]
    readings = found.averaged, found.one_rate
    if label is Label.HOLDS:
        with pytest.raises(UndefinedError, match="no_branch_for_this_label"):
            batch_size_section(found, *readings)
        return
    text = batch_size_section(found, *readings)
    assert f"made to decide: {label}.**" in text
    slopes = [group.slope.mean for group in found.averaged.analysis.groups]
    assert all(f"| {slope:+.3f} [" in text for slope in slopes)
    assert f"| web pages | {found.one_rate.change.seeds} |" in text


@pytest.mark.parametrize("label", [*BRANCHES, Label.HOLDS])
def test_where_a_longer_memory_gains(label, causes, monkeypatch):
    made = replace(causes, memory_modules=MemoryByModule(causes.modules.means, causes.modules.adjusted, 2))
    monkeypatch.setattr(MemoryByModule, "label", label)
    if label is Label.HOLDS:
        with pytest.raises(UndefinedError, match="no_branch_for_this_label"):
            SECTIONS["where"](made)
        return
    text = SECTIONS["where"](made)
    assert f"on their prediction: {label}.**" in text
    assert text.count("| everywhere | ") == 2
    assert "2 diverged runs" in text


@pytest.mark.parametrize("label", [*BRANCHES, Label.HOLDS])
def test_the_section_on_the_head(label, causes, monkeypatch):
    """Every label of its three studies has a branch; without them, it says how to run them."""
    mean = SeedMean(8, -0.04, 0.01, -0.05, -0.03, 0.001)
    by_batch, by_form = (
        HeadChanges(dict.fromkeys(keys, mean), dict.fromkeys(keys, 3.7), mean, (0.01, 0.02, 0.3), label)
        for keys in ((2, 8, 32), ("own", "random-signs", "shuffled"))
    )
    monkeypatch.setattr(Branching, "label", Label.INCONCLUSIVE)
    made = replace(causes, head_batch=by_batch, signs=by_form)
    if label is Label.HOLDS:
        for part in ("head_batch", "signs"):
            with pytest.raises(UndefinedError, match="no_branch_for_this_label"):
                render("head", found=replace(causes, **{part: getattr(made, part)}))
        return
    text = render("head", found=made)
    assert text.count(f"{label}.**") == 2 + (label is Label.INCONCLUSIVE)
    assert text.count("-0.0400 [-0.0500, -0.0300]") == 8
    assert render("head", found=Causes()).count("not attempted.**") == 3


@pytest.mark.parametrize("label", [*BRANCHES, Label.HOLDS])
@pytest.mark.parametrize("part", ["label", "bias_label"])
def test_the_section_on_the_bias(label, part, monkeypatch):
    mean, cells = SeedMean(8, -0.04, 0.01, -0.05, -0.03, 0.001), ((0.95, 0.95), (0.99, 0.99))
    study = HeadMemory(
        dict.fromkeys(cells, 3.7),
        dict.fromkeys(cells, mean),
        Contrasts(dict.fromkeys("ABCD", mean), dict.fromkeys("ABCD", 0.01)),
        mean,
        0.1,
    )
    monkeypatch.setattr(HeadMemory, "label", Label.REPRODUCED)
    monkeypatch.setattr(HeadMemory, "bias_label", Label.REPRODUCED)
    monkeypatch.setattr(HeadMemory, part, label)
    if label is Label.HOLDS:
        with pytest.raises(UndefinedError, match="no_branch_for_this_label"):
            render("bias", noise=None, study=study)
        return
    text = render("bias", noise=None, study=study)
    assert text.count(f"{label}.**") == 1 + (label is Label.REPRODUCED)
    assert text.count("-0.0400 [-0.0500, -0.0300]") == 7
    assert "about\n1.1 at β2 = 0.95 and 1.03 at 0.99" in text
    assert "too often at p = 1 already" in text
    assert "too rarely at p = 1" in render("bias", noise=None, study=replace(study, rarest=-0.1))
    assert "not attempted.**" in render("bias", noise=None, study=None)


def test_the_section_on_the_bias_is_on_the_page(causes):
    text = render("bias", noise=NOISE.read(RESULTS / "causes" / "noise.json"), study=causes.head_memory)
    assert text in (ROOT / "paper_repro.md").read_text(encoding="utf-8")


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


def test_the_figures_rows_are_what_the_study_found(causes):
    drawn = rows(read([RESULTS / "causes"]))
    for row in causes.memory.rows:
        at = {"batch_size": 2, "beta2": row.beta2}
        assert column(select(drawn, series="changes", power=1.2, **at), "mean") == [row.changes[1.2].mean]
        assert column(select(drawn, series="losses", power=1.2, **at), "low") == [row.losses[1.2].low]
        assert column(select(drawn, series="losses", power=1.0, **at), "high") == [row.losses[1.0].high]
    drawn = where.rows(causes)
    modules, tenths, branch = (select(drawn, panel=panel) for panel in ("modules", "tenths", "branch"))
    for change, study in (("p = 1.2", causes.modules), ("β2 = 0.99", causes.memory_modules)):
        shown = [study.means[name].mean for name in causes.modules.means]
        assert column(select(modules, change=change), "mean") == shown
    assert column(tenths, "low")[:10] == [mean.low for mean in causes.tokens.power.by_tenth]
    assert column(branch, "where") == list(causes.branching.changes)


def test_the_table_of_causes_has_a_row_for_what_was_tried(causes):
    whole = render("causes", found=causes)
    assert whole in (ROOT / "paper_repro.md").read_text(encoding="utf-8")
    assert f"| the head | p = 1.2 there alone | {causes.modules.means['head'].mean:+.4f} [" in whole
    rows, without = (
        sum(line.startswith("| ") for line in render("causes", found=each).splitlines())
        for each in (causes, Causes())
    )
    assert (rows, without) == (2 + 14, 2)  # with the heads
    assert "| the stability edge | largest η·curvature at p = 1" in whole
