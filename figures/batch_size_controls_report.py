"""What the controls of the study of batch sizes say, for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.sweeps.contrasts import AS_RUN
from experiments.sweeps.verdict import primary_view
from figures.batch_size_verdict import difference_text
from figures.markdown import markdown_table

Data = Mapping[str, Any]
_LEFT = """\
What each control leaves of the trend: the differences from p = 1 at either end of the batch sizes, their change, and
how much of the change as run, in the same seeds, it takes away. A control that explained the trend would take all."""
_RATES = """\
Losses by learning rate at p = 1, on a seed of its own; one seed's losses scatter as much as neighbours on the grid
differ."""
_TUNED = """\
Mean losses by learning rate and power over the seeds of the control of tuned rates. A best loss at an end of its column
is a bound only."""


def control_parts(found: Data) -> list[str]:
    """Return the Markdown of rates, controls, and what they leave of the trend.

    Parameters
    ----------
    found : mapping
        From `figures.batch_size.collect`.
    """
    parts = []
    if found["rates"]:
        parts += [f"{_RATES} {_chosen(found)}".strip(), rate_table(found["rates"])]
    if found["tuned_rates"]:
        parts += [_TUNED, rate_table(found["tuned_rates"])]
    if found["contrasts"]:
        parts += ["#### Controls", _controls_text(found), control_table(found["contrasts"])]
    if any(row["control"] != AS_RUN for row in found["interactions"]):
        parts += [_LEFT, interaction_table(found)]
    return parts


def _chosen(found: Data) -> str:
    """Say where the comparison was not made at the best rate of the table."""
    said = []
    for batch, about in found["about"]["batches"].items():
        losses = {r["rate"]: r["loss"] for r in found["rates"] if str(r["batch_size"]) == batch and r["loss"]}
        best = min(losses, key=lambda rate: losses[rate], default=None)
        if best is not None and best != about["rate"]:
            said.append(f"{best:g} at batch {batch}, where the comparison has {about['rate']:g}")
    if not said:
        return "The comparison is made at the best of each batch size."
    return (
        f"The best are not those of the comparison everywhere: {'; '.join(said)}. What was known when those were "
        "chosen is in the design."
    )


def rate_table(rates: Sequence[Data]) -> str:
    """Return the losses by learning rate, batch size and power as a Markdown table; the best of a column is bold."""
    columns = sorted({(row["batch_size"], row["power"]) for row in rates})
    loss = {(row["rate"], row["batch_size"], row["power"]): row["loss"] for row in rates}
    best = {
        column: min((x for key, x in loss.items() if key[1:] == column and x is not None), default=None)
        for column in columns
    }

    def cell(rate: float, column: tuple[int, float]) -> str:
        key = (rate, *column)
        if key not in loss:
            return "–"
        if loss[key] is None:
            return "diverged"
        return f"**{loss[key]:.4f}**" if loss[key] == best[column] else f"{loss[key]:.4f}"

    rows = [
        [f"{rate:.3g}", *(cell(rate, column) for column in columns)]
        for rate in sorted({row["rate"] for row in rates})
    ]
    one = len({power for _, power in columns}) == 1
    names = [f"batch {batch}" + ("" if one else f", p = {power:g}") for batch, power in columns]
    return markdown_table(["learning rate", *names], rows)


def _controls_text(found: Data) -> str:
    ratios = "; ".join(
        f"batch {batch}: {row['ratio']:.3f}"
        + (f" ± {row['standard_error']:.3f}" if row["standard_error"] else "")
        for batch, row in found["damping"].items()
    )
    done = ", ".join(
        f"{part} {count['done']} of {count['planned']}"
        for part, count in found["about"]["parts"].items()
        if part != "main"
    )
    return (
        "Loss at p less that at p = 1, mean over paired seeds [95 % t interval], and its change by the control. "
        "The rows *as run* are over more seeds than most controls have, the column over a control's own. Runs "
        f"done: {done}. Measured RMS of the updates of p = 1.2 over those of p = 1: {ratios}."
    )


def control_table(contrasts: Sequence[Data]) -> str:
    """Return the controls as a Markdown table."""
    rows = [
        [
            str(row["batch_size"]),
            f"{row['power']:g}",
            row["control"],
            f"unstable: {row['diverged']} diverged"
            if row["statistics"] is None
            else difference_text(row["statistics"]),
            "–" if row["as_run"] is None else f"{row['as_run']:+.4f}",
            "–" if row["change"] is None else difference_text(row["change"]),
            str(len(row["differences"])),
        ]
        for row in contrasts
    ]
    return markdown_table(
        ["batch size", "p", "control", "difference", "as run, same seeds", "change by the control", "seeds"],
        rows,
    )


def interactions_text(found: Data) -> str:
    """Say how differences change with the batch size, whatever the curves' shapes."""
    rows = [r for r in found["interactions"] if r["control"] == AS_RUN and r["change"] is not None]
    if not rows:
        return ""
    small, large = rows[0]["batch_sizes"]
    said = [
        f"p = {row['power']:g}: from {row['differences'][0]:+.4f} ({_lower(found, small, row['power'])}) to "
        f"{row['differences'][1]:+.4f} ({_lower(found, large, row['power'])}), a change of "
        f"{difference_text(row['change'])}"
        for row in rows
    ]
    return (
        f"Without any best power: mean loss less that of p = 1, from batch {small} to batch {large} over paired seeds "
        f"[95 % t interval; not declared beforehand]: {'; '.join(said)}. The paper's claim asks for a rise at p = 1.2 "
        "and a fall at p = 0.8."
    )


def _lower(found: Data, batch: int, power: float) -> str:
    """Say in how many seeds a power has the lower loss, and the median difference."""
    groups = (group for group in primary_view(found["main"])["groups"] if group["within"] == batch)
    differences = [
        d for g in groups for c in g["comparisons"] if c["value"] == power for d in c["differences"]
    ]
    lower = sum(d < 0 for d in differences)
    return f"lower in {lower} of {len(differences)} seeds, median {np.median(differences):+.4f}"


def interaction_table(found: Data) -> str:
    """Return as a Markdown table what each control leaves of the change with the batch size."""
    rows = []
    for row in found["interactions"]:
        known = row["change"] is not None
        ends = [f"{difference:+.4f}" for difference in row["differences"]] if known else ["–", "–"]
        change = difference_text(row["change"]) if known else f"unstable: {row['diverged']} diverged"
        same = "–" if row["as_run"] is None else f"{row['as_run']:+.4f}"
        removed = "–" if row["removed"] is None else difference_text(row["removed"])
        rows.append([row["control"], f"{row['power']:g}", *ends, change, same, removed, str(row["seeds"])])
    ends = [f"at batch {size}" for size in found["interactions"][0]["batch_sizes"]]
    headings = ["control", "p", *ends, "change between them", "as run, same seeds", "taken away", "seeds"]
    return markdown_table(headings, rows)
