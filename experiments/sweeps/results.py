"""What a study's arms came to: summary.json, small enough to be committed, and results that are taken from it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Required, TypedDict, cast

from experiments.recipes.fields import differences
from experiments.recipes.settings import Recipe
from experiments.sweeps.study import Arm, Study
from experiments.training.records import Final, Metric, RunResult, Timing
from gradpower.tools.errors import require
from gradpower.tools.reading import Schema, read_json

SUMMARY_SCHEMA = Schema("gradpower/sweep")


class Addition(TypedDict):
    """What was added to a declared study, such as "seeds: [0, 1] → [0, 1, 2]", and how many arms were done."""

    date: str
    added: str
    finished: int


class Evaluation(TypedDict, total=False):
    """A loss on the validation set along the training, and what else was measured there."""

    tokens: Required[int | float]
    validation_loss: float | None
    update_rms: float | None
    sharpness: float | None
    squared_snr: dict[str, float] | None


@dataclass(frozen=True)
class ArmResult:
    """What one arm came to, a row of the summary."""

    values: Mapping[str, Any]
    """The value of every field that an axis varies, by dotted name."""
    seed: int
    """The seed: results of one seed are paired."""
    status: Literal["completed", "diverged", "missing"]
    """Missing is one that is open, paused, failed or damaged: there is no result."""
    loss: float | None
    """Final validation loss in nats a token and its standard error over documents; None unless completed."""
    standard_error: float | None
    fingerprint: str
    tokens_per_second: float | None = None
    """Median speed of training."""
    evaluations: Sequence[Evaluation] = ()
    """From the first to the last."""
    loss_by_frequency: Sequence[float | None] | None = None
    """Final loss of the targets in each tenth, from the rarest tokens to the most frequent; None if not known."""
    calibration_by_frequency: Sequence[float | None] | None = None
    """Likewise ln of the predicted over the actual number of targets."""
    spikes: int | None = None
    """Of the training loss, in lines of `log_every` steps; None if they were not counted."""
    origin: int | None = None
    """Place in the summary's list of origins."""
    adopted_from: str | None = None
    """In summaries of older versions: where the result was copied from."""

    def __post_init__(self) -> None:
        """Check the loss."""
        known = self.loss is not None and math.isfinite(self.loss)
        allowed = "a number if the arm is completed, else null"
        require(known == (self.status == "completed"), "loss", self.loss, allowed)


@dataclass(frozen=True)
class Origin:
    """What many runs share: the text, the code with the versions of packages, the hardware."""

    data: dict[str, Any]
    provenance: dict[str, Any]
    hardware: dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """The content of summary.json: the study, what was added to it, where it ran, and a row an arm."""

    study: Study
    history: list[Addition]
    provenance: dict[str, Any]
    arms: list[ArmResult]
    origins: list[Origin] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check that the rows are those of the study's arms, and every origin one of the list."""
        arms = self.study.arms()
        planned = [(arm.fingerprint, arm.seed, arm.values) for arm in arms]
        same = [(row.fingerprint, row.seed, row.values) for row in self.arms] == planned
        require(
            same, "arms", f"{len(self.arms)} rows", f"those of the study's {len(arms)} arms, in their order"
        )
        for row in self.arms:
            known = row.origin is None or 0 <= row.origin < len(self.origins)
            require(known, "origin", row.origin, f"none, or less than {len(self.origins)}")


def summary_of(study: Study, history: list[Addition], results: Sequence[RunResult | None]) -> Summary:
    """Return the summary of the results of a study's arms, None where there is none; its provenance is yet to come."""
    rows: list[ArmResult] = []
    origins: list[Origin] = []
    for arm, result in zip(study.arms(), results, strict=True):
        if result is None:
            rows.append(ArmResult(arm.values, arm.seed, "missing", None, None, arm.fingerprint))
            continue
        tokens = arm.recipe.tokens_per_step
        origin = Origin(
            {"fingerprint": result.data.get("fingerprint")},
            {key: result.provenance.get(key) for key in ("versions", "machine", "commit", "dirty")},
            {key: result.hardware.get(key) for key in ("device", "name", "threads")},
        )
        origins += [] if origin in origins else [origin]
        last: Mapping[str, Any] = result.evaluations[-1] if result.evaluations else {}
        row = ArmResult(
            arm.values,
            arm.seed,
            result.status,
            result.final.validation_loss,
            result.final.standard_error,
            arm.fingerprint,
            result.timing.tokens_per_second,
            tuple(
                cast(Evaluation, {"tokens": each["step"] * tokens, **_losses(each)})
                for each in result.evaluations
            ),
            last.get("loss_by_frequency"),
            last.get("calibration_by_frequency"),
            result.final.spikes,
            origins.index(origin),
        )
        rows.append(row)
    return Summary(study, history, {}, rows, origins)


def _losses(row: Metric | Evaluation) -> dict[str, Any]:
    kept = Evaluation.__optional_keys__
    return {key: value for key, value in row.items() if key in kept}


def read_summary(path: Path, argument: str = "study") -> Summary:
    """Return the content of a summary.json, or of the one in a folder; raise InputError if there is none."""
    return read_json(path / "summary.json" if path.is_dir() else path, Summary, SUMMARY_SCHEMA, argument)


@dataclass(frozen=True)
class Known:
    """The completed results of a study's arms that a summary knows; each says which code made it."""

    path: Path
    results: list[tuple[Arm, RunResult]]


def read_known(study: Study, path: Path) -> Known:
    """Return what a summary knows of a study; raise InputError if it is none, or knows no arm of this study."""
    summary = read_summary(path, "known")
    completed = {row.fingerprint: row for row in summary.arms if row.status == "completed"}
    results = []
    for arm in study.arms():
        row = completed.get(arm.fingerprint)
        if row is not None and row.origin is not None:
            results.append((arm, _run_result(arm.recipe, row, summary.origins[row.origin])))
    changed = "; ".join(differences(study.recipe, summary.study.recipe)) or "no such arm is completed"
    require(results, "known", path, f"a summary with completed arms of {study.name}; in this one {changed}")
    return Known(path, results)


def _run_result(recipe: Recipe, row: ArmResult, origin: Origin) -> RunResult:
    evaluations: list[dict[str, Any]] = [
        {"step": int(each["tokens"]) // recipe.tokens_per_step, **_losses(each)} for each in row.evaluations
    ]
    for name in ("loss_by_frequency", "calibration_by_frequency") if evaluations else ():
        if getattr(row, name) is not None:
            evaluations[-1][name] = getattr(row, name)
    return RunResult(
        status="completed",
        fingerprint=recipe.fingerprint,
        recipe=recipe,
        final=Final(recipe.training.steps, recipe.tokens, row.loss, row.standard_error, spikes=row.spikes),
        data=origin.data,
        provenance=origin.provenance,
        hardware=origin.hardware,
        evaluations=cast(tuple[Metric, ...], tuple(evaluations)),
        timing=Timing(tokens_per_second=row.tokens_per_second),
    )
