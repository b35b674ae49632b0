"""What a claim is: a statement, its place, the findings that bear on it, and the verdict that they add up to.

A claim is written as a function. Its docstring is the statement; it yields what was found, one finding a means:

>>> @claim("cosine", "Example 0.1", "upper")
... def cosine() -> Findings:
...     '''The cosine is at most 1.'''
...     yield symbolic("1 − cos²x = sin²x >= 0", True)
...     yield numeric("at x = 0: 1", 1.0 <= 1)
>>> print(run_claim(cosine).verdict)
holds
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import sympy as sp

from gradpower.tools.labels import Label

Kind = Literal["tight", "upper", "lower", "asymptotic", "equality"]
Means = Literal["symbolic", "numeric", "rigorous", "condition"]
CHECKS: tuple[Means, Means, Means] = ("symbolic", "numeric", "rigorous")
BEYOND = "beyond the paper"  # the place of claims that are ours


class Truth(Protocol):
    """What is true or false by itself: not a list, which would be true whatever it holds."""

    def __bool__(self) -> bool:
        """True or false."""
        ...


@dataclass(frozen=True)
class Finding:
    """The outcome of one check of a statement, or the condition that it needs and does not name."""

    means: Means
    """"symbolic": derived in sympy; "numeric": computed over a parameter range with hard corners; "rigorous":
    proved over a box in ball arithmetic; "condition": where it holds."""
    passed: bool
    """Whether the statement survived."""
    detail: str
    """What was computed, with the numbers, in one line."""
    refutes: bool = False
    """Whether it is a counterexample to the statement without its condition, not a proof of it."""


Findings = Iterator[Finding]


def _found(means: Means, detail: str, passed: Truth, *more: Truth) -> Finding:
    """What these means showed, and whether every part of it came out."""
    return Finding(means, all(map(bool, (passed, *more))), detail)


symbolic, numeric, rigorous = (partial(_found, means) for means in CHECKS)


def condition(detail: str) -> Finding:
    """The condition that the statement needs and does not name."""
    return Finding("condition", True, detail)


def boxed(detail: str, *proofs: tuple[bool, int], besides: Truth = True) -> Finding:
    """What `theory.numerics.balls.proved` over boxes, whose number stands for "{boxes}" in the detail."""
    boxes = sum(count for _, count in proofs)
    return rigorous(detail.replace("{boxes}", str(boxes)), besides, *(done for done, _ in proofs))


def vanish(*expressions: sp.Expr) -> bool:
    """Whether sympy simplifies all of them to 0."""
    return all(sp.simplify(expression) == 0 for expression in expressions)


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, or one of ours beyond it, with the means to check it."""

    id: str
    """Short name, unique in the registry."""
    statement: str
    """The claim in one sentence."""
    place: str
    """Where it stands: "Proposition 4.3", "Appendix B.1", "beyond the paper"."""
    kind: Kind
    """"tight" (inequality attained), "upper", "lower", "asymptotic" or "equality"."""
    check: Callable[[], Findings]
    """Yields a symbolic and a numeric finding, a rigorous one where there is anything of that kind to prove, and
    the condition if there is one."""
    expected: Label = Label.HOLDS
    """The committed verdict; `gradpower theory check` exits with 1 when a computed one differs."""
    paper_value: str = ""
    """The number the paper gives, if any."""

    @property
    def source(self) -> Literal["paper", "ours"]:
        """Who states it."""
        return "ours" if self.place == BEYOND else "paper"


def claim(
    id: str,  # noqa: A002  (the field's own name)
    place: str,
    kind: Kind,
    *,
    expected: Label = Label.HOLDS,
    paper_value: str = "",
) -> Callable[[Callable[[], Findings]], Claim]:
    """Turn a function that yields findings into the claim that its docstring states; the rest is as in `Claim`."""

    def declared(check: Callable[[], Findings]) -> Claim:
        return Claim(id, " ".join((check.__doc__ or "").split()), place, kind, check, expected, paper_value)

    return declared


@dataclass(frozen=True)
class CheckedClaim:
    """A claim with what was found."""

    claim: Claim
    findings: tuple[Finding, ...]

    def by(self, means: Means) -> Finding | None:
        """The finding by these means, if there is one."""
        return next((finding for finding in self.findings if finding.means == means), None)

    @property
    def verdict(self) -> Label:
        """What the findings add up to."""
        if not all(finding.passed for finding in self.findings):
            return Label.FAILS
        return Label.HOLDS_WITH_CONDITION if self.by("condition") else Label.HOLDS

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the committed one."""
        return self.verdict == self.claim.expected


def run_claim(claim: Claim) -> CheckedClaim:
    """Run every check of a claim."""
    return CheckedClaim(claim, tuple(claim.check()))


def claims_in(names: Mapping[str, Any]) -> tuple[Claim, ...]:
    """The claims among a module's names, in the order in which they stand there."""
    return tuple(value for value in names.values() if isinstance(value, Claim))
