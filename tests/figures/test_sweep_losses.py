from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from experiments.sweeps.analysis import analyse
from experiments.sweeps.results import ArmResult, write_summary
from experiments.sweeps.studies import example
from figures.sweep_losses import draw, rows
from gradpower.__main__ import main
from tests.experiments.synthetic_study import BATCHES, POWERS, synthetic_results, synthetic_study
from tests.experiments.test_study_analysis import changed, run_folder


@pytest.fixture(scope="module")
def analysed():
    study = synthetic_study()
    results = changed(synthetic_results(study), 0.8, 16, 0, status="diverged", loss=None)
    return analyse(study, results)


def test_every_mark_is_a_row(analysed):
    data = rows(analysed)
    means = [row for row in data if row["mark"] == "mean"]
    assert len(means) == len(BATCHES) * (len(POWERS) - 1)
    assert [row["said"] for row in means].count("unstable: diverged in 1 of 3 seeds, baseline in 0 of 3") == 1
    assert len([row for row in data if row["mark"] == "seed"]) == 3 * (len(means) - 1)
    comparison = analysed["views"][0]["groups"][0]["comparisons"][0]
    assert means[0]["difference"] == comparison["statistics"]["mean"]
    assert (means[0]["low"], means[0]["high"]) == comparison["statistics"]["t_interval"]
    best = [row["value"] for row in data if row["mark"] == "parabola best"]
    assert best == [g["best"]["parabola"]["value"] for g in analysed["views"][0]["groups"]]


def test_a_panel_for_each_batch_size_and_one_for_the_best(analysed):
    figure = draw(analysed)
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in shown] == [
        "(a) batch size 8",
        "(b) batch size 16",
        "(c) batch size 32",
        "(d) best power",
    ]
    assert [axis.get_xscale() for axis in shown] == ["log"] * 4
    for axis, group in zip(shown, analysed["views"][0]["groups"], strict=False):
        low, high = axis.get_ylim()
        drawn = [d for c in group["comparisons"] for d in c["differences"] or []]
        assert low < min(drawn)
        assert max(drawn) < high


def test_what_cannot_be_drawn_is_left_out():
    study = synthetic_study(seeds=(0,))
    assert draw(analyse(study, synthetic_results(study)))
    assert draw(analyse(study, []))
    alone = synthetic_study(within=None)
    assert len(analyse(alone, synthetic_results(alone))["views"][0]["groups"]) == len(BATCHES)
    assert draw(analyse(alone, synthetic_results(alone)))


def test_command(tmp_path, capsys):
    study = synthetic_study()
    run_folder(tmp_path / "study", study, synthetic_results(study))
    flags = ["--output", str(tmp_path / "out"), "--target-loss", "3.6"]
    assert main(["analyse", str(tmp_path / "study"), *flags]) == 0
    said = capsys.readouterr().out
    assert "the best power falls as" in " ".join(said.split())
    names = {path.name for path in (tmp_path / "out").iterdir()}
    pictures = {
        f"sweep_losses{end}" for end in (".pdf", ".png", ".csv", "_early.pdf", "_early.png", "_early.csv")
    }
    assert names == {"analysis.json", *pictures}
    assert all(f"out/{name}" in said for name in names)
    assert main(["analyse", str(tmp_path / "study"), *flags[:2], "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "out" / "analysis.json").read_text())
    assert printed["provenance"]["config"]["seed"] == 0


def test_a_diverged_baseline_is_a_cross_and_said():
    study = synthetic_study()
    results = changed(synthetic_results(study), 1.0, 8, 1, status="diverged", loss=None)
    shown = draw(analyse(study, results)).axes
    for axis, lost in zip(shown[:2], (True, False), strict=True):
        marks = [(line.get_marker(), line.get_xdata()[0]) for line in axis.lines]
        assert (("x", 1.0) in marks) == lost
        assert (("s", 1.0) in marks) != lost
        assert [text.get_text() for text in axis.texts] == (
            ["no differences:\nthe baseline diverged\nin 1 of 3 seeds"] if lost else []
        )


def test_many_lines_stand_within_a_third_of_a_step():
    study = synthetic_study(rates=(1e-3, 1.2e-3, 1.5e-3, 2e-3, 2.4e-3, 3e-3, 4e-3))
    figure = draw(analyse(study, synthetic_results(study)))
    (axis,) = (axis for axis in figure.axes if axis.get_title(loc="left").endswith("best power"))
    places = [line.get_xdata() for line in axis.lines if line.get_marker() == "*"]
    assert len(places) == 7
    ratios = np.log2([max(p[0] for p in places) / 8, 8 / min(p[0] for p in places)])
    assert ratios == pytest.approx([1 / 6, 1 / 6])


def test_command_writes_into_the_study_s_own_folder(tmp_path, capsys, monkeypatch, blank_pictures):
    monkeypatch.chdir(tmp_path)
    results = [
        ArmResult(arm.values, arm.seed, "completed", 3 + 0.01 * place, 0.01, arm.fingerprint)
        for place, arm in enumerate(example().arms())
    ]
    run_folder(tmp_path / "runs" / "example", example(), results)
    assert main(["analyse", "example"]) == 0
    assert (tmp_path / "runs" / "example" / "analysis.json").exists()
    summary = write_summary(tmp_path / "runs" / "example", example())
    (tmp_path / "kept").mkdir()
    kept = summary.rename(tmp_path / "kept" / "summary.json")
    assert main(["analyse", str(kept)]) == 0
    assert {path.name for path in kept.parent.iterdir()} >= {"analysis.json", "sweep_losses.png"}
    capsys.readouterr()
    assert main(["analyse", "exampel"]) == 2
    assert "did you mean example" in capsys.readouterr().err
    assert not (tmp_path / "reproduction").exists()


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["nothing"], "study: "),
        (
            ["study", "--target-loss", "1"],
            "target_loss: 1.0 is not allowed; expected a validation loss that an arm",
        ),
        (["study", "--target-loss", "-1"], "target_loss: -1"),
        (["study", "--seed", "-1"], "seed: -1"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, flags, named):
    study = synthetic_study(seeds=(0,))
    run_folder(tmp_path / "study", study, synthetic_results(study))
    words = [str(tmp_path / flags[0]), *flags[1:]]
    assert main(["analyse", *words, "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_results_of_an_unfinished_study_are_drawn(tmp_path):
    study = synthetic_study()
    results = [
        dataclasses.replace(r, status="missing", loss=None) if r.seed == 2 else r
        for r in synthetic_results(study)
    ]
    assert draw(analyse(study, results))
