"""The studies behind the six questions: all of them run, each kept at once, and their result file."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from gradpower.tools.files import write_file
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


def run_studies(size: Size, folder: Path) -> Studies:
    """Run the studies, but for those that an interrupted run of the same code and size has left in `folder`."""
    done: dict[str, list[Any]] = {}
    mark = {"size": asdict(size), "code": _code()}
    for name, study in QUESTIONS.items():
        path = folder / f"{name}.json"
        kept: dict[str, Any] = {}
        with suppress(OSError, ValueError):  # there is none, or it is damaged
            kept = json.loads(path.read_text(encoding="utf-8"))
        if kept.get("mark") != mark:
            try:
                with progress_bar(f"study of {name}") as progress:
                    rows = study(size, progress or (lambda done, total: None))
            except KeyboardInterrupt:
                if done:
                    print(f"{', '.join(done)} kept in {folder}: the same command goes on", file=sys.stderr)
                raise
            kept = {"mark": mark, "rows": msgspec.to_builtins(rows)}
            write_file(path, json.dumps(kept))
        done[name] = msgspec.convert(kept["rows"], get_type_hints(Studies)[name])
    return Studies(**done)


def _code() -> str:
    """Fingerprint of the packages that the studies run in."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parents[2]
    for package in ("simulate", "theory"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
