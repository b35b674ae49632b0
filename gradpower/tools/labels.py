"""The labels of verdicts: what the project says of a statement, of its own or of the paper's."""

from __future__ import annotations

from enum import StrEnum


class Label(StrEnum):
    """What is said of a statement.

    Derived statements: "holds" where no check found an exception, "holds for p near 1" where there it does and further
    away not, "fails" where there is a counterexample. Experiments:
    "reproduced" and "not reproduced" by a rule that was declared, "in part" where some of a statement's parts are
    reproduced and others not, "inconclusive at this size" where the answer depends on a choice that the runs cannot
    settle, "not attempted" where nothing was run.

    Examples
    --------
    >>> f"{Label.INCONCLUSIVE}"
    'inconclusive at this size'
    """

    HOLDS = "holds"
    HOLDS_NEAR_1 = "holds for p near 1"
    FAILS = "fails"
    REPRODUCED = "reproduced"
    IN_PART = "in part"
    NOT_REPRODUCED = "not reproduced"
    INCONCLUSIVE = "inconclusive at this size"
    NOT_ATTEMPTED = "not attempted"
