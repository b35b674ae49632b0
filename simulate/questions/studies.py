"""The studies behind the six questions, and their result file."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from gradpower.tools.files import write_file
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


QUESTIONS: dict[str, Callable[[Size], list[Any]]] = {
    "bounds": bounds.run,
    "rates": rates.run,
    "gains": gains.run,
    "extremes": extremes.run,
    "unbounded": unbounded.run,
}


def run_studies(size: Size, folder: Path) -> Studies:
    """Run the studies, but for those that an interrupted run of the same code and size has left in `folder`."""
    rows: dict[str, Any] = {}
    for name, study in QUESTIONS.items():
        path = folder / f"{name}-{_mark(size)}.json"
        kind = get_type_hints(Studies)[name]
        try:
            rows[name] = msgspec.convert(json.loads(path.read_text(encoding="utf-8")), kind)
        except (OSError, ValueError):  # there is none, or it is damaged
            rows[name] = study(size)
            write_file(path, json.dumps(msgspec.to_builtins(rows[name])))
    return Studies(**rows)


def _mark(size: Size) -> str:
    """Fingerprint of the size, and of the packages that the studies run in."""
    digest = hashlib.sha256(repr(size).encode())
    root = Path(__file__).resolve().parents[2]
    for path in sorted((*(root / "simulate").rglob("*.py"), *(root / "theory").rglob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
