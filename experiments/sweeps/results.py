"""What a study's arms came to: read from their folders, written into one small file, read from it again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Required, TypedDict

from experiments.recipes.fields import differences
from experiments.recipes.settings import DataSettings
from experiments.sweeps.arms import arm_folder
from experiments.sweeps.folder import Addition, read_additions, read_folder
from experiments.sweeps.study import Arm, Study
from experiments.training.records import (
    Final,
    Metric,
    RunResult,
    Timing,
    read_result,
    write_recipe,
    write_result,
)
from gradpower.tools.errors import require
from gradpower.tools.provenance import provenance
from gradpower.tools.reading import Schema, convert, read_json, write_json

SUMMARY_SCHEMA = Schema("gradpower/sweep")
PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "joblib")


class Evaluation(TypedDict, total=False):
    """A loss on the validation set along the training, and the RMS of the update."""

    tokens: Required[float]
    validation_loss: float | None
    update_rms: float | None


@dataclass(frozen=True)
class ArmResult:
    """What one arm came to, a row of the summary."""

    values: Mapping[str, Any]
    """The value of every field that an axis varies, by dotted name."""
    seed: int
    """The seed: results of one seed are paired."""
    status: Literal["completed", "diverged", "missing"]
    """Missing is one that is open, paused or failed: there is no result."""
    loss: float | None
    """Final validation loss in nats a token; None unless completed."""
    standard_error: float | None
    """Its standard error over the validation sequences."""
    fingerprint: str
    """The recipe's."""
    tokens_per_second: float | None = None
    """Median speed of training."""
    evaluations: Sequence[Mapping[str, Any]] = ()
    """See `Evaluation`; from the first to the last."""
    origin: int | None = None
    """Place in the summary's list of origins."""
    adopted_from: str | None = None
    """In summaries of older versions: where the result was copied from."""

    def __post_init__(self) -> None:
        """Check the loss and the evaluations."""
        known = self.loss is not None and math.isfinite(self.loss)
        allowed = "a number if the arm is completed, else null"
        require(known == (self.status == "completed"), "loss", self.loss, allowed)
        for row in self.evaluations:
            convert(row, Evaluation)


@dataclass(frozen=True)
class Origin:
    """What many runs share: the text, the code with the versions of packages, the hardware."""

    data: dict[str, Any]
    provenance: dict[str, Any]
    hardware: dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """The content of summary.json."""

    study: Study
    history: list[Addition]
    provenance: dict[str, Any]
    arms: list[ArmResult]
    origins: list[Origin] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check that every origin is one of the list."""
        for row in self.arms:
            known = row.origin is None or 0 <= row.origin < len(self.origins)
            require(known, "origin", row.origin, f"none, or less than {len(self.origins)}")


def read_results(folder: Path, study: Study) -> list[ArmResult]:
    """Return the result of every arm of a study from its folder, in the order of `Study.arms`.

    Raises
    ------
    InputError
        If a result.json is none of ours.
    """
    return [_arm_result(arm, read_result(arm_folder(folder, arm.fingerprint)), None) for arm in study.arms()]


def _arm_result(arm: Arm, result: RunResult | None, origin: int | None) -> ArmResult:
    if result is None:
        return ArmResult(arm.values, arm.seed, "missing", None, None, arm.fingerprint)
    return ArmResult(
        arm.values,
        arm.seed,
        result.status,
        result.final.validation_loss,
        result.final.standard_error,
        arm.fingerprint,
        result.timing.tokens_per_second,
        tuple(_evaluation(row, arm.recipe.tokens_per_step) for row in result.evaluations),
        origin,
    )


def _evaluation(row: Metric, tokens_per_step: int) -> dict[str, Any]:
    losses = {key: value for key, value in row.items() if key in ("validation_loss", "update_rms")}
    return {"tokens": row["step"] * tokens_per_step, **losses}


def _metric(row: Mapping[str, Any], tokens_per_step: int) -> Metric:
    losses = {key: value for key, value in row.items() if key != "tokens"}
    return convert({"step": int(row["tokens"]) // tokens_per_step, **losses}, Metric)


def write_summary(folder: Path, study: Study) -> Path:
    """Write summary.json, small enough to be committed: the study, where it ran, and a row an arm; return its path.

    Raises
    ------
    InputError
        If a result.json is none of ours.
    """
    rows: list[ArmResult] = []
    origins: list[Origin] = []
    for arm in study.arms():
        result = read_result(arm_folder(folder, arm.fingerprint))
        place = None
        if result is not None:
            origin = _origin(result)
            origins += [] if origin in origins else [origin]
            place = origins.index(origin)
        rows.append(_arm_result(arm, result, place))
    config = {"study": study.name, "fingerprint": study.fingerprint}
    own = provenance(f"gradpower sweep {study.name}", config, packages=PACKAGES)
    summary = Summary(study, read_additions(folder), own, rows, origins)
    return write_json(folder / "summary.json", summary, SUMMARY_SCHEMA)


def _origin(result: RunResult) -> Origin:
    return Origin(
        {"fingerprint": result.data.get("fingerprint")},
        {key: result.provenance.get(key) for key in ("versions", "machine", "commit", "dirty")},
        {key: result.hardware.get(key) for key in ("device", "name", "threads")},
    )


def read_summary(path: Path, argument: str = "study") -> Summary:
    """Return the content of a summary.json, or of the one in a folder.

    Raises
    ------
    InputError
        If there is none.
    """
    return read_json(path / "summary.json" if path.is_dir() else path, Summary, SUMMARY_SCHEMA, argument)


def require_store(folder: Path, argument: str) -> None:
    """Raise InputError if a study's summary has results and its runs, which lie beside its folder, have none."""
    if not (folder / "summary.json").is_file():
        return
    rows = [row for row in read_summary(folder, argument).arms if row.status != "missing"]
    there = any((arm_folder(folder, row.fingerprint) / "result.json").exists() for row in rows)
    allowed = (
        f"a study whose runs lie in {folder.parent / 'arms'}: the results of its summary.json are not there (move "
        "them along; or sweep with --known, to go on from the summary; or delete it, to run all anew)"
    )
    require(there or not rows, argument, folder, allowed)


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
        require_store(path, "study")
        return study, read_results(path, study)
    summary = read_summary(path)
    return summary.study, summary.arms


def read_history(path: Path) -> list[Addition]:
    """Return what was added to a study after it was declared, from where `read_outcome` reads it.

    Raises
    ------
    InputError
        If there is no study.
    """
    if path.is_dir() and (path / "study.json").exists():
        return read_additions(path)
    return read_summary(path).history


def known_results(
    study: Study, path: Path, data: Mapping[DataSettings, str] | None = None
) -> list[tuple[Arm, ArmResult, Origin]]:
    """Return the completed results of a study's arms that a summary knows.

    Parameters
    ----------
    study : Study
        The study.
    path : Path
        The summary.
    data : mapping, optional
        Fingerprint of the text by its settings: only results on this text count.

    Raises
    ------
    InputError
        If it is no summary, or knows no arm of this study.
    """
    summary = read_summary(path, "known")
    rows = {row.fingerprint: row for row in summary.arms if row.status == "completed"}
    known = [
        (arm, row, summary.origins[row.origin])
        for arm in study.arms()
        if (row := rows.get(arm.fingerprint)) is not None and row.origin is not None
    ]
    changed = "; ".join(differences(study.recipe, summary.study.recipe)) or "no such arm is completed"
    require(known, "known", path, f"a summary with completed arms of {study.name}; in this one {changed}")
    for arm, row, _ in known:
        shared = row.values.keys() & arm.values.keys()
        same = row.seed == arm.seed and all(row.values[name] == arm.values[name] for name in shared)
        allowed = f"a summary whose rows are those of their fingerprints, as {arm.fingerprint}'s is not"
        require(same, "known", path, allowed)
    if data is None:
        return known
    on_text = [entry for entry in known if entry[2].data.get("fingerprint") == data[entry[0].recipe.data]]
    require(on_text, "known", path, f"a summary with completed arms of {study.name} on this text")
    return on_text


def reuse_results(folder: Path, study: Study, data: Mapping[DataSettings, str], path: Path) -> int:
    """Write recipe and result of arms that a summary knows on this text into their runs' folders; return of how many.

    Runs that have begun here are left alone. Versions of packages may differ: each result says which made it.

    Raises
    ------
    InputError
        As `known_results`, whose arguments these are.
    """
    reused = 0
    for arm, row, origin in known_results(study, path, data):
        run = arm_folder(folder, arm.fingerprint).resolve()
        if not (run / "result.json").exists() and not (run / "leases").exists():
            write_recipe(run, arm.recipe)
            write_result(run, _run_result(arm, row, origin))
            reused += 1
    return reused


def _run_result(arm: Arm, row: ArmResult, origin: Origin) -> RunResult:
    recipe = arm.recipe
    return RunResult(
        status="completed",
        fingerprint=arm.fingerprint,
        recipe=recipe,
        final=Final(recipe.training.steps, recipe.tokens, row.loss, row.standard_error),
        data=origin.data,
        provenance=origin.provenance,
        hardware=origin.hardware,
        evaluations=tuple(_metric(each, recipe.tokens_per_step) for each in row.evaluations),
        timing=Timing(tokens_per_second=row.tokens_per_second),
    )
