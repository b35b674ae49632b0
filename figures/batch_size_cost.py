"""What the study of batch size and power takes at each scale, for the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.execution import PEAK_FLOPS
from experiments.model_size import training_flops
from experiments.sweeps.batch_size import PARTS, batch_size_study, scales
from figures.markdown import markdown_table

_COST = """\
Operations of the main part by the count of `experiments.model_size.training_flops`. Hours are of training without
evaluations, measured where runs are done (those that are not, in proportion), a worker being one CPU core or one GPU;
elsewhere those of an H100 at 40 % of its dense bfloat16 peak, which is an assumption and not measured, and which models
of 10M parameters will not reach. The controls and rates take another {low:.1f} to {high:.1f} times as much."""
_UTILISATION = 0.4
_GPU = "H100"


def cost_text(content: Mapping[str, Any]) -> str:
    """Return what the numbers of `cost_table` are, and what the paper's size would take at the speeds measured."""
    shares = [_share_of_controls(name) for name in scales()]
    parts = [_COST.format(low=min(shares), high=max(shares))]
    paper = _operations("paper")
    for name, found in content["scales"].items():
        about = found["about"]
        if about["done"] and found["scale"] != "paper":
            speed = (
                _operations(found["scale"])
                * about["done"]
                / about["planned"]
                / (3600 * about["worker_hours"])
            )
            years = paper / speed / (3600 * 24 * 365.25)
            parts.append(
                f"At the {speed:.2g} operations a second that a worker has reached at {name}, the main part "
                f"of the scale paper would take {years:.2g} worker years."
            )
    return " ".join(parts)


def _operations(scale: str) -> float:
    """Return the operations of the main part of a scale."""
    arms = batch_size_study(scale).arms()
    recipe = arms[0].recipe
    return len(arms) * recipe.tokens * training_flops(recipe.model, recipe.data.sequence_length)


def _share_of_controls(scale: str) -> float:
    """Return how many runs the other parts have, over those of the main one, without those that they share with it."""
    main = {arm.fingerprint for arm in batch_size_study(scale).arms()}
    other = {arm.fingerprint for part in PARTS for arm in batch_size_study(scale, part).arms()}
    return len(other - main) / len(main)


def cost_table(content: Mapping[str, Any]) -> str:
    """Return what the main part takes at every scale as a Markdown table."""
    rows = []
    for name, scale in scales().items():
        study = batch_size_study(name)
        arms, recipe = study.arms(), study.recipe
        tokens = arms[0].recipe.tokens
        flops = _operations(name)
        about = next((f["about"] for f in content["scales"].values() if f["scale"] == name), {"done": 0})
        hours = f"{flops / (_UTILISATION * PEAK_FLOPS[_GPU]) / 3600:.3g} {_GPU} hours, not measured"
        if about["done"]:
            hours = f"{about['worker_hours'] * about['planned'] / about['done']:.3g} worker hours"
        batches = ", ".join(map(str, scale.batches))
        rows.append(
            [name, recipe.name, batches, str(len(arms)), f"{tokens / 1e6:.4g}M", f"{flops:.2g}", hours]
        )
    headings = ["scale", "recipe", "batch sizes", "runs", "tokens a run", "operations", "time"]
    return markdown_table(headings, rows)
