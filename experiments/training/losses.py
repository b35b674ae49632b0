"""The loss of a batch, and the loss on the validation set with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.corpora import IGNORED, Batch


@dataclass(frozen=True)
class BatchLoss:
    """Loss of a batch."""

    losses: Tensor
    """Cross-entropy of each token in nats, 0 where there is no target; float32, shape of the targets."""
    balance: Tensor | None = None
    """Load-balancing loss of a mixture of experts, as transformers' Qwen2-MoE defines it."""
    expert_load: Tensor | None = None
    """Tokens routed to each expert, shape (layers, experts)."""


def batch_loss(model: nn.Module, batch: Batch) -> BatchLoss:
    """Run the model on a batch; see `BatchLoss`.

    Right padding needs no attention mask: attention is causal, and the padding has no loss. It is left out of the
    load-balancing loss.
    """
    # DDP keeps the model one level down.
    config: Any = getattr(getattr(model, "module", model), "config", None)
    moe = getattr(config, "num_experts", 0) > 0
    out = model(input_ids=batch.inputs, use_cache=False, **({"output_router_logits": True} if moe else {}))
    logits = out.logits.float()
    flat = F.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    losses = flat.view(batch.targets.shape)
    return BatchLoss(losses, *_routing(config, out, batch)) if moe else BatchLoss(losses)


def _routing(config: Any, out: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    from transformers.models.qwen2_moe.modeling_qwen2_moe import load_balancing_loss_func

    real = (batch.targets != IGNORED).long()
    experts, top = config.num_experts, config.num_experts_per_tok
    # The mask costs; without padding it changes nothing.
    mask = None if bool(real.all()) else real
    balance = load_balancing_loss_func(out.router_logits, experts, top, mask)
    with torch.no_grad():
        chosen = torch.stack([logits.topk(top, dim=-1).indices for logits in out.router_logits])
        weights = real.flatten()[None, :, None].expand_as(chosen)
        load = torch.zeros(len(chosen), experts, dtype=torch.long, device=chosen.device)
        load.scatter_add_(1, chosen.flatten(1), weights.flatten(1))
    return torch.as_tensor(balance), load


@dataclass(frozen=True)
class Evaluation:
    """Loss on the validation set, of `sequences` with `targets` tokens in all."""

    loss: float
    """Mean cross-entropy of a token in nats: Σ s_j/Σ n_j over sequences j with n_j targets and summed loss s_j."""
    standard_error: float
    """Of that ratio, √(n/(n−1)·Σ(s_j − loss·n_j)²)/Σ n_j: the sequences are taken as independent draws."""
    sequences: int
    targets: int
    expert_load: list[list[float]] | None = None
    """Each expert's share of the routed tokens times the number of experts, by layer: 1 is balanced."""


def summarise(sums: Tensor, counts: Tensor, load: Tensor | None = None) -> Evaluation:
    """Return the evaluation of sequences with summed losses `sums` and `counts` targets, both of shape (sequences,).

    >>> evaluation = summarise(torch.tensor([2.0, 4.0]), torch.tensor([1, 1]))
    >>> evaluation.loss, evaluation.standard_error
    (3.0, 1.0)
    """
    s, n = sums.double(), counts.double()
    loss = float(s.sum() / n.sum())
    residual = float(((s - loss * n) ** 2).sum())
    rows = len(s)
    error = math.sqrt(rows / (rows - 1) * residual) / float(n.sum()) if rows > 1 else math.nan
    shares = None if load is None else (load.double() / load.double().mean(1, keepdim=True)).tolist()
    return Evaluation(loss, error, rows, int(n.sum()), shares)
