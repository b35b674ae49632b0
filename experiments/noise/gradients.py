"""The gradients of independent micro-batches at a fixed model: streamed statistics of all, samples of some."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from experiments.corpora import IGNORED
from experiments.training.losses import batch_loss
from gradpower import SNRMeter
from gradpower.groups import parameter_names
from gradpower.learning_rates.blockwise import BLOCKS
from theory.measured.micro_batch_gradients import MicroBatchGradients

if TYPE_CHECKING:
    from experiments.corpora import Batch, Data
    from experiments.training.devices import Devices


_BLOCKS = {block.name: block.pattern for block in BLOCKS}
# Those of Blockwise, but for the parts of its "ffn": the shared expert of a mixture is an MLP for every token.
PATTERNS = {
    **{name: _BLOCKS[name] for name in ("norm", "embedding", "head", "qk", "vo")},
    "router": r"(?:^|\.)mlp\.(?:gate|shared_expert_gate)\.",
    "experts": r"(?:^|\.)mlp\.experts\.",
    "mlp": _BLOCKS["ffn"],
}


def noise_modules(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Return the parameters of a LLaMA or Qwen2-MoE by module; each belongs to one, and modules without any are absent.

    >>> tiny = nn.ModuleDict({"embed_tokens": nn.Embedding(3, 2), "lm_head": nn.Linear(2, 3, bias=False)})
    >>> list(noise_modules(tiny))
    ['embedding', 'head']
    """
    modules: dict[str, list[nn.Parameter]] = {module: [] for module in PATTERNS}
    for parameter, (name, *_) in parameter_names(model).items():
        module = next(module for module, pattern in PATTERNS.items() if re.search(pattern, name))
        modules[module].append(parameter)
    return {module: parameters for module, parameters in modules.items() if parameters}


def sampled_coordinates(
    modules: dict[str, list[nn.Parameter]], *, count: int, seed: int
) -> dict[str, Tensor]:
    """Return up to `count` random coordinates of each module, places in its joined parameters, in order."""
    generator = torch.Generator().manual_seed(seed)
    sizes = {name: sum(p.numel() for p in parameters) for name, parameters in modules.items()}
    return {name: _sorted_choice(size, min(count, size), generator) for name, size in sizes.items()}


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
    """What N micro-batches of `size` sequences leave behind, by module where it is a dict."""

    size: int
    coordinates: dict[str, int]
    """Of each module."""
    meter: SNRMeter
    """Signal-to-noise ratios of the modules, and of "all" together."""
    samples: dict[str, list[NDArray[np.float32]]]
    """The sampled coordinates of each micro-batch's gradient."""
    zeros: dict[str, int]
    """Entries of all gradients that are exactly 0."""
    norms: list[float] = field(default_factory=list)
    """Squared norm of each whole gradient."""
    losses: list[float] = field(default_factory=list)
    """Mean cross-entropy of each micro-batch, in nats a token."""

    def of(self, module: str) -> MicroBatchGradients:
        """Return the sampled gradients of a module."""
        return MicroBatchGradients(module, np.stack(self.samples[module]), self.coordinates[module])


def measure_gradients(
    model: nn.Module,
    chosen: dict[str, Tensor],
    data: Data,
    devices: Devices,
    *,
    micro_batches: int,
    size: int,
    balance_loss: float,
    progress: Callable[[int, int], None],
) -> Gradients:
    """Take the next micro-batches of the data, each by itself, and gather what `Gradients` holds.

    `chosen` are the coordinates to sample; `balance_loss` is the factor of the load-balancing loss, which belongs to
    the training objective.
    """
    modules = noise_modules(model)
    everything = [p for parameters in modules.values() for p in parameters]
    gradients = Gradients(
        size,
        {name: sum(p.numel() for p in parameters) for name, parameters in modules.items()},
        SNRMeter({**modules, "all": everything}),
        {name: [] for name in modules},
        dict.fromkeys(modules, 0),
    )
    model.train()
    for index in range(micro_batches):
        model.zero_grad(set_to_none=True)
        gradients.losses.append(_backward(model, data.next_batch(size), devices, balance_loss))
        gradients.norms.append(sum(float(_gradient(p).double().square().sum()) for p in model.parameters()))
        for name, parameters in modules.items():
            joined = torch.cat([_gradient(p).flatten() for p in parameters])
            sample = joined[chosen[name].to(joined.device)]
            gradients.samples[name].append(sample.float().cpu().numpy())
            gradients.zeros[name] += int((joined == 0).sum())
        gradients.meter.update()
        progress(index + 1, micro_batches)
    model.zero_grad(set_to_none=True)
    return gradients


def _gradient(p: nn.Parameter) -> Tensor:
    return p.grad if p.grad is not None else torch.zeros_like(p)


def _backward(model: nn.Module, batch: Batch, devices: Devices, balance_loss: float) -> float:
    """Make the gradient of the training objective on one batch; return the mean cross-entropy."""
    targets = float((batch.targets != IGNORED).sum())
    with devices.accumulating(model, last=True):
        out = batch_loss(model, devices.moved(batch))
        torch.autograd.backward(out.objective(targets, balance_loss))
    return float(out.losses.detach().sum()) / targets
