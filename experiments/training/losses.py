"""The loss of a batch, with a mixture's load-balancing loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.corpora import IGNORED, Batch


@dataclass(frozen=True)
class BatchLoss:
    """Loss of a batch, or of a micro-batch."""

    losses: Tensor
    """Cross-entropy of each token in nats, 0 where there is no target; float32, shape of the targets."""
    balance: Tensor | None = None
    """Load-balancing loss of a mixture of experts, Qwen2-MoE's times the number of targets: a sum over tokens, too."""
    expert_load: Tensor | None = None
    """Tokens routed to each expert, shape (layers, experts)."""

    def objective(self, targets: float, balance_loss: float) -> Tensor:
        """Return this part's share of what training minimises: mean cross-entropy and weighted mean balance loss."""
        loss = self.losses.sum()
        return (loss if self.balance is None else loss + balance_loss * self.balance) / targets


def batch_loss(
    model: nn.Module,
    batch: Batch,
    load: Tensor | None = None,
    look: Callable[[Tensor], None] | None = None,
) -> BatchLoss:
    """Run the model on a batch; see `BatchLoss`. `look` is shown the logits.

    The balance loss of a token is E·Σ_e f_e·P_e over the E experts: f_e how many of its k choices a token of the batch
    gives to expert e on average (no gradient), P_e the router's probability, both averaged over layers. It is no mean
    over tokens unless f is known beforehand: for a micro-batch, `load` is the `expert_load` of its whole batch.

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
    if look is not None:
        look(logits)
    if not moe:
        return BatchLoss(losses)
    counted = (batch.targets != IGNORED).flatten()
    routers = torch.stack(out.router_logits)  # (layers, tokens, experts)
    own = _expert_load(routers, config.num_experts_per_tok, counted)
    routed = (own if load is None else load).sum(0).float()
    probabilities = (routers.float().softmax(-1) * counted[:, None]).sum((0, 1)) / len(routers)
    frequencies = routed * config.num_experts_per_tok / routed.sum()
    return BatchLoss(losses, config.num_experts * (frequencies * probabilities).sum(), own)


@torch.no_grad()
def _expert_load(routers: Tensor, top: int, counted: Tensor) -> Tensor:
    chosen = routers.topk(top, dim=-1).indices
    weights = counted.long()[None, :, None].expand_as(chosen)
    load = torch.zeros(len(routers), routers.shape[-1], dtype=torch.long, device=routers.device)
    return load.scatter_add_(1, chosen.flatten(1), weights.flatten(1))
