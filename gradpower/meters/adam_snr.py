"""The signal-to-noise ratio of each group's gradient, from the moments that Adam keeps."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradpower.groups import named_groups
from gradpower.meters.module_snr import FEWEST, ModuleSNR, wide
from gradpower.optimizers.shards import refuse_shards
from gradpower.optimizers.stand_in import Group
from gradpower.tools.errors import real, require, whole


def snr_from_adam(optimizer: Optimizer, *, blocks: int = 32) -> dict[str, ModuleSNR]:
    """The SNR of each group's gradient, from the moments that Adam keeps.

    For i.i.d. gradients of mean μ_i and variance σ_i² in coordinate i, after t steps the bias-corrected moments have

        E v̂ = μ² + σ²,   E m̂² = μ² + κσ²,   κ = Σ_k w_k² = (1−β1)(1+β1^t)/((1+β1)(1−β1^t)),   w_k = (1−β1)β1^k/(1−β1^t),

    so that signal = Σ_i (m̂² − κv̂)/(1−κ) and noise = Σ_i (v̂ − m̂²)/(1−κ) are unbiased. The noise is that of a whole
    step's gradient, a micro-batch's divided by their number. Of a powered optimizer the moments, and so this SNR, are
    those of φ_p(g). Gradients that drift within Adam's memory count as noise; where they drift so much that the
    moments show none (E m̂² > E v̂), that is an InputError.

    Parameters
    ----------
    optimizer : Optimizer
        Adam, AdamW, or one that keeps "exp_avg", "exp_avg_sq" and "step" as they do, powered, wrapped or not, after
        two steps or more. Groups of one name (`group_names`) are one module, of 4 coordinates or more.
    blocks : int
        Each module is cut into about so many runs of neighbouring coordinates, whose spread gives the standard error.
        It takes them as independent: noise that all coordinates of a module have in common is not covered.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.zeros(4000))
    >>> generator, optimizer = torch.Generator().manual_seed(0), torch.optim.AdamW([weight])
    >>> for _ in range(50):
    ...     weight.grad = 0.5 + torch.randn(4000, generator=generator)
    ...     optimizer.step()
    >>> round(snr_from_adam(optimizer)["0"].snr, 1)
    0.5
    """
    blocks = whole("blocks", blocks, FEWEST)
    named = named_groups(optimizer)
    return {name: _snr_of_moments(optimizer, name, groups, blocks) for name, groups in named.items()}


def _snr_of_moments(optimizer: Optimizer, name: str, groups: list[Group], blocks: int) -> ModuleSNR:
    refuse_shards(f"parameters of group {name}", (p for group in groups for p in group["params"]))
    count = sum(p.numel() for group in groups for p in group["params"])
    require(count >= FEWEST, f"parameters of group {name}", count, f"{FEWEST} coordinates or more")
    length = max(1, count // blocks)
    sums = [
        torch.stack([block.sum(dtype=torch.float64) for block in torch.split(part, length)]).cpu()
        for group in groups
        for p in group["params"]
        for part in _from_moments(optimizer.state.get(p, {}), group, name)
    ]
    signals, noises = torch.cat(sums[::2]), torch.cat(sums[1::2])
    signal, noise = float(signals.sum()), float(noises.sum())
    real(f"noise of group {name}", noise, "moments that show noise > 0", gt=0)
    residuals = signals - signal / noise * noises
    n = len(residuals)
    error = math.sqrt(n / (n - 1) * float(residuals.square().sum())) / noise
    return ModuleSNR(name, signal, noise, error, n, count)


def _from_moments(state: dict[str, Any], group: Group, name: str) -> tuple[Tensor, Tensor]:
    """Return the signal and the noise of every coordinate of a parameter."""
    missing = [key for key in ("exp_avg", "exp_avg_sq", "step") if key not in state]
    steps = 0 if missing else int(state["step"])
    shown = f"no {missing[0]}" if missing else f"step {steps}"
    allowed = "Adam's moments after 2 or more steps"
    require(steps >= 2, f"state of a parameter of group {name}", shown, allowed)
    beta1, beta2 = (float(beta) for beta in group["betas"])
    allowed = "a number > 0: without memory there is one gradient, and no spread"
    require(beta1 != 0, f"beta1 of group {name}", beta1, allowed)
    kappa = (1 - beta1) * (1 + beta1**steps) / ((1 + beta1) * (1 - beta1**steps))
    first, second = (wide(state[key]).flatten() for key in ("exp_avg", "exp_avg_sq"))
    first_squared = (first / (1 - beta1**steps)).square()
    second = second / (1 - beta2**steps)
    return (first_squared - kappa * second) / (1 - kappa), (second - first_squared) / (1 - kappa)
