"""What a study's arms came to: read from their folders, and written into one small file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.records import read_result
from experiments.sweeps.adoption import read_origin
from experiments.sweeps.arms import arm_folder
from experiments.sweeps.folder import read_additions
from experiments.sweeps.study import Study, study_to_dict
from gradpower.tools.files import write_file
from gradpower.tools.provenance import provenance
from gradpower.tools.terminal import jsonable

SUMMARY_SCHEMA = {"name": "gradpower/sweep", "version": 1}
PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "joblib")


@dataclass(frozen=True)
class ArmResult:
    """What one arm came to.

    Attributes
    ----------
    values : mapping
        The value of every field that an axis varies, by dotted name.
    seed : int
        The seed: results of one seed are paired.
    status : str
        "completed", "diverged", or "missing" (open, paused or failed: there is no result).
    loss : float or None
        Final validation loss in nats a token; None unless completed.
    standard_error : float or None
        Its standard error over the validation sequences.
    fingerprint : str
        The recipe's.
    tokens_per_second : float or None
        Median speed of training.
    evaluations : sequence of mapping
        `tokens`, `validation_loss` and, if known, `update_rms`, from the first evaluation to the last.
    """

    values: Mapping[str, Any]
    seed: int
    status: str
    loss: float | None
    standard_error: float | None
    fingerprint: str
    tokens_per_second: float | None = None
    evaluations: Sequence[Mapping[str, Any]] = ()


def read_results(folder: Path, study: Study) -> list[ArmResult]:
    """Return the result of every arm of a study from its folder, in the order of `Study.arms`.

    Raises
    ------
    InputError
        If a result.json is none of ours.
    """
    results = []
    for arm in study.arms():
        content = read_result(arm_folder(folder, arm.fingerprint)) or {}
        final = content.get("final", {})
        status = content.get("status", "missing")
        loss, error = final.get("validation_loss"), final.get("standard_error")
        rows = tuple(
            {
                "tokens": row["step"] * arm.recipe.tokens_per_step,
                **{key: row[key] for key in ("validation_loss", "update_rms") if key in row},
            }
            for row in content.get("evaluations", [])
        )
        speed = content.get("timing", {}).get("tokens_per_second")
        results.append(ArmResult(arm.values, arm.seed, status, loss, error, arm.fingerprint, speed, rows))
    return results


def write_summary(folder: Path, study: Study) -> Path:
    """Write summary.json, small enough to be committed: the study, where it ran, and a row an arm; return its path.

    An arm's `origin` is its place in the list of `origins`, see `run_origin`.

    Raises
    ------
    InputError
        If a result.json is none of ours.
    """
    rows, origins = [], []
    for result in read_results(folder, study):
        own = arm_folder(folder, result.fingerprint)
        content = read_result(own)
        origin = None if content is None else run_origin(content)
        if origin is not None and origin not in origins:
            origins.append(origin)
        rows.append(
            {
                "values": result.values,
                "seed": result.seed,
                "status": result.status,
                "loss": result.loss,
                "standard_error": result.standard_error,
                "tokens_per_second": result.tokens_per_second,
                "fingerprint": result.fingerprint,
                "adopted_from": read_origin(own),
                "evaluations": result.evaluations,
                "origin": None if origin is None else origins.index(origin),
            }
        )
    config = {"study": study.name, "fingerprint": study.fingerprint}
    content = {
        "schema": SUMMARY_SCHEMA,
        "study": study_to_dict(study),
        "history": read_additions(folder),
        "provenance": provenance(f"gradpower sweep {study.name}", config, packages=PACKAGES),
        "origins": origins,
        "arms": rows,
    }
    return write_file(folder / "summary.json", json.dumps(jsonable(content), indent=1) + "\n")


def run_origin(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a run's result what many runs share: the text, the code, the versions of packages, the hardware.

    Its parts are those of result.json, so that such a result can be made of it again.
    """
    made, hardware = content.get("provenance", {}), content.get("hardware", {})
    return {
        "data": {"fingerprint": content.get("data", {}).get("fingerprint")},
        "provenance": {key: made.get(key) for key in ("versions", "machine", "commit", "dirty")},
        "hardware": {key: hardware.get(key) for key in ("device", "name", "threads")},
    }
