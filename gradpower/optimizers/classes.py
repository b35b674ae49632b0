"""`powered(Base)`: the powered subclass of any torch optimizer that needs one evaluation of its closure at most."""

import ast
import copyreg
import inspect
import textwrap
from collections.abc import Iterable
from typing import Any, Protocol, TypeVar, cast

from torch import Tensor
from torch.optim import LBFGS, Optimizer

from gradpower.clipping import Clip
from gradpower.optimizers.base import PoweredOptimizer, base_of
from gradpower.optimizers.group_settings import SETTINGS
from gradpower.optimizers.power_optimizers import POWERED
from gradpower.optimizers.stand_in import step_of
from gradpower.tools.errors import InputError, require

B_co = TypeVar("B_co", bound=Optimizer, covariant=True)
# Methods of optimizers that are known by them.
_TELLING = {
    "first_step": "it evaluates the gradient twice a step",
    "set_closure": "it evaluates the gradient by itself",
    "fused_backward": "its update is in the backward pass, not in `step`",
}


class PoweredClass(Protocol[B_co]):
    """What a type checker knows of `powered(Base)`: called, it makes a `Base`, with the keywords of the power."""

    def __call__(
        self,
        params: Iterable[Any],
        *args: Any,
        power: float | Tensor,
        offset: float = 0.0,
        clip: Clip | None = None,
        **kwargs: Any,
    ) -> B_co:
        """Make an optimizer."""


def powered(base: type[B_co]) -> PoweredClass[B_co]:
    """Return the powered subclass of an optimizer class, the same one at every call.

    Parameters
    ----------
    base : type
        A subclass of torch.optim.Optimizer. Refused are those with an argument `power`, `offset` or `clip`,
        and those that require a closure or call it repeatedly, as LBFGS and SAM do: the gradients of those calls never
        pass through the step.

    Returns
    -------
    type
        A subclass of `base` and of `PoweredOptimizer`, named `base` + "Power", whose constructor takes what
        `base` takes and the keyword `power` (and `offset`, `clip`). Its instances and the class itself can be
        pickled if `base` can. For torch's AdamW it is `AdamWPower`, and so for the other named classes.

    Notes
    -----
    For an optimizer that is not torch's own, the powered gradients of all parameters exist at once during a step, as
    `.grad` of the parameters.

    Examples
    --------
    >>> import torch
    >>> optimizer = powered(torch.optim.Adamax)([torch.nn.Parameter(torch.ones(2))], lr=0.1, power=1.2)
    >>> isinstance(optimizer, torch.optim.Adamax), type(optimizer).__name__
    (True, 'AdamaxPower')
    """
    if base not in POWERED:
        _check_base(base)
        doc = f"`{base.__name__}` on sign-power gradients; parameters as there and in `PoweredOptimizer`."
        # A base with a metaclass of its own keeps it; what is made from it cannot be pickled then.
        kind: Any = _Derived if type(base) is type else type(base)
        body = {"__module__": base.__module__, "__doc__": doc}
        POWERED[base] = kind(f"{base.__name__}Power", (PoweredOptimizer, base), body)
    return cast("PoweredClass[B_co]", POWERED[base])


def _check_base(base: Any) -> None:
    allowed = "a subclass of torch.optim.Optimizer that is not powered yet"
    if not isinstance(base, type):
        raise InputError("base", f"an object of {type(base).__name__}", allowed)
    if not issubclass(base, Optimizer) or base is Optimizer or issubclass(base, PoweredOptimizer):
        raise InputError("base", base.__name__, allowed)
    taken = inspect.signature(base.__init__).parameters
    for name in (*SETTINGS, "clip"):
        allowed = f"an optimizer without an argument {name!r}: it would be ambiguous; rename it in a subclass"
        require(name not in taken, "base", base.__name__, allowed)
    use = _closure_use(base)
    require(not use, "base", base.__name__, f"an optimizer that takes one gradient a step ({use})")


def _closure_use(base: type[Optimizer]) -> str:
    """Return why a step cannot be fed with the gradients of one evaluation; nothing if it can.

    A step is refused if `closure` has no default, if it fails where `closure` is None, or if it calls the closure more
    than once (sharpness-aware and quasi-Newton optimizers); so are classes that evaluate or differentiate gradients by
    themselves, or that update during the backward pass.
    """
    if issubclass(base, LBFGS):
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


class _Derived(type):
    """The type of classes made by `powered`: they are pickled as the call that makes them."""


def _reduced(cls: type[PoweredOptimizer]) -> Any:
    base = base_of(cls)
    return (powered, (base,)) if cls is POWERED.get(base) else cls.__qualname__


copyreg.pickle(_Derived, _reduced)  # type: ignore[arg-type]
