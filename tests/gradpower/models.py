"""Small models, and training of one of them, for the tests of optimizers of whole models."""

import pytest
import torch
from torch import nn

from gradpower.optimizers.muon import MuonAdamWPower
from gradpower.optimizers.muon_groups import muon_groups


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed))


def sizes() -> dict[str, int]:
    return {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}


def qwen(*, tied: bool = False) -> nn.Module:
    transformers = pytest.importorskip("transformers", reason="needs transformers' Qwen2-MoE")
    config = transformers.Qwen2MoeConfig(
        **sizes(),
        num_attention_heads=2,
        num_key_value_heads=2,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=8,
        shared_expert_intermediate_size=24,
        tie_word_embeddings=tied,
    )
    torch.manual_seed(0)
    return transformers.Qwen2MoeForCausalLM(config)


def llama() -> nn.Module:
    transformers = pytest.importorskip("transformers", reason="needs transformers' LLaMA")
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes(), num_attention_heads=2))


class Net(nn.Module):
    """A small model with an embedding, a matrix, stacked experts, a norm and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(7, 6)
        self.up = nn.Linear(6, 8)
        self.experts = nn.Parameter(torch.empty(3, 8, 6))
        self.norm = nn.LayerNorm(6)
        self.lm_head = nn.Linear(6, 7, bias=False)
        for seed, p in enumerate(self.parameters()):
            p.data = normal(*p.shape, seed=seed) / 3
        self.norm.reset_parameters()

    def loss(self, step: int) -> torch.Tensor:
        ids = torch.randint(0, 7, (5,), generator=generator(100 + step))
        h = torch.tanh(self.up(self.embed_tokens(ids)))
        h = self.norm(torch.einsum("ta,eab->tb", h, self.experts))
        return nn.functional.cross_entropy(self.lm_head(h), ids)


def train(model: Net, optimizer: torch.optim.Optimizer, start: int, stop: int) -> None:
    for step in range(start, stop):
        optimizer.zero_grad()
        model.loss(step).backward()
        optimizer.step()


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def powered_optimizer(model: nn.Module, **options: object) -> MuonAdamWPower:
    return MuonAdamWPower(muon_groups(model), lr=1e-2, **{"power": 1.2, **options})
