"""The outcome of a study to be analysed: from its folder, or from the one summary file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from experiments.sweeps.folder import read_additions, read_folder
from experiments.sweeps.results import SUMMARY_SCHEMA, ArmResult, read_results
from experiments.sweeps.study import Study, study_from_dict
from gradpower.tools.errors import InputError

_ALLOWED = "the folder of a study, or its summary.json"


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
    study = read_folder(path) if path.is_dir() else None
    if study is not None:
        return study, read_results(path, study)
    content = read_summary(path)
    try:
        results = [
            ArmResult(
                row["values"],
                row["seed"],
                row["status"],
                row["loss"],
                row["standard_error"],
                row["fingerprint"],
                row.get("tokens_per_second"),
                tuple(row.get("evaluations", ())),
            )
            for row in content["arms"]
        ]
        return study_from_dict(content["study"]), results
    except (KeyError, TypeError):
        raise InputError("study", path, f"{_ALLOWED}; this one lacks what a summary holds") from None


def read_history(path: Path) -> list[dict[str, Any]]:
    """Return what was added to a study after it was declared, from where `read_outcome` reads it.

    Returns
    -------
    list of dict
        As of `folder.read_additions`.

    Raises
    ------
    InputError
        If there is no study.
    """
    if path.is_dir() and (path / "study.json").exists():
        return read_additions(path)
    history = read_summary(path).get("history", [])
    if not isinstance(history, list) or not all(isinstance(row, dict) for row in history):
        raise InputError("study", path, f"{_ALLOWED}; the history of this one is none")
    return history


def read_summary(path: Path) -> dict[str, Any]:
    """Return the content of a summary.json, or of the one in a folder.

    Raises
    ------
    InputError
        If there is none.
    """
    path = path / "summary.json" if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or content.get("schema") != SUMMARY_SCHEMA:
        raise InputError("study", path, _ALLOWED)
    return content
