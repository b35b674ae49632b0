"""Schedules of the power, as torch's LambdaLR is one of the learning rate."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.hooks import RemovableHandle

from gradpower.groups import unwrapped
from gradpower.tools.errors import real, require, whole
from gradpower.transform import check_power

SHAPES = ("linear", "cosine")
# The hooks of each optimizer's schedule.
_HOOKS: WeakKeyDictionary[Optimizer, tuple[RemovableHandle, ...]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Anneal:
    """The share w(t) that is left of the initial power after t steps: 1 until `start`, 0 from `end` on.

    Parameters
    ----------
    shape : str
        "linear": w = 1 − s; "cosine": (1 + cos πs)/2, with s = (t − start)/(end − start).
    start, end : int
        Optimizer steps, 0 <= start < end.

    Examples
    --------
    >>> [Anneal("linear", 2, 6)(t) for t in range(8)]
    [1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    shape: str
    start: int
    end: int

    def __post_init__(self) -> None:
        require(self.shape in SHAPES, "shape", self.shape, " or ".join(map(repr, SHAPES)))
        below = whole("start", self.start, 0) < whole("end", self.end, 1)
        require(below, "start", self.start, f"a number of steps below end = {self.end}")

    def __call__(self, step: int) -> float:
        """Return w(step), in [0, 1]."""
        s = min(max((step - self.start) / (self.end - self.start), 0.0), 1.0)
        return 1 - s if self.shape == "linear" else (1 + math.cos(math.pi * s)) / 2


class PowerSchedule(LRScheduler):
    """Move the power of every parameter group from its own to a common one: p(t) = w(t)·p_0 + (1 − w(t))·p_end.

    t counts the steps that the optimizer really took: not those that a GradScaler skips, that fail, or that only
    accumulate, nor those at rate 0 by which torch.distributed.checkpoint makes states. To trainers the schedule is an
    `LRScheduler`, but its `step()` does nothing, and it leaves learning rates alone.

    Parameters
    ----------
    optimizer : Optimizer
        A powered optimizer, or a wrapper of one (accelerate, Lightning). The initial powers p_0 are those of its
        groups at this moment, kept in them as "initial_power".
    end : float
        The power where w = 0.
    weight : callable
        w: the number of steps taken → a number in [0, 1]; `Anneal` has the usual shapes.

    Notes
    -----
    The powers move whether or not you keep this object, until the optimizer has another schedule. The optimizer keeps
    `weight` alive, nothing else. Its copies have no schedule; a copy of the schedule has an optimizer of its own.

    To resume, build the schedule as before and load the optimizer's state and its own, in any order. Where a trainer
    takes one scheduler, give it `ChainedScheduler([rate, power])`.

    A power that is a tensor is overwritten in place, so that captured graphs see it. Replays of a graph run no hooks:
    load {"last_step": t} after each.

    Examples
    --------
    >>> from gradpower import AdamWPower
    >>> optimizer = AdamWPower([torch.nn.Parameter(torch.ones(1))], power=1.4)
    >>> schedule = PowerSchedule(optimizer, 1.0, Anneal("linear", 0, 4))
    >>> for _ in range(3):
    ...     optimizer.step()
    >>> schedule.get_last_power()
    [1.1]
    """

    _step_count = 0  # accelerate adds to it

    def __init__(self, optimizer: Optimizer, end: float, weight: Callable[[int], float]) -> None:
        # LRScheduler's own would note learning rates, which are not ours, and replace `optimizer.step`.
        optimizer = unwrapped(optimizer)
        groups = _powered_groups(optimizer)
        require(groups, "optimizer", type(optimizer).__name__, "a powered optimizer")
        require(callable(weight), "weight", weight, "a function of the step")
        self.optimizer, self.weight = optimizer, weight
        self._course = _Course(weight, float(check_power(end, "end")))
        self.load_state_dict({"last_step": 0, "initial_powers": [float(group["power"]) for group in groups]})
        self._follow()

    @property
    def last_step(self) -> int:
        """The number of steps counted; torch's name for it, `last_epoch`, cannot be set either."""
        return self._course.last_step

    last_epoch = last_step

    def step(self, epoch: int | None = None) -> None:
        """Do nothing: the schedule follows the steps of the optimizer."""

    def get_last_power(self) -> list[float]:
        """Return the power of every group that has one, as of now."""
        return [float(group["power"]) for group in _powered_groups(self.optimizer)]

    def get_last_lr(self) -> list[float | Tensor]:
        """Return the learning rate of every group, as of now, whoever drives it."""
        rates = [group["lr"] for group in self.optimizer.param_groups]
        return [rate.clone() if isinstance(rate, Tensor) else rate for rate in rates]

    get_lr = get_last_lr

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps counted and the initial powers, p_0 of each group."""
        powers = [group["initial_power"] for group in _powered_groups(self.optimizer)]
        return {"last_step": self.last_step, "initial_powers": powers}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state, and set the powers by it; without "initial_powers" by those of the groups."""
        last_step = int(state_dict["last_step"])
        if "initial_powers" in state_dict:
            powers, groups = state_dict["initial_powers"], _powered_groups(self.optimizer)
            count = len(groups)
            require(len(powers) == count, "initial_powers", powers, f"one power for each of {count} groups")
            self._course.initial = [float(power) for power in powers]
            for group, power in zip(groups, self._course.initial, strict=True):
                group["initial_power"] = power
        self._course.last_step = last_step
        self._course.set_powers(self.optimizer)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._follow()

    def _follow(self) -> None:
        """Hook the course to the optimizer, in place of an earlier one."""
        for handle in _HOOKS.pop(self.optimizer, ()):
            handle.remove()
        _HOOKS[self.optimizer] = (
            self.optimizer.register_step_pre_hook(self._course.begin_step),
            self.optimizer.register_step_post_hook(self._course.end_step),
        )


@dataclass
class _Course:
    """What the hooks need of a schedule. It has no optimizer, or neither could be freed without the other."""

    weight: Callable[[int], float]
    end: float
    initial: list[float] = field(default_factory=list)
    last_step: int = 0
    in_step: bool = False

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def begin_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self.in_step = True

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def end_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        # The step of a subclass that calls its parent's runs the hooks of both.
        ended, self.in_step = self.in_step, False
        # A graph in the making would write this one power at every replay.
        captured = torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
        if ended and not captured and not _prepares_state(optimizer, kwargs):
            self.last_step += 1
            self.set_powers(optimizer)

    def set_powers(self, optimizer: Optimizer) -> None:
        w = real("weight(step)", self.weight(self.last_step), ge=0, le=1)
        groups = _powered_groups(optimizer)
        # Groups added since start from their own powers.
        self.initial += [float(group["power"]) for group in groups[len(self.initial) :]]
        for group, mine in zip(groups, self.initial, strict=True):
            # A state of the plain base, or a flattened one, takes the entry away.
            initial = group.setdefault("initial_power", mine)
            power = w * initial + (1 - w) * self.end
            if isinstance(group["power"], Tensor):
                group["power"].fill_(power)
            else:
                group["power"] = power


def _powered_groups(optimizer: Optimizer) -> list[dict[str, Any]]:
    return [group for group in getattr(optimizer, "param_groups", []) if "power" in group]


def _prepares_state(optimizer: Optimizer, kwargs: dict[str, Any]) -> bool:
    """Whether torch.distributed.checkpoint takes a step that makes the state: at rate 0, with closure=None by name."""
    # A rate on a device is not read: that would wait.
    rates = [group.get("lr", 1.0) for group in optimizer.param_groups]
    known = all(not isinstance(rate, Tensor) or rate.is_cpu for rate in rates)
    return kwargs == {"closure": None} and known and not any(map(float, rates))


def linear_power(optimizer: Optimizer, end: float, steps: int, *, start: int = 0) -> PowerSchedule:
    """Return the schedule that moves the power linearly to `end` from step `start` to step `start + steps`.

    `steps` >= 1 and `start` >= 0 count steps of the optimizer.

    Examples
    --------
    >>> from gradpower import SGDPower
    >>> optimizer = SGDPower([torch.nn.Parameter(torch.ones(1))], lr=0.1, power=1.4)
    >>> schedule = linear_power(optimizer, 1.0, steps=100)
    """
    stop = whole("start", start, 0) + whole("steps", steps)
    return PowerSchedule(optimizer, end, Anneal("linear", start, stop))


def cosine_power(optimizer: Optimizer, end: float, steps: int, *, start: int = 0) -> PowerSchedule:
    """Return the schedule that moves the power as `linear_power` does, but along half a cosine.

    Examples
    --------
    >>> from gradpower import SGDPower
    >>> optimizer = SGDPower([torch.nn.Parameter(torch.ones(1))], lr=0.1, power=1.4)
    >>> schedule = cosine_power(optimizer, 1.0, steps=100)
    """
    stop = whole("start", start, 0) + whole("steps", steps)
    return PowerSchedule(optimizer, end, Anneal("cosine", start, stop))


def wsd_power(
    optimizer: Optimizer, end: float, total_steps: int, *, decay_fraction: float = 0.2
) -> PowerSchedule:
    """Return the schedule aligned with warm-up-stable-decay: constant, then linear to `end` while the rate decays.

    It does so in the last `decay_fraction` of `total_steps`, a share in (0, 1]: 0.2 in the paper (Section 5).

    Examples
    --------
    >>> from gradpower import SGDPower
    >>> optimizer = SGDPower([torch.nn.Parameter(torch.ones(1))], lr=0.1, power=1.4)
    >>> wsd_power(optimizer, 1.0, total_steps=1000).weight
    Anneal(shape='linear', start=800, end=1000)
    """
    fraction = real("decay_fraction", decay_fraction, gt=0, le=1)
    start = min(round(whole("total_steps", total_steps) * (1 - fraction)), total_steps - 1)
    return PowerSchedule(optimizer, end, Anneal("linear", start, total_steps))
