"""The paper's models in the report: parameters of our recipes against those that it states (Section 5)."""

from __future__ import annotations

from experiments.recipes.fields import with_fields
from experiments.recipes.model_size import model_size
from experiments.recipes.named import PAPER_LLAMA, PAPER_MOE, paper_llama, paper_moe
from experiments.recipes.settings import ModelSettings
from figures.markdown import markdown_table

# Parameters that the paper states, in millions: all, and those that one token uses.
STATED_ACTIVE = {"0.5b": 247, "1b": 297, "2b": 536}
_TOLERANCE = 0.01

_INTRODUCTION = """\
Counted in closed form from the recipes (`gradpower recipes`; the tests count the real models too), with untied heads
and the vocabularies of T5 (32100) and, for 0.25B, GPT-2 (50304). Experts of width d_ff/4, one shared expert of width
d_ff, and four experts a token are our reading: with them the counts of the mixtures are the paper's."""


def model_size_parts() -> list[str]:
    """Return the Markdown of the section."""
    rows = [_llama_row(size) for size in PAPER_LLAMA] + [_moe_row(size) for size in PAPER_MOE]
    headings = ["model", "d_model", "d_ff", "heads", "layers", "experts", "parameters", "paper", "verdict"]
    return ["## The models", _INTRODUCTION, markdown_table(headings, rows), _disagreement()]


def _llama_row(size: str) -> list[str]:
    _, stated, _ = PAPER_LLAMA[size]
    settings = paper_llama(size).model
    total = model_size(settings).total
    agrees = abs(total / stated - 1) <= _TOLERANCE
    note = (
        "agrees; heads and layers swapped"
        if size == "0.2b"
        else "agrees"
        if agrees
        else "disagrees, see below"
    )
    return [
        f"LLaMA {size.upper()}",
        *_shape(settings),
        "–",
        _millions(total),
        f"{stated / 1e6:.0f}M",
        note,
    ]


def _moe_row(size: str) -> list[str]:
    _, experts, stated, _ = PAPER_MOE[size]
    settings = paper_moe(size).model
    counted = model_size(settings)
    active = STATED_ACTIVE[size]
    pairs = ((counted.total, stated), (counted.active, active * 1e6))
    agrees = all(abs(ours / theirs - 1) <= _TOLERANCE for ours, theirs in pairs)
    return [
        f"Qwen2-MoE {size.upper()}",
        *_shape(settings),
        str(experts),
        f"{_millions(counted.total)}, {_millions(counted.active)} active",
        f"{stated / 1e6:.0f}M, {active}M active",
        "agrees" if agrees else "disagrees",
    ]


def _shape(settings: ModelSettings) -> list[str]:
    return [str(getattr(settings, name)) for name in ("width", "hidden", "heads", "layers")]


def _disagreement() -> str:
    """Say what the two rows that disagree with themselves would give by other readings."""
    printed = with_fields(paper_llama("0.2b"), {"model.heads": 16, "model.layers": 8})
    swapped = with_fields(paper_llama("0.25b"), {"model.heads": 8, "model.layers": 16})
    wider = with_fields(paper_llama("0.25b"), {"model.width": 1024, "model.hidden": 4096})
    sizes = [_millions(model_size(made.model).total) for made in (printed, swapped, wider)]
    return (
        f"*0.2B* is printed with 16 heads and 8 layers, which would be {sizes[0]}: the two are swapped. *0.25B* is "
        f"built as printed; with heads and layers swapped it would be {sizes[1]}. The authors' code has d_model = "
        f"1024, 16 heads and 8 layers, and with d_ff = 4096 that is {sizes[2]}, the paper's count: it is the printed "
        "row that is in error."
    )


def _millions(parameters: float) -> str:
    return f"{parameters / 1e6:.1f}M"
