"""The outcome of a study to be analysed: from its folder, or from the one summary file."""

from __future__ import annotations

import json
from pathlib import Path

from experiments.sweeps.folder import read_folder
from experiments.sweeps.results import SUMMARY_SCHEMA, ArmResult, read_results
from experiments.sweeps.study import Study, study_from_dict
from theory.inputs import InputError


def read_outcome(path: Path) -> tuple[Study, list[ArmResult]]:
    """Return a study and what its arms came to.

    Parameters
    ----------
    path : Path
        A study's folder with study.json, whose arms may still be running; or a summary.json, or a folder with one.

    Raises
    ------
    InputError
        If it is neither.
    """
    allowed = "the folder of a study, or its summary.json"
    if path.is_dir():
        study = read_folder(path)
        if study is not None:
            return study, read_results(path, study)
        path = path / "summary.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or content.get("schema") != SUMMARY_SCHEMA:
        raise InputError("study", path, allowed)
    try:
        results = [
            ArmResult(
                row["values"],
                row["seed"],
                row["status"],
                row["loss"],
                row["standard_error"],
                row["fingerprint"],
            )
            for row in content["arms"]
        ]
        return study_from_dict(content["study"]), results
    except (KeyError, TypeError):
        raise InputError("study", path, f"{allowed}; this one lacks what a summary holds") from None
