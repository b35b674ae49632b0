from __future__ import annotations

import json

import pytest

from experiments.sweeps.results import ArmResult
from experiments.sweeps.studies import STUDIES, chosen_study
from figures.training.sweep_losses import draw, rows
from gradpower.__main__ import main
from tests.experiments.sweep_helpers import write_summary
from tests.experiments.sweeps.test_study_analysis import changed, run_folder
from tests.experiments.synthetic_study import BATCHES, POWERS, analyse, synthetic_results, synthetic_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def analysed():
    study = synthetic_study()
    results = changed(synthetic_results(study), 0.8, 16, 0, status="diverged", loss=None)
    return analyse(study, results)


def test_every_mark_is_a_row(analysed):
    data = rows(analysed)
    means = [row for row in data if row["mark"] == "mean"]
    assert len(means) == len(BATCHES) * (len(POWERS) - 1)
    assert [row["decision"] for row in means].count("unstable") == 1
    assert len([row for row in data if row["mark"] == "seed"]) == 3 * (len(means) - 1)
    difference = analysed.groups[0].comparisons[0].difference
    assert [means[0][key] for key in ("mean", "low", "high")] == [
        difference.mean,
        difference.low,
        difference.high,
    ]
    slopes = [row["mean"] for row in data if row["mark"] == "slope"]
    assert slopes == [group.slope.mean for group in analysed.groups]


def test_a_panel_for_each_batch_size_and_one_for_the_slopes(analysed):
    figure = draw(analysed)
    shown = [axis for axis in figure.axes if axis.get_visible()]
    titles = ["(a) batch size 8", "(b) batch size 16", "(c) batch size 32", "(d) slope at power 1"]
    assert [axis.get_title(loc="left") for axis in shown] == titles
    for axis, group in zip(shown, analysed.groups, strict=False):
        low, high = axis.get_ylim()
        drawn = [d for each in group.comparisons for d in each.differences]
        assert low < min(drawn)
        assert max(drawn) < high
    crosses = [[line.get_xdata()[0] for line in axis.lines if line.get_marker() == "x"] for axis in shown[:3]]
    assert crosses == [[], [0.8], []]


def test_what_cannot_be_drawn_is_left_out():
    study = synthetic_study(seeds=(0,))
    assert len(draw(analyse(study, synthetic_results(study))).axes) == 4
    (axis, *_) = draw(analyse(study, [])).axes
    assert [text.get_text() for text in axis.texts] == ["nothing tested"]
    alone = synthetic_study(within=None)
    assert len(draw(analyse(alone, synthetic_results(alone))).axes) == len(BATCHES)


def test_command(tmp_path, capsys):
    study = synthetic_study()
    run_folder(tmp_path / "study", study, synthetic_results(study))
    words = ["analyse", str(tmp_path / "study"), "--output", str(tmp_path / "out")]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert told.startswith("difference shown: 15 comparisons with power 1; ")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["analysis.json"]
    *_, draws = told.splitlines()
    words_of_it = draws.partition("gradpower ")[2].split()
    assert main([*words_of_it, "--output", str(tmp_path / "drawn")]) == 0
    names = {path.name for path in (tmp_path / "drawn").iterdir()}
    assert names == {"sweep_losses.pdf", "sweep_losses.png", "sweep_losses.csv"}
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "out" / "analysis.json").read_text())
    assert printed["label"] == "difference shown"


def test_another_rule_than_that_of_the_runs_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = chosen_study("example")
    results = [
        ArmResult(arm.values, arm.seed, "completed", 3.0, 0.01, arm.fingerprint) for arm in study.arms()
    ]
    run_folder(tmp_path / "runs" / "example", study, results)
    text = STUDIES["example"].read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    assert main(["analyse", "mine.toml"]) == 0
    (tmp_path / "mine.toml").write_text(text.replace("[rule]", "[rule]\nalpha = 0.1"), encoding="utf-8")
    assert main(["analyse", "mine.toml"]) == 2
    assert "expected a study with the rule that it was run with" in capsys.readouterr().err


def test_command_writes_into_the_study_s_own_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = [
        ArmResult(arm.values, arm.seed, "completed", 3 + 0.01 * place, 0.01, arm.fingerprint)
        for place, arm in enumerate(chosen_study("example").arms())
    ]
    run_folder(tmp_path / "runs" / "example", chosen_study("example"), results)
    assert main(["analyse", "example"]) == 0
    assert (tmp_path / "runs" / "example" / "analysis.json").exists()
    summary = write_summary(tmp_path / "runs" / "example", chosen_study("example"))
    (tmp_path / "kept").mkdir()
    kept = summary.rename(tmp_path / "kept" / "summary.json")
    assert main(["analyse", str(kept)]) == 0
    assert {path.name for path in kept.parent.iterdir()} == {"summary.json"}
    assert main(["analyse", str(kept), "--output", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"analysis.json"}
    capsys.readouterr()
    assert main(["analyse", "exampel"]) == 2
    error = capsys.readouterr().err
    assert "did you mean example" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "reproduction").exists()
