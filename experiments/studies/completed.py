"""What the studies share: a summary all of whose arms are completed, judged with losses averaged over rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.sweeps.analysis import Analysis, Group
from experiments.sweeps.judge import analyse
from experiments.sweeps.results import ArmResult, Summary, read_summary
from experiments.sweeps.study import Rates, Study
from gradpower.tools.errors import require
from theory.numerics.inputs import Array


def read_completed(path: Path) -> Summary:
    """Return the content of a summary; raise InputError if arms are missing or diverged."""
    summary = read_summary(path)
    completed = sum(arm.status == "completed" for arm in summary.arms)
    done = f"{path}, {completed} of {len(summary.arms)} arms completed,"
    require(completed == len(summary.arms), "study", done, "one with all of them")
    return summary


def judged_over(rates: Rates, study: Study, results: Sequence[ArmResult]) -> Analysis:
    """Judge a study by its rule, but at equal, tuned or averaged rates."""
    return analyse(replace(study, rule=replace(study.rule, learning_rate=rates)), results)


def losses_at(group: Group, value: float) -> Array:
    """Return the loss of each seed at a value, shape (seeds,)."""
    (losses,) = (each.losses for each in group.values if each.value == value)
    return np.array(losses, dtype=np.float64)
