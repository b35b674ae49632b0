"""Module-wise learning rates from gradient signal-to-noise ratios, after the idea of MoLS (arXiv 2605.05794).

MoLS multiplies the Adam step of each module (embedding, QK, VO, MLP, head) by a factor made from its SNR. Neither its
estimator nor its exponent is known to us: both are chosen here and in `gradpower.meters`. Call it "MoLS-style", and do
not compare its numbers with those of MoLS as if they were one method.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR

from gradpower.groups import group_names, unwrapped
from gradpower.meters.module_snr import ModuleSNR
from gradpower.tools.errors import real, require


def module_scales(
    snrs: Mapping[str, ModuleSNR],
    *,
    exponent: float = 0.5,
    normalisation: Literal["geometric", "none"] = "geometric",
    clamp: tuple[float, float] = (0.1, 10.0),
) -> dict[str, float]:
    """The learning-rate factor of each module: `(SNR/reference)^(−exponent)`.

    Our reading of MoLS: Adam's mean step in a coordinate of signal μ and noise σ is μ/√(μ² + σ²), so that a noisy
    module advances less, in proportion to its SNR where that is small. The factor gives some of it back: it is large
    for noisy modules, as are Blockwise's hand-tuned ratios (embedding 10, attention V and O 4).

    Parameters
    ----------
    snrs : mapping of str to ModuleSNR
        From `SNRMeter.snrs` or `snr_from_adam`, with a signal or a standard error each. A module whose SNR is not
        resolved from 0 counts with the largest that the data allow, two standard errors up: noise alone must not raise
        a learning rate without limit.
    exponent : float
        >= 0. 1 gives back all of the damping where SNR ≪ 1, but takes steps that are mostly noise; 0 changes nothing.
        The default is the compromise between the two, not a measured optimum.
    normalisation : {"geometric", "none"}
        "geometric": the reference is such that the geometric mean of the clamped factors, weighted by parameters, is 1.
        So the learning rate keeps its overall meaning, and a factor common to all SNRs (as that of the batch size, √B)
        cancels. "none": the reference is 1.
    clamp : (float, float)
        Limits of the factors, 0 < low <= 1 <= high. With "geometric" both the limits and the mean hold.

    Examples
    --------
    >>> def snr(name, squared):
    ...     return ModuleSNR(name, squared, 1.0, standard_error=0.0, samples=32, parameters=100)
    >>> module_scales({"embedding": snr("embedding", 0.01), "vo": snr("vo", 0.16)})
    {'embedding': 1.414..., 'vo': 0.707...}
    """
    real("exponent", exponent, ge=0)
    allowed = "(low, high) with 0 < low <= 1 <= high"
    are_two = isinstance(clamp, Sequence) and not isinstance(clamp, str) and len(clamp) == 2
    require(are_two, "clamp", clamp, allowed)
    low, high = (real("clamp", limit, allowed, gt=0) for limit in clamp)
    require(low <= 1 <= high, "clamp", clamp, allowed)
    require(normalisation in ("geometric", "none"), "normalisation", normalisation, "'geometric' or 'none'")
    require(snrs, "snrs", "an empty mapping", "at least one module")
    logs = {name: -exponent / 2 * math.log(_cautious_square(name, snr)) for name, snr in snrs.items()}
    weights = {name: float(snr.parameters) for name, snr in snrs.items()}
    limits = math.log(low), math.log(high)
    shift = _shift(logs, weights, limits) if normalisation == "geometric" else 0.0
    return {name: math.exp(_clip(log + shift, limits)) for name, log in logs.items()}


def _cautious_square(name: str, snr: ModuleSNR) -> float:
    square = snr.squared if snr.resolved else max(0.0, snr.squared) + 2 * snr.standard_error
    return real(f"snr of module {name}", square, "a signal or a standard error", gt=0)


def _clip(log: float, limits: tuple[float, float]) -> float:
    return min(max(log, limits[0]), limits[1])


def _shift(logs: dict[str, float], weights: dict[str, float], limits: tuple[float, float]) -> float:
    """The shift after which the clipped logarithms have weighted mean 0, by bisection."""

    def mean(shift: float) -> float:
        return sum(weights[name] * _clip(log + shift, limits) for name, log in logs.items())

    below, above = limits[0] - max(logs.values()), limits[1] - min(logs.values())
    for _ in range(100):
        middle = (below + above) / 2
        below, above = (middle, above) if mean(middle) < 0 else (below, middle)
    return (below + above) / 2


def apply_module_scales(
    optimizer: Optimizer, scales: Mapping[str, float], *, scheduler: LRScheduler | None = None
) -> None:
    """Multiply the learning rates of the named parameter groups by their factors.

    "lr" and, where a scheduler has set it, "initial_lr" are multiplied. The factor is kept as "module_scale" in the
    group and so in checkpoints: applying the same scales again changes nothing, and new scales replace the old.
    Groups that are not named keep what they have. Decoupled weight decay acts with the scaled rate.

    Parameters
    ----------
    optimizer : Optimizer
        Any, powered or not, or a wrapper of one (accelerate, Lightning), whose groups have names (`group_names`).
    scales : mapping of str to float
        Finite factors > 0 of some of the groups, as from `module_scales`.
    scheduler : LRScheduler, optional
        The scheduler that already drives `optimizer`, with its own copy of the initial rates, which is scaled, too; not
        `OneCycleLR` or `CyclicLR`, which take their rates from elsewhere. Without it, apply the scales before the
        scheduler is made, or its next step undoes them. A floor in absolute terms such as `eta_min` is not scaled, one
        that is a share of the rate is. `get_last_lr` tells of the factors after the scheduler's next step.

    Examples
    --------
    >>> import torch
    >>> optimizer = torch.optim.AdamW([{"params": [torch.zeros(2)], "name": "head"}], lr=0.1)
    >>> apply_module_scales(optimizer, {"head": 2.0})
    >>> apply_module_scales(optimizer, {"head": 3.0})
    >>> round(optimizer.param_groups[0]["lr"], 6)
    0.3
    """
    names = group_names(optimizer)
    for name, scale in scales.items():
        allowed = f"names of parameter groups: {', '.join(dict.fromkeys(names))}"
        require(name in names, "scales", name, allowed)
        real(f"scales[{name!r}]", scale, gt=0)
    parts = list(_with_base_rates(scheduler, unwrapped(optimizer)))
    for index, (name, group) in enumerate(zip(names, optimizer.param_groups, strict=True)):
        if name not in scales:
            continue
        change = scales[name] / group.get("module_scale", 1.0)
        for key in group.keys() & {"lr", "initial_lr"}:
            group[key] = group[key] * change
        for part in parts:
            part.base_lrs[index] = part.base_lrs[index] * change
        group["module_scale"] = float(scales[name])


def _with_base_rates(scheduler: Any, optimizer: Optimizer) -> Iterator[LRScheduler]:
    """Yield the scheduler, or those that it is composed of, as far as they keep initial rates."""
    if scheduler is None:
        return
    if not isinstance(scheduler, LRScheduler):  # a wrapper of accelerate or Lightning
        scheduler = scheduler.scheduler
    kind = type(scheduler).__name__
    require(unwrapped(scheduler.optimizer) is optimizer, "scheduler", kind, "a scheduler of this optimizer")
    allowed = "one that multiplies the initial rates, or scale its own rates yourself"
    require(not isinstance(scheduler, CyclicLR | OneCycleLR), "scheduler", kind, allowed)
    if hasattr(scheduler, "base_lrs"):
        yield scheduler
    for part in getattr(scheduler, "_schedulers", ()):
        yield from _with_base_rates(part, optimizer)
