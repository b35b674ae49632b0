"""Parameters by name: regular expressions over the dotted names of a model's parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress

from torch import nn

from gradpower.tools.errors import InputError, require

_WRAPPER = r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
# A module of the model itself may be called "module", so that name is a wrapper's at the front only.
_WRAPPERS = re.compile(rf"^(?:{_WRAPPER}|module\.)+|(?<=\.)(?:{_WRAPPER})+")


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
