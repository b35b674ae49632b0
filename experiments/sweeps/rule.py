"""The significance rule of a study, declared before its runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from experiments.fields import require_field
from experiments.settings import require

CORRECTIONS = ("holm", "bonferroni", "none")


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
    theory.inputs.InputError: rule.alpha: 5 is not allowed; expected a number in (0, 1)
    """

    compared: str
    """Dotted name of the field whose values are compared …"""
    baseline: float
    """… with this one of them."""
    within: str | None = None
    """Field at each of whose values the comparison is made separately."""
    alpha: float = 0.05
    """Probability of at least one false effect (of one for each comparison, without correction)."""
    correction: Literal["holm", "bonferroni", "none"] = "holm"
    """Correction for the number of comparisons."""
    smallest_effect: float = 0.0
    """Smallest difference of losses, in nats a token, that is called an effect."""

    def __post_init__(self) -> None:
        """Check every value; whether the study varies these fields is checked there."""
        require_field(self.compared)
        if self.within is not None:
            require_field(self.within)
            allowed = f"another field than rule.compared = {self.compared}"
            require(self.within != self.compared, "rule.within", self.within, allowed)
        for name in ("baseline", "alpha", "smallest_effect"):
            value = getattr(self, name)
            is_number = (
                isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            )
            require(is_number, f"rule.{name}", value, "a finite number")
        require(0 < self.alpha < 1, "rule.alpha", self.alpha, "a number in (0, 1)")
        require(self.correction in CORRECTIONS, "rule.correction", self.correction, " or ".join(CORRECTIONS))
        allowed = "a number >= 0, in nats a token"
        require(self.smallest_effect >= 0, "rule.smallest_effect", self.smallest_effect, allowed)
