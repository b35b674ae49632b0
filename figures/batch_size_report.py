"""The study of batch size and power in the report, from the result file alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.execution import PEAK_FLOPS
from experiments.model_size import training_flops
from experiments.sweeps.batch_size import batch_size_study, scales
from figures.markdown import markdown_table

Data = Mapping[str, Any]
_HEADING = "## Figures 2 and 6: the best power and the batch size"
_INTRODUCTION = """\
`gradpower sweep batch-size --scale {scale} --snapshots 0.01 0.1 0.5 1` runs it, `gradpower batch-size --scale {scale}`
judges and draws it; the design, written before the runs, is in `results/batch_size/design.md`. A LLaMA of
{parameters}, {tokens} tokens of `{source}` in every run: {batches}. Each p runs at the learning rate tuned at p = 1 for
its batch size. {done} of {planned} runs are done. **This is {size}: it says nothing certain about the paper's.**"""

_COST = """\
Pocket: measured, a worker being one core. The others have not been run here: operations of the main part by the count
of `experiments.model_size.training_flops`, and hours of an H100 at 40 % of its dense bfloat16 peak, which is an
assumption, and which models of 10M parameters will not reach. The controls take about 1.7 times the main part."""
_UTILISATION = 0.4
_GPU = "H100"


def batch_size_parts(content: Mapping[str, Any] | None) -> list[str]:
    """Return the Markdown of the section."""
    if content is None:
        text = "Not run here yet: `gradpower sweep batch-size --scale pocket` takes hours on two CPU cores."
        return [_HEADING, text]
    parts: list[str] = []
    for found in content["scales"].values():
        parts += _scale_parts(found)
    return [*parts, "### What it takes", _COST, cost_table(content)]


def _scale_parts(found: Data) -> list[str]:
    parts = [
        _HEADING,
        _introduction(found),
        f"**Verdict.** {verdict(found)}",
        _best_table(found),
        _power_text(found),
    ]
    parts += [f"Figure 2 ({_figure_2(found)})", f"Figure 6 as the paper reads it: {_early(found)}"]
    if found["contrasts"]:
        parts += ["### Controls", _controls_text(found), control_table(found["contrasts"])]
    if found["ablation"]:
        parts += ["### Does the theory know it?", _theory_text(found), ablation_table(found)]
    return parts


def _introduction(found: Data) -> str:
    about = found["about"]
    batches = ", ".join(
        f"batch {size} ({row['steps']} steps, rate {row['rate']:g})" for size, row in about["batches"].items()
    )
    pocket = found["scale"] == "pocket"
    return _INTRODUCTION.format(
        scale=found["scale"],
        parameters=f"{about['parameters'] / 1e6:.2f}M parameters",
        tokens=f"{about['tokens'] / 1e6:.2f}M",
        source=about["source"],
        batches=batches,
        done=about["done"],
        planned=about["planned"],
        size="a study at a size for two CPU cores" if pocket else "a study at a size for one GPU",
    )


def cost_table(content: Mapping[str, Any]) -> str:
    """Return what the main part takes at every scale as a Markdown table."""
    rows = []
    for name, scale in scales().items():
        study = batch_size_study(name)
        arms, recipe = study.arms(), study.recipe
        tokens = arms[0].recipe.tokens
        flops = len(arms) * tokens * training_flops(recipe.model, recipe.data.sequence_length)
        done = content["scales"].get(name)
        hours = f"{flops / (_UTILISATION * PEAK_FLOPS[_GPU]) / 3600:.3g} {_GPU} hours, not measured"
        if done is not None and done["about"]["done"]:
            share = done["about"]["planned"] / done["about"]["done"]
            hours = f"{share * done['about']['worker_hours']:.3g} worker hours, measured"
        elif name == "pocket":
            hours = "not measured"
        batches = ", ".join(map(str, scale.batches))
        rows.append(
            [name, recipe.name, batches, str(len(arms)), f"{tokens / 1e6:.4g}M", f"{flops:.2g}", hours]
        )
    headings = ["scale", "recipe", "batch sizes", "runs", "tokens a run", "operations", "time"]
    return markdown_table(headings, rows)


def verdict(found: Data) -> str:
    """Return what the study says of the paper's claim, in a sentence or two, from the declared rule."""
    view = next(v for v in found["main"]["views"] if v["kind"] == found["main"]["primary"])
    trend = next(iter(view["trends"]), None)
    head = "Not reproduced at this size: that the best power falls as the batch grows is not shown."
    if trend is not None and trend["decision"] == "falls":
        head = "Reproduced at this size: the best power falls as the batch grows."
    # The rule tests for a fall only; a rise that the same test would have found must be told, too.
    elif (
        trend is not None
        and trend["grid"]
        and trend["grid"]["page"]["p_rising"] <= found["main"]["rule"]["alpha"]
    ):
        head = "Reversed at this size: the best power rises as the batch grows."
    return f"{head} {found['main']['verdict']}"


def _best_table(found: Data) -> str:
    view = next(v for v in found["main"]["views"] if v["kind"] == found["main"]["primary"])
    rows = []
    for row, group in zip(found["measured"], view["groups"], strict=True):
        spread = group["baseline_spread"]
        lower = [f"{c['value']:g}" for c in group["comparisons"] if c["decision"] == "lower"]
        higher = [f"{c['value']:g}" for c in group["comparisons"] if c["decision"] == "higher"]
        rows.append(
            [
                str(row["batch_size"]),
                "–" if row["grid"] is None else f"{row['grid']:g}",
                _interval(row["power"], row["low"], row["high"], "{:.2f}"),
                ", ".join(lower) or "none",
                ", ".join(higher) or "none",
                "–" if spread is None else f"{spread:.4f}",
            ]
        )
    headings = [
        "batch size",
        "best p of the grid",
        "best p of a parabola [95 %]",
        "p with lower loss than p = 1",
        "p with higher loss",
        "sd of p = 1 over seeds",
    ]
    return markdown_table(headings, rows)


def _interval(value: float | None, low: float | None, high: float | None, form: str) -> str:
    if value is None:
        return "none"
    known = low is not None and high is not None
    return form.format(value) + (f" [{form.format(low)}, {form.format(high)}]" if known else " [unbounded]")


def _power_text(found: Data) -> str:
    difference, slope = found["power"]["difference"], found["power"]["slope"]
    parts = []
    if difference is not None:
        parts.append(f"differences of {difference:.3f} nats a token (median over comparisons)")
    if slope is not None:
        parts.append(f"a change of the best power by {slope:.2f} for every factor e of the batch size")
    said = " and ".join(parts) or "nothing yet, with so few seeds"
    return f"What this study would have seen with probability 0.8, at its own spread over seeds: {said}."


def _figure_2(found: Data) -> str:
    """Say how p = 1.2 does at each batch size: the paper's Figure 2 is one batch size."""
    view = next(v for v in found["main"]["views"] if v["kind"] == found["main"]["primary"])
    said = []
    for group in view["groups"]:
        row = next((c for c in group["comparisons"] if c["value"] == 1.2 and c["statistics"]), None)
        if row is not None:
            low, high = row["statistics"]["t_interval"] or (None, None)
            said.append(
                f"batch {group['within']}: {_interval(row['statistics']['mean'], low, high, '{:+.4f}')}"
            )
    return "p = 1.2 best): the loss of p = 1.2 less that of p = 1 is, " + "; ".join(said) + "."


def _early(found: Data) -> str:
    target = found["target_loss"]
    view = next((v for v in found["main"]["views"] if v["kind"].startswith("read early")), None)
    if target is None or view is None:
        return "no evaluations to read it from."
    best = ", ".join(
        f"{g['within']}: {g['best']['grid']['value']:g}"
        for g in view["groups"]
        if g["best"] and g["best"]["grid"]["value"] is not None
    )
    said = best or "not known"
    return f"when the best run reaches loss {target:.3f}, the best p of the grid by batch size is {said}."


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
    rows = []
    for row in contrasts:
        change = row["change"]
        rows.append(
            [
                str(row["batch_size"]),
                f"{row['power']:g}",
                row["control"],
                _difference(row["statistics"]),
                "–" if change is None else _difference(change),
                str(len(row["differences"])),
            ]
        )
    return markdown_table(["batch size", "p", "control", "difference", "change", "seeds"], rows)


def _difference(statistics: Data) -> str:
    low, high = statistics["t_interval"] or (None, None)
    return _interval(statistics["mean"], low, high, "{:+.4f}")


def _theory_text(found: Data) -> str:
    best = min(found["ablation"], key=lambda row: float(row["root_mean_square_error"]))
    stays = {row["slope"] for row in found["ablation"] if row["slope"] is not None}
    falls = sum(slope < 0 for slope in stays)
    return (
        "The power with the largest expected first-order decrease, from the gradients measured at 1, 10, 50 and 100 % "
        f"of the training of p = 1 at each batch size. {falls} of {len(stays)} predictions fall with the batch size; "
        f"nearest to the measured best powers is the law *{best['law']}* at {best['objective']} (root mean square "
        f"error {best['root_mean_square_error']:.2f})."
    )


def ablation_table(found: Data) -> str:
    """Return the predictions beside the measured best powers as a Markdown table."""
    sizes = [row["batch_size"] for row in found["measured"]]
    rows = [
        [
            "**measured**",
            "",
            *[_interval(r["power"], r["low"], r["high"], "{:.2f}") for r in found["measured"]],
        ]
    ]
    rows[0] += ["", ""]
    for row in found["ablation"]:
        cell = {p["batch_size"]: p for p in row["predicted"]}
        rows.append(
            [
                row["law"],
                row["objective"],
                *[_predicted(cell.get(size)) for size in sizes],
                f"{row['root_mean_square_error']:.2f}",
                f"{row['inside']} of {row['intervals']}",
            ]
        )
    headings = ["noise law", "at", *[f"B = {size}" for size in sizes], "error", "within the interval"]
    return markdown_table(headings, rows)


def _predicted(found: Data | None) -> str:
    if found is None:
        return "–"
    edge = f", {found['at_edge']} of {found['snapshots']} at an end" if found["at_edge"] else ""
    return f"{found['mean']:.2f} ({found['low']:.2f} to {found['high']:.2f}{edge})"
