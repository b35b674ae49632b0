"""A study: a base recipe, what is varied in it, paired seeds, and the rule by which the outcome is judged."""

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

from experiments.recipes.fields import differences, get_field, require_field, with_fields
from experiments.recipes.settings import Recipe, digest, without_later
from gradpower.tools.errors import InputError, real, require

SEED = "training.seed"
RATE = "optimizer.learning_rate"
MOST_ARMS = 10_000
Setting = str | float | int | bool | None
Settings = Mapping[str, Setting]
"""Values of a recipe's fields, by dotted name."""
Rates = Literal["equal", "tuned", "averaged"]


@dataclass(frozen=True)
class Rule:
    """Which arms are compared with which, and what difference of the final validation losses counts as an effect.

    InputError if a field is unknown or a value not allowed.

    Examples
    --------
    >>> Rule(compared="optimizer.power", baseline=1.0).correction
    'holm'
    >>> Rule(compared="optimizer.power", baseline=1.0, alpha=5)
    Traceback (most recent call last):
    ...
    gradpower.tools.errors.InputError: rule.alpha: 5 is not allowed; expected a number in (0, 0.5)
    """

    compared: str
    """Dotted name of the field whose values are compared …"""
    baseline: float | int
    """… with this one of them."""
    within: str | None = None
    """Field at each of whose values the comparison is made separately."""
    alpha: float = 0.05
    """Probability of at least one false effect."""
    correction: Literal["holm"] = "holm"
    """Correction for the number of comparisons."""
    smallest_effect: float = 0.0
    """Smallest difference of losses, in nats a token, that is called an effect."""
    learning_rate: Rates = "equal"
    """Whether values are compared at equal learning rates or, over the rates of a crossed axis optimizer.learning_rate,
    each at its best or by its mean loss."""

    def __post_init__(self) -> None:
        """Check every value; whether the study varies these fields is checked there."""
        for key, name in (("compared", self.compared), ("within", self.within or self.compared)):
            require(isinstance(name, str), f"rule.{key}", name, "the dotted name of a field, in quotes")
            require_field(name)
        allowed = f"another field than rule.compared = {self.compared}"
        require(self.within != self.compared, "rule.within", self.within, allowed)
        real("rule.baseline", self.baseline)
        real("rule.alpha", self.alpha, gt=0, lt=0.5)
        real("rule.smallest_effect", self.smallest_effect, "a number >= 0, in nats a token", ge=0)
        require(self.correction == "holm", "rule.correction", self.correction, "holm")
        known = get_args(Rates)
        require(self.learning_rate in known, "rule.learning_rate", self.learning_rate, " or ".join(known))


@dataclass(frozen=True)
class Arm:
    """One run of a study."""

    recipe: Recipe
    """The whole recipe; its fingerprint is the arm's name."""
    values: dict[str, Any]
    """The value of every field that an axis varies, by dotted name, in the order of the axes."""
    seed: int
    """Arms of one seed have the same initial weights, and the same order of data where it is the same data."""

    @property
    def fingerprint(self) -> str:
        """The recipe's fingerprint."""
        return self.recipe.fingerprint


@dataclass(frozen=True)
class Study:
    """Arms = every combination of the axes × every seed, judged by a rule declared before they run.

    InputError if a field is unknown, given twice or of another type, the lists of an axis differ in length, two arms
    are the same run, or the rule is about fields that no axis varies.

    Examples
    --------
    >>> from experiments.recipes.named import recipe
    >>> study = Study(
    ...     "mine",
    ...     recipe("pocket"),
    ...     axes=({"optimizer.power": (1.0, 1.2)}, {"training.batch_size": (8, 16)}),
    ...     rule=Rule("optimizer.power", 1.0, within="training.batch_size"),
    ...     seeds=(0, 1),
    ... )
    >>> len(study.arms())
    8
    >>> study.arms()[1].values
    {'optimizer.power': 1.0, 'training.batch_size': 16}
    """

    name: str
    """Its name, which is that of its folder."""
    recipe: Recipe
    """The base recipe."""
    axes: Sequence[Mapping[str, Sequence[Any]]]
    """Each axis maps fields to lists of values that vary together; different axes cross."""
    rule: Rule
    """The significance rule."""
    seeds: Sequence[int] = (0, 1, 2)
    """Seeds, each of which every combination gets."""
    fields: Settings = field(default_factory=dict)
    """Changes of the base recipe that hold in every arm."""

    def __post_init__(self) -> None:
        """Check every part, and that every arm is a recipe of its own."""
        allowed = "letters, digits, dots, dashes and underscores, beginning with a letter or digit"
        require(re.fullmatch(r"[A-Za-z0-9][\w.-]*", self.name, re.ASCII), "name", self.name, allowed)
        self._check_seeds()
        self._check_axes()
        self._check_rule()
        count = len(self.seeds) * math.prod(len(next(iter(axis.values()))) for axis in self.axes)
        require(count <= MOST_ARMS, "axes", f"{count} arms", f"at most {MOST_ARMS}, all seeds counted")
        self._arms  # noqa: B018  (makes every recipe)

    def _check_seeds(self) -> None:
        require(len(self.seeds) > 0, "seeds", list(self.seeds), "one seed or more")
        for seed in self.seeds:
            require(type(seed) is int and 0 <= seed < 2**63, "seeds", seed, "whole numbers in [0, 2^63)")
        require(len(set(self.seeds)) == len(self.seeds), "seeds", list(self.seeds), "different seeds")

    def _check_axes(self) -> None:
        require(len(self.axes) > 0, "axes", list(self.axes), "one axis or more")
        names = [*self.fields, *(name for axis in self.axes for name in axis)]
        for name in names:
            require_field(name)
            require(name != SEED, "axes", name, "any field but training.seed: seeds are listed in `seeds`")
            require(names.count(name) == 1, "axes", name, "each field once, in [fields] or in one axis")
        for axis in self.axes:
            require(len(axis) > 0, "axes", dict(axis), "one field or more in an axis")
            lengths = {name: len(values) for name, values in axis.items()}
            same = len(set(lengths.values())) == 1 and min(lengths.values()) > 0
            shown = ", ".join(f"{name}: {length}" for name, length in lengths.items())
            require(same, "axes", shown, "equally many values, one or more, for the fields of one axis")

    def _check_rule(self) -> None:
        axis_of = {name: index for index, axis in enumerate(self.axes) for name in axis}
        compared, within = self.rule.compared, self.rule.within
        for key, name in (("compared", compared), ("within", within)):
            allowed = f"a field that an axis varies: {', '.join(axis_of)}"
            require(name is None or name in axis_of, f"rule.{key}", name, allowed)
        values = list(self.axes[axis_of[compared]][compared])
        allowed = f"one of the values of {compared}: {', '.join(map(str, values))}"
        require(self.rule.baseline in values, "rule.baseline", self.rule.baseline, allowed)
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        require(numbers, "rule.compared", compared, "a field of numbers only")
        together = within is not None and axis_of[within] == axis_of[compared]
        allowed = f"a field of another axis than {compared}, with which it must cross"
        require(not together, "rule.within", within, allowed)
        allowed = f"equal: apart from that of rule.compared, no axis varies {RATE} at a value of rule.within"
        held = self.rule.learning_rate == "equal" or self._rates_cross(axis_of)
        require(held, "rule.learning_rate", self.rule.learning_rate, allowed)

    def _rates_cross(self, axis_of: Mapping[str, int]) -> bool:
        """Return whether every compared value has the same learning rates, several at one value of `within`."""
        if RATE not in axis_of or axis_of[RATE] == axis_of[self.rule.compared]:
            return False
        axis = self.axes[axis_of[RATE]]
        within = axis.get(self.rule.within or "", [None] * len(axis[RATE]))
        return len(set(zip(within, axis[RATE], strict=True))) > len(set(within))

    def arms(self) -> list[Arm]:
        """Return all arms, seed by seed, so that the first seeds can be compared before the last ones are done."""
        return list(self._arms)

    @cached_property
    def _arms(self) -> tuple[Arm, ...]:
        points = [
            [dict(zip(axis, values, strict=True)) for values in zip(*axis.values(), strict=True)]
            for axis in self.axes
        ]
        arms: dict[str, Arm] = {}
        for seed, *parts in itertools.product(self.seeds, *points):
            changes = {name: value for part in parts for name, value in part.items()}
            whole = with_fields(self.recipe, {**self.fields, **changes, SEED: seed})
            arm = Arm(whole, {name: get_field(whole, name) for name in changes}, seed)
            if arm.fingerprint in arms:
                values = ", ".join(f"{name} = {value}" for name, value in arm.values.items())
                raise InputError("axes", f"{values}, seed {seed}", "every combination once")
            arms[arm.fingerprint] = arm
        return tuple(arms.values())

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of all of it: equal for equal studies."""
        content = dataclasses.asdict(self)
        without_later(content["recipe"], known=("stretch_warmup",))  # there when studies were first declared
        return digest(content)


def changes(old: Study, new: Study) -> list[str]:
    """Return what differs between two studies, as `name: old → new`."""
    before, after = _flat(old), _flat(new)
    parts = [
        f"{name}: {before.get(name, 'not given')} → {after.get(name, 'not given')}"
        for name in before | after
        if before.get(name) != after.get(name)
    ]
    return parts + [f"recipe {part}" for part in differences(old.recipe, new.recipe)]


def _flat(study: Study) -> dict[str, Any]:
    axes = {name: list(values) for axis in study.axes for name, values in axis.items()}
    rule = {f"rule.{name}": value for name, value in dataclasses.asdict(study.rule).items()}
    return {"name": study.name, **study.fields, **axes, "seeds": list(study.seeds), **rule}
