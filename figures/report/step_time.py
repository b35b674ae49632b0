"""The numbers of the report's section on the cost of the power; its prose is templates/step_time.md.j2."""

from __future__ import annotations

from experiments.training.step_cost import PAPERS_SHARE, TARGET_SHARE, TARGETS, StepCost
from figures.report.render import render


def step_time_section(cost: StepCost | None) -> str:
    """Return the Markdown of the section; None stands for what was not measured."""
    if cost is None:
        return render("step_time", cost=None)
    target = TARGETS[cost.provenance.config.device]
    fused = [row for row in cost.steps if row.implementation == "fused"]
    missed = [row for row in fused if row.ratio > target]
    unsure = [row for row in fused if row.ratio + row.ratio_margin > target]
    share, margin = cost.training.share, cost.training.margin
    return render(
        "step_time",
        cost=cost,
        label="missed" if missed else "met by the medians" if unsure else "met",
        target=target,
        fused=fused,
        missed=missed,
        unsure=unsure,
        worst=max(fused, key=lambda row: row.ratio),
        papers_share=PAPERS_SHARE,
        target_share=TARGET_SHARE,
        against_paper=compared(share, margin, PAPERS_SHARE),
        against_target=compared(share, margin, TARGET_SHARE),
    )


def compared(share: float, margin: float, other: float) -> str:
    """Return where a share with its margin lies: "below", "above" or "undecided".

    >>> compared(0.01, 0.002, 0.004), compared(0.003, 0.002, 0.004)
    ('above', 'undecided')
    """
    if abs(share - other) <= margin:
        return "undecided"
    return "below" if share < other else "above"
