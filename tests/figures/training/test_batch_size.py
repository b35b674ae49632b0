"""The section and the command of the study of batch sizes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from experiments.studies.batch_size import read_batch_size
from figures.report.batch_size import batch_size_section
from figures.report.render import render
from figures.training.batch_size import draw, rows
from gradpower.__main__ import main
from gradpower.tools.labels import Label
from tests.experiments.studies.test_batch_size_parts import FOLDER

ROOT = Path(__file__).parents[3]
BRANCHES = (Label.REPRODUCED, Label.IN_PART, Label.INCONCLUSIVE, Label.NOT_REPRODUCED)


@pytest.fixture(scope="module")
def found():
    return read_batch_size(FOLDER)


def test_the_committed_page_has_the_section_as_it_is_rendered(found):
    section = batch_size_section(found)
    assert section in (ROOT / "paper_repro.md").read_text(encoding="utf-8")
    assert len(section.splitlines()) < 90
    assert (ROOT / "docs" / "batch_size.png").is_file()


def test_every_label_has_a_branch(found):
    texts = {label: batch_size_section(dataclasses.replace(found, label=label)) for label in BRANCHES}
    texts[Label.NOT_ATTEMPTED] = batch_size_section(None)
    for label, text in texts.items():
        assert f"**Verdict: {label}.**" in text
        assert "{" not in text
    without = {text.replace(f"**Verdict: {label}.**", "") for label, text in texts.items()}
    assert len(without) == len(texts)


def test_a_label_or_a_value_without_a_place_is_an_error(found):
    with pytest.raises(UndefinedError, match="no_branch_for_this_label"):
        batch_size_section(dataclasses.replace(found, label=Label.HOLDS))
    with pytest.raises(UndefinedError):
        render("batch_size", label=Label.REPRODUCED)


def test_both_readings_are_in_the_data_and_the_largest_batch_is_drawn_twice(found):
    data = rows(found)
    slopes = [row["mean"] for row in data if row["mark"] == "slope"]
    assert slopes == [
        group.slope.mean for reading in (found.as_run, found.one_rate) for group in reading.groups
    ]
    titles = [axis.get_title(loc="left") for axis in draw(found).axes]
    assert sum("batch size 32" in title for title in titles) == 2


def test_command(tmp_path, capsys, blank_pictures):
    assert main(["batch-size", "--output", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert told.startswith(
        "inconclusive at this size: p-value of the crossing test 0.022 as run, 0.284 at one rate\n"
    )
    assert {path.name for path in tmp_path.iterdir()} == {
        f"batch_size.{end}" for end in ("pdf", "png", "csv")
    }
    assert main(["batch-size", "--folder", str(FOLDER), "--output", str(tmp_path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["label"] == "inconclusive at this size"
    assert printed["study"] == "78e76b595254"
    assert len(printed["controls"]) == 28


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--folder", "nowhere"], "one with main.json in it"),
        (["--scale", "pocket"], "--scale"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(tmp_path, capsys, words, message):
    assert main(["batch-size", "--output", str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()
