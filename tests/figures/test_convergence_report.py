"""Section 4.2 in the report: verdicts follow from the rows, and the command keeps what is done."""

from __future__ import annotations

import copy
import json

import pytest

from figures import convergence_commands as commands
from figures.convergence_answers import answers
from figures.convergence_report import convergence_parts, table_of_answers
from figures.results import load, results
from gradpower.__main__ import main
from simulate.questions import QUESTIONS, QUICK


@pytest.fixture(scope="module")
def quick():
    """The rows of every study, at the size of a try-out."""
    return {name: study(QUICK, lambda done, total: None) for name, study in QUESTIONS.items()}


@pytest.fixture(scope="module")
def content(quick):
    config = {"seeds": 4, "steps": 300, "long_steps": 1000}
    return results("convergence", {"config": config}, studies=copy.deepcopy(quick))


def test_there_is_an_answer_to_each_question(content):
    found = answers(content)
    assert len(found) == 6
    for answer in found:
        assert answer.rows
        assert all(len(row) == len(answer.headings) for row in answer.rows)
    text = "\n\n".join(convergence_parts(content))
    assert all(f"### {number}. " in text for number in range(1, 7))
    assert table_of_answers(found).row_count == 6


def test_a_try_out_is_marked_as_one(content):
    origin = {**content["provenance"], "command": "gradpower convergence --quick"}
    assert "mean nothing" in convergence_parts({**content, "provenance": origin})[1]
    assert "mean nothing" not in convergence_parts(content)[1]


def test_without_results_the_report_says_how_to_make_them():
    assert "gradpower convergence" in "".join(convergence_parts(None))


def test_a_violated_bound_is_the_headline(content):
    changed = copy.deepcopy(content)
    row = next(row for row in changed["studies"]["bounds"] if "slack" in row)
    row["violated"] = True
    assert answers(changed)[0].verdict.startswith("1 bounds are violated")
    changed["studies"]["unbounded"][0]["violated"] = True
    assert "is violated in 1 of" in answers(changed)[5].verdict


def test_a_reversed_gain_is_told(content):
    changed = copy.deepcopy(content)
    for row in changed["studies"]["gains"]:
        if row["law"] == "uniform" and row["power"] == 1.2:
            row.update(shared=1.5, shared_low=1.4, shared_high=1.6)
    assert "uniform 1.500" in answers(changed)[2].verdict.split("loss")[1]


@pytest.fixture
def quick_studies(monkeypatch, quick):
    """Count how often each study runs, without running it."""
    calls = []

    def counted(name):
        def study(size, progress):
            calls.append(name)
            return copy.deepcopy(quick[name])

        return study

    monkeypatch.setattr(commands, "QUESTIONS", {name: counted(name) for name in QUESTIONS})
    return calls


@pytest.fixture
def no_pictures(monkeypatch):
    """They take long, and are drawn by another test."""
    monkeypatch.setattr(commands, "_draw", lambda *arguments: [])


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch, quick_studies, no_pictures):
    whole = commands.QUESTIONS["gains"]

    def interrupted(size, progress):
        raise KeyboardInterrupt

    monkeypatch.setitem(commands.QUESTIONS, "gains", interrupted)
    with pytest.raises(KeyboardInterrupt):
        commands.convergence(tmp_path, quick=True)
    assert quick_studies == ["bounds", "rates"]
    monkeypatch.setitem(commands.QUESTIONS, "gains", whole)
    assert commands.convergence(tmp_path, quick=True) == 0
    assert quick_studies == list(QUESTIONS)
    assert not (tmp_path / "unfinished").exists()


def test_a_damaged_file_of_an_interrupted_run_is_not_taken(tmp_path, quick_studies):
    commands._studies(QUICK, tmp_path)
    (tmp_path / "gains.json").write_text('{"mark": ', encoding="utf-8")
    commands._studies(QUICK, tmp_path)
    assert quick_studies == [*QUESTIONS, "gains"]


def test_studies_of_other_code_are_not_taken(tmp_path, monkeypatch, quick_studies):
    commands._studies(QUICK, tmp_path)
    commands._studies(QUICK, tmp_path)
    assert quick_studies == list(QUESTIONS)
    monkeypatch.setattr(commands, "_code", lambda: "other")
    commands._studies(QUICK, tmp_path)
    assert quick_studies == 2 * list(QUESTIONS)


def test_convergence_writes_results_report_and_pictures(
    tmp_path, monkeypatch, capsys, quick_studies, blank_pictures
):
    root = tmp_path / "checkout"
    (root / "results").mkdir(parents=True)
    monkeypatch.setattr(commands, "checkout_to_refresh", lambda: root)
    monkeypatch.setattr(commands, "FULL", QUICK)
    assert commands.convergence(tmp_path / "out", update=True) == 0
    printed = capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    stems = {"convergence_bounds", "convergence_exponents", "convergence_slack", "convergence_gain"}
    assert {f"{stem}.{kind}" for stem in stems for kind in ("csv", "pdf", "png")} <= names
    assert load(root / "results" / "convergence.json", "convergence") == json.loads(
        (tmp_path / "out" / "convergence.json").read_text(encoding="utf-8")
    )
    assert str(root / "docs" / "convergence_gain.png") in printed


def test_a_violated_bound_is_exit_code_1(tmp_path, monkeypatch, quick, quick_studies, no_pictures):
    def violated(size, progress):
        rows = copy.deepcopy(quick["bounds"])
        rows[0]["violated"] = True
        return rows

    monkeypatch.setitem(commands.QUESTIONS, "bounds", violated)
    assert commands.convergence(tmp_path, quick=True) == 1


def test_an_output_that_is_a_file_is_refused_before_any_work(tmp_path, capsys, quick_studies):
    file = tmp_path / "file"
    file.touch()
    assert main(["convergence", "--output", str(file)]) == 2
    assert "output: " in capsys.readouterr().err
    assert quick_studies == []
