"""The labels of verdicts: what the project says of a statement, of its own or of the paper's."""

from __future__ import annotations

from enum import StrEnum


class Label(StrEnum):
    """What is said of a statement: the first three of a derived one, the others of an experiment.

    Examples
    --------
    >>> f"{Label.INCONCLUSIVE}"
    'inconclusive at this size'
    """

    HOLDS = "holds"
    """No check found an exception."""
    HOLDS_WITH_CONDITION = "holds with a condition"
    """It does where a condition is met, too, that the statement does not name."""
    FAILS = "fails"
    """A check refuted it, or could not prove what it should."""
    REPRODUCED = "reproduced"
    """By a rule that was declared beforehand."""
    IN_PART = "in part"
    """Some of a statement's parts are reproduced and others not."""
    NOT_REPRODUCED = "not reproduced"
    """By a rule that was declared beforehand."""
    INCONCLUSIVE = "inconclusive at this size"
    """The answer depends on a choice that the runs cannot settle."""
    NOT_ATTEMPTED = "not attempted"
    """Nothing was run."""
