"""The study of batch size and power in the report, from the result file alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.sweeps.verdict import early_view
from figures.batch_size_best import best_columns
from figures.batch_size_controls_report import control_parts, interactions_text
from figures.batch_size_cost import cost_table, cost_text
from figures.batch_size_noise import noise_table, noise_text
from figures.batch_size_pictures import pictures
from figures.batch_size_theory_report import theory_parts
from figures.batch_size_verdict import claims, tested, verdict
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
_COURSE = """\
When do the differences arise? Mean loss less that of p = 1 along the training, and the correlation of the loss there
with the final one over all powers and seeds. A difference that is large early and shrinks is one of how runs start,
about which the noise model says nothing."""
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
    parts = [part for name, found in content["scales"].items() for part in _scale_parts(name, found)]
    return [_HEADING, _WHAT, *parts, "### What it takes", cost_text(content), cost_table(content)]


def _scale_parts(name: str, found: Data) -> list[str]:
    heading = f"### At the scale {found['scale']}, on {found['about']['source']}"
    parts = [heading, _introduction(found), f"**Verdict.** {verdict(found)}"]
    rows = claims(found)
    parts += [markdown_table(["the paper's claim", "found at this size", "numbers"], rows)] if rows else []
    shown = (f"[{picture.caption}](docs/{picture.file}_{name}.png)" for picture in pictures(found))
    parts += [
        f"Pictures: {'; '.join(shown)}.",
        _best_table(found),
        _power_text(found),
        _false_falls(found),
        interactions_text(found),
        _early(found),
        _COURSE,
        course_table(found),
    ]
    parts += control_parts(found)
    if found["noise"]:
        parts += [
            "#### Gradient noise along the training",
            noise_text(found["noise"]),
            noise_table(found["noise"]),
        ]
    parts += theory_parts(found)
    return [part for part in parts if part]


def course_table(found: Data) -> str:
    """Return as a Markdown table how the differences from p = 1 move along the training."""
    shares = sorted({share for row in found["course"] for share in row["shares"]})
    shown = [share for share in shares if round(100 * share) in (10, 20, 50, 80, 100)] or shares
    rows = []
    for row in found["course"]:
        places = [row["shares"].index(share) if share in row["shares"] else None for share in shown]
        lines = [
            (f"p = {power}", found_at, "+.4f") for power, found_at in row["differences"].items() if found_at
        ]
        lines.append(("correlation", row["correlations"], ".2f"))
        for name, values, form in lines:
            cells = ["–" if at is None or values[at] is None else format(values[at], form) for at in places]
            rows.append([str(row["batch_size"]), name, *cells])
    return markdown_table(["batch size", "", *(f"at {share:.0%}" for share in shown)], rows)


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


def _best_table(found: Data) -> str:
    columns = best_columns(found)
    return markdown_table(list(columns), [list(row) for row in zip(*columns.values(), strict=True)])


def _power_text(found: Data) -> str:
    difference, fall = found["power"]["difference"], found["power"]["fall"]
    parts = []
    if difference is not None:
        parts.append(
            f"a difference of losses of {difference:.3f} nats a token, by the median of its comparisons"
        )
    if fall is not None:
        parts.append(f"by Page's test, a best power that is {fall:.2f} times smaller at the largest batch")
    said = "; ".join(parts) or "not known, with so few seeds or so flat curves"
    return f"What this study would have seen with probability 0.8, at its own spread over seeds: {said}."


def _false_falls(found: Data) -> str:
    if not found["false_falls"]:
        return ""
    told = _shares(found["false_falls"])
    one = (
        f" At one learning rate: {_shares(found['one_rate_false_falls'])}."
        if found["one_rate_false_falls"]
        else ""
    )
    return (
        "Page's test is made for curves of one shape. With one best power at all batch sizes, but curves and noise as "
        f"unequal as these seeds allow, it would call a fall, with {found['main']['rule']['alpha']:.0%} intended, in "
        f"this share of such studies (simulated), by which batch size's best power is taken for all: {told}.{one} "
        "Where the loss is flat in p, the best of the grid drifts to its middle, and that looks like a fall from an "
        "optimum above it."
    )


def _shares(rows: Sequence[Data]) -> str:
    return "; ".join(
        f"{row['optimum']:.2f} (batch {row['batch_size']}) {row['share']:.1%} ± {row['standard_error']:.1%}"
        for row in rows
    )


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
    moved = f"; by Page's test the best power {tested(trend)}" if trend is not None else ""
    return (
        "Figure 6 as the paper reads it, before the decay of the learning rate: when the best run reaches loss "
        f"{target:.3f}, the best p of the grid by batch size is {best or 'not known'}{moved}."
    )
