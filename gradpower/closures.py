"""What the step of an optimizer does with its closure, read from its source."""

from __future__ import annotations

import ast
import inspect
import textwrap

import torch
from torch.optim import Optimizer

from gradpower.stand_in import step_of


def closure_use(base: type[Optimizer]) -> str:
    """Return why a step cannot be fed with the gradients of one evaluation; nothing if it can.

    A step is refused if `closure` has no default, if it fails where `closure` is None, or if it calls the closure more
    than once (sharpness-aware and quasi-Newton optimizers).

    Examples
    --------
    >>> closure_use(torch.optim.LBFGS), closure_use(torch.optim.AdamW)
    ('it calls its closure repeatedly', '')
    """
    if issubclass(base, torch.optim.LBFGS):
        return "it calls its closure repeatedly"
    if hasattr(base, "first_step") and hasattr(base, "second_step"):
        return "it evaluates the gradient twice a step"
    step = step_of(base)
    closure = inspect.signature(step).parameters.get("closure")
    if closure is None:
        return ""
    if closure.default is closure.empty:
        return "it requires a closure"
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(step)))
    except (OSError, TypeError, SyntaxError):
        return ""
    if sum(isinstance(n, ast.Call) and _is_closure(n.func) for n in ast.walk(tree)) > 1:
        return "it calls its closure repeatedly"
    return "it requires a closure" if any(map(_fails_without, ast.walk(tree))) else ""


def _is_closure(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "closure"


def _fails_without(node: ast.AST) -> bool:
    """Whether a statement is `assert closure is not None`, or raises under `if closure is None`."""
    if isinstance(node, ast.Assert):
        return _compares(node.test, ast.IsNot)
    return isinstance(node, ast.If) and _compares(node.test, ast.Is) and isinstance(node.body[0], ast.Raise)


def _compares(test: ast.AST, operator: type[ast.cmpop]) -> bool:
    """Whether a test compares the closure with None by this operator."""
    return (
        isinstance(test, ast.Compare)
        and _is_closure(test.left)
        and isinstance(test.ops[0], operator)
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value is None
    )
