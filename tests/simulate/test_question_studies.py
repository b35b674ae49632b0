"""Running all studies: what an interrupted run has left is kept, unless damaged, or of another size or code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from simulate.questions import CONVERGENCE, FULL, studies

COMMITTED = CONVERGENCE.read(Path(__file__).parents[2] / "results").studies


@pytest.fixture
def calls(monkeypatch):
    """Give the committed rows, and tell which studies ran."""
    called = []

    def counted(name):
        def study(size):
            called.append(name)
            return getattr(COMMITTED, name)

        return study

    monkeypatch.setattr(studies, "QUESTIONS", {name: counted(name) for name in studies.QUESTIONS})
    return called


def test_an_interrupted_run_goes_on_with_what_was_computed(tmp_path, monkeypatch, calls):
    whole = studies.QUESTIONS["gains"]

    def interrupted(size):
        raise KeyboardInterrupt

    monkeypatch.setitem(studies.QUESTIONS, "gains", interrupted)
    with pytest.raises(KeyboardInterrupt):
        studies.run_studies(FULL, tmp_path)
    assert calls == ["bounds", "rates"]
    monkeypatch.setitem(studies.QUESTIONS, "gains", whole)
    assert studies.run_studies(FULL, tmp_path) == COMMITTED
    assert studies.run_studies(FULL, tmp_path) == COMMITTED
    assert calls == list(studies.QUESTIONS)


def test_damaged_rows_and_those_of_another_size_are_not_taken(tmp_path, calls):
    studies.run_studies(FULL, tmp_path)
    next(tmp_path.glob("gains-*.json")).write_text("[{", encoding="utf-8")
    assert studies.run_studies(FULL, tmp_path) == COMMITTED
    assert calls == [*studies.QUESTIONS, "gains"]
    studies.run_studies(replace(FULL, seeds=FULL.seeds + 1), tmp_path)
    assert len(calls) == 2 * len(studies.QUESTIONS) + 1


def test_rows_of_other_code_are_not_taken(tmp_path, monkeypatch, calls):
    studies.run_studies(FULL, tmp_path)
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b"#" * (path.name == "rates.py"))
    studies.run_studies(FULL, tmp_path)
    assert calls == 2 * list(studies.QUESTIONS)
