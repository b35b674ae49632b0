"""The study of batch size and power in the report, from the result file alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.noise.prediction import LAWS, VARIANTS
from experiments.sweeps.ablation import FLAT, RIVAL
from experiments.sweeps.contrasts import AS_RUN
from experiments.sweeps.verdict import early_view, primary_view
from figures.batch_size_cost import cost_table, cost_text
from figures.batch_size_noise import noise_table, noise_text
from figures.batch_size_verdict import moves, verdict
from figures.markdown import markdown_table

Data = Mapping[str, Any]
_HEADING = "## Figures 2 and 6: the best power and the batch size"
_WHAT = """\
The design was written before the runs and stands, with dated changes, in `results/batch_size/design.md`; the small
files of all runs are in `results/batch_size`."""
_INTRODUCTION = """\
`{command} --snapshots 0.01 0.1 0.5 1` runs it, and `gradpower batch-size --scale {scale}` judges and draws it. The
recipe `{recipe}` with {parameters:.3g}M parameters on {tokens:.4g}M tokens in every run: {batches}. {done} of {planned}
runs are done. **{size}: it says nothing certain about the paper's.**"""
_LEFT = """\
What each control leaves of the trend: the differences from p = 1 at either end of the batch sizes, their change, and
that change over the one as run in the same seeds: 1 leaves it all, 0 explains it away."""
_SIZES = {
    "pocket": "This is a size for two CPU cores",
    "paper": "This is the paper's model and data, not its machine",
}


def batch_size_parts(content: Mapping[str, Any] | None) -> list[str]:
    """Return the Markdown of the section."""
    if content is None:
        text = (
            "No verdict here yet: `gradpower sweep batch-size --scale pocket` takes hours on two CPU cores. The "
            "design, written before the runs, is in `results/batch_size/design.md`."
        )
        return [_HEADING, text]
    parts = [part for found in content["scales"].values() for part in _scale_parts(found)]
    return [_HEADING, _WHAT, *parts, "### What it takes", cost_text(content), cost_table(content)]


def _scale_parts(found: Data) -> list[str]:
    parts = [f"### At the scale {found['scale']}", _introduction(found), f"**Verdict.** {verdict(found)}"]
    parts += [
        _best_table(found),
        _power_text(found),
        _false_falls(found),
        _interactions(found),
        _figure_2(found),
        _early(found),
    ]
    if found["rates"]:
        parts += ["Losses by learning rate at p = 1, before the comparison:", rate_table(found["rates"])]
    if found["contrasts"]:
        parts += ["#### Controls", _controls_text(found), control_table(found["contrasts"])]
    if any(row["control"] != AS_RUN for row in found["interactions"]):
        parts += [_LEFT, interaction_table(found)]
    if found["noise"]:
        parts += [
            "#### Gradient noise along the training",
            noise_text(found["noise"]),
            noise_table(found["noise"]),
        ]
    if found["ablation"]:
        parts += ["#### Does the theory know it?", theory_text(found), ablation_table(found)]
        parts += [ingredients_text(found)]
    return [part for part in parts if part]


def _introduction(found: Data) -> str:
    about = found["about"]
    batches = ", ".join(
        f"batch {size} ({row['steps']} steps, rate {row['rate']:g})" for size, row in about["batches"].items()
    )
    return _INTRODUCTION.format(
        scale=found["scale"],
        parameters=about["parameters"] / 1e6,
        tokens=about["tokens"] / 1e6,
        command=about["command"],
        recipe=about["recipe"],
        batches=batches,
        done=about["done"],
        planned=about["planned"],
        size=_SIZES.get(found["scale"], "This is a size for one GPU"),
    )


def best_columns(found: Data) -> dict[str, list[str]]:
    """Return by heading what was found at each batch size: the best powers, and which differ from p = 1."""
    names = ("lower", "higher")
    columns: dict[str, list[str]] = {
        "batch size": [],
        "best p of the grid": [],
        "best p of a parabola [95 %]": [],
        "p with lower loss than p = 1": [],
        "p with higher loss": [],
        "sd of p = 1 over seeds": [],
    }
    for row, group in zip(found["measured"], primary_view(found["main"])["groups"], strict=True):
        spread = group["baseline_spread"]
        said = [
            ", ".join(f"{c['value']:g}" for c in group["comparisons"] if c["decision"] == name) or "none"
            for name in names
        ]
        cells = [str(row["batch_size"]), best_of_grid(row), best_power(row), *said]
        cells.append("–" if spread is None else f"{spread:.4f}")
        for column, cell in zip(columns.values(), cells, strict=True):
            column.append(cell)
    return columns


def _best_table(found: Data) -> str:
    columns = best_columns(found)
    return markdown_table(list(columns), [list(row) for row in zip(*columns.values(), strict=True)])


def best_of_grid(row: Data) -> str:
    """Return the best power of the grid; an end of it is a bound only.

    >>> best_of_grid({"grid": 1.5, "at_edge": "high"}), best_of_grid({"grid": None, "at_edge": None})
    ('1.5 (an end)', '–')
    """
    if row["grid"] is None:
        return "–"
    return f"{row['grid']:g}" + (" (an end)" if row["at_edge"] else "")


def best_power(row: Data) -> str:
    """Return the best power of a parabola with its interval, or why there is none.

    >>> best_power({"status": "at the edge", "power": 1.5, "low": None, "high": None, "interval_kind": None})
    'at the end 1.50'
    """
    if row["status"] == "at the edge":
        return f"at the end {row['power']:.2f}"
    if row["status"] != "interior":
        return str(row["status"])
    if row["low"] is None:
        return f"{row['power']:.2f} [{row['interval_kind']}]"
    return f"{row['power']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _power_text(found: Data) -> str:
    difference, slope = found["power"]["difference"], found["power"]["slope"]
    parts = []
    if difference is not None:
        parts.append(
            f"a difference of losses of {difference:.3f} nats a token, by the median of its comparisons"
        )
    if slope is not None:
        parts.append(
            f"by a t test of the slope, a change of the best power by {slope:.2f} for every factor e"
        )
    said = "; ".join(parts) or "not known yet, with so few seeds"
    return f"What this study would have seen with probability 0.8, at its own spread over seeds: {said}."


def _false_falls(found: Data) -> str:
    share = found["false_falls"]
    if share is None:
        return ""
    return (
        f"Page's test is made for curves of one shape. With one best power at all batch sizes, but curves as unequal "
        f"as these seeds allow, it would call a fall in {share['share']:.0%} ± {share['standard_error']:.1%} of such "
        f"studies (simulated) instead of {found['main']['rule']['alpha']:.0%}: where the loss is flat in p, the best "
        "of the grid drifts to its middle."
    )


def _interactions(found: Data) -> str:
    """Say how differences change with the batch size, whatever the curves' shapes."""
    rows = [row for row in found["interactions"] if row["control"] == AS_RUN]
    if not rows:
        return ""
    small, large = rows[0]["batch_sizes"]
    said = [
        f"p = {row['power']:g}: from {row['differences'][0]:+.4f} to {row['differences'][1]:+.4f}, a change of "
        f"{_difference(row['change'])}"
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
            _difference(row["change"]),
            "–" if row["share"] is None else f"{row['share']:.2f}",
            str(row["change"]["seeds"]),
        ]
        for row in found["interactions"]
    ]
    ends = [f"at batch {size}" for size in found["interactions"][0]["batch_sizes"]]
    return markdown_table(["control", "p", *ends, "change", "of as run", "seeds"], rows)


def _figure_2(found: Data) -> str:
    """Say how p = 1.2 does at each batch size: the paper's Figure 2 is one batch size."""
    said = []
    for group in primary_view(found["main"])["groups"]:
        row = next((c for c in group["comparisons"] if c["value"] == 1.2), None)
        if row is not None and row["statistics"] is not None:
            said.append(f"batch {group['within']}: {_difference(row['statistics'])}, {row['said']}")
    return f"Figure 2 (p = 1.2 is best): its loss less that of p = 1, {'; '.join(said)}." if said else ""


def _early(found: Data) -> str:
    target = found["target_loss"]
    view = early_view(found["main"])
    if target is None or view is None:
        return ""
    best = ", ".join(
        f"{g['within']}: {g['best']['grid']['value']:g}"
        for g in view["groups"]
        if g["best"] and g["best"]["grid"]["value"] is not None
    )
    trend = next(iter(view["trends"]), None)
    tested = f"; by Page's test the best power {moves(trend)}" if trend is not None else ""
    return (
        "Figure 6 as the paper reads it, before the decay of the learning rate: when the best run reaches loss "
        f"{target:.3f}, the best p of the grid by batch size is {best or 'not known'}{tested}."
    )


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
            else _difference(row["statistics"]),
            "–" if row["change"] is None else _difference(row["change"]),
            str(len(row["differences"])),
        ]
        for row in contrasts
    ]
    return markdown_table(["batch size", "p", "control", "difference", "change", "seeds"], rows)


def _difference(statistics: Data) -> str:
    low, high = statistics["t_interval"] or (None, None)
    within = "" if low is None else f" [{low:+.4f}, {high:+.4f}]"
    return f"{statistics['mean']:+.4f}{within}"


def theory_text(found: Data) -> str:
    """Return what the ablation says: which predictions fall, and which are nearest at equal learning rate."""
    laws = [row for row in found["ablation"] if row["law"] in LAWS]
    falls = sum(row["slope"] is not None and row["slope"] < -FLAT for row in laws)
    shares = ", ".join(f"{100 * share:g}" for share in sorted({row["share"] for row in found["noise"]}))
    head = (
        "The power with the largest expected first-order decrease, from gradients measured after "
        f"{shares} % of the training of p = 1 at each batch size. {falls} of {len(laws)} predictions fall with the "
        "batch size."
    )
    known = [r for r in found["ablation"] if r["root_mean_square_error"] is not None]
    rivals = [r for r in known if r["law"] == RIVAL]
    equal = [r for r in known if r["objective"] == "equal learning rate" and r["law"] in LAWS]
    if not equal or not rivals:
        return f"{head} No measured best power is known to compare them with."
    best = min(equal, key=lambda row: float(row["root_mean_square_error"]))
    against = (
        "nearer than"
        if best["root_mean_square_error"] < rivals[0]["root_mean_square_error"]
        else "no nearer than"
    )
    return (
        f"{head} At equal learning rate, which is how powers were measured, the nearest is the law *{best['law']}*, "
        f"{best['root_mean_square_error']:.2f} off (root mean square over {best['compared']} batch sizes): {against} "
        f"p = 1 everywhere ({rivals[0]['root_mean_square_error']:.2f})."
    )


def ingredients_text(found: Data) -> str:
    """Return how the slope of the predicted power against ln B changes as one ingredient after another is held back."""
    slopes = {
        row["law"]: row["slope"]
        for row in found["ablation"]
        if row["objective"] == "equal learning rate" and row["slope"] is not None
    }
    whole = [law for law in LAWS if law in slopes]
    held = [law for law in VARIANTS if law in slopes]
    if not whole or not held:
        return ""
    said = [f"{law} {slopes[law]:+.3f}" for law in (*whole, *held)]
    return (
        "Which ingredient makes the predictions fall? Change of the predicted best power for every factor e in batch "
        f"size, at equal learning rate: {'; '.join(said)}. *Same shape* and *same σ/\\|μ\\|* hold that ingredient at "
        "its value at the smallest batch; ε^p takes Adam's ε out. What damping and learning rate do to the measured "
        "differences is in the table of controls."
    )


def ablation_table(found: Data) -> str:
    """Return the predictions beside the measured best powers as a Markdown table."""
    sizes = [row["batch_size"] for row in found["measured"]]
    rows = [["**measured**", "", *map(best_power, found["measured"]), "", ""]]
    for row in found["ablation"]:
        cell = {p["batch_size"]: p for p in row["predicted"]}
        error = row["root_mean_square_error"]
        rows.append(
            [
                row["law"],
                row["objective"],
                *[_predicted(cell.get(size)) for size in sizes],
                "–" if error is None else f"{error:.2f} over {row['compared']}",
                f"{row['inside']} of {row['intervals']}",
            ]
        )
    headings = ["noise law", "at", *[f"B = {size}" for size in sizes], "error", "within the interval"]
    return markdown_table(headings, rows)


def _predicted(found: Data | None) -> str:
    if found is None:
        return "–"
    if found["low"] == found["high"] and not found["at_edge"]:
        return f"{found['mean']:.2f}"
    edge = f", {found['at_edge']} of {found['snapshots']} at an end" if found["at_edge"] else ""
    return f"{found['mean']:.2f} ({found['low']:.2f} to {found['high']:.2f}{edge})"
