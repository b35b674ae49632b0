"""Figure 4: mixtures of experts with and without a power, beside their dense twins. See results/paper/design.md.

Each mixture is trained at its best rate, at that over √2, and at twice that, where only spikes of the training loss
are counted; its twin at two rates. Seeds are paired.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.statistics import Contrasts
from experiments.studies.completed import arms_at, losses_at, read_ended, tried
from experiments.studies.memory import POWER
from experiments.sweeps.results import ArmResult, Summary, read_summary
from gradpower.tools.errors import require
from gradpower.tools.labels import Label
from theory.numerics.inputs import Array

STABLE = 0.3, 0.8  # shares of the steps
_SMALLEST_GAIN = 0.005


@dataclass(frozen=True)
class Mixtures:
    """What p = 1.2 changes of mixtures."""

    gaps: Contrasts
    """Of the loss, by width."""
    others: Contrasts
    """"D": gap of the mixtures less that of their twins; "S": slope of the gap over the stable phase, in nats for all
    steps; "N": spikes at twice the best rate."""
    spikes: dict[float, float]
    """Mean number of a seed at twice the best rate, in all sizes together, by power."""
    unstable: dict[float, int]
    """Runs there that diverged, by power: if any did, spikes are not compared."""

    @property
    def label(self) -> Label:
        """That p = 1.2 lowers the loss at every size."""
        return self.gaps.all_lower(_SMALLEST_GAIN)

    def other(self, name: str) -> Label:
        """That the gap is larger in mixtures (D), grows in the stable phase (S), and that spikes are fewer (N)."""
        if name == "N" and any(self.unstable.values()):
            return Label.INCONCLUSIVE
        label = self.others.side(name, -1)
        gains = name == "N" or sum(mean.mean for mean in self.gaps.means.values()) < 0
        return label if gains or label is not Label.REPRODUCED else Label.INCONCLUSIVE


def read_mixtures(path: Path) -> Mixtures:
    """Read the study from its summary; InputError if it is another's, or arms are missing."""
    summary, diverged = read_ended(path, "paper-mixtures")
    lost = {arm.fingerprint for arm in read_summary(path).arms if arm.status == "diverged"}
    widths = [int(width) for width in tried(summary, "model.width")]
    gaps = {width: _change(summary, "qwen2-moe", width) for width in widths}
    twins = [_change(summary, "llama", width) for width in widths]
    fast = {p: [_at_twice_the_rate(summary, width, p) for width in widths] for p in (1.0, POWER)}
    spiked = {p: np.sum([_spikes(arms) for arms in own], axis=0) for p, own in fast.items()}
    others = {
        "D": np.mean(list(gaps.values()), axis=0) - np.mean(twins, axis=0),
        "S": np.mean([_slope(summary, width) for width in widths], axis=0),
        "N": spiked[POWER] - spiked[1.0],
    }
    return Mixtures(
        Contrasts.of({str(width): gap for width, gap in gaps.items()}, diverged=diverged),
        Contrasts.of(others),
        {p: float(counts.mean()) for p, counts in spiked.items()},
        {p: sum(arm.fingerprint in lost for arms in own for arm in arms) for p, own in fast.items()},
    )


def _rates(summary: Summary, family: str, width: int) -> list[float]:
    """Return the rates of a model, in increasing order."""
    arms = arms_at(summary, family=family, width=width)
    return sorted({float(arm.values["optimizer.learning_rate"]) for arm in arms})


def _change(summary: Summary, family: str, width: int) -> Array:
    """Return what the power changes of the loss by seed, averaged over the two rates that are compared."""
    changes = []
    for rate in _rates(summary, family, width)[:2]:
        powered, plain = (
            losses_at(summary, family=family, width=width, learning_rate=rate, power=p) for p in (POWER, 1.0)
        )
        changes.append(powered - plain)
    means: Array = np.mean(changes, axis=0)
    return means


def _slope(summary: Summary, width: int) -> Array:
    """Return the slope of the change over the stable phase by seed, per whole run, averaged over the two rates."""
    arms = summary.study.arms()
    nothing = math.log(
        next(arm for arm in arms if arm.values["model.width"] == width).recipe.model.vocabulary
    )
    slopes = []
    for rate in _rates(summary, "qwen2-moe", width)[:2]:
        powered, plain = (
            arms_at(summary, family="qwen2-moe", width=width, learning_rate=rate, power=p)
            for p in (POWER, 1.0)
        )
        whole = max(each["tokens"] for arm in (*powered, *plain) for each in arm.evaluations)
        tokens = np.array(sorted({each["tokens"] for arm in (*powered, *plain) for each in arm.evaluations}))
        tokens = tokens[(tokens >= STABLE[0] * whole) & (tokens <= STABLE[1] * whole)]
        curves = [[[_loss(arm, at, nothing) for at in tokens] for arm in own] for own in (powered, plain)]
        shares = tokens / whole
        slopes.append(np.polyfit(shares, (np.array(curves[0]) - np.array(curves[1])).T, 1)[0])
    means: Array = np.mean(slopes, axis=0)
    return means


def _loss(arm: ArmResult, tokens: float, nothing: float) -> float:
    """Return the validation loss after some tokens; a run that had diverged has learnt nothing."""
    losses = (each.get("validation_loss") for each in arm.evaluations if each["tokens"] == tokens)
    loss = next(losses, None)
    return nothing if loss is None else loss


def _at_twice_the_rate(summary: Summary, width: int, power: float) -> list[ArmResult]:
    rate = _rates(summary, "qwen2-moe", width)[-1]
    return arms_at(summary, family="qwen2-moe", width=width, learning_rate=rate, power=power)


def _spikes(arms: Sequence[ArmResult]) -> Array:
    """Return the spikes by seed; InputError if they were not counted."""
    counted = all(arm.spikes is not None for arm in arms)
    require(counted, "study", "paper-mixtures", "one whose arms have counted spikes")
    return np.array([arm.spikes for arm in arms], dtype=np.float64)
