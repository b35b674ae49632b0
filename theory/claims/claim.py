"""What a claim is: a statement, its place, three independent checks, and the verdict that they add up to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Source = Literal["paper", "ours"]
Kind = Literal["tight", "upper", "lower", "asymptotic", "equality"]
Verdict = Literal["holds", "holds with a condition", "fails"]


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Attributes
    ----------
    passed : bool
        Whether the statement survived.
    detail : str
        What was computed, with the numbers, in one line.
    """

    passed: bool
    detail: str


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, or one of ours beyond it, with the means to check it.

    Attributes
    ----------
    id : str
        Short name, unique in the registry.
    statement : str
        The claim in one sentence.
    place : str
        Where it stands: "Proposition 4.3", "Appendix B.1", "beyond the paper".
    source : str
        "paper" if the paper states it, "ours" if it was derived here.
    kind : str
        "tight" (inequality attained), "upper", "lower", "asymptotic" or "equality".
    expected : str
        The committed verdict; `gradpower theory check` exits with 1 when a computed one differs.
    symbolic : callable
        Derives the statement in sympy.
    numeric : callable
        Compares numbers over a parameter range with hard corners.
    rigorous : callable or None
        Proves it over a box in ball arithmetic; None where there is nothing of that kind to prove.
    region : callable or None
        Computes the condition that the statement needs and does not name, in one line; None if it needs none.
    paper_value : str
        The number the paper gives, if any.
    """

    id: str
    statement: str
    place: str
    source: Source
    kind: Kind
    expected: Verdict
    symbolic: Callable[[], Check]
    numeric: Callable[[], Check]
    rigorous: Callable[[], Check] | None = None
    region: Callable[[], str] | None = None
    paper_value: str = ""


def our_claim(
    id: str,  # noqa: A002  (the field's own name)
    statement: str,
    kind: Kind,
    symbolic: Callable[[], Check],
    numeric: Callable[[], Check],
    rigorous: Callable[[], Check] | None = None,
    region: Callable[[], str] | None = None,
    *,
    expected: Verdict = "holds",
) -> Claim:
    """Return a claim that is ours, beyond the paper; the fields are those of `Claim`."""
    return Claim(
        id, statement, "beyond the paper", "ours", kind, expected, symbolic, numeric, rigorous, region
    )


@dataclass(frozen=True)
class CheckedClaim:
    """A claim with the outcomes of its checks."""

    claim: Claim
    symbolic: Check
    numeric: Check
    rigorous: Check | None
    region: str

    @property
    def verdict(self) -> Verdict:
        """All checks passed and no condition: it holds; a condition was found: it holds with it; else it fails."""
        checks = (self.symbolic, self.numeric, self.rigorous)
        if not all(check.passed for check in checks if check is not None):
            return "fails"
        return "holds with a condition" if self.region else "holds"

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the committed one."""
        return self.verdict == self.claim.expected


def run_claim(claim: Claim) -> CheckedClaim:
    """Run every check of a claim."""
    return CheckedClaim(
        claim,
        claim.symbolic(),
        claim.numeric(),
        claim.rigorous() if claim.rigorous else None,
        claim.region() if claim.region else "",
    )
