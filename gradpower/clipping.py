"""Clipping of the global gradient norm before or after the power, as a setting of the optimizer.

The authors' code clips first; a training loop (or the Hugging Face Trainer's `max_grad_norm`) that clips before
`optimizer.step()` does the same. The other order needs the powered gradient, which only the optimizer has.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gradpower.tools.errors import real, require

ORDERS = ("clip_then_power", "power_then_clip")


@dataclass(frozen=True)
class Clip:
    """A clipping of the global gradient norm, and its place relative to the power.

    With c(n) = min(1, max_norm/(n + 1e-6)), torch's clipping factor, the base optimizer receives
    φ_p(c(‖g‖)·g) for "clip_then_power" and c(‖φ_p(g)‖)·φ_p(g) for "power_then_clip"; the norm runs over all
    parameters of all groups that this process has, DTensors whole. With shards that are not DTensors (a
    ZeroRedundancyOptimizer, FSDP1, pipelines) each process would clip by its own norm. `.grad` is left as it is.

    Parameters
    ----------
    order : str
        "clip_then_power" or "power_then_clip".
    max_norm : float
        Largest norm, > 0. At equal `max_norm` the two orders clip differently: ‖φ_p(g)‖ has another scale.
    norm_type : float
        Order of the norm, > 0, infinity for the largest entry; 2 by default.

    Examples
    --------
    >>> Clip("power_then_clip", 1.0)
    Clip(order='power_then_clip', max_norm=1.0, norm_type=2.0)
    """

    order: str
    max_norm: float
    norm_type: float = 2.0

    def __post_init__(self) -> None:
        require(self.order in ORDERS, "order", self.order, " or ".join(map(repr, ORDERS)))
        object.__setattr__(self, "max_norm", real("max_norm", self.max_norm, gt=0))
        if self.norm_type != math.inf:
            order = real("norm_type", self.norm_type, "a number > 0, or infinity", gt=0)
            object.__setattr__(self, "norm_type", order)

    def factor(self, norm: Tensor) -> Tensor:
        """Return c(norm) = min(1, max_norm/(norm + 1e-6)), a 0-dimensional tensor; NaN if the norm is."""
        return torch.clamp(self.max_norm / (norm + 1e-6), max=1.0)


def clip_then_power(max_norm: float, *, norm_type: float = 2.0) -> Clip:
    """Return the setting that clips the raw gradient first: x = φ_p(c(‖g‖)·g), as the authors' code does.

    Examples
    --------
    >>> from gradpower import AdamWPower
    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> optimizer = AdamWPower([weight], lr=0.1, power=1.2, clip=clip_then_power(1.0))
    """
    return Clip("clip_then_power", max_norm, norm_type)


def power_then_clip(max_norm: float, *, norm_type: float = 2.0) -> Clip:
    """Return the setting that clips the powered gradient: x = c(‖φ_p(g)‖)·φ_p(g).

    Examples
    --------
    >>> power_then_clip(1.0).order
    'power_then_clip'
    """
    return Clip("power_then_clip", max_norm, norm_type)


def global_norm(parts: Iterable[Sequence[Tensor]], norm_type: float) -> Tensor | None:
    """Return the norm over all tensors of all `parts`, one part in memory at a time; None if there are none."""
    norms = []
    for tensors in parts:
        if tensors:
            norm = torch.nn.utils.get_total_norm(tensors, norm_type)
            # Shards of one tensor lie on several ranks; their norms are summed across them here.
            norms.append(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
        del tensors  # or they would still be there while the next part is made
    if not norms:
        return None
    total: Tensor = torch.linalg.vector_norm(torch.stack([n.to(norms[0].device) for n in norms]), norm_type)
    return total
