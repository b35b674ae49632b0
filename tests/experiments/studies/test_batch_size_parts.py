"""The committed parts of the study of batch sizes are those that the study files beside them declare."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.sweeps.results import read_summary
from experiments.sweeps.studies import read_study

FOLDER = Path(__file__).parents[3] / "results" / "batch_size" / "pocket"
PARTS = sorted(path.stem for path in FOLDER.glob("*.toml"))


def test_every_part_has_its_file():
    assert len(PARTS) == 9
    assert {path.stem for path in FOLDER.glob("*.json")} - {"noise", "recipe"} == set(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_a_file_declares_the_study_and_the_arms_of_its_part(part):
    declared = read_study(FOLDER / f"{part}.toml")
    summary = read_summary(FOLDER / f"{part}.json")
    content = json.loads((FOLDER / f"{part}.json").read_text(encoding="utf-8"))
    assert declared.fingerprint == summary.study.fingerprint == content["provenance"]["config"]["fingerprint"]
    assert [arm.fingerprint for arm in declared.arms()] == [result.fingerprint for result in summary.arms]
