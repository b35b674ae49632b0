"""Schedules of the power, as torch's LambdaLR is one of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from gradpower.inputs import check_power, real, refusal

SHAPES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class Anneal:
    """The share w(t) that is left of the initial power after t steps: 1 until `start`, 0 from `end` on.

    Parameters
    ----------
    shape : str
        "constant": w = 1 always; "linear": 1 − s; "cosine": (1 + cos πs)/2, with s = (t − start)/(end − start).
    start, end : int
        Optimizer steps, 0 <= start < end.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.

    Examples
    --------
    >>> [Anneal("linear", 2, 6)(t) for t in range(8)]
    [1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    shape: str
    start: int
    end: int

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise refusal("shape", self.shape, " or ".join(map(repr, SHAPES)), ValueError)
        for name in ("start", "end"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise refusal(name, value, "a whole number of steps", TypeError)
        if not 0 <= self.start < self.end:
            raise refusal("start", self.start, f"a whole number in [0, end), end = {self.end}", ValueError)

    def __call__(self, step: int) -> float:
        """Return w(step), in [0, 1]."""
        if self.shape == "constant":
            return 1.0
        s = min(max((step - self.start) / (self.end - self.start), 0.0), 1.0)
        return 1 - s if self.shape == "linear" else (1 + math.cos(math.pi * s)) / 2


class PowerSchedule:
    """Move the power of every parameter group from its own to a common one: p(t) = w(t)·p_0 + (1 − w(t))·p_end.

    Call `step()` once after each `optimizer.step()`, beside the learning-rate scheduler, in any order.

    Parameters
    ----------
    optimizer : Optimizer
        A powered optimizer; the initial powers p_0 are those of its groups at this moment, kept in them as
        "initial_power".
    end : float
        The power where w = 0.
    weight : callable
        w: the number of steps taken → a number in [0, 1]; `Anneal` has the usual shapes.

    Raises
    ------
    TypeError
        If `optimizer` is not powered, or `weight` cannot be called.
    ValueError
        If `end` is no power, or `weight` returns a number outside [0, 1].

    Notes
    -----
    A power that is a tensor is overwritten in place, so that captured graphs and compiled steps see it. To resume,
    build the schedule as before and load the optimizer's state and its own; the order does not matter.

    Examples
    --------
    >>> import torch
    >>> from gradpower import AdamWPower
    >>> optimizer = AdamWPower([torch.nn.Parameter(torch.ones(1))], power=1.4)
    >>> schedule = PowerSchedule(optimizer, 1.0, Anneal("linear", 0, 4))
    >>> for _ in range(3):
    ...     optimizer.step()
    ...     schedule.step()
    >>> schedule.get_last_power()
    [1.1]
    """

    def __init__(self, optimizer: Optimizer, end: float, weight: Callable[[int], float]) -> None:
        groups = getattr(optimizer, "param_groups", [])
        if not groups or not any("power" in group for group in groups):
            raise refusal("optimizer", type(optimizer).__name__, "a powered optimizer", TypeError)
        if not callable(weight):
            raise refusal("weight", weight, "a function of the step", TypeError)
        self.optimizer, self.weight, self.last_step = optimizer, weight, 0
        self._initial = [float(group["power"]) for group in self._groups()]
        for group, initial in zip(self._groups(), self._initial, strict=True):
            group["initial_power"] = initial
        self.end = float(check_power(end, "end"))
        self._set_powers()

    def step(self) -> None:
        """Count one optimizer step and set the powers for the next."""
        self.last_step += 1
        self._set_powers()

    def get_last_power(self) -> list[float]:
        """Return the power of every group that has one, as of now."""
        return [float(group["power"]) for group in self._groups()]

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps counted and the initial powers, p_0 of each group."""
        powers = [group["initial_power"] for group in self._groups()]
        return {"last_step": self.last_step, "initial_powers": powers}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state, and set the powers by it; without "initial_powers" by those of the groups."""
        self.last_step = int(state_dict["last_step"])
        self._initial = [float(power) for power in state_dict.get("initial_powers", self._initial)]
        if "initial_powers" in state_dict:
            for group, initial in zip(self._groups(), self._initial, strict=True):
                group["initial_power"] = initial
        self._set_powers()

    def _groups(self) -> list[dict[str, Any]]:
        return [group for group in self.optimizer.param_groups if "power" in group]

    def _set_powers(self) -> None:
        w = real("weight(step)", self.weight(self.last_step), "a number in [0, 1]", low=0)
        if w > 1:
            raise refusal("weight(step)", w, "a number in [0, 1]", ValueError)
        groups = self._groups()
        # Groups added since start from their own powers.
        self._initial += [float(group["power"]) for group in groups[len(self._initial) :]]
        for group, mine in zip(groups, self._initial, strict=True):
            # A state of the plain base, or a flattened one, takes the entry away.
            initial = group.setdefault("initial_power", mine)
            power = w * initial + (1 - w) * self.end
            if isinstance(group["power"], Tensor):
                group["power"].fill_(power)
            else:
                group["power"] = power


def constant_power(optimizer: Optimizer) -> PowerSchedule:
    """Return the schedule that leaves every power as it is, for code that wants one.

    Examples
    --------
    >>> import torch
    >>> from gradpower import SGDPower
    >>> optimizer = SGDPower([torch.nn.Parameter(torch.ones(1))], lr=0.1, power=1.4)
    >>> constant_power(optimizer).get_last_power()
    [1.4]
    """
    return PowerSchedule(optimizer, 1.0, Anneal("constant", 0, 1))


def linear_power(optimizer: Optimizer, end: float, steps: int, *, start: int = 0) -> PowerSchedule:
    """Return the schedule that moves the power linearly to `end` from step `start` to step `start + steps`.

    Parameters
    ----------
    optimizer, end
        As in `PowerSchedule`.
    steps, start : int
        Optimizer steps: how many, >= 1, and from which on.

    Raises
    ------
    TypeError, ValueError
        As `PowerSchedule` and `Anneal`.

    Examples
    --------
    >>> import torch
    >>> from gradpower import SGDPower
    >>> optimizer = SGDPower([torch.nn.Parameter(torch.ones(1))], lr=0.1, power=1.4)
    >>> schedule = linear_power(optimizer, 1.0, steps=100)
    """
    return PowerSchedule(optimizer, end, Anneal("linear", start, start + _whole("steps", steps)))


def cosine_power(optimizer: Optimizer, end: float, steps: int, *, start: int = 0) -> PowerSchedule:
    """Return the schedule that moves the power to `end` along half a cosine, from `start` to `start + steps`.

    Parameters
    ----------
    optimizer, end
        As in `PowerSchedule`.
    steps, start : int
        Optimizer steps: how many, >= 1, and from which on.

    Raises
    ------
    TypeError, ValueError
        As `PowerSchedule` and `Anneal`.

    Examples
    --------
    >>> import torch
    >>> from gradpower import SGDPower
    >>> optimizer = SGDPower([torch.nn.Parameter(torch.ones(1))], lr=0.1, power=1.4)
    >>> schedule = cosine_power(optimizer, 1.0, steps=100)
    """
    return PowerSchedule(optimizer, end, Anneal("cosine", start, start + _whole("steps", steps)))


def wsd_power(
    optimizer: Optimizer, end: float, total_steps: int, *, decay_fraction: float = 0.2
) -> PowerSchedule:
    """Return the schedule aligned with warm-up-stable-decay: constant, then linear to `end` while the rate decays.

    Parameters
    ----------
    optimizer, end
        As in `PowerSchedule`.
    total_steps : int
        Length of the run.
    decay_fraction : float
        Share of the run in which the learning rate decays, in (0, 1]: 0.2 in the paper (Section 5).

    Raises
    ------
    TypeError, ValueError
        As `PowerSchedule` and `Anneal`, or if the fraction is outside (0, 1].

    Examples
    --------
    >>> import torch
    >>> from gradpower import SGDPower
    >>> optimizer = SGDPower([torch.nn.Parameter(torch.ones(1))], lr=0.1, power=1.4)
    >>> wsd_power(optimizer, 1.0, total_steps=1000).weight
    Anneal(shape='linear', start=800, end=1000)
    """
    fraction = real("decay_fraction", decay_fraction, "a number in (0, 1]", low=0, open_low=True)
    if fraction > 1:
        raise refusal("decay_fraction", decay_fraction, "a number in (0, 1]", ValueError)
    start = min(round(_whole("total_steps", total_steps) * (1 - fraction)), total_steps - 1)
    return PowerSchedule(optimizer, end, Anneal("linear", start, total_steps))


def _whole(argument: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise refusal(argument, value, "a whole number >= 1", TypeError)
    if value < 1:
        raise refusal(argument, value, "a whole number >= 1", ValueError)
    return value
