"""Test problems for Adagrad on powered gradients, by name, with the constants of Section 4.2.

==================  ===================================================================================
`geman-mcclure`     1-D, non-convex, bounded gradients
`separable:D`       D copies of it with curvatures from 1 down to 10⁻³
`river-valley`      2-D, steep walls and a gentle, bending river
`logistic:D`        logistic regression with a non-convex regulariser; its minimum is bounded, not known
`quadratic:D`       the noisy quadratic; gradients without bound, outside the theorems
`plateau`           1-D, started where the gradient is tiny
`pseudo-huber`      1-D, convex, started where the gradient is nearly at its bound
==================  ===================================================================================
"""

from collections.abc import Callable

from gradpower.tools.errors import require
from simulate.problems.base import Problem
from simulate.problems.logistic import Logistic
from simulate.problems.one_dimensional import Plateau, PseudoHuber
from simulate.problems.river_valley import RiverValley
from simulate.problems.separable import GemanMcClure, Quadratic, Separable

__all__ = ["Problem", "parse_problem"]

_PLAIN: dict[str, Callable[[], Problem]] = {
    "geman-mcclure": GemanMcClure,
    "river-valley": RiverValley,
    "plateau": Plateau,
    "pseudo-huber": PseudoHuber,
}
# With the largest dimension.
_SIZED: dict[str, tuple[Callable[[int], Problem], int]] = {
    "separable": (Separable, 10_000),
    "logistic": (Logistic, 500),
    "quadratic": (Quadratic, 10_000),
}
_ALLOWED = ", ".join(_PLAIN) + ", " + " or ".join(f"{kind}:D" for kind in _SIZED)


def parse_problem(name: str | Problem) -> Problem:
    """Return the problem that `name` spells; a problem is returned as it is.

    InputError for an unknown name, or a dimension out of range.

    >>> parse_problem("separable:8").dimension
    8
    """
    if isinstance(name, Problem):
        return name
    kind, colon, size = name.partition(":")
    if kind in _PLAIN and not colon:
        return _PLAIN[kind]()
    require(kind in _SIZED, "problem", name, _ALLOWED)
    build, largest = _SIZED[kind]
    dimension = int(size) if size.isdecimal() and size.isascii() else 0
    require(1 <= dimension <= largest, "problem", name, f"{kind}:D with a whole number D from 1 to {largest}")
    return build(dimension)
