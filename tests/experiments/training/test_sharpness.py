"""The preconditioned sharpness against the eigenvalues of a dense Hessian, and that measuring it changes no run."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from experiments.corpora import Batch
from experiments.training.execution import Execution
from experiments.training.loop import train
from experiments.training.losses import batch_loss
from experiments.training.sharpness import preconditioned_sharpness
from gradpower import AdamWPower
from gradpower.tools.errors import InputError
from tests.experiments.texts import small_recipe, write_text
from tests.experiments.training.test_training import final_weights


class Bigrams(nn.Module):
    """Logits of the next token from the last one, through two layers of two units."""

    def __init__(self):
        super().__init__()
        self.embedding, self.first, self.second = nn.Embedding(5, 2), nn.Linear(2, 2), nn.Linear(2, 5)

    def forward(self, input_ids, use_cache):
        return SimpleNamespace(logits=self.second(torch.tanh(self.first(self.embedding(input_ids)))))


@pytest.mark.parametrize("power", [1.0, 1.3])
def test_it_is_the_largest_eigenvalue(power):
    torch.manual_seed(0)
    model, batch = Bigrams().double(), Batch(torch.randint(5, (4, 8)), torch.randint(5, (4, 8)))
    optimizer = AdamWPower(model.parameters(), lr=0.01, betas=(0.9, 0.95), power=power, eps=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        batch_loss(model, batch).losses.mean().backward()
        optimizer.step()
    layers = {name: p for name, p in model.named_parameters() if name != "embedding.weight"}

    def loss(*weights):
        logits = torch.func.functional_call(
            model, dict(zip(layers, weights, strict=True)), (batch.inputs, False)
        ).logits.float()
        return nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())

    weights = tuple(p.detach() for p in layers.values())
    blocks = torch.autograd.functional.hessian(loss, weights)
    hessian = torch.cat(
        [
            torch.cat([part.reshape(w.numel(), -1) for part in row], 1)
            for w, row in zip(weights, blocks, strict=True)
        ]
    )
    second = torch.cat([optimizer.state[p]["exp_avg_sq"].flatten() for p in layers.values()])
    second /= 1 - 0.95**3
    root = (second ** (0.5 / power) / power + 1e-3).rsqrt()
    eigenvalues = torch.linalg.eigvalsh(root[:, None] * hessian * root)
    found = preconditioned_sharpness(model, batch, optimizer, iterations=300)
    assert found == pytest.approx(float(eigenvalues.abs().max()), rel=1e-4)


def test_it_needs_whole_weights():
    with pytest.raises(InputError, match="sharpness"):
        Execution(sharpness=True, shard=True)


@pytest.mark.slow
def test_measuring_it_changes_no_run(tmp_path):
    recipe = small_recipe(write_text(tmp_path))
    here = Execution(device="cpu", threads=1, cache=tmp_path / "cache")
    train(recipe, tmp_path / "plain", execution=here)
    ended = train(recipe, tmp_path / "sharp", execution=replace(here, sharpness=True))
    assert final_weights(tmp_path / "plain") == final_weights(tmp_path / "sharp")
    assert all(row["sharpness"] > 0 for row in ended.result.evaluations)
