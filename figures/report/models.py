"""The paper's models in the report: parameters of our recipes against those that it states (Section 5)."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.recipes.fields import with_fields
from experiments.recipes.model_size import model_size
from experiments.recipes.named import PAPER_LLAMA, PAPER_MOE, paper_llama, paper_moe
from experiments.recipes.settings import ModelSettings
from figures.report.render import render

STATED_ACTIVE = {
    "0.5b": 247e6,
    "1b": 297e6,
    "2b": 536e6,
}  # parameters that one token uses, as the paper states
_TOLERANCE = 0.01


@dataclass(frozen=True)
class ModelRow:
    """A model: parameters in all and those that one token uses (mixtures only), counted and stated."""

    name: str
    settings: ModelSettings
    total: float
    stated: float
    experts: int | None = None
    active: float | None = None
    stated_active: float | None = None

    @property
    def agrees(self) -> bool:
        """Whether the counts are the stated ones to within a percent."""
        pairs = [(self.total, self.stated), (self.active or 1, self.stated_active or 1)]
        return all(abs(ours / theirs - 1) <= _TOLERANCE for ours, theirs in pairs)


def models_section() -> str:
    """Return the Markdown of the section; the last counts are those of other readings of two of its rows."""
    printed = with_fields(paper_llama("0.2b"), {"model.heads": 16, "model.layers": 8})
    swapped = with_fields(paper_llama("0.25b"), {"model.heads": 8, "model.layers": 16})
    wider = with_fields(paper_llama("0.25b"), {"model.width": 1024, "model.hidden": 4096})
    return render(
        "models",
        models=[*map(_llama, PAPER_LLAMA), *map(_mixture, PAPER_MOE)],
        printed=model_size(printed.model).total,
        swapped=model_size(swapped.model).total,
        wider=model_size(wider.model).total,
    )


def _llama(size: str) -> ModelRow:
    settings = paper_llama(size).model
    return ModelRow(f"LLaMA {size.upper()}", settings, model_size(settings).total, PAPER_LLAMA[size][1])


def _mixture(size: str) -> ModelRow:
    _, experts, stated, _ = PAPER_MOE[size]
    settings = paper_moe(size).model
    counted = model_size(settings)
    name = f"Qwen2-MoE {size.upper()}"
    return ModelRow(name, settings, counted.total, stated, experts, counted.active, STATED_ACTIVE[size])
