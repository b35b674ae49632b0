"""The cost of the power in the report, from the result file alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from figures.markdown import markdown_table

# What the targets of the project are: times of AdamWPower's fused step over AdamW's, and the share of a whole step.
TARGETS = {"cpu": 1.15, "cuda": 1.02}
PAPERS_SHARE, TARGET_SHARE = 0.004, 0.001

_INTRODUCTION = """\
AdamWPower at p = {power:g} against torch's AdamW in float32 with the same implementation flag, in turn in one run on
{device} (`gradpower step-time` repeats it on yours; `--device cuda` on a GPU). Ratios are medians over pairs of
steps, ± half their 95% interval. The least an AdamW step must move is 28 bytes a parameter (read the parameter, its
gradient and both moments, write all but the gradient): GB/s say how fast that would be."""

_LAUNCHES = """\
*Many small parameters.* The same for matrices of 256 entries each, where the number of operations decides, not memory.
A launch here is an operation that reaches torch's dispatcher; on a CPU it still works tensor by tensor. The power takes
four, however many of these parameters there are. Under FSDP2 it works on each process's own shards, and so does the
step that follows, which saves DTensor's cost for each operation: a ratio below 1 is that."""

HEADINGS = ("parameters", "implementation", "AdamW, ms", "AdamWPower, ms", "ratio", "GB/s", "copy, GB/s")
LAUNCH_HEADINGS = (
    "optimizer",
    "layout",
    "parameters",
    "launches",
    "with the power",
    "ms",
    "with the power, ms",
    "ratio",
)


def step_time_parts(content: Mapping[str, Any] | None) -> list[str]:
    """Return the Markdown of the section."""
    heading = "## The cost of the power"
    if content is None:
        return [heading, "Not measured here yet: `gradpower step-time` does it, in a minute or two."]
    config = content["provenance"]["config"]
    introduction = _INTRODUCTION.format(power=config["power"], device=config["hardware"])
    table = markdown_table(HEADINGS, [cells(row) for row in content["steps"]])
    return [
        heading,
        introduction,
        table,
        _target(content["steps"], config["device"]),
        _whole(content["training"]),
        _LAUNCHES,
        markdown_table(LAUNCH_HEADINGS, [launch_cells(row) for row in content["launches"]]),
    ]


def cells(row: Mapping[str, Any]) -> list[str]:
    """Return one measurement as the cells under `HEADINGS`."""
    return [
        f"{row['parameters'] / 1e6:.1f}M",
        row["implementation"],
        f"{row['base_seconds'] * 1e3:.3g}",
        f"{row['powered_seconds'] * 1e3:.3g}",
        f"{row['ratio']:.2f} ± {row['ratio_margin']:.2f}",
        f"{row['powered_gb_per_second']:.3g}",
        f"{row['copy_gb_per_second']:.3g}",
    ]


def launch_cells(row: Mapping[str, Any]) -> list[str]:
    """Return one measurement as the cells under `LAUNCH_HEADINGS`."""
    return [
        row["optimizer"],
        {"plain": "plain", "sharded": "FSDP2, 2 processes"}[row["layout"]],
        str(row["tensors"]),
        str(row["base_launches"]),
        str(row["powered_launches"]),
        f"{row['base_seconds'] * 1e3:.3g}",
        f"{row['powered_seconds'] * 1e3:.3g}",
        f"{row['ratio']:.2f} ± {row['ratio_margin']:.2f}",
    ]


def _target(steps: Sequence[Mapping[str, Any]], device: str) -> str:
    target = TARGETS[device]
    fused = [row for row in steps if row["implementation"] == "fused"]
    missed = [row for row in fused if row["ratio"] > target]
    if not missed:
        unsure = [
            f"{row['parameters'] / 1e6:.1f}M" for row in fused if row["ratio"] + row["ratio_margin"] > target
        ]
        doubt = f" by the medians; the intervals at {', '.join(unsure)} reach beyond it" if unsure else ""
        return (
            f"Our target for the fused step, {target:g} times torch's, is met at every size{doubt}. The other "
            "implementations make several passes over memory, and the power adds its own: take `fused=True`."
        )
    worst = max(missed, key=lambda row: row["ratio"])
    base, powered, copy = (f"{worst[f'{who}_gb_per_second']:.3g}" for who in ("base", "powered", "copy"))
    return (
        f"Our target for the fused step, {target:g} times torch's, is missed at {len(missed)} of {len(fused)} sizes, "
        f"by up to {worst['ratio'] / target - 1:.0%}, at {worst['parameters'] / 1e6:.1f}M. There AdamW reaches {base} "
        f"GB/s, AdamWPower {powered}, a plain copy {copy}: the further AdamW is from a copy, the less it waits for "
        "memory, and the more the arithmetic of the power shows."
    )


def _whole(row: Mapping[str, Any]) -> str:
    share, margin, millions = row["share"], _margin(row), row["parameters"] / 1e6
    return (
        f"*Training time.* The paper: the power adds {PAPERS_SHARE:.1%} to a step's time (0.7565 s against 0.7534 s, "
        f"LLaMA 0.25B, eight GPUs). Here, a LLaMA of {millions:.1f}M parameters and {row['tokens']} tokens a step: "
        f"the fused power adds {100 * share:.3f} ± {100 * margin:.3f} % to {row['whole_seconds']:.3g} s, "
        f"{_against(share, margin, PAPERS_SHARE)} the paper's (our target of at most {TARGET_SHARE:.1%}: "
        f"{_verdict(share, margin)}). The share falls with the tokens a step, of which the power's cost is independent."
    )


def _margin(row: Mapping[str, Any]) -> float:
    """Half the width of the share's 95 % interval; only the ratio of the steps is uncertain enough to matter."""
    return float(row["ratio_margin"] * row["base_seconds"] / row["whole_seconds"])


def _against(share: float, margin: float, other: float) -> str:
    if abs(share - other) <= margin:
        return "not distinguishable from"
    return "below" if share < other else "above"


def _verdict(share: float, margin: float) -> str:
    if abs(share - TARGET_SHARE) <= margin:
        return "not decided"
    return "met" if share < TARGET_SHARE else "missed"
