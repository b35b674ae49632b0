"""`powered(Base)`: any torch optimizer on sign-power gradients, as a subclass of it.

GradPower feeds φ_p(g_t) to an unchanged base optimizer Q (Section 3 of the paper):
θ_{t+1} = θ_t − η·Q(φ_p(g_1), …, φ_p(g_t)).
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradpower.clipping import Clip, global_norm
from gradpower.optimizers.group_settings import SETTINGS, check_settings, transform_of
from gradpower.optimizers.stand_in import (
    Group,
    evaluated,
    gradients_of,
    largest_portion,
    portions,
    stand_in_class,
    step_group,
    step_of,
    swapped_gradients,
)
from gradpower.tools.errors import InputError, real
from gradpower.transform import SignPower, check_power

Step = Callable[..., Any]


class PoweredOptimizer(Optimizer):
    """What all powered optimizers share: the power of each group, and a step on φ_p of the gradients.

    Not for use on its own: `powered(Base)` and the named classes derive from it and from their base.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups, as the base takes them; a group may have its own "power" and "offset". Other
        keys that speak of powers or offsets are refused.
    power : float or Tensor
        The power p > 0 of the groups that have none of their own. p = 1 is the base optimizer, bit for bit; as
        p → 0 it sees the signs only. A 0-dimensional tensor on the parameters' device can be changed in a captured
        graph: each group has a copy of its own, whose value is not checked again.
    offset : float
        δ >= 0 of the variant sign(g)·(|g| + δ)^p; the authors' training code has 1e-8.
    clip : Clip, optional
        `clip_then_power(max_norm)` or `power_then_clip(max_norm)`; no clipping by default. It is a setting of
        the constructor and not saved with the state.
    *args, **kwargs
        As the base takes them, but for `differentiable=True`: the step writes into buffers.

    Notes
    -----
    `param_groups` hold "power" and "offset", so that they are saved, loaded, scheduled and set for each group like
    "lr"; a checkpoint of the plain base is loaded with the powers of this object. With a GradScaler the gradients are
    unscaled before the power, whether or not the base could do it itself. The base must read `.grad`.

    During a step of one of torch's own optimizers neither `param_groups` nor any `.grad` of the user's is changed, so
    that signal handlers, other threads and checkpoints see what they see of torch's. Another optimizer reads `.grad`
    itself: there, and in a step under torch.compile, `.grad` is φ_p(g) while the base's step runs, and is put back
    even if it fails.

    Extra memory of a step with one of torch's own optimizers: as many entries as the largest parameter, or 4 million
    if that is smaller. At most a quarter more with an offset, four times as much for complex gradients, 12 MB more for
    bfloat16 and float16 (five times as much if not contiguous). With other optimizers, and in a compiled step, all
    powered gradients.
    """

    # The base's step without torch's hooks, and the class of what takes it for us.
    _base_step: ClassVar[Callable[..., Any]]
    _stand_in: ClassVar[type[Optimizer] | None]
    # A fused base would hand scaled gradients to φ_p, which is not linear.
    _step_supports_amp_scaling: bool = False

    def __init__(
        self,
        params: Iterable[Any],
        *args: Any,
        power: float | Tensor,
        offset: float = 0.0,
        clip: Clip | None = None,
        **kwargs: Any,
    ) -> None:
        power, offset = check_power(power), real("offset", offset, ge=0)
        if clip is not None and not isinstance(clip, Clip):
            raise InputError("clip", clip, "clip_then_power(max_norm), power_then_clip(max_norm) or None")
        super().__init__(params, *args, **kwargs)
        if not hasattr(self, "defaults"):
            allowed = "an optimizer with defaults of its own (give the one that it wraps a power)"
            raise InputError("base", base_of(type(self)).__name__, allowed)
        self.clip = clip
        self._step_supports_amp_scaling = False
        self.defaults |= {"power": power, "offset": offset}
        check_settings(self.param_groups, self.defaults)
        for group in self.param_groups:
            self._give_settings(group)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        base = base_of(cls)
        theirs = getattr(cls, "_init_group", None) is getattr(base, "_init_group", None)
        cls._base_step = staticmethod(step_of(base))
        cls._stand_in = stand_in_class(base) if theirs else None
        cls.__signature__ = _signature(cls)  # type: ignore[attr-defined]

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "clip": self.clip}

    def __repr__(self) -> str:
        shown = super().__repr__()
        return shown if self.clip is None else f"{shown[:-1]}\n    clip: {self.clip}\n)"

    def add_param_group(self, param_group: Group) -> None:
        """Add a group, with the constructor's power unless it has its own; see torch.optim.Optimizer."""
        if "power" in self.defaults:
            check_settings([{**self.defaults, **param_group}], self.defaults)
        super().add_param_group(param_group)
        if "power" in self.defaults:
            self._give_settings(self.param_groups[-1])

    def _give_settings(self, group: Group) -> None:
        """Give a group what it lacks; a tensor of its own, as schedules write into it."""
        for name in SETTINGS:
            if group.setdefault(name, self.defaults[name]) is self.defaults[name]:
                group[name] = deepcopy(self.defaults[name])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state: a powered one with its powers, or the plain base's, which leaves the powers as they are.

        Either all groups have a power or none.
        """
        saved = [dict(group) for group in state_dict["param_groups"]]
        for name in SETTINGS:
            missing = [index for index, group in enumerate(saved) if name not in group]
            if missing and len(missing) < len(saved):
                allowed = "one in every group, or in none"
                raise InputError(f"{name} of loaded group {missing[0]}", "missing", allowed)
            if missing:
                for group, mine in zip(saved, self.param_groups, strict=False):
                    group[name] = mine[name]
        check_settings(saved, self.defaults)
        before = [group["power"] for group in self.param_groups]
        super().load_state_dict({**state_dict, "param_groups": saved})
        for group, power in zip(self.param_groups, before, strict=True):
            # A captured graph reads this very tensor.
            if isinstance(power, Tensor):
                group["power"] = power.fill_(float(group["power"]))

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        """Take one step of the base optimizer on φ_p of the gradients, and return the loss of the closure, if any.

        The closure evaluates the model anew; it is called once, with gradients enabled. Keywords are the base's.
        """
        if torch.compiler.is_compiling():
            return self._compiled_step(closure, kwargs)
        loss, result = evaluated(closure), None
        transforms = self._transforms()
        if all(transform.is_identity for transform in transforms):
            result = self._base_step(self, **kwargs)
        elif self._stand_in is None:
            with swapped_gradients(self.param_groups, transforms):
                result = self._base_step(self, **kwargs)
        else:
            step, largest = functools.partial(self._base_step, **kwargs), largest_portion(self.param_groups)
            with torch.no_grad():
                for group, transform in zip(self.param_groups, transforms, strict=True):
                    self._step_group(step, group, transform, largest)
        return result if closure is None else loss

    def _step_group(self, step: Step, group: Group, transform: SignPower, largest: int) -> None:
        """Take the step of one group, a portion of its powered gradients at a time; at p = 1 the base does."""
        assert self._stand_in is not None
        for portion in [group] if transform.is_identity else portions(group, largest):
            step_group(self, self._stand_in, step, portion, transform)

    def _compiled_step(self, closure: Callable[[], Any] | None, kwargs: dict[str, Any]) -> Any:
        """Let torch.compile see the base's step, between two calls that it does not trace."""
        loss = evaluated(closure)
        self._substitute()
        try:
            self._base_step(self._traced, **kwargs)  # type: ignore[attr-defined]
        finally:
            self._put_back()
        return loss

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _substitute(self) -> None:
        """Put φ_p(g) into `.grad`, and make the stand-in whose groups lack our settings.

        A power in a group that the graph reads would have the graph made anew for each power. The stand-in is the same
        object at every step, and has the user's state.
        """
        swapped = swapped_gradients(self.param_groups, self._transforms())
        swapped.__enter__()
        traced: Any = self.__dict__.setdefault("_traced", object.__new__(base_of(type(self))))
        groups = [{k: v for k, v in group.items() if k not in SETTINGS} for group in self.param_groups]
        vars(traced).update({k: v for k, v in vars(self).items() if k not in ("_traced", "_swapped")})
        traced.param_groups, self._swapped = groups, swapped

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _put_back(self) -> None:
        self.__dict__.pop("_swapped").__exit__(None, None, None)

    @torch.no_grad()
    def _transforms(self) -> list[SignPower]:
        """Return the map of each group, with the clipping's factor before or after the power."""
        transforms = [transform_of(group) for group in self.param_groups]
        if self.clip is None:
            return transforms
        first = self.clip.order == "clip_then_power"
        parts = map(gradients_of, self.param_groups) if first else self._powered_parts(transforms)
        norm = global_norm(parts, self.clip.norm_type)
        if norm is None:
            return transforms
        factor = self.clip.factor(norm)
        if first:
            return [replace(transform, before=factor) for transform in transforms]
        return [replace(transform, after=factor) for transform in transforms]

    def _powered_parts(self, transforms: list[SignPower]) -> Iterator[list[Tensor]]:
        """Yield φ_p of all gradients, a portion at a time."""
        largest = largest_portion(self.param_groups)
        for group, transform in zip(self.param_groups, transforms, strict=True):
            for portion in portions(group, largest):
                yield transform.foreach(gradients_of(portion))


def base_of(cls: type[PoweredOptimizer]) -> type[Optimizer]:
    """Return the optimizer class that a powered class feeds."""
    after = cls.__mro__[cls.__mro__.index(PoweredOptimizer) + 1 :]
    return next(c for c in after if issubclass(c, Optimizer))


def _signature(cls: type[PoweredOptimizer]) -> inspect.Signature:
    """Return the base's parameters and, before its keywords, ours; those of a constructor of the class's own."""
    if "__init__" in vars(cls):
        own = inspect.signature(cls.__init__)
        return own.replace(parameters=list(own.parameters.values())[1:])
    theirs = list(inspect.signature(base_of(cls).__init__).parameters.values())[1:]
    ours = list(inspect.signature(PoweredOptimizer.__init__).parameters.values())
    ours = [p for p in ours if p.name in (*SETTINGS, "clip")]
    rest = [p for p in theirs if p.kind is p.VAR_KEYWORD]
    return inspect.Signature([p for p in theirs if p not in rest] + ours + rest)
