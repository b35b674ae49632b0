"""Gradient noise along the runs of a study: which snapshots are measured, what is kept, and what is not redone."""

from __future__ import annotations

import json

import pytest

from experiments.noise import along_study, prediction
from experiments.sweeps.arms import arm_folder
from experiments.sweeps.folder import open_folder
from experiments.training.execution import Execution
from experiments.training.loop import train
from gradpower.__main__ import main
from tests.experiments.corpora import write_text
from tests.experiments.sweep_helpers import small_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of two powers and two seeds, its runs of seed 0 done, with two snapshots each."""
    made = small_study(write_text(tmp_path_factory.mktemp("text")))
    folder, cache = tmp_path_factory.mktemp("study"), tmp_path_factory.mktemp("cache")
    open_folder(folder, made)
    execution = Execution(device="cpu", threads=1, cache=cache, snapshots=(0.5, 1.0))
    for arm in made.arms():
        if arm.seed == 0:
            train(arm.recipe, arm_folder(folder, arm.fingerprint), execution=execution)
    return made, folder, cache


@pytest.fixture(autouse=True)
def few_laws(monkeypatch):
    """That predictions are right is tested elsewhere, and tables of laws take seconds each."""
    monkeypatch.setattr(prediction, "LAWS", ("uniform", "direct"))


def words(folder, cache, *more):
    small = ["--micro-batches", "8", "--micro-batch-size", "2", "--coordinates", "16", "--threads", "1"]
    return ["noise-along", str(folder), *small, "--device", "cpu", "--cache", str(cache), *more]


def test_every_snapshot_of_the_baseline_is_measured_once(study, capsys, monkeypatch):
    made, folder, cache = study
    assert main(words(folder, cache)) == 0
    out, err = capsys.readouterr()
    assert "2 of 2: batch size 8, step 24" in err
    assert "direct" in out
    content = along_study.read_along(folder / "noise_along.json")
    rows = content["measurements"]
    assert [(row["trained_at"], row["seed"], row["step"], row["share"]) for row in rows] == [
        (8, 0, 12, 0.5),
        (8, 0, 24, 1.0),
    ]
    baseline = made.arms()[0]
    assert baseline.recipe.optimizer.power == 1.0
    for row in rows:
        whole = json.loads(
            (folder / "noise" / f"{baseline.fingerprint}-{row['step']}" / "noise.json").read_text()
        )
        assert row["loss"] == whole["loss"]
        assert len(row["predictions"]) == sum(p["module"] == "all" for p in whole["predictions"])
        assert {p["law"] for p in row["predictions"]} == {"uniform", "direct"}
        assert {"shape", "expected_shape", "ratio"} <= set(row["modules"][0]["second_size"])
    assert rows[0]["loss"]["mean"] > rows[1]["loss"]["mean"]

    def never(*args, **kwargs):
        raise AssertionError("measured again")

    monkeypatch.setattr(along_study, "measure", never)
    assert main(words(folder, cache, "--json")) == 0
    assert json.loads(capsys.readouterr().out)["measurements"] == rows
    # Other settings are another measurement.
    with pytest.raises(AssertionError, match="measured again"):
        main(words(folder, cache, "--micro-batches", "9"))


def test_bad_input(study, tmp_path, capsys):
    _, folder, cache = study
    assert main(words(tmp_path, cache)) == 2
    assert "the folder of a study, with its study.json" in capsys.readouterr().err
    assert main(words(folder, cache, "--seeds", "1")) == 2
    assert "--snapshots 0.01 0.1 0.5 1" in capsys.readouterr().err


def test_a_file_that_is_none(tmp_path):
    path = tmp_path / "noise_along.json"
    path.write_text("{}")
    with pytest.raises(Exception, match="gradpower/noise-along-study, version 1"):
        along_study.read_along(path)
