"""Models on random initial weights: transformers' LlamaForCausalLM and Qwen2MoeForCausalLM (Section 5)."""

from typing import Any

import torch
from torch import nn

from experiments.recipes.settings import ModelSettings
from gradpower.tools.errors import InputError


def build_model(settings: ModelSettings, *, seed: int, length: int) -> nn.Module:
    """Return the model for sequences of `length`, in float32 on the CPU; `seed` alone decides its initial weights.

    torch's own generator is left as it was.

    >>> tiny = ModelSettings(width=8, hidden=16, heads=2, layers=1, vocabulary=32)
    >>> sum(p.numel() for p in build_model(tiny, seed=0, length=16).parameters())
    1176
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return _model(settings, length)
        except ImportError:
            allowed = "sdpa or eager, or an installation of its package"
            raise InputError("model.attention", settings.attention, allowed) from None


def _model(settings: ModelSettings, length: int) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2MoeConfig, Qwen2MoeForCausalLM

    common: dict[str, Any] = {
        "vocab_size": settings.vocabulary,
        "hidden_size": settings.width,
        "intermediate_size": settings.hidden,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "num_key_value_heads": settings.heads,
        "max_position_embeddings": length,
        "attn_implementation": settings.attention,
        "tie_word_embeddings": False,
        "use_cache": False,
    }
    if settings.family == "llama":
        return LlamaForCausalLM(LlamaConfig(**common))
    moe = Qwen2MoeConfig(
        **common,
        moe_intermediate_size=settings.hidden // 4,
        shared_expert_intermediate_size=settings.hidden,
        num_experts=settings.experts,
        num_experts_per_tok=settings.experts_per_token,
        router_aux_loss_coef=settings.balance_loss,
        use_sliding_window=False,
    )
    return Qwen2MoeForCausalLM(moe)
