"""When p = 1.2 in the head gains, and what makes it gain: steps 7 and 9 of results/causes/design.md.

Seeds are paired; losses are averaged over the learning rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.statistics import SeedMean, mean_over_seeds, one_sided
from experiments.studies.completed import losses_at, read_completed
from gradpower.tools.labels import Label

POWER = 1.2
_ALPHA = 0.05
_SMALLEST_EFFECT = 0.01


@dataclass(frozen=True)
class HeadChanges:
    """What p = 1.2 in the head alone changes of the loss in several conditions."""

    changes: dict[int | str, SeedMean]
    """By condition, the first of which is the usual one."""
    plain: dict[int | str, float]
    """Mean loss at p = 1, by condition."""
    difference: SeedMean
    """The change in the condition that should end the gain less that in the first."""
    p_values: tuple[float, float, float]
    """One-sided: a gain in the first; the difference above 0; a third. Each counts if those before reject."""
    label: Label
    """By the declared rule."""


def read_head_batch(path: Path) -> HeadChanges:
    """Read step 7, whether the gain fades from batch 2 to 32; InputError as from `read_completed`."""
    changes, plain, difference = _changes(path, "causes-head-batch", "batch_size", (2, 8, 32), ended=32)
    tests = one_sided(changes[2], -1), one_sided(difference, 1), one_sided(changes[8], -1)
    none = changes[2].low is not None and changes[2].low > -_SMALLEST_EFFECT
    label = Label.NOT_REPRODUCED if none else Label.INCONCLUSIVE
    if tests[0] <= _ALPHA:
        label = Label.REPRODUCED if tests[1] <= _ALPHA else Label.IN_PART
    return HeadChanges(changes, plain, difference, tests, label)


def read_signs(path: Path) -> HeadChanges:
    """Read step 9, whether random signs of the noise end the gain; InputError as from `read_completed`."""
    forms = ("own", "random-signs", "shuffled")
    changes, plain, difference = _changes(
        path, "causes-signs", "added_noise", [f"{form}:2" for form in forms], ended="random-signs:2"
    )
    changes = dict(zip(forms, changes.values(), strict=True))
    plain = dict(zip(forms, plain.values(), strict=True))
    turned = changes["random-signs"]
    tests = one_sided(changes["own"], -1), one_sided(difference, 1), one_sided(turned, 1)
    same = difference.high is not None and difference.high < _SMALLEST_EFFECT
    label = Label.NOT_REPRODUCED if same else Label.INCONCLUSIVE
    if max(tests[:2]) <= _ALPHA:
        still_gains = turned.high is not None and turned.high < 0
        label = Label.IN_PART if still_gains else Label.REPRODUCED
    return HeadChanges(changes, plain, difference, tests, label)


def _changes(
    path: Path, name: str, field: str, conditions: Sequence[int | str], ended: int | str
) -> tuple[dict[int | str, SeedMean], dict[int | str, float], SeedMean]:
    """Return change and loss at p = 1 in each condition, and the change in `ended` less that in the first."""
    summary = read_completed(path, name)
    plain, powered = (
        {each: losses_at(summary, head_power=power, **{field: each}) for each in conditions}
        for power in (1.0, POWER)
    )
    found = {each: powered[each] - plain[each] for each in conditions}
    means = {each: mean_over_seeds(change) for each, change in found.items()}
    levels = {each: float(losses.mean()) for each, losses in plain.items()}
    return means, levels, mean_over_seeds(found[ended] - found[conditions[0]])
