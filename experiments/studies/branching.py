"""From when on p = 1.2 gains, and whether branching narrows differences: step 8 of results/causes/design.md.

Both arms of a seed are one run at p = 1 up to a step, and are evaluated often from there on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.statistics import SeedMean, mean_over_seeds, one_sided
from experiments.studies.completed import arms_at, losses_at, read_completed
from experiments.sweeps.results import Summary
from gradpower.tools.labels import Label
from theory.numerics.inputs import Array

POWER = 1.2
RATE = 2.83e-3
_ALPHA = 0.05


@dataclass(frozen=True)
class Branching:
    """What p = 1.2 changes of the validation loss after the step from which on it applies."""

    changes: dict[int, SeedMean]
    """By the number of steps since then."""
    gains_from: int | None
    """The first number of steps at which a gain is shown, as at all later ones; None if not even at the end.

    Tested from the end backwards, one-sided at level 0.05, each only if those after it reject: the level of all.
    """
    shrunk: float
    """RMS of Adam's update at the first evaluation after the branch, over that at p = 1, averaged over seeds."""
    whole: SeedMean
    """The last change of runs that differ from the first step on, of other seeds."""
    spread: float
    """Standard deviation over seeds of the last change, over that of runs that differ from the first step on."""
    p_value: float
    """One-sided F test against a ratio of 1 or more."""

    @property
    def label(self) -> Label:
        """Of the claim that branching narrows differences."""
        return Label.REPRODUCED if self.p_value <= _ALPHA else Label.INCONCLUSIVE


def read_branching(path: Path, memory: Path) -> Branching:
    """Read the study, and that of step 4 to compare with, from their summaries; InputError as from `read_completed`."""
    from scipy.stats import f

    branched, whole = read_completed(path, "causes-branching"), read_completed(memory, "causes-memory")
    (steps, losses, updates), (_, plain, plain_updates) = (_after_branch(branched, p) for p in (POWER, 1.0))
    changes = losses - plain
    means = [mean_over_seeds(change) for change in changes.T]
    gains_from = None
    for step, mean in zip(steps[::-1], means[::-1], strict=True):
        if one_sided(mean, -1) > _ALPHA:
            break
        gains_from = int(step)
    at = {"beta2": 0.95, "learning_rate": RATE}
    apart = losses_at(whole, power=POWER, **at) - losses_at(whole, power=1.0, **at)
    ratio = float(changes[:, -1].std(ddof=1) / apart.std(ddof=1))
    p_value = float(f.cdf(ratio**2, len(changes) - 1, len(apart) - 1))
    shrunk = float((updates / plain_updates)[:, 0].mean())
    return Branching(
        dict(zip(map(int, steps), means, strict=True)),
        gains_from,
        shrunk,
        mean_over_seeds(apart),
        ratio,
        p_value,
    )


def _after_branch(summary: Summary, power: float) -> tuple[Array, Array, Array]:
    """Return the steps since the branch that were evaluated, losses and sizes of updates there, (seeds, steps)."""
    arms = summary.study.arms()
    start = round(arms[0].recipe.optimizer.power_start * arms[0].recipe.training.steps)
    rows = [arm.evaluations for arm in arms_at(summary, power=power)]
    steps = np.array([each["tokens"] for each in rows[0]]) // arms[0].recipe.tokens_per_step - start
    losses, updates = (
        np.array([[each[name] for each in row] for row in rows], dtype=np.float64)[:, steps > 0]
        for name in ("validation_loss", "update_rms")
    )
    return steps[steps > 0], losses, updates
