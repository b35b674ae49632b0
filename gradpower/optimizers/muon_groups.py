"""The split of a model's parameters between Muon and AdamW."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from gradpower.groups import match_parameters
from gradpower.optimizers.stand_in import Group
from gradpower.tools.errors import InputError, require

# The embedding's inputs are one-hot, and the outputs of head, router and shared-expert gate are logits.
ADAMW_PATTERNS = (r"(?:^|\.)embed_tokens\.", r"(?:^|\.)(?:lm_head|mlp\.gate|shared_expert_gate)\.")


def muon_groups(
    model: nn.Module,
    *,
    adamw_patterns: Sequence[str] = ADAMW_PATTERNS,
    muon: Mapping[str, Any] | None = None,
    adamw: Mapping[str, Any] | None = None,
) -> list[Group]:
    """Return the parameter groups of `MuonAdamWPower`: hidden matrices to "muon", all else to "adamw".

    Muon makes all singular values of an update equal, which suits matrices whose inputs and outputs are both
    hidden activations. By default AdamW keeps the embedding, whose inputs are one-hot, and the layers whose
    outputs are logits: the head and, in a mixture of experts, the router and the gate of the shared expert
    (the last two by this project's choice). It also keeps norms and biases, even where those of several experts are
    stacked, kernels of convolutions, and what weights are computed from (`weight_norm` and other parametrizations).

    Parameters
    ----------
    model : torch.nn.Module
        The model. A tied parameter goes to AdamW if one of its names does; frozen ones are left out.
    adamw_patterns : sequence of str
        Regular expressions; a matrix with one found in its name goes to AdamW. The default fits LLaMA and
        Qwen2-MoE of transformers 4 and 5; without "mlp.gate" in it the router goes to Muon.
    muon, adamw : mapping, optional
        Options of the two groups, such as {"lr": 3e-4} or {"power": 1.0}.

    Raises
    ------
    InputError
        Also if a pattern matches no parameter left by earlier ones, or no matrix is left for Muon.

    Examples
    --------
    >>> model = nn.ModuleDict({"embed_tokens": nn.Embedding(5, 2), "up": nn.Linear(2, 4), "lm_head": nn.Linear(2, 5)})
    >>> for group in muon_groups(model, adamw={"power": 1.0}):
    ...     print(group["algorithm"], group.get("power"), [tuple(p.shape) for p in group["params"]])
    muon None [(4, 2)]
    adamw 1.0 [(5, 2), (5, 2), (5,), (4,)]
    """
    are_many = not isinstance(adamw_patterns, str)
    require(are_many, "adamw_patterns", adamw_patterns, "a sequence of regular expressions")
    patterns = {f"adamw_patterns[{i}]": pattern for i, pattern in enumerate(adamw_patterns)}
    allowed = 'one with the names of LLaMA, or adamw_patterns=[…] for its embedding and head, as [r"wte\\."]'
    try:
        owned, others = match_parameters(model, patterns)
    except ValueError:
        if adamw_patterns != ADAMW_PATTERNS:
            raise
        names = ", ".join(name for name, _ in itertools.islice(model.named_parameters(), 3))
        raise InputError("model", f"{type(model).__name__} with {names}, …", allowed) from None
    unsuited = _unsuited(model)
    matrices: list[nn.Parameter] = []
    rest = [p for parameters in owned for p in parameters]
    for name, p in others.items():
        suits = p.ndim >= 2 and not name.endswith("bias") and p not in unsuited
        (matrices if suits else rest).append(p)
    require(matrices, "model", type(model).__name__, "a model with a trainable matrix for Muon")
    parts = (("muon", matrices, muon), ("adamw", rest, adamw))
    return [{"name": n, **(own or {}), "params": ps, "algorithm": n} for n, ps, own in parts if ps]


def _unsuited(model: nn.Module) -> set[nn.Parameter]:
    """Return kernels of convolutions, and what weights are computed from by weight_norm, spectral_norm and others."""
    parts: set[nn.Parameter] = set()
    for module in model.modules():
        if isinstance(module, ParametrizationList | _ConvNd):
            parts.update(module.parameters(recurse=isinstance(module, ParametrizationList)))
        for hook in module._forward_pre_hooks.values():  # the older form of the two
            if isinstance(hook, WeightNorm | SpectralNorm):
                names = (f"{hook.name}_{part}" for part in ("g", "v", "orig"))
                parts.update(getattr(module, name) for name in names if hasattr(module, name))
    return parts
