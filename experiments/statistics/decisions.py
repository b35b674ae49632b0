"""From p-values to verdicts: correction for many comparisons, equivalence, and the declared rule."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from experiments.statistics.paired import SeedMean, mean_over_seeds
from gradpower.tools.labels import Label

Decision = Literal["lower", "higher", "equal", "undecided"]


def adjusted_p_values(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values adjusted by Holm's correction for all comparisons of the family, to be held against α.

    For p_(1) <= … <= p_(m), the running maximum of min(1, (m−k+1)·p_(k)): the probability of any false discovery stays
    below α, whatever the dependence. A planned comparison without a p-value (a single seed, a diverged or missing arm),
    given as None, stays in the family as p = 1, so that losing arms never helps the others.

    Examples
    --------
    >>> adjusted_p_values([0.01, 0.04, 0.03, None])
    [0.04, 0.09, 0.09, None]
    """
    p = np.array([1.0 if value is None else value for value in p_values])
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1.0, (p.size - np.arange(p.size)) * p[order])
    p[order] = np.maximum.accumulate(steps)
    return [None if given is None else float(value) for given, value in zip(p_values, p, strict=True)]


@dataclass(frozen=True)
class Contrasts:
    """Differences of a study's losses, by name, and which of them are shown.

    Examples
    --------
    >>> found = Contrasts.of({"A": [-0.1, -0.2, -0.1, -0.2], "B": [0.1, -0.2, 0.1, -0.2]})
    >>> found.shown("A", -1), found.shown("A", 1), found.shown("B", -1)
    (True, False, False)
    """

    means: dict[str, SeedMean]
    adjusted: dict[str, float | None]
    """Two-sided p-values of the declared endpoints among them, adjusted by Holm's correction."""
    diverged: int = 0
    """Runs that did, and count as if they had learnt nothing."""

    @classmethod
    def of(
        cls, numbers: Mapping[str, ArrayLike], endpoints: Sequence[str] | None = None, diverged: int = 0
    ) -> Self:
        """Test some means over seeds, or all; InputError as from `mean_over_seeds`."""
        means = {name: mean_over_seeds(values) for name, values in numbers.items()}
        tested = list(means) if endpoints is None else endpoints
        adjusted = adjusted_p_values([means[name].p_value for name in tested])
        return cls(means, dict(zip(tested, adjusted, strict=True)), diverged)

    def shown(self, name: str, sign: Literal[-1, 1], alpha: float = 0.05) -> bool:
        """Whether a mean of this sign is shown."""
        p = self.adjusted[name]
        return p is not None and p <= alpha and sign * self.means[name].mean > 0

    def side(self, name: str, sign: Literal[-1, 1], smallest: float | None = None) -> Label:
        """Return the label of the claim that a mean has this sign: (not) reproduced as it or the other is shown.

        Not reproduced, too, if the 95 % interval lies beyond `smallest`, an effect of this sign too small to matter.
        """
        if self.shown(name, sign):
            return Label.REPRODUCED
        end = self.means[name].low if sign < 0 else self.means[name].high
        small = smallest is not None and end is not None and sign * end < smallest
        opposite = self.shown(name, -1 if sign > 0 else 1)
        return Label.NOT_REPRODUCED if small or opposite else Label.INCONCLUSIVE

    def all_lower(self, smallest_gain: float | None = None) -> Label:
        """Return the label of the claim that all endpoints are below 0.

        Reproduced if all are shown to be, in part if some are; not reproduced if none is and one is shown to be above
        0, or the 95 % intervals of all lie above −`smallest_gain`; else inconclusive.
        """
        lower = [self.shown(name, -1) for name in self.adjusted]
        if any(lower):
            return Label.REPRODUCED if all(lower) else Label.IN_PART
        lows = [self.means[name].low for name in self.adjusted]
        small = smallest_gain is not None and all(low is not None and low > -smallest_gain for low in lows)
        harm = any(self.shown(name, 1) for name in self.adjusted)
        return Label.NOT_REPRODUCED if small or harm else Label.INCONCLUSIVE


def equivalence_p_value(difference: SeedMean, smallest_effect: float) -> float | None:
    """Return the p-value of two one-sided t tests (TOST) of |E d| >= smallest effect.

    The larger of P(T_{n−1} >= (Δ + d̄)/(s/√n)) and P(T_{n−1} >= (Δ − d̄)/(s/√n)), with Δ >= 0 the smallest effect: at
    most α exactly if the 1−2α interval of E d lies within ±Δ. None without a spread, or for Δ = 0, within which nothing
    is shown to lie.

    Examples
    --------
    >>> round(equivalence_p_value(SeedMean(3, 0.0, 0.001), 0.005), 4)
    0.0065
    """
    from scipy.stats import t

    if not difference.sd or smallest_effect == 0:
        return None
    error = difference.sd / math.sqrt(difference.seeds)
    return float(t.sf((smallest_effect - abs(difference.mean)) / error, difference.seeds - 1))


def decide(
    mean: float, adjusted: float | None, equivalence: float | None, alpha: float, smallest_effect: float
) -> Decision:
    """Return the verdict on one comparison from its mean difference d̄ and its adjusted p-values; None: not tested.

    "lower" or "higher" if a difference is shown and its mean is an effect, |d̄| >= Δ, with Δ >= 0 the smallest effect.
    "equal" if equivalence is shown: |E d| < Δ. Else "undecided", for a difference that is not shown is no equality.
    Both at once cannot be, as equivalence needs |d̄| < Δ. Each kind of error, a difference of the wrong sign or where
    there is none, and an equality that does not hold, has a probability of at most α over its whole family. That holds
    for Gaussian differences of independent seeds whose number was fixed before any outcome was seen; for losses at
    tuned rates see `sweeps.groups.best_column`. Diverged runs have no difference and are no matter of this rule.

    Examples
    --------
    >>> decide(-0.02, 0.01, 0.6, 0.05, 0.005), decide(-0.02, 0.2, 0.6, 0.05, 0.005)
    ('lower', 'undecided')
    >>> decide(-1e-4, 0.01, 0.001, 0.05, 0.005)
    'equal'
    """
    if equivalence is not None and equivalence <= alpha:
        return "equal"
    if adjusted is None or adjusted > alpha or abs(mean) < smallest_effect:
        return "undecided"
    return "lower" if mean < 0 else "higher"
