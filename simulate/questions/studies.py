"""The studies behind the six questions: all of them run, and their result file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gradpower.tools.results import Kind, Provenance
from gradpower.tools.terminal import Progress, progress_bar
from simulate.questions import bounds, extremes, gains, rates, unbounded
from simulate.questions.planning import Size


@dataclass(frozen=True)
class Studies:
    """The rows of every study."""

    bounds: list[bounds.BoundedArm]
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
QUESTIONS: dict[str, Callable[[Size, Progress], list[Any]]] = {
    "bounds": bounds.run,
    "rates": rates.run,
    "gains": gains.run,
    "extremes": extremes.run,
    "unbounded": unbounded.run,
}


def run_studies(size: Size) -> Studies:
    """Run the studies."""
    rows = {}
    for name, study in QUESTIONS.items():
        with progress_bar(f"study of {name}") as progress:
            rows[name] = study(size, progress or (lambda done, total: None))
    return Studies(**rows)
