"""What the controls of the study of batch sizes say, for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.sweeps.contrasts import AS_RUN
from figures.batch_size_verdict import difference_text
from figures.markdown import markdown_table

Data = Mapping[str, Any]
_LEFT = """\
What each control leaves of the trend: the differences from p = 1 at either end of the batch sizes, their change, and
that change over the one as run in the same seeds: 1 leaves it all, 0 explains it away."""


def control_parts(found: Data) -> list[str]:
    """Return the Markdown of rates, controls, and what they leave of the trend.

    Parameters
    ----------
    found : mapping
        From `figures.batch_size.collect`.
    """
    parts = []
    if found["rates"]:
        parts += ["Losses by learning rate at p = 1, before the comparison:", rate_table(found["rates"])]
    if found["contrasts"]:
        parts += ["#### Controls", _controls_text(found), control_table(found["contrasts"])]
    if any(row["control"] != AS_RUN for row in found["interactions"]):
        parts += [_LEFT, interaction_table(found)]
    return parts


def rate_table(rates: Sequence[Data]) -> str:
    """Return the losses by learning rate and batch size as a Markdown table."""
    batches = sorted({row["batch_size"] for row in rates})
    grid = sorted({row["rate"] for row in rates})
    loss = {(row["batch_size"], row["rate"]): row["loss"] for row in rates}
    rows = [
        [
            f"{rate:g}",
            *(
                "–"
                if (batch, rate) not in loss
                else "diverged"
                if loss[batch, rate] is None
                else f"{loss[batch, rate]:.4f}"
                for batch in batches
            ),
        ]
        for rate in grid
    ]
    return markdown_table(["learning rate", *(f"batch {batch}" for batch in batches)], rows)


def _controls_text(found: Data) -> str:
    ratios = "; ".join(
        f"batch {batch}: {row['ratio']:.3f}"
        + (f" ± {row['standard_error']:.3f}" if row["standard_error"] else "")
        for batch, row in found["damping"].items()
    )
    return (
        "Loss at p less that at p = 1, mean over paired seeds [95 % t interval], and its change by the control. "
        f"Measured RMS of the updates of p = 1.2 over those of p = 1: {ratios}."
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
            "–" if row["change"] is None else difference_text(row["change"]),
            str(len(row["differences"])),
        ]
        for row in contrasts
    ]
    return markdown_table(["batch size", "p", "control", "difference", "change", "seeds"], rows)


def interactions_text(found: Data) -> str:
    """Say how differences change with the batch size, whatever the curves' shapes."""
    rows = [row for row in found["interactions"] if row["control"] == AS_RUN]
    if not rows:
        return ""
    small, large = rows[0]["batch_sizes"]
    said = [
        f"p = {row['power']:g}: from {row['differences'][0]:+.4f} to {row['differences'][1]:+.4f}, a change of "
        f"{difference_text(row['change'])}"
        for row in rows
    ]
    return (
        f"Without any best power: mean loss less that of p = 1, from batch {small} to batch {large} over paired seeds "
        f"[95 % t interval; not declared beforehand]: {'; '.join(said)}. The paper's claim asks for a rise at p = 1.2 "
        "and a fall at p = 0.8."
    )


def interaction_table(found: Data) -> str:
    """Return as a Markdown table what each control leaves of the change with the batch size."""
    rows = [
        [
            row["control"],
            f"{row['power']:g}",
            *(f"{difference:+.4f}" for difference in row["differences"]),
            difference_text(row["change"]),
            "–" if row["share"] is None else f"{row['share']:.2f}",
            str(row["change"]["seeds"]),
        ]
        for row in found["interactions"]
    ]
    ends = [f"at batch {size}" for size in found["interactions"][0]["batch_sizes"]]
    return markdown_table(["control", "p", *ends, "change", "of as run", "seeds"], rows)
