"""The result file of the theory, results/theory.json; those of other packages are declared where they are computed."""

from dataclasses import dataclass

import msgspec

from figures.adam.example import Setting
from gradpower.tools.labels import Label
from gradpower.tools.results import Kind, Provenance


class BestPower(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """An optimal power, and the edge of the search that it lies at ("low" or "high"), if any.

    `bounds` are the proposition's, `power_interval` is the Monte Carlo's 95 % interval.
    """

    power: float
    at_edge: str | None
    bounds: tuple[float, float] | None = None
    power_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class OptimalPowers:
    """The optimal power of one law and ratio, by every method that can tell; `drift_to_rms` is that of E u/√(E u²)."""

    law: str
    noise_to_signal: float
    proposition: BestPower | None
    limit: BestPower
    exact: BestPower
    monte_carlo: BestPower | None
    drift_to_rms: BestPower


@dataclass(frozen=True)
class CheckRecord:
    """The outcome of one check of a claim."""

    passed: bool
    detail: str
    refutes: bool = False
    """Whether it is a counterexample to the statement without its condition."""


@dataclass(frozen=True)
class ClaimRecord:
    """A claim with its checks and verdict, as `theory.claims.commands.as_record` gives it."""

    id: str
    statement: str
    place: str
    source: str
    kind: str
    symbolic: CheckRecord | None
    numeric: CheckRecord | None
    rigorous: CheckRecord | None
    region: str
    paper_value: str
    verdict: Label
    expected: Label


@dataclass(frozen=True)
class TheoryResults:
    """The content of results/theory.json."""

    provenance: Provenance[Setting]
    optimal_powers: list[OptimalPowers]
    claims: list[ClaimRecord]


THEORY = Kind("theory", TheoryResults, digits=10)
