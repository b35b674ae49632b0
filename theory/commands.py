"""The commands `gradpower theory check` and `gradpower theory update`."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from theory.claims import CLAIMS, CheckedClaim, Claim, run_claim
from theory.flags import Example, ExampleFlags, Output, OutputFlags, result_table
from theory.inputs import InputError, count, positive
from theory.update import exact_update, limit_update

_FIGURE_7 = Example()
_TABLE = Output()


def update(
    example: ExampleFlags = _FIGURE_7,
    output: OutputFlags = _TABLE,
    power: float = 1.2,
    step: int | None = None,
) -> None:
    """Compute the mean and root mean square of Adam's update on powered gradients, exactly.

    Parameters
    ----------
    example
        The noise example.
    output
        Where the result goes.
    power
        Power p > 0.
    step
        Step t >= 1 with bias correction; stationarity if not given.

    Examples
    --------
    $ gradpower theory update --power 1.2 --noise-to-signal 10 --json
    """
    positive("power", power)
    if step is not None:
        count("step", step)
    law, setting = example.noise_law, (power, example.mean, example.sigma)
    exact = exact_update(
        *setting, law, beta1=example.beta1, beta2=example.beta2, epsilon=example.epsilon, step=step
    )
    exists = example.sigma == 0 or 2 * power < law.moment_limit
    values: dict[str, Any] = {
        "update": float(exact.drift),
        "rms": float(exact.rms),
        "update_to_rms": float(exact.drift_to_rms),
        "limit": float(limit_update(*setting, law, epsilon=example.epsilon)) if exists else None,
    }
    title = (
        f"Adam's update on sign(g)|g|^{power:g}, {example.law} noise, σ/μ = {example.sigma / example.mean:g}"
    )
    table = result_table(title, {name.replace("_", " "): [value] for name, value in values.items()})
    if not exists:
        table.caption = f"no limit β → 1: {law.name} has no moment of order 2p = {2 * power:g}"
    output.show({**values, "power": power, "step": step, **example.inputs()}, table)


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
    """The verdicts as a rich table: one line a claim, then what each check found."""
    table = Table(title="Claims of Section 4.1 and beyond", title_justify="left", show_lines=True)
    for heading in ("claim", "statement and what was found", "sym", "num", "ball", "verdict"):
        table.add_column(heading, justify="center" if len(heading) < 5 else "left")
    for item in checked:
        outcomes = (item.symbolic, item.numeric, item.rigorous)
        found = [f"[dim]{check.detail}[/dim]" for check in outcomes if check is not None]
        if item.region:
            found.append(f"condition: {item.region}")
        marks = ["–" if check is None else "✓" if check.passed else "✗" for check in outcomes]
        surprise = "" if item.as_expected else f" (expected: {item.claim.expected})"
        label = f"{item.claim.id}\n[dim]{item.claim.place}, {item.claim.source}[/dim]"
        table.add_row(label, "\n".join([item.claim.statement, *found]), *marks, item.verdict + surprise)
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
