"""Parameters by name: regular expressions over the dotted names of a model's parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import nn

from gradpower.tools.errors import InputError

_WRAPPER = r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
# A module of the model itself may be called "module", so that name is a wrapper's at the front only.
_WRAPPERS = re.compile(rf"^(?:{_WRAPPER}|module\.)+|(?<=\.)(?:{_WRAPPER})+")


def check_pattern(argument: str, pattern: object) -> str:
    """Return `pattern` if it is a regular expression.

    Raises
    ------
    InputError
        If it is no string, or no regular expression.

    Examples
    --------
    >>> check_pattern("pattern", "(")
    Traceback (most recent call last):
    ...
    gradpower.tools.errors.InputError: pattern: ( is not allowed; expected a regular expression
    """
    if not isinstance(pattern, str):
        raise InputError(argument, pattern, "a regular expression")
    try:
        re.compile(pattern)
    except re.error:
        raise InputError(argument, pattern, "a regular expression") from None
    return pattern


def parameter_names(model: nn.Module) -> dict[nn.Parameter, list[str]]:
    """Return the dotted names of every parameter, several for a tied one, without those of wrappers.

    Dropped are "module." of DistributedDataParallel at the front, and "_orig_mod." (torch.compile),
    "_fsdp_wrapped_module." and "_checkpoint_wrapped_module." anywhere.

    Examples
    --------
    >>> wrapped = nn.ModuleDict({"module": nn.ModuleDict({"head": nn.Linear(1, 1, bias=False)})})
    >>> list(parameter_names(wrapped).values())
    [['head.weight']]
    """
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(_WRAPPERS.sub("", name))
    return names


def match_parameters(
    model: nn.Module, patterns: Mapping[str, str]
) -> tuple[list[list[nn.Parameter]], dict[str, nn.Parameter]]:
    """Return the trainable parameters of each pattern, and by name those that match none.

    The first pattern found in a name takes it, and the first pattern that took one of its names owns a tied
    parameter. Frozen parameters are left out, but count as matches.

    Parameters
    ----------
    model : torch.nn.Module
        The model.
    patterns : mapping of str to str
        What an error calls a pattern, and the pattern, in order of precedence.

    Raises
    ------
    InputError
        If a pattern is no regular expression or takes no name.

    Examples
    --------
    >>> model = nn.ModuleDict({"q_proj": nn.Linear(2, 2), "head": nn.Linear(2, 2, bias=False)})
    >>> (matrices, biases), others = match_parameters(model, {"first": "q_.*weight", "second": "bias"})
    >>> len(matrices), len(biases), list(others)
    (1, 1, ['head.weight'])
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
        if index not in taken:
            allowed = "a pattern that matches a parameter which no earlier pattern takes"
            raise InputError(argument, pattern, allowed)
    return owned, others


def _first(patterns: list[re.Pattern[str]], name: str) -> int | None:
    return next((index for index, pattern in enumerate(patterns) if pattern.search(name)), None)
