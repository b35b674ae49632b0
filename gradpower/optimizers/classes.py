"""`powered(Base)`: the powered subclass of any torch optimizer."""

from __future__ import annotations

import copyreg
import inspect
from collections.abc import Iterable
from typing import Any, Protocol, TypeVar, cast

from torch import Tensor
from torch.optim import Optimizer

from gradpower.clipping import Clip
from gradpower.optimizers.base import PoweredOptimizer, base_of
from gradpower.optimizers.closures import closure_use
from gradpower.optimizers.group_settings import SETTINGS
from gradpower.optimizers.named import POWERED
from gradpower.tools.errors import InputError, require

B_co = TypeVar("B_co", bound=Optimizer, covariant=True)


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
    use = closure_use(base)
    require(not use, "base", base.__name__, f"an optimizer that takes one gradient a step ({use})")


class _Derived(type):
    """The type of classes made by `powered`: they are pickled as the call that makes them."""


def _reduced(cls: type[PoweredOptimizer]) -> Any:
    base = base_of(cls)
    return (powered, (base,)) if cls is POWERED.get(base) else cls.__qualname__


copyreg.pickle(_Derived, _reduced)  # type: ignore[arg-type]
