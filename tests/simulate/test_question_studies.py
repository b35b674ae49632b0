"""Running all studies: what an interrupted run has left is kept, unless the code or the size has changed."""

from __future__ import annotations

import pytest

from simulate.questions import QUESTIONS, QUICK, run_studies, studies


@pytest.fixture
def calls(monkeypatch):
    """Count how often each study runs, without running it."""
    called = []

    def counted(name):
        def study(size, progress):
            called.append(name)
            return []

        return study

    monkeypatch.setattr(studies, "QUESTIONS", {name: counted(name) for name in QUESTIONS})
    return called


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch, calls, capsys):
    whole = studies.QUESTIONS["gains"]

    def interrupted(size, progress):
        raise KeyboardInterrupt

    monkeypatch.setitem(studies.QUESTIONS, "gains", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_studies(QUICK, tmp_path)
    assert calls == ["bounds", "rates"]
    assert "bounds, rates kept" in capsys.readouterr().err
    monkeypatch.setitem(studies.QUESTIONS, "gains", whole)
    run_studies(QUICK, tmp_path)
    assert calls == list(QUESTIONS)


def test_a_damaged_file_of_an_interrupted_run_is_not_taken(tmp_path, calls):
    run_studies(QUICK, tmp_path)
    (tmp_path / "gains.json").write_text('{"mark": ', encoding="utf-8")
    run_studies(QUICK, tmp_path)
    assert calls == [*QUESTIONS, "gains"]


def test_studies_of_other_code_are_not_taken(tmp_path, monkeypatch, calls):
    run_studies(QUICK, tmp_path)
    run_studies(QUICK, tmp_path)
    assert calls == list(QUESTIONS)
    monkeypatch.setattr(studies, "_code", lambda: "other")
    run_studies(QUICK, tmp_path)
    assert calls == 2 * list(QUESTIONS)


def test_what_is_kept_is_what_was_computed(tmp_path, monkeypatch):
    kept = {
        name: QUESTIONS[name] if name in ("rates", "gains") else lambda size, progress: []
        for name in QUESTIONS
    }
    monkeypatch.setattr(studies, "QUESTIONS", kept)
    first = run_studies(QUICK, tmp_path)
    assert first.rates
    assert any(row.rho == float("inf") for row in first.gains)
    assert run_studies(QUICK, tmp_path) == first
