"""How large an optimizer's updates really are, to compare powers at matched update sizes.

A power p ≠ 1 changes the size of an update as well as its shape, and a comparison at equal learning rates mixes the
two; one at matched sizes does not. `E|g|^p/√E|g|^{2p}` is 0.94 of p = 1's for Gaussian g at p = 1.2, but that is one
gradient: what momentum leaves of it is to be measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor
from torch.optim import ASGD, SGD, Adadelta, Adafactor, Adagrad, Adamax, Muon, Optimizer, RMSprop, Rprop

from gradpower.combined import CombinedOptimizer
from gradpower.inputs import real, refusal
from gradpower.module_snr import group_names
from gradpower.transform import refuse_shards

_CHUNKS = 16  # of the steps, whose means give the standard errors
_FEWEST_BATCHES = 4  # for the drift and its jackknife
_COUPLED = (SGD, Adagrad, Adadelta, Adamax, RMSprop, Rprop, ASGD)
_DECOUPLED = (Muon, Adafactor)


@dataclass(frozen=True)
class Estimate:
    """A measured number and its standard error; NaN where there were too few steps.

    Examples
    --------
    >>> Estimate(0.94, 0.01).value
    0.94
    """

    value: float
    standard_error: float


@dataclass(frozen=True)
class UpdateSize:
    """The update u_t = (θ_{t−1} − θ_t)/η of the groups of one name, without decoupled weight decay.

    Attributes
    ----------
    name : str
        The group name.
    steps : int
        Steps measured.
    coordinates : int
        Coordinates looked at.
    rms : Estimate
        `√(mean of u²)` over coordinates and steps.
    mean_absolute : Estimate
        Mean of |u|.
    drift_squared : Estimate
        Mean over coordinates of (E u_i)², unbiased and so negative at times.
    cosine : Estimate
        Mean over steps of ⟨g, u⟩/(‖g‖‖u‖) with the raw gradient g: first-order progress for the movement.

    Examples
    --------
    >>> one = Estimate(1.0, 0.0)
    >>> UpdateSize("0", 10, 5, rms=one, mean_absolute=one, drift_squared=Estimate(0.25, 0.1), cosine=one).drift
    0.5
    """

    name: str
    steps: int
    coordinates: int
    rms: Estimate
    mean_absolute: Estimate
    drift_squared: Estimate
    cosine: Estimate

    @property
    def drift(self) -> float:
        """`√max(0, drift_squared)`: the RMS over coordinates of the mean update."""
        return math.sqrt(max(self.drift_squared.value, 0.0))


class UpdateMeter:
    """Measures the updates of an optimizer while it is open, for every group name.

    Parameters
    ----------
    optimizer : Optimizer
        Any of torch's, powered or not, with plain dense real parameters. It is observed through step hooks and never
        changed; copies of it are not observed.
    groups : iterable of str, optional
        Names of the groups to measure (`gradpower.module_snr.group_names`); all by default.
    sample : int, optional
        At most so many coordinates of each tensor are looked at, drawn once and weighted up; None for all. Standard
        errors are for the coordinates drawn. Meters of one seed draw the same.
    seed : int
        Seed of the draw.
    block : int
        Steps of a batch for the drift, at the start: long against 1/(1−β1), or the drift is biased upwards.
    decoupled : bool, optional
        Whether the optimizer's weight decay acts beside the update, as θ ← (1 − ηλ)θ; then it is taken out. By
        default what the optimizer says, or is known of torch's own. Coupled decay is part of the update.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed, parameters are complex or DTensors, or there is weight decay of which it is
        not known whether it is decoupled.

    Notes
    -----
    Steps at learning rate 0, and steps at which no tensor of the name has a gradient, are not measured. A tensor
    without a gradient beside others that have one counts with u = 0. Rounding of θ is part of u, as of training.

    Standard errors of rms, mean_absolute and cosine come from the means over 16 stretches of steps. For the drift the
    mean updates b_1, …, b_J of equal batches of steps are kept. Successive updates share gradients, so the drift is
    the mean of ⟨b_j, b_k⟩ over pairs with a whole batch in between, and its error that of the jackknife over batches
    (too large by √2 where there is no drift). As 16 batches are full, neighbours are joined. All errors are too small
    unless stretches and batches are long against the optimizer's memory 1/(1−β2): let it take 100/(1−β2) steps. They
    are too large if Adam's first steps are among those measured: open the meter later. What changes slowly in training
    is part of the drift.

    Memory: of the coordinates looked at, one copy during a step and up to 18 for the drift.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = torch.optim.AdamW([weight], lr=0.01)
    >>> with UpdateMeter(optimizer) as meter:
    ...     for _ in range(5):
    ...         weight.grad = torch.ones(3)
    ...         optimizer.step()
    >>> round(meter.sizes()["0"].rms.value, 4)
    1.0
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        groups: Iterable[str] | None = None,
        sample: int | None = 16384,
        seed: int = 0,
        block: int = 64,
        decoupled: bool | None = None,
    ) -> None:
        names = group_names(optimizer)
        self.groups = list(dict.fromkeys(names if groups is None else groups))
        for name in self.groups:
            if name not in names:
                raise refusal("groups", name, f"names of parameter groups: {', '.join(names)}", ValueError)
        if any(p.is_complex() for group in optimizer.param_groups for p in group["params"]):
            raise refusal("optimizer", "complex parameters", "real parameters", ValueError)
        refuse_shards("optimizer", (p for group in optimizer.param_groups for p in group["params"]))
        for argument, value in (("sample", sample), ("block", block)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise refusal(argument, value, "an integer >= 1", ValueError)
        self.optimizer = optimizer
        self.sample, self.seed, self.decoupled = sample, seed, decoupled
        for group in optimizer.param_groups:
            self._is_decoupled(group)
        self._logs = {name: _Log(block) for name in self.groups}
        self._drawn: dict[Tensor, Tensor | None] = {}
        self._before: dict[str, list[Tensor]] = {}
        self._hooks = [
            optimizer.register_step_pre_hook(self._keep),
            optimizer.register_step_post_hook(self._measure),
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop measuring; what was measured stays."""
        for hook in self._hooks:
            hook.remove()
        self._before.clear()

    def sizes(self) -> dict[str, UpdateSize]:
        """Return what was measured so far, by group name."""
        return {name: log.size(name) for name, log in self._logs.items()}

    def _members(self, name: str) -> list[tuple[Tensor, dict[str, Any]]]:
        names = group_names(self.optimizer)
        groups = (g for n, g in zip(names, self.optimizer.param_groups, strict=True) if n == name)
        return [(p, group) for group in groups for p in group["params"]]

    def _values(self, p: Tensor, tensor: Tensor) -> Tensor:
        """Return the coordinates of `tensor` that are looked at for parameter p, as a new float tensor."""
        if p not in self._drawn:
            self._drawn[p] = self._draw(p)
        drawn = self._drawn[p]
        flat = tensor.detach().to_dense() if tensor.layout != torch.strided else tensor.detach()
        flat = flat.reshape(-1) if drawn is None else flat.reshape(-1)[drawn]
        return flat.to(torch.promote_types(flat.dtype, torch.float32), copy=True)

    def _draw(self, p: Tensor) -> Tensor | None:
        if self.sample is None or p.numel() <= self.sample:
            return None
        generator = torch.Generator().manual_seed(self.seed + 1_000_003 * len(self._drawn))
        drawn = torch.randint(p.numel(), (self.sample,), generator=generator)
        distinct: Tensor = torch.unique(drawn)
        return distinct.to(p.device)

    @torch.no_grad()
    def _keep(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._before = {name: [self._values(p, p) for p, _ in self._members(name)] for name in self.groups}

    @torch.no_grad()
    def _measure(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        for name, kept in self._before.items():
            members = self._members(name)
            rates = [float(group["lr"]) for _, group in members]
            if any(p.grad is not None for p, _ in members) and all(rates):
                self._logs[name].add(
                    [self._one(p, old, group) for (p, group), old in zip(members, kept, strict=True)]
                )
        self._before = {}

    def _one(self, p: Tensor, old: Tensor, group: dict[str, Any]) -> tuple[Tensor, Tensor, float]:
        """Return the update and the gradient of one tensor, and the coordinates for which each of them stands."""
        if p.grad is None:
            return torch.zeros_like(old), torch.zeros_like(old), p.numel() / old.numel()
        update = (old - self._values(p, p)) / float(group["lr"])
        if self._is_decoupled(group):
            update -= float(group["weight_decay"]) * old
        return update, self._values(p, p.grad).to(update.dtype), p.numel() / old.numel()

    def _is_decoupled(self, group: dict[str, Any]) -> bool:
        """Return whether there is weight decay to take out."""
        if not group.get("weight_decay"):
            return False
        if self.decoupled is not None:
            return self.decoupled
        if "decoupled_weight_decay" in group:
            return bool(group["decoupled_weight_decay"])
        optimizer = self.optimizer
        if isinstance(optimizer, CombinedOptimizer):
            optimizer = optimizer.optimizers[group["algorithm"]]
        if not isinstance(optimizer, _COUPLED + _DECOUPLED):
            allowed = f"True or False for {type(optimizer).__name__} with weight decay"
            raise refusal("decoupled", None, allowed, ValueError)
        return isinstance(optimizer, _DECOUPLED)


@dataclass
class _Log:
    """What was seen of the groups of one name."""

    block: int
    coordinates: int = 0
    squares: list[float] = field(default_factory=list)
    absolutes: list[float] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)
    batches: list[Tensor] = field(default_factory=list)
    running: Tensor | None = None
    running_steps: int = 0

    def add(self, parts: list[tuple[Tensor, Tensor, float]]) -> None:
        """Take in the update and gradient of every tensor at one step, and the weight of its coordinates."""
        device = parts[0][0].device
        total = sum(weight * u.numel() for u, _, weight in parts)
        u = torch.cat([u.to(device) * math.sqrt(weight / total) for u, _, weight in parts])
        g = torch.cat([g.to(device) * math.sqrt(weight / total) for _, g, weight in parts])
        absolute = sum(float(u.abs().sum()) * weight / total for u, _, weight in parts)
        square, norms, product = float(u.dot(u)), float(u.norm() * g.norm()), float(u.dot(g))
        if len(u) != self.coordinates:  # a group of this name was added: its drift begins anew
            self.coordinates, self.batches, self.running, self.running_steps = len(u), [], None, 0
        self.squares.append(square)
        self.absolutes.append(absolute)
        self.cosines.append(product / norms if norms else 0.0)
        self.running = u if self.running is None else self.running.add_(u)
        self.running_steps += 1
        if self.running_steps == self.block:
            self._close_batch(self.running)

    def _close_batch(self, running: Tensor) -> None:
        self.batches.append(running.div_(self.block))
        self.running, self.running_steps = None, 0
        if len(self.batches) == _CHUNKS:
            self.batches = [(a + b) / 2 for a, b in zip(self.batches[::2], self.batches[1::2], strict=True)]
            self.block *= 2

    def size(self, name: str) -> UpdateSize:
        square = _mean(self.squares)
        rms = math.sqrt(square.value)
        error = square.standard_error / (2 * rms) if rms else square.standard_error
        return UpdateSize(
            name,
            len(self.squares),
            self.coordinates,
            rms=Estimate(rms, error),
            mean_absolute=_mean(self.absolutes),
            drift_squared=_drift(self.batches),
            cosine=_mean(self.cosines),
        )


def _mean(values: list[float]) -> Estimate:
    """The mean over steps, and its error from the means over stretches of them."""
    n = len(values)
    chunks = min(_CHUNKS, n)
    if n < 2:
        return Estimate(values[0] if values else math.nan, math.nan)
    series = torch.tensor(values, dtype=torch.float64)
    means = torch.stack([part.mean() for part in torch.tensor_split(series, chunks)])
    return Estimate(float(series.mean()), float(means.std()) / math.sqrt(chunks))


def _drift(batches: list[Tensor]) -> Estimate:
    """The mean of ⟨b_j, b_k⟩ over pairs that are no neighbours, and its jackknife error."""
    n = len(batches)
    if n < _FEWEST_BATCHES:
        return Estimate(math.nan, math.nan)
    pairs = torch.ones(n, n, dtype=torch.float64).triu(2)
    products = torch.zeros_like(pairs)
    for j, k in pairs.nonzero().tolist():
        products[j, k] = float(batches[j].dot(batches[k]))

    def without(j: int) -> float:
        others = [k for k in range(n) if k != j]
        return float(products[others][:, others].sum() / pairs[others][:, others].sum())

    left_out = torch.tensor([without(j) for j in range(n)], dtype=torch.float64)
    error = math.sqrt((n - 1) * float(left_out.var(correction=0)))
    return Estimate(float(products.sum() / pairs.sum()), error)


def effective_update_ratio(
    measured: Mapping[str, UpdateSize], reference: Mapping[str, UpdateSize]
) -> dict[str, Estimate]:
    """RMS of the updates against a reference, by group name: the learning rate divided by it matches update sizes.

    Parameters
    ----------
    measured, reference : mapping of str to UpdateSize
        `UpdateMeter.sizes()`, say of p = 1.2 and of p = 1, with the same names.

    Returns
    -------
    dict of str to Estimate
        NaN where a side has no steps. The two errors are taken as independent.

    Raises
    ------
    ValueError
        If the names differ, or a reference never moved.

    Examples
    --------
    >>> def size(rms):
    ...     one = Estimate(rms, 0.01)
    ...     return UpdateSize("0", 10, 5, rms=one, mean_absolute=one, drift_squared=one, cosine=one)
    >>> round(effective_update_ratio({"0": size(0.47)}, {"0": size(0.5)})["0"].value, 3)
    0.94
    """
    if set(measured) != set(reference):
        raise refusal("measured", ", ".join(measured), f"the names {', '.join(reference)}", ValueError)
    ratios = {}
    for name in measured:
        top, base = measured[name].rms, reference[name].rms
        if base.value == 0:
            raise refusal(f"reference[{name!r}]", "an RMS of 0", "updates that are not 0", ValueError)
        error = math.hypot(top.standard_error / base.value, top.value * base.standard_error / base.value**2)
        ratios[name] = Estimate(top.value / base.value, error)
    return ratios


def gaussian_damping(power: float) -> float:
    """`E|g|^p/√E|g|^{2p}` of Gaussian g, relative to its value √(2/π) at p = 1.

    With E|g|^q = 2^{q/2}·Γ((q+1)/2)/√π for a standard normal it is `√(π/2)·Γ((p+1)/2)/√(√π·Γ(p+½))`. It is the mean
    size of a normalised gradient φ_p(g)/√E φ_p(g)², so that of Adam's update without momentum as β2 → 1. With momentum
    the RMS of Adam's update on pure noise tends to √((1−β1)/(1+β1)) at every p: what the updates of a run lose is
    for `UpdateMeter` to measure.

    Raises
    ------
    TypeError, ValueError
        If `power` is not a finite number > 0.

    Examples
    --------
    >>> [round(gaussian_damping(p), 3) for p in (0.5, 1.0, 1.2)]
    [1.154, 1.0, 0.94]
    """
    p = real("power", power, "a finite number > 0", low=0, open_low=True)
    log = math.lgamma((p + 1) / 2) - math.lgamma(p + 0.5) / 2 - math.log(math.pi) / 4
    return math.sqrt(math.pi / 2) * math.exp(log)
