"""`paper_repro.md`: what the paper says and what was computed, as a text that depends on result files alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from experiments.noise.measurement import NOISE, Measurement
from experiments.recipes.named import recipe
from experiments.studies.batch_size import PARTS, BatchSizeStudy, read_batch_size
from experiments.studies.causes import Causes, read_causes
from experiments.studies.chosen_noise import LLAMA, ChosenNoise, read_chosen_noise
from experiments.studies.completed import read_if_completed
from experiments.studies.figure_5 import PAPERS_GAINS
from experiments.studies.paper import PaperStudies, read_paper_studies
from experiments.training.step_cost import STEP_COST, StepCost
from figures.report.adam import adam_section
from figures.report.convergence import convergence_section, headlines
from figures.report.intervention import intervention_section
from figures.report.models import models_section
from figures.report.render import render
from figures.report.step_time import step_time_section
from figures.report.studies import batch_size_section, memory_section, noise_section
from figures.report.verdicts import verdicts_section
from figures.results import THEORY, TheoryResults
from gradpower.tools.errors import InputError
from gradpower.tools.labels import Label
from gradpower.tools.results import find_result
from simulate.intervention.study import INTERVENTION, InterventionResults
from simulate.questions import CONVERGENCE, ConvergenceResults

# In results.
CHOSEN_NOISE, CAUSES, MEASURED_NOISE = "intervention/intervention.json", "causes", "causes/noise.json"
PAPER, MEMORIES = "paper", "intervention/memory.json"


@dataclass(frozen=True)
class Findings:
    """All that the page is made of; a section whose findings are not there says how to make them."""

    theory: TheoryResults
    convergence: ConvergenceResults | None = None
    step_time: StepCost | None = None
    batch_size: BatchSizeStudy | None = None
    noise: Measurement | None = None
    causes: Causes = field(default_factory=Causes)
    intervention: InterventionResults | None = None
    llama: ChosenNoise | None = None
    paper: PaperStudies = field(default_factory=PaperStudies)
    memories: InterventionResults | None = None


def read_findings(folder: Path) -> Findings:
    """Return what lies in a folder or else in the checkout's results; InputError without the theory's."""
    theory = THEORY.find(folder)
    names = (PARTS, MEASURED_NOISE, CAUSES, CHOSEN_NOISE, LLAMA, PAPER, MEMORIES)
    parts, noise, causes, chosen_noise, llama, paper, memories = (find_result(name, folder) for name in names)
    if theory is None:
        raise InputError("folder", folder, "one with theory.json, which `gradpower reproduce` writes")
    return Findings(
        theory,
        CONVERGENCE.find(folder),
        STEP_COST.find(folder),
        read_batch_size(parts) if parts else None,
        NOISE.read(noise) if noise else None,
        read_causes(causes) if causes else Causes(),
        INTERVENTION.read(chosen_noise) if chosen_noise else None,
        read_if_completed(read_chosen_noise, llama),
        read_paper_studies(paper) if paper else PaperStudies(),
        INTERVENTION.read(memories) if memories else None,
    )


def sections(found: Findings) -> dict[str, str]:
    """Return the sections of the page after its introduction, by the names of their pages on the site."""
    theory, causes = found.theory, found.causes
    return {
        "verdicts": verdicts_section(
            theory, found.convergence, found.step_time, found.batch_size, causes.batch, found.paper
        ),
        "adam": adam_section(theory.optimal_powers, theory.provenance.config),
        "convergence": render(
            "convergence_answers", answers=headlines(convergence_section(found.convergence))
        ),
        "batch_size": batch_size_section(found.batch_size, causes.batch, causes.batch_web),
        "figure_5": render("figure_5", papers=PAPERS_GAINS, found=found.paper),
        "figure_4": render("figure_4", found=found.paper.mixtures),
        "figures_1_3": render("figures_1_3", found=found.paper.sizes),
        "step_time": step_time_section(found.step_time),
        "models": models_section(),
        "causes": render("causes", found=causes),
        "noise": noise_section(found.noise),
        "memory": memory_section(causes),
        "bias": render("bias", noise=found.noise, study=causes.head_memory),
        "where": render("where", found=causes),
        "head": render("head", found=causes),
        "intervention": intervention_section(found.intervention, found.llama, found.memories),
        "mols": render("mols", found=found.paper),
    }


def page(found: Findings) -> str:
    """Return the text of `paper_repro.md`."""
    return (
        "\n\n".join(
            [
                render("introduction", small=recipe("pocket-small"), papers=recipe("llama-66m")),
                *sections(found).values(),
            ]
        )
        + "\n"
    )


def claims_page(theory: TheoryResults) -> str:
    """Return the text of docs/claims.md: every statement, derived or refuted."""
    failing = [claim for claim in theory.claims if claim.verdict == Label.FAILS]
    return render("claims", claims=theory.claims, failing=failing) + "\n"


def convergence_page(results: ConvergenceResults | None) -> str:
    """Return the text of docs/convergence.md: the answers of Section 4.2 with notation, problems and tables."""
    return (
        convergence_section(results).removeprefix("#").replace("\n###", "\n##").replace("](docs/", "](")
        + "\n"
    )
