"""The labels of verdicts: what the project says of a statement, of its own or of the paper's."""

from enum import StrEnum


class Label(StrEnum):
    """What is said of a statement: the first three of a derived one, the others of an experiment.

    >>> f"{Label.INCONCLUSIVE}"
    'inconclusive at this size'
    """

    HOLDS = "holds"  # no check found an exception
    HOLDS_WITH_CONDITION = "holds with a condition"  # that the statement does not name
    FAILS = "fails"  # a check refuted it, or could not prove what it should

    REPRODUCED = "reproduced"  # by a rule that was declared beforehand, as are the next two
    IN_PART = "in part"  # some of a statement's parts are reproduced and others not
    NOT_REPRODUCED = "not reproduced"
    INCONCLUSIVE = "inconclusive at this size"  # the answer depends on a choice that the runs cannot settle
    NOT_ATTEMPTED = "not attempted"
