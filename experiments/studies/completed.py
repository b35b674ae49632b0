"""What the studies share: a summary all of whose arms are completed, and losses averaged over its arms."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from experiments.sweeps.results import ArmResult, Summary, read_summary
from experiments.sweeps.study import Setting
from gradpower.tools.errors import require
from theory.numerics.inputs import Array

Found = TypeVar("Found")


def read_completed(path: Path, name: str, *, diverged: bool = False) -> Summary:
    """Return the summary of the study of this name; InputError if it is another's, or arms are missing or diverged.

    Diverged arms are let pass if wanted.
    """
    summary = read_summary(path)
    found = f"{path}, of the study {summary.study.name},"
    require(summary.study.name == name, "study", found, f"a summary of {name}")
    ended = ("completed", "diverged") if diverged else ("completed",)
    completed = sum(arm.status in ended for arm in summary.arms)
    done = f"{path}, {completed} of {len(summary.arms)} arms completed,"
    require(completed == len(summary.arms), "study", done, "one with all of them")
    return summary


def read_ended(path: Path, name: str) -> tuple[Summary, int]:
    """Return the summary as `read_completed`, and how many arms diverged: these count as if they had learnt nothing.

    A model that tells all tokens equally likely has the loss ln(vocabulary).
    """
    summary = read_completed(path, name, diverged=True)
    arms = [
        arm
        if arm.status == "completed"
        else replace(arm, status="completed", loss=math.log(planned.recipe.model.vocabulary))
        for arm, planned in zip(summary.arms, summary.study.arms(), strict=True)
    ]
    return replace(summary, arms=arms), sum(arm.status == "diverged" for arm in summary.arms)


def is_completed(path: Path) -> bool:
    """Whether there is a summary in which no arm is missing; InputError if it is damaged."""
    return path.exists() and all(arm.status != "missing" for arm in read_summary(path).arms)


def read_if_completed(read: Callable[..., Found], *paths: Path | None) -> Found | None:
    """Return what a reader makes of summaries, if all are there and no arm of theirs is missing."""
    return read(*paths) if all(path is not None and is_completed(path) for path in paths) else None


def tried(summary: Summary, field: str) -> list[float]:
    """Return the values of a numeric field that the arms have, in increasing order."""
    return sorted({float(arm.values[field]) for arm in summary.arms})


def arms_at(summary: Summary, **values: Setting) -> list[ArmResult]:
    """Return the arms that have some values, seed by seed.

    Fields are named without their section: `arms_at(summary, power=1.2, batch_size=2)`.
    """
    sections = {field.rpartition(".")[2]: field for field in summary.arms[0].values}
    wanted = {sections[name]: value for name, value in values.items()}
    chosen = [arm for arm in summary.arms if wanted.items() <= arm.values.items()]
    require(chosen, "study", summary.study.name, f"one with arms at {values}")
    return sorted(chosen, key=lambda arm: arm.seed)


def losses_at(summary: Summary, **values: Setting) -> Array:
    """Return the loss of each seed, averaged over its arms of `arms_at`, shape (seeds,)."""
    losses = np.array([arm.loss for arm in arms_at(summary, **values)], dtype=np.float64)
    means: Array = losses.reshape(len(summary.study.seeds), -1).mean(axis=1)
    return means
