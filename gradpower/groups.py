"""The parameter groups of an optimizer by name, and the modules of a model by pattern."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn
from torch.optim import Optimizer

from gradpower.names import match_parameters
from gradpower.optimizers.stand_in import Group
from gradpower.tools.errors import require


def group_names(optimizer: Optimizer) -> list[str]:
    """Return the name of every parameter group: its "name" key, or else its index."""
    return [str(group.get("name", index)) for index, group in enumerate(optimizer.param_groups)]


def named_groups(optimizer: Optimizer) -> dict[str, list[Group]]:
    """Return the parameter groups of every name."""
    groups: dict[str, list[Group]] = {}
    for name, group in zip(group_names(optimizer), optimizer.param_groups, strict=True):
        groups.setdefault(name, []).append(group)
    return groups


def unwrapped(optimizer: Optimizer) -> Optimizer:
    """Return the optimizer inside the wrappers of trainers, which pose as optimizers but have no step hooks."""
    inner: Any = optimizer
    while "_optimizer_step_post_hooks" not in getattr(inner, "__dict__", ()) and hasattr(inner, "optimizer"):
        inner = inner.optimizer
    return cast(Optimizer, inner)


def modules_of(optimizer: Optimizer) -> dict[str, list[Tensor]]:
    """Return the parameters of an optimizer by the name of their group (`group_names`), as `SNRMeter` wants them.

    Examples
    --------
    >>> import torch
    >>> weight, bias = torch.nn.Linear(2, 2).parameters()
    >>> modules = modules_of(torch.optim.SGD([{"params": [weight], "name": "mlp"}, {"params": [bias]}], lr=1.0))
    >>> {name: len(parameters) for name, parameters in modules.items()}
    {'mlp': 1, '1': 1}
    """
    named = named_groups(optimizer)
    return {name: [p for group in groups for p in group["params"]] for name, groups in named.items()}


def modules_by_pattern(model: nn.Module, patterns: Mapping[str, str]) -> dict[str, list[Tensor]]:
    """Sort the trainable parameters of a model into modules, each into the first whose pattern is found in its name.

    Every pattern must get a parameter, and every parameter a pattern.

    Examples
    --------
    >>> net = nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 2))
    >>> modules = modules_by_pattern(net, {"embedding": "^0", "head": "."})
    >>> {name: len(params) for name, params in modules.items()}
    {'embedding': 1, 'head': 2}
    """
    owned, others = match_parameters(model, {f"pattern of module {n!r}": p for n, p in patterns.items()})
    require(not others, "patterns", f"none for {', '.join(others)}", "one for every parameter")
    return {name: list(parameters) for name, parameters in zip(patterns, owned, strict=True)}
