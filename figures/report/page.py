"""`paper_repro.md`: what the paper says and what was computed, as a text that depends on result files alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from experiments.noise.measurement import NOISE, Measurement
from experiments.studies.batch_size import PARTS, BatchSizeStudy, read_batch_size
from experiments.studies.causes import Causes, read_causes
from experiments.studies.chosen_noise import LLAMA, ChosenNoise, read_chosen_noise
from experiments.studies.completed import is_completed
from experiments.training.step_cost import STEP_COST, StepCost
from figures.report.adam import adam_section
from figures.report.convergence import convergence_section
from figures.report.intervention import intervention_section
from figures.report.models import models_section
from figures.report.render import render
from figures.report.step_time import step_time_section
from figures.report.studies import batch_size_section, noise_section
from figures.report.verdicts import verdicts_section
from figures.results import THEORY, TheoryResults
from gradpower.tools.errors import InputError
from gradpower.tools.labels import Label
from gradpower.tools.results import find_result
from simulate.intervention.study import INTERVENTION, InterventionResults
from simulate.questions import CONVERGENCE, ConvergenceResults

# In results.
CHOSEN_NOISE, CAUSES, MEASURED_NOISE = "intervention/intervention.json", "causes", "causes/noise.json"


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


def read_findings(folder: Path) -> Findings:
    """Return what lies in a folder or else in the checkout's results; InputError without the theory's."""
    theory = THEORY.find(folder)
    names = (PARTS, MEASURED_NOISE, CAUSES, CHOSEN_NOISE, LLAMA)
    parts, noise, causes, chosen_noise, llama = (find_result(name, folder) for name in names)
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
        read_chosen_noise(llama) if llama and is_completed(llama) else None,
    )


def page(found: Findings) -> str:
    """Return the text of `paper_repro.md`."""
    theory, studies = found.theory, found.causes
    sections = [
        render("introduction"),
        verdicts_section(theory, found.convergence, found.step_time, found.batch_size, studies.batch),
        adam_section(theory.optimal_powers, theory.provenance.config),
        convergence_section(found.convergence),
        step_time_section(found.step_time),
        batch_size_section(found.batch_size, found.causes.batch, found.causes.batch_web),
        render("causes", found=found.causes),
        noise_section(found.noise),
        render("memory", study=found.causes.memory),
        render("where", found=found.causes),
        render("head", found=found.causes),
        intervention_section(found.intervention, found.llama),
        models_section(),
    ]
    return "\n\n".join(sections) + "\n"


def claims_page(theory: TheoryResults) -> str:
    """Return the text of docs/claims.md: every statement, derived or refuted."""
    failing = [claim for claim in theory.claims if claim.verdict == Label.FAILS]
    return render("claims", claims=theory.claims, failing=failing) + "\n"
