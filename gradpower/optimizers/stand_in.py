"""The step of a base optimizer on powered gradients, taken by a stand-in that shares its state.

The object that the user holds is never changed during a step: signal handlers, other threads, loggers and checkpoints
see its parameter groups and the raw `.grad`. torch's own optimizers collect gradients in `_init_group`; a stand-in of
the same kind, with the same state, powers them there. For other optimizers, which read `.grad` themselves, `.grad` is
φ_p(g) while the base's step runs, and nothing else changes.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from inspect import unwrap
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import (
    ASGD,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    Muon,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)

from gradpower.optimizers.shards import any_dtensor, like_shard, local_part, reduce_and_localize, reduced
from gradpower.transform import SignPower

Group = dict[str, Any]
# Entries that a portion may have however small the largest parameter is: 16 MB in float32.
FLOOR = 1 << 22
_HOOKS = Optimizer.profile_hook_step(lambda: None).__code__


def evaluated(closure: Callable[[], Any] | None) -> Any:
    """Return the loss that a closure of a step returns, if there is one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def step_of(base: type[Optimizer]) -> Callable[..., Any]:
    """Return the step of an optimizer class without torch's wrapper, which would run our hooks a second time.

    torch wraps the step of a class when its first object is made; the wrapper is known by its code.
    """
    step: Any = base.step
    while getattr(step, "__code__", None) is _HOOKS and hasattr(step, "__wrapped__"):
        step = step.__wrapped__
    return cast("Callable[..., Any]", step)


# Classes whose step takes gradients from the third argument of `_init_group`: those that compute entry by entry, and
# those that compute with whole matrices.
_ENTRYWISE = (Adam, Adamax, NAdam, RAdam, Adagrad, RMSprop, Adadelta, Rprop, ASGD, SGD)
_COLLECTING = {unwrap(c.step): c in _ENTRYWISE for c in (*_ENTRYWISE, Muon, Adafactor)}
# Their `_init_group`, and others' that do the same: a class that overrides it otherwise is not taken for one of them.
# torch.compile wraps both when it is first used, so that what is in the wrappers is compared.
COLLECTORS: set[Any] = {unwrap(c._init_group) for c in (*_ENTRYWISE, Muon, Adafactor)}


def stand_in_class(base: type[Optimizer]) -> type[Optimizer] | None:
    """Return the class of stand-ins for an optimizer class; None if it reads `.grad` in ways of its own."""
    step, collects = unwrap(base.step), unwrap(getattr(base, "_init_group", base.step))
    if step not in _COLLECTING or collects not in COLLECTORS:
        return None
    local = _COLLECTING[step]

    def _init_group(self: Any, group: Group, params: list[Tensor], grads: list[Tensor], *rest: Any) -> Any:
        result = base._init_group(self, group, params, grads, *rest)  # type: ignore[attr-defined]
        owners = list(params)
        if reduce_and_localize(params, grads, *rest, local=local) and local:
            # SGD writes its momentum into the state of what is a shard now.
            self.state, self.shards = defaultdict(dict), list(zip(owners, params, strict=True))
        grads[:] = self.transform.foreach(grads)
        return result

    kind: Any = type(base)
    return cast("type[Optimizer]", kind(f"{base.__name__}StandIn", (base,), {"_init_group": _init_group}))


def step_group(
    optimizer: Optimizer, kind: type[Optimizer], step: Callable[..., Any], group: Group, transform: SignPower
) -> None:
    """Let a stand-in for `optimizer` take the step of one group, on the images of its gradients.

    It shares the state and copies the attributes of `optimizer`; what the step sets on it is lost.
    """
    stand_in: Any = object.__new__(kind)
    vars(stand_in).update(vars(optimizer), param_groups=[group], transform=transform, shards=[])
    step(stand_in)
    for owner, shard in stand_in.shards:
        for name, value in stand_in.state.get(shard, {}).items():
            if value is not None and optimizer.state[owner].get(name) is None:
                optimizer.state[owner][name] = like_shard(owner, value)


def with_gradient(group: Group) -> list[Tensor]:
    """Return the parameters of a group that have a gradient."""
    return [p for p in group["params"] if p.grad is not None]


def gradients_of(group: Group) -> list[Tensor]:
    """Return the gradients of a group, of the parameters that have one."""
    return [reduced(p, p.grad) for p in group["params"] if p.grad is not None]


def portions(group: Group, largest: int) -> Iterator[Group]:
    """Split a group so that the powered gradients of a portion, and their signs, fit into `largest` entries."""
    portion: list[Tensor] = []
    total = 0
    for p, size in zip(group["params"], _sizes(group["params"]), strict=True):
        if p.grad is None:
            continue
        if portion and 2 * (total + size) > largest:
            yield {**group, "params": portion}
            portion, total = [], 0
        portion.append(p)
        total += size
    if portion:
        yield {**group, "params": portion}


def largest_portion(groups: Iterable[Group]) -> int:
    """Return the entries that the powered gradients of a step may take up at once: the largest parameter, or FLOOR."""
    return max([FLOOR, *(size for group in groups for size in _sizes(group["params"]))])


def _sizes(params: list[Tensor]) -> list[int]:
    """Return the numbers of entries that this process has."""
    return [p.numel() for p in (map(local_part, params) if any_dtensor(params) else params)]


@contextmanager
def swapped_gradients(groups: list[Group], transforms: list[SignPower]) -> Iterator[None]:
    """Let `.grad` be φ_p(g), for a base that reads it in ways of its own, and put the raw ones back."""
    raw = [(p, p.grad) for group in groups for p in group["params"]]
    try:
        with torch.no_grad():
            for group, transform in zip(groups, transforms, strict=True):
                images = transform.foreach(gradients_of(group))
                for p, image in zip(with_gradient(group), images, strict=True):
                    p.grad = image
        yield
    finally:
        for p, g in raw:
            p.grad = g
