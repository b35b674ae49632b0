"""`paper_repro.md`: what the paper says and what was computed, as a text that depends on result files alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.noise.measurement import NOISE, Measurement
from experiments.studies.batch_size import PARTS, BatchSizeStudy, read_batch_size
from experiments.studies.memory import MEMORY, MemoryStudy, read_memory
from experiments.studies.modules import MODULES, ModulesStudy, read_modules
from experiments.studies.rare_tokens import TOKENS, RareTokens, read_rare_tokens
from experiments.training.step_cost import STEP_COST, StepCost
from figures.report.adam import adam_section
from figures.report.convergence import convergence_section
from figures.report.intervention import intervention_section
from figures.report.models import models_section
from figures.report.render import render
from figures.report.step_time import step_time_section
from figures.report.studies import batch_size_section, noise_section
from figures.results import THEORY, TheoryResults
from gradpower.tools.errors import InputError
from gradpower.tools.results import find_result
from simulate.intervention.study import INTERVENTION, InterventionResults
from simulate.questions import CONVERGENCE, ConvergenceResults

# In results.
CHOSEN_NOISE, MEASURED_NOISE = "intervention/intervention.json", "causes/noise.json"


@dataclass(frozen=True)
class Findings:
    """All that the page is made of; a section whose findings are not there says how to make them."""

    theory: TheoryResults
    convergence: ConvergenceResults | None = None
    step_time: StepCost | None = None
    batch_size: BatchSizeStudy | None = None
    noise: Measurement | None = None
    memory: MemoryStudy | None = None
    modules: ModulesStudy | None = None
    tokens: RareTokens | None = None
    intervention: InterventionResults | None = None


def read_findings(folder: Path) -> Findings:
    """Return what lies in a folder or else in the checkout's results; InputError without the theory's."""
    theory = THEORY.find(folder)
    names = (PARTS, MEASURED_NOISE, MEMORY, MODULES, TOKENS, CHOSEN_NOISE)
    parts, noise, memory, modules, tokens, chosen_noise = (find_result(name, folder) for name in names)
    if theory is None:
        raise InputError("folder", folder, "one with theory.json, which `gradpower reproduce` writes")
    return Findings(
        theory,
        CONVERGENCE.find(folder),
        STEP_COST.find(folder),
        read_batch_size(parts) if parts else None,
        NOISE.read(noise) if noise else None,
        read_memory(memory) if memory else None,
        read_modules(modules) if modules else None,
        read_rare_tokens(modules, tokens) if modules and tokens else None,
        INTERVENTION.read(chosen_noise) if chosen_noise else None,
    )


def page(found: Findings) -> str:
    """Return the text of `paper_repro.md`."""
    theory = found.theory
    failing = [claim for claim in theory.claims if claim.verdict == "fails"]
    sections = [
        render("introduction"),
        adam_section(theory.optimal_powers, theory.provenance.config),
        convergence_section(found.convergence),
        step_time_section(found.step_time),
        batch_size_section(found.batch_size),
        render("causes", memory=found.memory, modules=found.modules, tokens=found.tokens),
        noise_section(found.noise),
        render("memory", study=found.memory),
        render("where", modules=found.modules, tokens=found.tokens),
        intervention_section(found.intervention),
        render("claims", claims=theory.claims, failing=failing),
        models_section(),
        render("not_attempted"),
    ]
    return "\n\n".join(sections) + "\n"
