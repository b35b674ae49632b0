"""The table that the page begins with: a row for each claim of the paper; its prose is templates/verdicts.md.j2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.studies.batch_size import BatchSizeStudy, Reading
from experiments.studies.paper import PaperStudies
from experiments.training.step_cost import PAPERS_SHARE, StepCost
from figures.report.adam import figure_7_label
from figures.report.convergence import fading_exponents, rates_label
from figures.report.models import model_rows
from figures.report.render import render
from figures.report.step_time import compared
from figures.results import ClaimRecord, TheoryResults
from figures.style import grouped
from gradpower.tools.labels import Label
from simulate.questions import ConvergenceResults

RATIO = 10.0  # σ/μ at which the table gives the best power
_COST = {"below": Label.REPRODUCED, "undecided": Label.INCONCLUSIVE, "above": Label.NOT_REPRODUCED}


@dataclass(frozen=True)
class PlaceVerdict:
    """The paper's statements at one place."""

    holding: int
    """Those that hold, with a condition or without."""
    count: int
    label: Label
    """That of all, if they have one; "holds with a condition" or "in part" if some need one or fail."""


def place_verdicts(claims: Sequence[ClaimRecord]) -> dict[str, PlaceVerdict]:
    """Return the verdict on each place of the paper, its proof included."""
    paper = [claim for claim in claims if claim.source == "paper"]
    return {
        place: _place_verdict([claim.verdict for claim in own])
        for place, own in grouped(paper, lambda claim: claim.place.removesuffix(", proof")).items()
    }


def _place_verdict(labels: Sequence[Label]) -> PlaceVerdict:
    failing = labels.count(Label.FAILS)
    if failing:
        label = Label.FAILS if failing == len(labels) else Label.IN_PART
    else:
        label = Label.HOLDS_WITH_CONDITION if Label.HOLDS_WITH_CONDITION in labels else Label.HOLDS
    return PlaceVerdict(len(labels) - failing, len(labels), label)


def verdicts_section(
    theory: TheoryResults,
    convergence: ConvergenceResults | None = None,
    cost: StepCost | None = None,
    earlier: BatchSizeStudy | None = None,
    deciding: Reading | None = None,
    paper: PaperStudies | None = None,
) -> str:
    """Return the Markdown of the table; None stands for what was not computed."""
    rates = convergence.studies.rates if convergence else []
    share = cost.training if cost else None
    at_ratio = (row for row in theory.optimal_powers if (row.law, row.noise_to_signal) == ("uniform", RATIO))
    return render(
        "verdicts",
        places=place_verdicts(theory.claims),
        ratio=RATIO,
        best=next(at_ratio, None),
        figure_7=figure_7_label(theory.optimal_powers),
        exponents=fading_exponents(rates),
        rates=rates_label(rates) if rates else Label.NOT_ATTEMPTED,
        models=model_rows(),
        share=share,
        papers_share=PAPERS_SHARE,
        cost=_COST[compared(share.share, share.margin, PAPERS_SHARE)] if share else Label.NOT_ATTEMPTED,
        earlier=earlier,
        deciding=deciding,
        paper=paper or PaperStudies(),
    )
