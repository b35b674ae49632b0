"""The parameter groups of an optimizer by name, and the parameters of a model by patterns of theirs."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

from torch import Tensor, nn
from torch.optim import Optimizer

from gradpower.optimizers.stand_in import Group
from gradpower.tools.errors import InputError, require

_WRAPPER = r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
# A module of the model itself may be called "module", so that name is a wrapper's at the front only.
_WRAPPERS = re.compile(rf"^(?:{_WRAPPER}|module\.)+|(?<=\.)(?:{_WRAPPER})+")


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


def check_pattern(argument: str, pattern: object) -> str:
    """Return `pattern` if it is a regular expression."""
    if isinstance(pattern, str):
        with suppress(re.error):
            re.compile(pattern)
            return pattern
    raise InputError(argument, pattern, "a regular expression")


def parameter_names(model: nn.Module) -> dict[nn.Parameter, list[str]]:
    """Return the dotted names of every parameter, several for a tied one, without those of wrappers.

    Dropped are "module." of DistributedDataParallel at the front, and "_orig_mod." (torch.compile),
    "_fsdp_wrapped_module." and "_checkpoint_wrapped_module." anywhere.
    """
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(_WRAPPERS.sub("", name))
    return names


def match_parameters(
    model: nn.Module, patterns: Mapping[str, str]
) -> tuple[list[list[nn.Parameter]], dict[str, nn.Parameter]]:
    """Return the trainable parameters of each pattern, and by name those that match none.

    `patterns` are in order of precedence, by what an error calls them. The first pattern found in a name takes it, and
    the first pattern that took one of its names owns a tied parameter. Frozen parameters are left out, but count as
    matches. A pattern that takes no name is an InputError.
    """
    compiled = [re.compile(check_pattern(argument, pattern)) for argument, pattern in patterns.items()]
    owned: list[list[nn.Parameter]] = [[] for _ in compiled]
    others: dict[str, nn.Parameter] = {}
    taken: set[int] = set()
    for parameter, names in parameter_names(model).items():
        firsts = {first for first in (_first(compiled, name) for name in names) if first is not None}
        taken |= firsts
        if parameter.requires_grad:
            if firsts:
                owned[min(firsts)].append(parameter)
            else:
                others[names[0]] = parameter
    for index, (argument, pattern) in enumerate(patterns.items()):
        allowed = "a pattern that matches a parameter which no earlier pattern takes"
        require(index in taken, argument, pattern, allowed)
    return owned, others


def _first(patterns: list[re.Pattern[str]], name: str) -> int | None:
    return next((index for index, pattern in enumerate(patterns) if pattern.search(name)), None)
