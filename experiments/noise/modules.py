"""The kinds of modules by which gradient noise is told apart."""

from __future__ import annotations

import re

from torch import nn

from gradpower.groups import parameter_names
from gradpower.learning_rates.blockwise import BLOCKS

_BLOCKS = {block.name: block.pattern for block in BLOCKS}
# Those of Blockwise, but for the parts of its "ffn": the shared expert of a mixture is an MLP for every token.
PATTERNS = {
    **{name: _BLOCKS[name] for name in ("norm", "embedding", "head", "qk", "vo")},
    "router": r"(?:^|\.)mlp\.(?:gate|shared_expert_gate)\.",
    "experts": r"(?:^|\.)mlp\.experts\.",
    "mlp": _BLOCKS["ffn"],
}


def noise_modules(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Return the parameters of a LLaMA or Qwen2-MoE by module; each belongs to one, and modules without any are absent.

    >>> tiny = nn.ModuleDict({"embed_tokens": nn.Embedding(3, 2), "lm_head": nn.Linear(2, 3, bias=False)})
    >>> list(noise_modules(tiny))
    ['embedding', 'head']
    """
    modules: dict[str, list[nn.Parameter]] = {module: [] for module in PATTERNS}
    for parameter, (name, *_) in parameter_names(model).items():
        module = next(module for module, pattern in PATTERNS.items() if re.search(pattern, name))
        modules[module].append(parameter)
    return {module: parameters for module, parameters in modules.items() if parameters}
