"""The paper's models in the report: parameters of our recipes against those that it states (Section 5)."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.recipes.fields import with_fields
from experiments.recipes.model_size import model_size
from experiments.recipes.named import PAPER_LLAMA, PAPER_MOE, paper_llama, paper_moe
from experiments.recipes.settings import ModelSettings
from figures.report.render import render

# Parameters that one token uses, as the paper states.
STATED_ACTIVE = {"0.5b": 247e6, "1b": 297e6, "2b": 536e6}
_TOLERANCE = 0.01


@dataclass(frozen=True)
class ModelRow:
    """A model, and its parameters as stated: in all, and those that one token uses (mixtures only)."""

    name: str
    settings: ModelSettings
    stated: float
    stated_active: float | None = None

    @property
    def agrees(self) -> bool:
        """Whether the counts are the stated ones to within a percent."""
        size = model_size(self.settings)
        pairs = [(size.total, self.stated), (size.active, self.stated_active or size.active)]
        return all(abs(ours / theirs - 1) <= _TOLERANCE for ours, theirs in pairs)


def model_rows() -> list[ModelRow]:
    """Return the paper's models."""
    models = [
        ModelRow(f"LLaMA {size.upper()}", paper_llama(size).model, stated)
        for size, (_, stated, _) in PAPER_LLAMA.items()
    ]
    models += [
        ModelRow(f"Qwen2-MoE {size.upper()}", paper_moe(size).model, stated, STATED_ACTIVE[size])
        for size, (_, _, stated, _) in PAPER_MOE.items()
    ]
    return models


def models_section() -> str:
    """Return the Markdown of the section; the last counts are those of other readings of two of its rows."""
    return render(
        "models",
        models=model_rows(),
        printed=with_fields(paper_llama("0.2b"), {"model.heads": 16, "model.layers": 8}).model,
        swapped=with_fields(paper_llama("0.25b"), {"model.heads": 8, "model.layers": 16}).model,
        wider=with_fields(paper_llama("0.25b"), {"model.width": 1024, "model.hidden": 4096}).model,
    )
