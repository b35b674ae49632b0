"""`powered(Base)`: any torch optimizer on sign-power gradients, as a subclass of it.

GradPower feeds φ_p(g_t) to an unchanged base optimizer Q (Section 3 of the paper):
θ_{t+1} = θ_t − η·Q(φ_p(g_1), …, φ_p(g_t)).
"""

from __future__ import annotations

import copyreg
import inspect
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradpower.clipping import Clip, global_norm
from gradpower.inputs import POWER, check_power, real, refusal
from gradpower.portions import Group, Scratch, gradients_of, portions, powered_gradients, with_gradient
from gradpower.transform import OFFSET, SignPower

F = TypeVar("F", bound=Callable[..., Any])
Gradients = list[tuple[Tensor, Tensor | None]]
# What a powered optimizer adds to every parameter group.
SETTINGS = ("power", "power_offset")


def _untraced(function: F) -> F:
    return cast(F, torch.compiler.disable(function))  # type: ignore[no-untyped-call]


class PoweredOptimizer(Optimizer):
    """What all powered optimizers share: the power of each group, and a step on φ_p of the gradients.

    Not for use on its own: `powered(Base)` and the named classes derive from it and from their base.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups, as the base takes them; a group may have its own "power" and
        "power_offset".
    power : float or Tensor
        The power p > 0 of the groups that have none of their own. p = 1 is the base optimizer, bit for bit; as
        p → 0 it sees the signs only. A 0-dimensional tensor can be changed in a captured graph: each group has a
        copy of its own, whose value is not checked again.
    offset : float
        δ >= 0 of the variant sign(g)·(|g| + δ)^p; the authors' training code has 1e-8.
    clip : Clip, optional
        `clip_then_power(max_norm)` or `power_then_clip(max_norm)`; no clipping by default. It is a setting of
        the constructor and not saved with the state.
    *args, **kwargs
        As the base takes them.

    Raises
    ------
    TypeError
        If `power`, `offset` or `clip` is of another type.
    ValueError
        If a power is not finite and positive, an offset negative, or `differentiable=True`: the step writes
        into buffers and cannot be differentiated.

    Notes
    -----
    `param_groups` hold "power", so that it is saved, loaded, scheduled and set for each group like "lr"; a
    checkpoint of the plain base is loaded with the powers of this object. `.grad` is left as the user made it.
    With a GradScaler the gradients are unscaled before the power, whether or not the base could do it itself. The
    base must read `.grad`.

    Extra memory of a step with one of torch's own optimizers: as much as the largest parameter. At most a quarter more
    with an offset, four times as much for complex gradients, 32 MB more for bfloat16 and float16 (five times as much
    if not contiguous), once for each dtype in a mixture; all powered gradients in a compiled step.
    """

    # Whether one base step equals steps over its parameters, a few at a time: true of torch's own optimizers,
    # whose state is kept for each parameter. Then no second copy of all gradients is ever made.
    separable: ClassVar[bool] = False
    # The base's step without torch's wrapper, which would run our hooks a second time.
    _unhooked_step: ClassVar[Callable[..., Any]]
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
        power, offset = check_power(power), real("offset", offset, OFFSET, low=0)
        if clip is not None and not isinstance(clip, Clip):
            raise refusal(
                "clip", clip, "clip_then_power(max_norm), power_then_clip(max_norm) or None", TypeError
            )
        super().__init__(params, *args, **kwargs)
        self.clip = clip
        self._step_supports_amp_scaling = False
        self.defaults |= {"power": power, "power_offset": offset}
        _check_settings(self.param_groups)
        for group in self.param_groups:
            self._give_settings(group)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__signature__ = _signature(cls)  # type: ignore[attr-defined]
        step = base_of(cls).step
        # torch wraps the step of a class when the first object of it is made.
        cls._unhooked_step = staticmethod(
            getattr(step, "__wrapped__", step) if hasattr(step, "hooked") else step
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "clip": self.clip}

    def add_param_group(self, param_group: Group) -> None:
        """Add a group, with the constructor's power unless it has its own; see torch.optim.Optimizer."""
        _check_settings([{**self.defaults, **param_group}])
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

        Raises
        ------
        ValueError
            If some groups have a power and others none, or one is not allowed.
        """
        saved = [dict(group) for group in state_dict["param_groups"]]
        for name in SETTINGS:
            missing = [index for index, group in enumerate(saved) if name not in group]
            if missing and len(missing) < len(saved):
                allowed = "one in every group, or in none"
                raise refusal(f"{name} of loaded group {missing[0]}", "missing", allowed, ValueError)
            if missing:
                for group, mine in zip(saved, self.param_groups, strict=False):
                    group[name] = mine[name]
        _check_settings(saved)
        before = [group["power"] for group in self.param_groups]
        super().load_state_dict({**state_dict, "param_groups": saved})
        for group, power in zip(self.param_groups, before, strict=True):
            # A captured graph reads this very tensor.
            if isinstance(power, Tensor):
                group["power"] = power.fill_(float(group["power"]))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step of the base optimizer on φ_p of the gradients.

        Parameters
        ----------
        closure : callable, optional
            Evaluates the model anew and returns the loss; called once, with gradients enabled.

        Returns
        -------
        The loss that the closure returned, if there was one.
        """
        if torch.compiler.is_compiling():
            return self._compiled_step(closure)
        transforms = [_transform(group) for group in self.param_groups]
        if self.clip is None and all(transform.is_identity for transform in transforms):
            return self._base_step(closure)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            transforms = self._clipped(transforms)
            if self.separable:
                self._step_by_portions(transforms)
            else:
                self._step_on(self.param_groups, transforms, scratch=None)
        return loss

    def _base_step(self, closure: Callable[[], Any] | None = None) -> Any:
        return self._unhooked_step(self) if closure is None else self._unhooked_step(self, closure)

    def _compiled_step(self, closure: Callable[[], Any] | None) -> Any:
        """Let torch.compile see the base's step, between two calls that it does not trace."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._substitute()
        try:
            self._unhooked_step(self)
        finally:
            self._put_back()
        return loss

    @_untraced
    def _substitute(self) -> None:
        raw = _raw(self.param_groups)
        try:
            with torch.no_grad():
                transforms = self._clipped([_transform(group) for group in self.param_groups])
                _put_powered(self.param_groups, transforms, scratch=None)
        except BaseException:
            _restore(raw)
            raise
        # Both out of the graph's sight, or it would be made anew: for another power, and where p = 1 leaves `.grad`.
        settings = [{name: group.pop(name) for name in SETTINGS} for group in self.param_groups]
        self._taken = raw, settings

    @_untraced
    def _put_back(self) -> None:
        raw, settings = self.__dict__.pop("_taken")
        _restore(raw)
        for group, mine in zip(self.param_groups, settings, strict=True):
            group.update(mine)

    def _fused_step(self, group: Group, transform: SignPower) -> bool:
        """Take the step of one group in one pass over memory and return True, if there is a kernel for it."""
        return False

    def _step_by_portions(self, transforms: list[SignPower]) -> None:
        scratch = Scratch(self._largest())
        for group, transform in zip(self.param_groups, transforms, strict=True):
            if not self._fused_step(group, transform):
                # At p = 1 the base does as it always does.
                seen = group if transform.is_identity else self._unfused(group)
                for portion in portions(seen, transform, scratch.size):
                    self._step_on([portion], [transform], scratch)

    def _unfused(self, group: Group) -> Group:
        """Return the group as the base is to see it where `_fused_step` has declined."""
        return group

    def _step_on(self, groups: list[Group], transforms: list[SignPower], scratch: Scratch | None) -> None:
        """Let the base see φ_p of the gradients of `groups` and nothing else, and put everything back."""
        everything, raw = self.param_groups, _raw(groups)
        try:
            _put_powered(groups, transforms, scratch)
            self.param_groups = groups
            self._base_step()
        finally:
            self.param_groups = everything
            _restore(raw)

    def _largest(self) -> int:
        return max((p.numel() for group in self.param_groups for p in group["params"]), default=0)

    def _clipped(self, transforms: list[SignPower]) -> list[SignPower]:
        """Return the transforms with the clipping's factor before or after the power."""
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
        for group, transform in zip(self.param_groups, transforms, strict=True):
            for portion in portions(group, transform, self._largest()):
                yield transform.foreach(gradients_of(portion))


def powered(base: type[Optimizer]) -> type[PoweredOptimizer]:
    """Return the powered subclass of an optimizer class, the same one at every call.

    Parameters
    ----------
    base : type
        A subclass of torch.optim.Optimizer whose step needs gradients and no repeated closure.

    Returns
    -------
    type
        A subclass of `base` and of `PoweredOptimizer`, named `base` + "Power", whose constructor takes what
        `base` takes and the keyword `power` (and `offset`, `clip`). Its instances and the class itself can be
        pickled if `base` can. For torch's AdamW it is `AdamWPower`, and so for the other named classes.

    Raises
    ------
    TypeError
        If `base` is no optimizer class, is powered already, or calls its closure repeatedly as LBFGS does: the
        gradients of those calls never pass through the step.

    Notes
    -----
    For an optimizer that is not torch's own, the powered gradients of all parameters exist at once during a step.

    Examples
    --------
    >>> optimizer = powered(torch.optim.Adamax)([torch.nn.Parameter(torch.ones(2))], lr=0.1, power=1.2)
    >>> isinstance(optimizer, torch.optim.Adamax), type(optimizer).__name__
    (True, 'AdamaxPower')
    """
    allowed = "a subclass of torch.optim.Optimizer that is not powered yet"
    if not (isinstance(base, type) and issubclass(base, Optimizer)) or issubclass(base, PoweredOptimizer):
        shown = base.__name__ if isinstance(base, type) else base
        raise refusal("base", shown, allowed, TypeError)
    if issubclass(base, torch.optim.LBFGS):
        allowed = "an optimizer that takes one gradient a step (it calls its closure repeatedly)"
        raise refusal("base", base.__name__, allowed, TypeError)
    from gradpower import optimizers  # enters the named classes

    if base not in optimizers.POWERED:
        name, torchs = f"{base.__name__}Power", base.__module__.startswith("torch.optim.")
        doc = f"`{base.__name__}` on sign-power gradients; parameters as there and in `PoweredOptimizer`."
        # A base with a metaclass of its own keeps it; what is made from it cannot be pickled then.
        kind: Any = _Derived if type(base) is type else type(base)
        body = {"__module__": base.__module__, "__doc__": doc, "separable": torchs}
        optimizers.POWERED[base] = cast(type[PoweredOptimizer], kind(name, (PoweredOptimizer, base), body))
    return optimizers.POWERED[base]


class _Derived(type):
    """The type of classes made by `powered`: they are pickled as the call that makes them."""


copyreg.pickle(_Derived, lambda cls: (powered, (base_of(cast("type[PoweredOptimizer]", cls)),)))  # type: ignore[arg-type,return-value]


def base_of(cls: type[PoweredOptimizer]) -> type[Optimizer]:
    """Return the optimizer class that a powered class feeds.

    Examples
    --------
    >>> base_of(powered(torch.optim.Adamax)).__name__
    'Adamax'
    """
    after = cls.__mro__[cls.__mro__.index(PoweredOptimizer) + 1 :]
    return next(c for c in after if issubclass(c, Optimizer))


def _signature(cls: type[PoweredOptimizer]) -> inspect.Signature:
    """Return the base's parameters and, before its keywords, ours."""
    theirs = list(inspect.signature(base_of(cls).__init__).parameters.values())[1:]
    ours = list(inspect.signature(PoweredOptimizer.__init__).parameters.values())
    ours = [p for p in ours if p.name in ("power", "offset", "clip")]
    rest = [p for p in theirs if p.kind is p.VAR_KEYWORD]
    return inspect.Signature([p for p in theirs if p not in rest] + ours + rest)


def _transform(group: Group) -> SignPower:
    for name in SETTINGS:
        if name not in group:
            raise refusal(f"{name} of a parameter group", "missing", POWER, ValueError)
    # A tensor on a device is not asked for its value at every step.
    power = group["power"] if isinstance(group["power"], Tensor) else check_power(group["power"])
    return SignPower(power, real("power_offset", group["power_offset"], OFFSET, low=0))


def _check_settings(groups: Iterable[Group]) -> None:
    for group in groups:
        if "power" in group:
            group["power"] = check_power(group["power"])
        if "power_offset" in group:
            group["power_offset"] = real("power_offset", group["power_offset"], OFFSET, low=0)
        if group.get("differentiable"):
            raise refusal("differentiable", True, "False (the powered step writes into buffers)", ValueError)


def _put_powered(groups: list[Group], transforms: list[SignPower], scratch: Scratch | None) -> None:
    for group, transform in zip(groups, transforms, strict=True):
        gradients = powered_gradients(gradients_of(group), transform, scratch)
        for p, g in zip(with_gradient(group), gradients, strict=True):
            p.grad = g


def _restore(raw: Gradients) -> None:
    for p, g in raw:
        p.grad = g


def _raw(groups: list[Group]) -> Gradients:
    return [(p, p.grad) for group in groups for p in group["params"]]
