"""The closure of a step: its evaluation, and whether one is all that an optimizer needs, read from its source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

from gradpower.optimizers.stand_in import step_of

# Methods of optimizers that are known by them.
_TELLING = {
    "first_step": "it evaluates the gradient twice a step",
    "set_closure": "it evaluates the gradient by itself",
    "fused_backward": "its update is in the backward pass, not in `step`",
}


def evaluated(closure: Callable[[], Any] | None) -> Any:
    """Return the loss that a closure of a step returns, if there is one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def closure_use(base: type[Optimizer]) -> str:
    """Return why a step cannot be fed with the gradients of one evaluation; nothing if it can.

    A step is refused if `closure` has no default, if it fails where `closure` is None, or if it calls the closure more
    than once (sharpness-aware and quasi-Newton optimizers); so are classes that evaluate or differentiate gradients by
    themselves, or that update during the backward pass.
    """
    if issubclass(base, torch.optim.LBFGS):
        return "it calls its closure repeatedly"
    for name, why in _TELLING.items():
        if hasattr(base, name):
            return why
    step = step_of(base)
    if "autograd.grad(" in _source(base) or "hessian(" in _source(step):
        return "it differentiates the gradient, and the powered one has no graph"
    closure = inspect.signature(step).parameters.get("closure")
    if closure is None:
        return ""
    if closure.default is closure.empty:
        return "it requires a closure"
    try:
        tree = ast.parse(textwrap.dedent(_source(step)))
    except SyntaxError:  # a text at the margin, in a docstring, hides the indentation
        return ""
    if _calls(tree) > 1:
        return "it calls its closure repeatedly"
    return "it requires a closure" if any(map(_fails_without, ast.walk(tree))) else ""


def _source(definition: object) -> str:
    try:
        return inspect.getsource(definition)  # type: ignore[arg-type]
    except (OSError, TypeError):
        return ""


def _calls(node: ast.AST) -> int:
    """Return how often a run through a piece of code can call the closure, loops counted once."""
    if isinstance(node, ast.If):
        branches = [sum(map(_calls, branch)) for branch in (node.body, node.orelse)]
        return _calls(node.test) + max(branches)
    own = isinstance(node, ast.Call) and ast.unparse(node.func) == "closure"
    return own + sum(map(_calls, ast.iter_child_nodes(node)))


def _fails_without(node: ast.AST) -> bool:
    """Whether a statement is `assert closure is not None`, or raises under `if closure is None`."""
    if isinstance(node, ast.Assert):
        return ast.unparse(node.test) == "closure is not None"
    return (
        isinstance(node, ast.If)
        and ast.unparse(node.test) == "closure is None"
        and isinstance(node.body[0], ast.Raise)
    )
