"""The loss against transformers' own, padding, and routing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from experiments.corpora import IGNORED, Batch
from experiments.recipes.fields import with_fields
from experiments.recipes.named import recipe
from experiments.training.losses import batch_loss
from experiments.training.models import build_model

POCKET, MOE = recipe("pocket").model, recipe("pocket-moe").model


def batch(rows: int = 3, length: int = 17, *, padded: bool = False) -> Batch:
    tokens = torch.randint(1024, (rows, length + 1), generator=torch.Generator().manual_seed(3))
    inputs, targets = tokens[:, :-1].clone(), tokens[:, 1:].clone()
    if padded:
        targets[0, 5:] = IGNORED
        inputs[0, 6:] = 0
    return Batch(inputs, targets)


@pytest.mark.parametrize("padded", [False, True])
def test_loss_is_that_of_transformers(padded):
    model, data = build_model(POCKET, seed=0, length=32), batch(padded=padded)
    out = batch_loss(model, data)
    # transformers shifts the labels itself: position t predicts labels[t + 1].
    labels = torch.cat([torch.full((3, 1), IGNORED), data.targets], 1)
    inputs = torch.cat([data.inputs, torch.zeros(3, 1, dtype=torch.long)], 1)
    theirs = model(input_ids=inputs, labels=labels).loss
    count = (data.targets != IGNORED).sum()
    assert float(out.losses.detach().sum() / count) == pytest.approx(float(theirs.detach()), rel=1e-6)
    assert out.losses.shape == data.targets.shape
    assert bool((out.losses[data.targets == IGNORED] == 0).all())
    assert out.balance is None


def test_padding_changes_nothing_for_what_is_not_padding():
    model, data = build_model(POCKET, seed=0, length=32), batch(padded=True)
    other = Batch(torch.where(data.targets == IGNORED, 7, data.inputs), data.targets)
    first, second = (batch_loss(model, b).losses[0, :5] for b in (data, other))
    assert torch.equal(first, second)


def test_balance_is_that_of_transformers():
    model, data = build_model(MOE, seed=0, length=32), batch()
    theirs = model(input_ids=data.inputs, output_router_logits=True).aux_loss
    ours = batch_loss(model, data).balance.detach() / data.targets.numel()
    assert float(ours) == pytest.approx(float(theirs.detach()), rel=1e-6)


def test_balance_and_load_of_micro_batches_add_up():
    """Also in the gradient, with padding; each micro-batch's own routing would be off by percents."""
    model, data = build_model(MOE, seed=0, length=32), batch(rows=4, padded=True)
    whole = batch_loss(model, data)
    parts = [Batch(data.inputs[rows], data.targets[rows]) for rows in (slice(0, 1), slice(1, 4))]
    told = [batch_loss(model, part, whole.expert_load) for part in parts]
    alone = [batch_loss(model, part) for part in parts]
    assert torch.equal(sum(part.expert_load for part in told), whole.expert_load)
    assert sum(float(part.balance.detach()) for part in told) == pytest.approx(
        float(whole.balance.detach()), rel=1e-6
    )
    weight = model.model.layers[0].mlp.gate.weight
    (expected,) = torch.autograd.grad(whole.balance, weight)
    (found,) = torch.autograd.grad(sum(part.balance for part in told), weight)
    (biased,) = torch.autograd.grad(sum(part.balance for part in alone), weight)
    assert float((found - expected).norm() / expected.norm()) < 1e-4
    assert float((biased - expected).norm() / expected.norm()) > 0.01


def test_padding_is_not_in_the_balance_nor_in_the_load():
    model, data = build_model(MOE, seed=0, length=32), batch(rows=1, padded=True)
    whole = batch_loss(model, data)
    part = batch_loss(model, Batch(data.inputs[:, :5], data.targets[:, :5]))
    assert float(whole.balance.detach()) == pytest.approx(float(part.balance.detach()), rel=1e-5)
    assert torch.equal(whole.expert_load, part.expert_load)


def test_expert_load_counts_every_choice():
    model, data = build_model(MOE, seed=0, length=32), batch()
    load = batch_loss(model, data).expert_load
    assert load.shape == (MOE.layers, MOE.experts)
    assert load.sum(1).tolist() == [3 * 17 * MOE.experts_per_token] * MOE.layers
    # Layer by layer from the routers' logits.
    logits = model(input_ids=data.inputs, output_router_logits=True).router_logits
    for counted, of_layer in zip(load, logits, strict=True):
        chosen = np.argsort(-of_layer.detach().numpy(), axis=1)[:, : MOE.experts_per_token]
        assert counted.tolist() == np.bincount(chosen.ravel(), minlength=MOE.experts).tolist()


def test_balance_of_a_router_that_takes_all_tokens_to_the_same_experts():
    settings = with_fields(recipe("pocket-moe"), {"model.experts": 8}).model
    model = build_model(settings, seed=0, length=32)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("mlp.gate.weight"):
                p.zero_()
    out = batch_loss(model, batch())
    # Equal logits: probabilities are 1/E, each token counts top-k times: E·Σ_i f_i/E = Σ_i f_i = top-k.
    mean = float(out.balance.detach()) / batch().targets.numel()
    assert mean == pytest.approx(settings.experts_per_token, rel=1e-6)


def test_initial_loss_is_about_that_of_a_uniform_guess():
    assert float(
        batch_loss(build_model(POCKET, seed=0, length=32), batch()).losses.detach().mean()
    ) == pytest.approx(math.log(1024), rel=0.02)


def test_weights_follow_the_seed_alone():
    before = torch.get_rng_state()
    first, again, other = (build_model(POCKET, seed=s, length=32).state_dict() for s in (5, 5, 6))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])
