"""Noise of a chosen law, or a batch's own in another form, added to gradients: what an intervention sets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from theory.laws import NoiseLaw


@torch.no_grad()
def add_noise(model: nn.Module, law: NoiseLaw, level: float, seed: Sequence[int]) -> None:
    """Add σ·ξ to every gradient, in place, with σ = level·RMS of its tensor and ξ independent in each entry.

    ξ is the law's quantile at uniform numbers that the seed alone decides: laws, levels and powers are paired.

    Examples
    --------
    >>> from theory.laws import Uniform
    >>> layer = nn.Linear(100, 100, bias=False)
    >>> layer.weight.grad = torch.ones(100, 100)
    >>> add_noise(layer, Uniform(), 3.0, [0, 1])
    >>> round(float(layer.weight.grad.std()), 1)
    1.7
    """
    generator = np.random.default_rng(list(seed))
    for parameter in model.parameters():
        if parameter.grad is not None:
            noise = torch.from_numpy(law.quantile(generator.random(parameter.shape)))
            scale = level * parameter.grad.square().mean().sqrt()
            parameter.grad.add_(noise.to(parameter.grad) * scale)


@torch.no_grad()
def add_own_noise(
    model: nn.Module, sampled: Sequence[Tensor], form: str, level: float, seed: Sequence[int]
) -> None:
    """Add `level` times the noise of sampled gradients about those of the model, in place.

    `form` is own, random-signs (a random sign in each entry: large gradients carry no signal any more) or shuffled
    (within each tensor: its size does not depend on the entry any more, either). `sampled` are of fewer sequences than
    the model's gradients, in the order of its parameters; own noise at level 1 gives them back.

    Examples
    --------
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> layer.weight.grad = torch.tensor([[1.0, 2.0]])
    >>> add_own_noise(layer, [torch.tensor([[1.5, 0.0]])], "own", 1.0, [0, 1])
    >>> layer.weight.grad
    tensor([[1.5000, 0.0000]])
    """
    generator = np.random.default_rng(list(seed))
    for parameter, gradient in zip(model.parameters(), sampled, strict=True):
        assert parameter.grad is not None
        noise = gradient - parameter.grad
        if form == "random-signs":
            signs = generator.integers(0, 2, size=noise.shape, dtype=np.int8) * np.int8(2) - np.int8(1)
            noise *= torch.from_numpy(signs).to(noise)
        elif form == "shuffled":
            order = torch.from_numpy(generator.permutation(noise.numel())).to(noise.device)
            noise = noise.flatten()[order].view_as(noise)
        parameter.grad.add_(noise, alpha=level)
