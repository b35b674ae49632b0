"""What an analysis of a study is: its groups, comparisons and trends, from where they are computed to where shown."""

from dataclasses import dataclass
from typing import Literal

from experiments.statistics import SeedMean
from experiments.sweeps.groups import TunedRate
from experiments.sweeps.study import Rule, Setting, Settings
from gradpower.tools.reading import Schema

SCHEMA = Schema("gradpower/analysis", 3)
Label = Literal["incomplete", "difference shown", "equal", "undecided"]
Decision = Literal["lower", "higher", "equal", "undecided", "unstable"]
Movement = Literal["falls", "rises", "not shown", "not tested"]


@dataclass(frozen=True)
class Comparison:
    """A value against the baseline, over the seeds that have both."""

    value: float
    seeds: tuple[int, ...]
    diverged: int
    """In how many of the seeds the run diverged: if in any, nothing is tested."""
    baseline_diverged: int
    differences: tuple[float, ...] = ()
    """Loss less the baseline's by seed, if tested …"""
    difference: SeedMean | None = None
    """… and their mean, interval and p-value."""
    adjusted: float | None = None
    """p-value of a difference, adjusted for the study's family …"""
    equivalence: float | None = None
    """… and of a difference below the smallest effect."""
    decision: Decision = "undecided"
    """What the rule says; "unstable" with a diverged run."""


@dataclass(frozen=True)
class Value:
    """The losses at one value: by seed, None where missing or diverged; their mean if none is; its rate, if tuned."""

    value: float
    losses: tuple[float | None, ...]
    diverged: int
    missing: int
    mean: float | None
    tuned: TunedRate | None


@dataclass(frozen=True)
class Group:
    """What is compared all else equal, or at tuned rates."""

    within: Setting
    """Value of the rule's `within` field."""
    others: Settings
    """Values of the fields that the rule does not name, where they vary freely."""
    values: tuple[Value, ...]
    comparisons: tuple[Comparison, ...]
    """Every other value against the baseline."""
    best: float | None
    """The value with the lowest mean loss, over the seeds that have all."""
    best_at_edge: bool
    """It is the first or last: the optimum may lie beyond."""
    baseline_spread: float | None
    """Standard deviation of the baseline's loss over seeds."""
    slope: SeedMean | None
    """dL/d ln x at the baseline, of each seed's parabola in ln x; None for fewer than three values, or one <= 0."""


@dataclass(frozen=True)
class Trend:
    """Whether the best value moves from the smallest to the largest `within` value: the crossing test.

    Its p-values, one for either direction, are adjusted for all of the study; None where nothing could be tested.
    """

    others: Settings
    smallest: float
    largest: float
    values: tuple[float, ...]
    falls: float | None = None
    rises: float | None = None
    movement: Movement = "not tested"


@dataclass(frozen=True)
class Analysis:
    """A study judged by its rule.

    `label` is "incomplete" while arms are missing, "difference shown" if any comparison is decided as lower or higher,
    "equal" if all are equal within the smallest effect, else "undecided".
    """

    study: str
    fingerprint: str
    rule: Rule
    label: Label
    seeds: tuple[int, ...]
    planned: int
    completed: int
    diverged: int
    added_late: tuple[str, ...]
    """What was added after arms had finished: α does not hold for it."""
    groups: tuple[Group, ...]
    trends: tuple[Trend, ...]

    @property
    def comparisons(self) -> list[Comparison]:
        """All comparisons, which are one family."""
        return [comparison for group in self.groups for comparison in group.comparisons]

    @property
    def missing(self) -> int:
        """How many arms have no result."""
        return self.planned - self.completed - self.diverged
