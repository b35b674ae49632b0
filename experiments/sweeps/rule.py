"""The significance rule of a study, declared before its runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from experiments.recipes.fields import require_field
from gradpower.tools.errors import require

CORRECTIONS = ("holm", "bonferroni", "none")
RATES = ("equal", "tuned")


@dataclass(frozen=True)
class Rule:
    """Which arms are compared with which, and what difference of the final validation losses counts as an effect.

    Raises
    ------
    InputError
        If a field is unknown or a value not allowed.

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
    """Probability of at least one false effect (of one for each comparison, without correction)."""
    correction: Literal["holm", "bonferroni", "none"] = "holm"
    """Correction for the number of comparisons."""
    smallest_effect: float = 0.0
    """Smallest difference of losses, in nats a token, that is called an effect."""
    learning_rate: Literal["equal", "tuned"] = "equal"
    """Whether values are compared at equal learning rates, or each at the best of the rates of a crossed axis
    optimizer.learning_rate."""

    def __post_init__(self) -> None:
        """Check every value; whether the study varies these fields is checked there."""
        for name in ("compared", "within"):
            value = getattr(self, name)
            if value is not None or name == "compared":
                require(
                    isinstance(value, str), f"rule.{name}", value, "the dotted name of a field, in quotes"
                )
                require_field(value)
        if self.within is not None:
            allowed = f"another field than rule.compared = {self.compared}"
            require(self.within != self.compared, "rule.within", self.within, allowed)
        for name in ("baseline", "alpha", "smallest_effect"):
            value = getattr(self, name)
            is_number = (
                isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            )
            require(is_number, f"rule.{name}", value, "a finite number")
        require(0 < self.alpha < 0.5, "rule.alpha", self.alpha, "a number in (0, 0.5)")
        for name, known in (("correction", CORRECTIONS), ("learning_rate", RATES)):
            require(getattr(self, name) in known, f"rule.{name}", getattr(self, name), " or ".join(known))
        allowed = "a number >= 0, in nats a token"
        require(self.smallest_effect >= 0, "rule.smallest_effect", self.smallest_effect, allowed)
