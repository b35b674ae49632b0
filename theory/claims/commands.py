"""The command `gradpower theory check`, and a checked claim as data and as a table."""

from difflib import get_close_matches
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gradpower.tools.errors import require
from gradpower.tools.terminal import Output, OutputFlags
from theory.claims.claim import CHECKS, CheckedClaim, Claim, Finding, run_claim
from theory.claims.registry import CLAIMS

_TABLE = Output()


def check(output: OutputFlags = _TABLE, only: tuple[str, ...] = ()) -> int:
    """Check every claim symbolically, numerically and, where it is an inequality, in ball arithmetic.

    Claims that are named are shown with all that was found. The exit code is 1 if a verdict differs from the committed
    one.

    Parameters
    ----------
    output
        Where the result goes.
    only
        Claims to check, by id or by place ("4.11", "Figure 7"); all if not given.
    """
    chosen = select(only)
    console = Console(stderr=True)
    checked = []
    with console.status("checking claims") as status:
        for claim in chosen:
            status.update(f"checking {claim.id}")
            checked.append(run_claim(claim))
    output.show({"claims": [as_record(c) for c in checked]}, claims_table(checked, evidence=bool(only)))
    return 0 if all(c.as_expected for c in checked) else 1


def as_record(checked: CheckedClaim) -> dict[str, Any]:
    """A checked claim as plain data, for JSON and for the report."""
    claim = checked.claim
    condition = checked.by("condition")
    return {
        "id": claim.id,
        "statement": claim.statement,
        "place": claim.place,
        "source": claim.source,
        "kind": claim.kind,
        **{means: _check(checked.by(means)) for means in CHECKS},
        "region": condition.detail if condition else "",
        "paper_value": claim.paper_value,
        "verdict": checked.verdict,
        "expected": claim.expected,
    }


def _check(finding: Finding | None) -> dict[str, Any] | None:
    if finding is None:
        return None
    return {"passed": finding.passed, "detail": finding.detail, "refutes": finding.refutes}


def claims_table(checked: list[CheckedClaim], *, evidence: bool = False) -> Table:
    """The verdicts as a rich table, with the condition, and what was found: all `evidence`, or only what failed."""
    table = Table(
        title="Claims of Section 4 and beyond", title_justify="left", caption_justify="left", box=SIMPLE
    )
    table.caption = (
        "symbolic, numeric and ball-arithmetic check: ✓ passed, ✗ failed, – nothing of that kind to prove, ! a proved "
        "counterexample to the statement without its condition"
    )
    table.add_column("claim")
    table.add_column("checks", justify="center", no_wrap=True)
    table.add_column("verdict", max_width=12)
    for item in checked:
        notes = [
            f"{finding.means}: {finding.detail}" if finding.passed else f"{finding.means} ✗ {finding.detail}"
            for finding in item.findings
            if evidence or not finding.passed or finding.means == "condition"
        ]
        marks = " ".join(_mark(item.by(means)) for means in CHECKS)
        verdict = item.verdict + ("" if item.as_expected else f" (expected: {item.claim.expected})")
        lines = "\n".join([item.claim.statement, *notes])
        table.add_row(f"[bold]{item.claim.id}[/bold]\n{escape(lines)}", marks, verdict)
    return table


def _mark(check: Finding | None) -> str:
    if check is None:
        return "–"
    return "✗" if not check.passed else "!" if check.refutes else "✓"


def select(only: tuple[str, ...]) -> tuple[Claim, ...]:
    """The claims with these identifiers or at these places, or all.

    "4.3" and "Proposition 4.3" name what stands there, its proof included, and what is ours about it.

    >>> [claim.id for claim in select(("Lemma C.2", "4.9"))]
    ['c2-log-sum', '4.9-unimodal', '4.9-unbounded']
    """
    chosen = []
    for name in only:
        named = [claim for claim in CLAIMS if name.lower() in map(str.lower, _names(claim))]
        near = get_close_matches(name, {each for claim in CLAIMS for each in _names(claim)}, n=3)
        allowed = "a place, as 4.3 or 'Figure 7', or the id of a claim in docs/claims.md"
        require(named, "only", name, f"{allowed} (the nearest: {', '.join(near)})" if near else allowed)
        chosen += [claim for claim in named if claim not in chosen]
    return tuple(chosen) or CLAIMS


def _names(claim: Claim) -> tuple[str, ...]:
    """What a claim may be called: its id, its place, and the place's number, which begins the id of ours about it."""
    place = claim.place.removesuffix(", proof")
    return claim.id, place, place.split()[-1], claim.id.split("-")[0]
