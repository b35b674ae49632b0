"""The labels of verdicts: what the project says of a statement, of its own or of the paper's."""

from __future__ import annotations

from enum import StrEnum


class Label(StrEnum):
    """What is said of a statement; the first three of derived ones, the others of experiments.

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
