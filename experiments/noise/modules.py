"""The kinds of modules by which gradient noise is told apart."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from gradpower import modules_by_pattern
from gradpower.groups import parameter_names
from gradpower.learning_rates.blockwise import BLOCKS

_BLOCKS = {block.name: block.pattern for block in BLOCKS}
# Those of Blockwise, but for the parts of its "ffn": the shared expert of a mixture is an MLP for every token.
PATTERNS = {
    "norm": _BLOCKS["norm"],
    "embedding": _BLOCKS["embedding"],
    "head": _BLOCKS["head"],
    "qk": _BLOCKS["qk"],
    "vo": _BLOCKS["vo"],
    "router": r"(?:^|\.)mlp\.(?:gate|shared_expert_gate)\.",
    "experts": r"(?:^|\.)mlp\.experts\.",
    "mlp": _BLOCKS["ffn"],
}


def noise_modules(model: nn.Module) -> Mapping[str, list[nn.Parameter]]:
    """Return the parameters of a LLaMA or Qwen2-MoE by module; each belongs to one, and modules without any are absent.

    Raises
    ------
    ValueError
        If a parameter fits no pattern.

    Examples
    --------
    >>> tiny = nn.ModuleDict({"embed_tokens": nn.Embedding(3, 2), "lm_head": nn.Linear(2, 3, bias=False)})
    >>> list(noise_modules(tiny))
    ['embedding', 'head']
    """
    import re

    names = [name for found in parameter_names(model).values() for name in found]
    owners = {
        next((m for m, pattern in PATTERNS.items() if re.search(pattern, name)), None) for name in names
    }
    present = {module: pattern for module, pattern in PATTERNS.items() if module in owners}
    return modules_by_pattern(model, present)  # type: ignore[return-value]
