"""Arms that a committed summary knows: a study goes on from there on another machine, without their folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.fields import to_dict
from experiments.records import claim_folder, differences, write_result
from experiments.settings import DataSettings
from experiments.sweeps.adoption import place_arm
from experiments.sweeps.arms import arm_folder
from experiments.sweeps.outcome import read_summary
from experiments.sweeps.study import Arm, Study, study_from_dict
from gradpower.tools.errors import InputError, require


def recall(folder: Path, study: Study, data: Mapping[DataSettings, str], summary: Path) -> int:
    """Make the folders of arms that a summary has the results of, as far as they have not begun here.

    Such a folder has the recipe and the result with its losses along the training, and no checkpoints, metrics or
    snapshots. Only completed arms are taken. Versions of packages may differ: each result says which made it.

    Parameters
    ----------
    folder : Path
        The study's.
    study : Study
        The study.
    data : mapping
        Fingerprint of the text by its settings; arms on other text, as on streams, are left to be run.
    summary : Path
        A summary.json, or a folder with one.

    Returns
    -------
    int
        How many arms were taken.

    Raises
    ------
    InputError
        If it is no summary, or has no arm of this study on this text.
    """
    known = _known(summary)
    same = [
        arm
        for arm in study.arms()
        if arm.fingerprint in known
        and known[arm.fingerprint]["data"]["fingerprint"] == data.get(arm.recipe.data, "")
    ]
    if not same:
        allowed = f"a summary with completed arms of {study.name} on this text"
        raise InputError("known", summary, allowed)
    return sum(
        _taken(arm_folder(folder, arm.fingerprint), arm, known[arm.fingerprint], summary) for arm in same
    )


def known_arms(study: Study, summary: Path, *, snapshots: bool) -> set[str]:
    """Return the fingerprints of a study's arms that a summary has the results of, on whatever text.

    Parameters
    ----------
    study, summary
        As of `recall`.
    snapshots : bool
        Whether they are asked for, which no summary has.

    Raises
    ------
    InputError
        If it is no summary, has no arm of this study, or snapshots are asked for.
    """
    require(not snapshots, "known", summary, "none with --snapshots: a summary has no weights")
    found = {arm.fingerprint for arm in study.arms()} & set(_known(summary))
    if not found:
        given = study_from_dict(read_summary(summary)["study"])
        told = differences(study.recipe, given.recipe) or [f"{given.name} is another part"]
        allowed = f"a summary with completed arms of {study.name}; in this one {'; '.join(told)}"
        raise InputError("known", summary, allowed)
    return found


def _known(summary: Path) -> dict[str, dict[str, Any]]:
    """Return what result.json holds of the completed arms, by the fingerprints that their recipes have today."""
    allowed = "the summary.json of a study, or a folder with one"
    found = {}
    try:
        content = read_summary(summary)
        if "origins" not in content:
            allowed = "a summary.json with `origins`, which those of older versions lack: its study must be run again"
        rows = {_key(row): row for row in content["arms"] if row["status"] == "completed"}
        for arm in study_from_dict(content["study"]).arms():
            row = rows.get((arm.seed, *sorted(arm.values.items())))
            if row is not None:
                found[arm.fingerprint] = _result(arm, row, content["origins"][row["origin"]])
    except (KeyError, TypeError, IndexError, InputError):
        raise InputError("known", summary, allowed) from None
    return found


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["seed"], *sorted(row["values"].items())


def _result(arm: Arm, row: Mapping[str, Any], origin: Mapping[str, Any]) -> dict[str, Any]:
    recipe = arm.recipe
    evaluations = [
        {"step": each["tokens"] // recipe.tokens_per_step}
        | {key: value for key, value in each.items() if key != "tokens"}
        for each in row["evaluations"]
    ]
    return {
        "status": row["status"],
        "fingerprint": arm.fingerprint,
        "recipe": to_dict(recipe),
        "final": {
            "step": recipe.training.steps,
            "tokens": recipe.tokens,
            "validation_loss": row["loss"],
            "standard_error": row["standard_error"],
        },
        "evaluations": evaluations,
        "timing": {"tokens_per_second": row["tokens_per_second"]},
        **origin,
    }


def _taken(own: Path, arm: Arm, result: Mapping[str, Any], summary: Path) -> bool:
    def fill(made: Path) -> None:
        claim_folder(made, arm.recipe)
        write_result(made, result)

    return not own.exists() and place_arm(own, summary.as_posix(), fill)
