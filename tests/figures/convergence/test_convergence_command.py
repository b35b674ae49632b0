"""The command `gradpower convergence`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from figures import convergence_commands as commands
from gradpower.__main__ import main
from simulate.questions import CONVERGENCE, FULL

COMMITTED = CONVERGENCE.read(Path(__file__).parents[3] / "results").studies


@pytest.fixture
def studies(monkeypatch):
    """Give the committed studies, at once, and say for which sizes."""
    asked = []

    def run(size, folder):
        folder.mkdir()
        asked.append(size)
        return COMMITTED

    monkeypatch.setattr(commands, "run_studies", run)
    return asked


def test_convergence_writes_the_results_and_prints_the_answers(tmp_path, capsys, studies):
    assert main(["convergence", "--output", str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["convergence.json"]
    content = CONVERGENCE.read(tmp_path)
    assert [content.provenance.config] == studies == [FULL]
    assert content.studies == COMMITTED
    printed = " ".join(capsys.readouterr().out.split())
    assert "1. Do the bounds hold" in printed
    assert "None of the bounds is violated in 480 arms over 6 problems." in printed


def test_a_violated_bound_is_exit_code_1(tmp_path, monkeypatch):
    row = dataclasses.replace(COMMITTED.bounds[0], violated=True)
    violated = dataclasses.replace(COMMITTED, bounds=[row, *COMMITTED.bounds[1:]])
    monkeypatch.setattr(commands, "run_studies", lambda size, folder: folder.mkdir() or violated)
    assert main(["convergence", "--output", str(tmp_path)]) == 1
    assert (tmp_path / "convergence.json").is_file()


def test_an_output_that_is_a_file_is_refused_before_any_work(tmp_path, capsys, studies):
    file = tmp_path / "file"
    file.touch()
    assert main(["convergence", "--output", str(file)]) == 2
    assert "output: " in capsys.readouterr().err
    assert studies == []
