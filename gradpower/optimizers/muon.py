"""Muon for whole models: stacked experts, the split between Muon and AdamW, and both as one optimizer.

MuonPower, the class in `power_optimizers`, applies φ_p to the raw gradient, before momentum and orthogonalisation
(Figure 5 of the paper). The baseline is Moonlight's Muon (arXiv 2502.16982).
"""

import functools
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Muon, Optimizer

from gradpower.optimizers.base import PoweredOptimizer
from gradpower.optimizers.combined import CombinedOptimizer
from gradpower.optimizers.power_optimizers import POWERED, AdamWPower
from gradpower.optimizers.shards import is_dtensor, reduce_and_localize
from gradpower.optimizers.stand_in import COLLECTORS, Group
from gradpower.tools.errors import InputError, require

ALGORITHMS = ("muon", "adamw")


class StackedMuon(Muon):
    """torch's Muon, also for stacks of matrices: parameters of shape … × A × B, matrix by matrix.

    Each A×B matrix of a stack gets the update that `torch.optim.Muon` would give it as a parameter of its own,
    bit for bit; momentum is kept as one tensor of the parameter's shape. In transformers 5 the experts of a layer
    are such stacks. There `gate_up_proj` holds an expert's gate and up projections as the rows of one
    2·d_ff × d matrix, which is orthogonalised as one. A convolution kernel is no such stack: reshape it first. Of a
    stack whose matrices are whole on each process, as `fully_shard` lays out experts, a process steps its own.

    Parameters are those of torch.optim.Muon, but that every tensor needs two or more dimensions, not just two.

    Examples
    --------
    >>> experts = torch.nn.Parameter(torch.zeros(4, 3, 2))
    >>> experts.grad = torch.eye(3, 2).repeat(4, 1, 1)
    >>> StackedMuon([experts], lr=0.1, nesterov=False).step()
    >>> bool((experts[0] == experts[3]).all()), experts.shape
    (True, torch.Size([4, 3, 2]))
    """

    def __init__(self, params: Iterable[Any], *args: Any, **kwargs: Any) -> None:
        # torch's constructor refuses stacks: it checks the options on a stand-in, and then the base takes them.
        super().__init__([torch.empty(0, 0)], *args, **kwargs)
        Optimizer.__init__(self, params, self.defaults)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of matrices or stacks of matrices; see torch.optim.Optimizer."""
        super().add_param_group(param_group)
        for p in self.param_groups[-1]["params"]:
            if p.ndim < 2:
                self.param_groups.pop()
                shown, allowed = f"a parameter of shape {tuple(p.shape)}", "matrices, or stacks of matrices"
                raise InputError("params", shown, f"{allowed} (2 or more dimensions)")

    def _init_group(
        self,
        group: Any,
        params_with_grad: list[Tensor],
        grads: list[Tensor],
        muon_momentum_bufs: list[Tensor],
    ) -> bool:
        whole: tuple[list[Tensor], ...] = ([], [], [])
        has_complex = super()._init_group(group, *whole)
        reduce_and_localize(*whole, local=False)
        for tensors, matrices in zip(whole, (params_with_grad, grads, muon_momentum_bufs), strict=True):
            matrices += [matrix for tensor in tensors for matrix in _matrices(tensor)]
        return has_complex


COLLECTORS.add(StackedMuon._init_group)
# The signature that is shown is torch's.
functools.update_wrapper(StackedMuon.__init__, Muon.__init__, assigned=(), updated=())


class StackedMuonPower(PoweredOptimizer, StackedMuon):
    """`StackedMuon` on sign-power gradients: φ_p on the raw gradient, before momentum and orthogonalisation."""


POWERED[StackedMuon] = StackedMuonPower


class MuonAdamWPower(CombinedOptimizer):
    """MuonPower for the hidden matrices and AdamWPower for the rest, as one optimizer; p = 1 is Moonlight's Muon.

    With x_t = φ_p(g_t), M_t = μ·M_{t−1} + (1−μ)·x_t and O_t the result of `ns_steps` Newton–Schulz steps from
    M_t (Nesterov: from μ·M_t + (1−μ)·x_t), a matrix of A rows and B columns moves by

        W_t = W_{t−1} − η·(0.2·√max(A, B)·O_t + λ·W_{t−1}),

    whose factor 0.2·√max(A, B) gives the update about the root mean square of AdamW's, so that one learning rate
    serves both.

    Parameters
    ----------
    params : iterable of dict
        Parameter groups with the key "algorithm", "muon" or "adamw": those of `muon_groups(model)`. A group's own
        "lr", "weight_decay", "power", … hold for that group.
    lr, weight_decay
        Learning rate η and decoupled weight decay λ of all groups that have none of their own.
    power, offset
        As in `PoweredOptimizer`.
    momentum, nesterov, ns_steps
        Of Muon, as torch.optim.Muon takes them.
    betas, eps, fused
        Of AdamW, as torch.optim.AdamW takes them.

    Notes
    -----
    To clip, clip the gradients before `step()`: neither of the two optimizers sees the norm of all gradients.

    Examples
    --------
    >>> from torch import nn
    >>> from gradpower import muon_groups
    >>> model = nn.ModuleDict({"embed_tokens": nn.Embedding(5, 2), "up": nn.Linear(2, 4), "lm_head": nn.Linear(2, 5)})
    >>> optimizer = MuonAdamWPower(muon_groups(model), lr=1e-3, power=1.2)
    >>> [(group["algorithm"], len(group["params"])) for group in optimizer.param_groups]
    [('muon', 1), ('adamw', 4)]
    """

    def __init__(
        self,
        params: Iterable[Group],
        lr: float | Tensor = 1e-3,
        *,
        power: float | Tensor,
        offset: float = 0.0,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        fused: bool | None = None,
    ) -> None:
        groups = _by_algorithm(params)
        both = {"lr": lr, "weight_decay": weight_decay, "power": power, "offset": offset}
        of_muon = {"momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps}
        muon = _made(StackedMuonPower, groups["muon"], **both, **of_muon, adjust_lr_fn="match_rms_adamw")
        adamw = _made(AdamWPower, groups["adamw"], **both, betas=betas, eps=eps, fused=fused)
        super().__init__(muon, adamw, algorithms=ALGORITHMS)


def _by_algorithm(params: Iterable[Any]) -> dict[str, list[Group]]:
    groups: dict[str, list[Group]] = {algorithm: [] for algorithm in ALGORITHMS}
    for group in [params] if isinstance(params, Tensor) else params:
        if not isinstance(group, dict):
            raise InputError("params", type(group).__name__, "parameter groups, as of muon_groups(model)")
        if group.get("algorithm") not in groups:
            shown = group.get("algorithm", "missing")
            raise InputError("algorithm of a parameter group", shown, " or ".join(map(repr, ALGORITHMS)))
        groups[group["algorithm"]].append(group)
    require(any(groups.values()), "params", "an empty list", "parameter groups, as of muon_groups(model)")
    return groups


def _made(kind: type[PoweredOptimizer], groups: list[Group], **options: Any) -> PoweredOptimizer:
    """Return an optimizer that may have no groups yet; `add_param_group` can bring some."""
    optimizer = kind(groups or [{"params": []}], **options)
    if not groups:
        optimizer.param_groups.clear()
    return optimizer


def _matrices(tensor: Tensor) -> list[Tensor]:
    """Return views of the matrices in a stack; reshaping could copy, and the updates would be lost."""
    if tensor.ndim == 2:
        return [tensor]
    return [matrix for part in _own(tensor).unbind(0) for matrix in _matrices(part)]


def _own(stack: Any) -> Tensor:
    """Return the part of a sharded stack that is here, if its matrices are whole here; else the stack."""
    if not is_dtensor(stack):
        return cast(Tensor, stack)
    whole = all(not place.is_shard() or place.dim < stack.ndim - 2 for place in stack.placements)
    return cast(Tensor, stack.to_local() if whole else stack)
