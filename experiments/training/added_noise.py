"""Noise of a chosen law, added to gradients: what an intervention sets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

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
