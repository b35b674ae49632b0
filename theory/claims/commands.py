"""The command `gradpower theory check`, and a checked claim as data and as a table."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gradpower.tools.errors import InputError
from gradpower.tools.terminal import Output, OutputFlags
from theory.claims import CLAIMS, CheckedClaim, Claim, run_claim

_TABLE = Output()


def check(output: OutputFlags = _TABLE, only: tuple[str, ...] = ()) -> int:
    """Check every claim symbolically, numerically and, where it is an inequality, in ball arithmetic.

    The exit code is 1 if a verdict differs from the committed one.

    Parameters
    ----------
    output
        Where the result goes.
    only
        Identifiers of the claims to check; all if not given.

    Examples
    --------
    $ gradpower theory check --only 4.3-unique 4.3-theta
    """
    chosen = select(only)
    console = Console(stderr=True)
    checked = []
    with console.status("checking claims") as status:
        for claim in chosen:
            status.update(f"checking {claim.id}")
            checked.append(run_claim(claim))
    output.show({"claims": [as_record(c) for c in checked]}, claims_table(checked))
    return 0 if all(c.as_expected for c in checked) else 1


def as_record(checked: CheckedClaim) -> dict[str, Any]:
    """A checked claim as plain data, for JSON and for the report."""
    claim = checked.claim
    outcomes = {"symbolic": checked.symbolic, "numeric": checked.numeric, "rigorous": checked.rigorous}
    return {
        "id": claim.id,
        "statement": claim.statement,
        "place": claim.place,
        "source": claim.source,
        "kind": claim.kind,
        **{k: None if c is None else {"passed": c.passed, "detail": c.detail} for k, c in outcomes.items()},
        "region": checked.region,
        "paper_value": claim.paper_value,
        "verdict": checked.verdict,
        "expected": claim.expected,
    }


def claims_table(checked: list[CheckedClaim]) -> Table:
    """The verdicts as a rich table; what a check found is told where it failed or found a condition."""
    table = Table(
        title="Claims of Section 4 and beyond", title_justify="left", caption_justify="left", box=SIMPLE
    )
    table.caption = (
        "symbolic, numeric and ball-arithmetic check: ✓ passed, ✗ failed, – nothing of that kind to prove"
    )
    table.add_column("claim")
    table.add_column("checks", justify="center", no_wrap=True)
    table.add_column("verdict", max_width=12)
    for item in checked:
        outcomes = (item.symbolic, item.numeric, item.rigorous)
        notes = [f"✗ {check.detail}" for check in outcomes if check is not None and not check.passed]
        if item.region:
            notes.append(f"condition: {item.region}")
        marks = " ".join("–" if check is None else "✓" if check.passed else "✗" for check in outcomes)
        verdict = item.verdict + ("" if item.as_expected else f" (expected: {item.claim.expected})")
        lines = "\n".join([item.claim.statement, *notes])
        table.add_row(f"[bold]{item.claim.id}[/bold]\n{escape(lines)}", marks, verdict)
    return table


def select(only: tuple[str, ...]) -> tuple[Claim, ...]:
    """The claims with these identifiers, or all.

    Raises
    ------
    InputError
        For an identifier that no claim has.
    """
    known = {claim.id: claim for claim in CLAIMS}
    for name in only:
        if name not in known:
            raise InputError("only", name, "one of " + ", ".join(known))
    return tuple(known[name] for name in only) or CLAIMS
