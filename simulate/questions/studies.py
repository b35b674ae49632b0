"""The studies behind the six questions, and their result file."""

from __future__ import annotations

from dataclasses import dataclass

from gradpower.tools.results import Kind, Provenance
from simulate.adagrad.bounds import BoundedArm
from simulate.questions import bounds, extremes, gains, rates, unbounded
from simulate.questions.planning import Size


@dataclass(frozen=True)
class Studies:
    """The rows of every study."""

    bounds: list[BoundedArm]
    rates: list[rates.Exponents]
    gains: list[gains.Gain]
    extremes: list[extremes.Extreme]
    unbounded: list[unbounded.UnboundedArm]

    @property
    def violated(self) -> bool:
        """Whether a bound is violated."""
        return any(row.violated for rows in (self.bounds, self.unbounded) for row in rows)


@dataclass(frozen=True)
class ConvergenceResults:
    """The content of results/convergence.json."""

    provenance: Provenance[Size]
    studies: Studies


CONVERGENCE = Kind("convergence", ConvergenceResults, digits=6)


def run_studies(size: Size) -> Studies:
    """Run the studies, one after the other."""
    return Studies(
        bounds.run(size), rates.run(size), gains.run(size), extremes.run(size), unbounded.run(size)
    )
