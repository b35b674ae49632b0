"""Muon for whole models: stacked experts, the split between Muon and AdamW, and MuonPower with AdamWPower.

MuonPower applies φ_p to the raw gradient, before momentum and orthogonalisation (Figure 5 of the paper). The
baseline is Moonlight's Muon (arXiv 2502.16982).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.optim import Muon, Optimizer

from gradpower.combined import CombinedOptimizer
from gradpower.names import match_parameters
from gradpower.optimizers import POWERED, AdamWPower
from gradpower.powered_optimizer import PoweredOptimizer
from gradpower.shards import is_dtensor, reduce_and_localize
from gradpower.stand_in import COLLECTORS, Group
from gradpower.tools.errors import InputError, require

ALGORITHMS = ("muon", "adamw")
# The embedding's inputs are one-hot, and the outputs of head, router and shared-expert gate are logits.
ADAMW_PATTERNS = (r"(?:^|\.)embed_tokens\.", r"(?:^|\.)(?:lm_head|mlp\.gate|shared_expert_gate)\.")


class StackedMuon(Muon):
    """torch's Muon, also for stacks of matrices: parameters of shape … × A × B, matrix by matrix.

    Each A×B matrix of a stack gets the update that `torch.optim.Muon` would give it as a parameter of its own,
    bit for bit; momentum is kept as one tensor of the parameter's shape. In transformers 5 the experts of a layer
    are such stacks. There `gate_up_proj` holds an expert's gate and up projections as the rows of one
    2·d_ff × d matrix, which is orthogonalised as one. A convolution kernel is no such stack: reshape it first. Of a
    stack whose matrices are whole on each process, as `fully_shard` lays out experts, a process steps its own.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups; every parameter needs two or more dimensions.
    *args, **kwargs
        `lr`, `weight_decay`, `momentum`, `nesterov`, `ns_coefficients`, `eps`, `ns_steps` and `adjust_lr_fn` as
        torch.optim.Muon takes them.

    Raises
    ------
    ValueError
        If a parameter has fewer than two dimensions, or as torch.optim.Muon.

    Examples
    --------
    >>> experts = nn.Parameter(torch.zeros(4, 3, 2))
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
        """Add a group of matrices or stacks of matrices; see torch.optim.Optimizer.

        Raises
        ------
        ValueError
            If a parameter has fewer than two dimensions.
        """
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
    """`StackedMuon` on sign-power gradients: φ_p on the raw gradient, before momentum and orthogonalisation.

    Parameters
    ----------
    params, lr, weight_decay, momentum, nesterov, ns_steps, adjust_lr_fn, ...
        As `StackedMuon` takes them.
    power, offset, clip
        As in `PoweredOptimizer`.

    Raises
    ------
    InputError
        As `PoweredOptimizer` and `StackedMuon`.

    Examples
    --------
    >>> experts = nn.Parameter(torch.zeros(4, 3, 2))
    >>> optimizer = StackedMuonPower([experts], lr=1e-3, power=1.2, adjust_lr_fn="match_rms_adamw")
    """


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
    lr : float or Tensor
        Learning rate η.
    power, offset
        As in `PoweredOptimizer`, of all groups that have none of their own.
    weight_decay : float
        Decoupled weight decay λ.
    momentum, nesterov, ns_steps
        Of Muon, as torch.optim.Muon takes them.
    betas, eps, fused
        Of AdamW, as torch.optim.AdamW takes them.

    Raises
    ------
    InputError
        If a group has no algorithm, or as `StackedMuonPower` and `AdamWPower`.

    Notes
    -----
    To clip, clip the gradients before `step()`: neither of the two optimizers sees the norm of all gradients.

    Examples
    --------
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


def muon_groups(
    model: nn.Module,
    *,
    adamw_patterns: Sequence[str] = ADAMW_PATTERNS,
    muon: Mapping[str, Any] | None = None,
    adamw: Mapping[str, Any] | None = None,
) -> list[Group]:
    """Return the parameter groups of `MuonAdamWPower`: hidden matrices to Muon, all else to AdamW.

    Muon makes all singular values of an update equal, which suits matrices whose inputs and outputs are both
    hidden activations. By default AdamW keeps the embedding, whose inputs are one-hot, and the layers whose
    outputs are logits: the head and, in a mixture of experts, the router and the gate of the shared expert
    (the sources name the head only; the other two are this project's choice). It also keeps norms and biases, which
    are no matrices, even where the biases of several experts are stacked, the kernels of
    convolutions, and what weights are computed from (`weight_norm`, `spectral_norm` and other parametrizations).

    Parameters
    ----------
    model : torch.nn.Module
        The model. A tied parameter goes to AdamW if one of its names does; frozen ones are left out.
    adamw_patterns : sequence of str
        Regular expressions; a matrix with one found in its name goes to AdamW. The default fits LLaMA and
        Qwen2-MoE of transformers 4 and 5; without "mlp.gate" in it the router goes to Muon.
    muon, adamw : mapping, optional
        Options of the two groups, such as {"lr": 3e-4} or {"power": 1.0}.

    Returns
    -------
    list of dict
        One group with "algorithm" and "name" equal to "muon", and if anything is left one with "adamw".

    Raises
    ------
    InputError
        If `adamw_patterns` is no sequence of regular expressions, a pattern matches no parameter left by earlier
        ones, or no matrix is left for Muon.

    Examples
    --------
    >>> model = nn.ModuleDict({"embed_tokens": nn.Embedding(5, 2), "up": nn.Linear(2, 4), "lm_head": nn.Linear(2, 5)})
    >>> for group in muon_groups(model, adamw={"power": 1.0}):
    ...     print(group["algorithm"], group.get("power"), [tuple(p.shape) for p in group["params"]])
    muon None [(4, 2)]
    adamw 1.0 [(5, 2), (5, 2), (5,), (4,)]
    """
    if isinstance(adamw_patterns, str):
        raise InputError("adamw_patterns", adamw_patterns, "a sequence of regular expressions")
    patterns = {f"adamw_patterns[{i}]": pattern for i, pattern in enumerate(adamw_patterns)}
    try:
        owned, others = match_parameters(model, patterns)
    except ValueError:
        if adamw_patterns != ADAMW_PATTERNS:
            raise
        names = ", ".join(name for name, _ in itertools.islice(model.named_parameters(), 3))
        allowed = (
            'one with the names of LLaMA, or adamw_patterns=[…] for its embedding and head, as [r"wte\\."]'
        )
        raise InputError("model", f"{type(model).__name__} with {names}, …", allowed) from None
    unsuited = _computed_from(model)
    unsuited |= {p for m in model.modules() if isinstance(m, _ConvNd) for p in m.parameters(recurse=False)}
    matrices = {
        name: p
        for name, p in others.items()
        if p.ndim >= 2 and not name.endswith("bias") and p not in unsuited
    }
    require(matrices, "model", type(model).__name__, "a model with a trainable matrix for Muon")
    rest = [p for parameters in owned for p in parameters]
    rest += [p for name, p in others.items() if name not in matrices]
    groups = [_group("muon", matrices.values(), muon)]
    return [*groups, _group("adamw", rest, adamw)] if rest else groups


def _group(algorithm: str, params: Iterable[nn.Parameter], options: Mapping[str, Any] | None) -> Group:
    return {"name": algorithm, **(options or {}), "params": list(params), "algorithm": algorithm}


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


def _computed_from(model: nn.Module) -> set[nn.Parameter]:
    """Return the parameters from which a module computes its weight: weight_norm's, spectral_norm's and others'."""
    parts: set[nn.Parameter] = set()
    for module in model.modules():
        if isinstance(module, ParametrizationList):
            parts.update(module.parameters())
        for hook in module._forward_pre_hooks.values():  # the older form of the two
            if isinstance(hook, WeightNorm | SpectralNorm):
                names = (f"{hook.name}_{part}" for part in ("g", "v", "orig"))
                parts.update(getattr(module, name) for name in names if hasattr(module, name))
    return parts
