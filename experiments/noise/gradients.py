"""The gradients of independent micro-batches at a fixed model: streamed statistics of all, samples of some."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from experiments.corpora import IGNORED
from experiments.noise.modules import noise_modules
from experiments.training.losses import batch_loss
from gradpower import SNRMeter
from theory.measured.micro_batch_gradients import MicroBatchGradients

if TYPE_CHECKING:
    from experiments.corpora import Batch, Data
    from experiments.training.devices import Devices

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Module:
    """One kind of module, and which of its coordinates are sampled.

    Attributes
    ----------
    name : str
        What it is called.
    parameters : tuple of Parameter
        All of them.
    picked : tuple of Tensor
        For each parameter, the flat indices of its sampled coordinates.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    picked: tuple[Tensor, ...]

    @property
    def coordinates(self) -> int:
        """Coordinates of the module."""
        return sum(p.numel() for p in self.parameters)

    def sample(self) -> NDArray[np.float32]:
        """Return the sampled coordinates of the gradient that is there."""
        parts = [_gradient(p).flatten()[i] for p, i in zip(self.parameters, self.picked, strict=True)]
        return np.asarray(torch.cat(parts).float().cpu().numpy())


def modules_of(model: nn.Module, *, coordinates: int, seed: int) -> list[Module]:
    """Return the modules of a model, with up to so many random coordinates of each to be sampled."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for name, parameters in noise_modules(model).items():
        sizes = [p.numel() for p in parameters]
        total = sum(sizes)
        chosen = _sorted_choice(total, min(coordinates, total), generator)
        ends = np.cumsum([0, *sizes])
        cuts = torch.searchsorted(chosen, torch.as_tensor(ends))
        picked = tuple(
            (chosen[low:high] - int(start)).to(p.device)
            for low, high, start, p in zip(cuts[:-1], cuts[1:], ends, parameters, strict=False)
        )
        made.append(Module(name, tuple(parameters), picked))
    return made


def _sorted_choice(total: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` different numbers below `total`, in order, without a permutation of all."""
    if 2 * count >= total:
        return torch.randperm(total, generator=generator)[:count].sort().values
    found = torch.empty(0, dtype=torch.long)
    while len(found) < count:
        found = torch.unique(torch.cat([found, torch.randint(total, (2 * count,), generator=generator)]))
    return found[torch.randperm(len(found), generator=generator)[:count]].sort().values


@dataclass(frozen=True)
class Gradients:
    """What N micro-batches of b sequences leave behind.

    Attributes
    ----------
    size : int
        b.
    coordinates : dict of str to int
        Of each module.
    meter : SNRMeter
        Signal-to-noise ratios of the modules, and of "all" together.
    samples : dict of str to list of ndarray
        By module, the sampled coordinates of each micro-batch's gradient.
    zeros : dict of str to int
        By module, entries of all gradients that are exactly 0.
    norms : list of float
        Squared norm of each whole gradient.
    losses : list of float
        Mean cross-entropy of each micro-batch, in nats a token.
    """

    size: int
    coordinates: dict[str, int]
    meter: SNRMeter
    samples: dict[str, list[NDArray[np.float32]]]
    zeros: dict[str, int]
    norms: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def of(self, module: str) -> MicroBatchGradients:
        """Return the sampled gradients of a module."""
        return MicroBatchGradients(module, np.stack(self.samples[module]), self.coordinates[module])


def measure_gradients(
    model: nn.Module,
    modules: Sequence[Module],
    data: Data,
    devices: Devices,
    *,
    micro_batches: int,
    size: int,
    balance_loss: float,
    progress: Progress,
) -> Gradients:
    """Take the next micro-batches of the data, each by itself, and gather what `Gradients` holds.

    Parameters
    ----------
    model, modules, data, devices
        The model on its device, its modules, where micro-batches come from, and precision.
    micro_batches, size : int
        N and b.
    balance_loss : float
        Factor of the load-balancing loss, which belongs to the training objective.
    progress : callable
        Called as progress(done, total).
    """
    meter = SNRMeter(_meter_modules(modules))
    found = Gradients(
        size,
        {m.name: m.coordinates for m in modules},
        meter,
        {m.name: [] for m in modules},
        {m.name: 0 for m in modules},
    )
    model.train()
    for index in range(micro_batches):
        model.zero_grad(set_to_none=True)
        found.losses.append(_backward(model, data.next_batch(size), devices, balance_loss))
        found.norms.append(sum(float(_gradient(p).double().square().sum()) for p in model.parameters()))
        for module in modules:
            found.samples[module.name].append(module.sample())
            found.zeros[module.name] += sum(int((_gradient(p) == 0).sum()) for p in module.parameters)
        meter.update()
        progress(index + 1, micro_batches)
    model.zero_grad(set_to_none=True)
    return found


def _meter_modules(modules: Sequence[Module]) -> Mapping[str, list[nn.Parameter]]:
    everything = [p for module in modules for p in module.parameters]
    return {**{module.name: list(module.parameters) for module in modules}, "all": everything}


def _gradient(p: nn.Parameter) -> Tensor:
    return p.grad if p.grad is not None else torch.zeros_like(p)


def _backward(model: nn.Module, batch: Batch, devices: Devices, balance_loss: float) -> float:
    """Make the gradient of the training objective on one batch; return the mean cross-entropy."""
    targets = float((batch.targets != IGNORED).sum())
    with devices.accumulating(model, last=True):
        out = batch_loss(model, devices.moved(batch))
        loss: Any = out.losses.sum() / targets
        mean = float(loss.detach())
        if out.balance is not None:
            loss = loss + balance_loss * out.balance
        loss.backward()
    return mean
