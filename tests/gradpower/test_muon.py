import copy
import inspect
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from gradpower.optimizers.classes import powered
from gradpower.optimizers.combined import CombinedOptimizer
from gradpower.optimizers.muon import MuonAdamWPower, StackedMuon, StackedMuonPower
from gradpower.optimizers.muon_groups import muon_groups
from gradpower.optimizers.power_optimizers import AdamWPower
from gradpower.tools.errors import InputError
from tests.gradpower.models import (
    Net,
    equal,
    llama,
    normal,
    powered_optimizer,
    qwen,
    train,
    weights,
)
from tests.gradpower.reference import newton_schulz, sign_power

MOONLIGHT = {"adjust_lr_fn": "match_rms_adamw"}


@pytest.mark.parametrize("shape", [(6, 4), (3, 6, 4), (3, 4, 6), (2, 3, 5, 5)])
@pytest.mark.parametrize("adjust_lr_fn", ["original", "match_rms_adamw"])
def test_stack_equals_separate_matrices(shape, adjust_lr_fn):
    options = {"lr": 0.02, "weight_decay": 0.1, "adjust_lr_fn": adjust_lr_fn}
    stack = nn.Parameter(normal(*shape, seed=0))
    matrices = [nn.Parameter(m.clone()) for m in stack.detach().view(-1, *shape[-2:])]
    stacked, separate = StackedMuon([stack], **options), torch.optim.Muon(matrices, **options)
    assert stacked.defaults == separate.defaults
    for step in range(20):
        stack.grad = normal(*shape, seed=1 + step)
        for p, g in zip(matrices, stack.grad.view(-1, *shape[-2:]), strict=True):
            p.grad = g.clone()
        stacked.step()
        separate.step()
    momenta = [separate.state[p]["momentum_buffer"] for p in matrices]
    for whole, parts in ((stack, matrices), (stacked.state[stack]["momentum_buffer"], momenta)):
        assert torch.equal(whole.view(-1, *shape[-2:]), torch.stack(parts))


def test_a_transposed_stack():
    # Strided memory, as a transposed parameter has it, can only be updated through views.
    dense = nn.Parameter(normal(2, 3, 4, 5, seed=0))
    strided = nn.Parameter(dense.detach().permute(1, 3, 0, 2).contiguous().permute(2, 0, 3, 1))
    assert not strided.is_contiguous()
    optimizers = [StackedMuon([dense]), StackedMuon([strided])]
    for step in range(5):
        dense.grad = normal(2, 3, 4, 5, seed=1 + step)
        strided.grad = dense.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert torch.allclose(strided, dense, atol=1e-6)


def test_stack_survives_checkpoint_copy_and_pickle():
    def step(p: nn.Parameter, optimizer: torch.optim.Optimizer, seed: int) -> None:
        p.grad = normal(*p.shape, seed=seed)
        optimizer.step()

    stack = nn.Parameter(normal(3, 4, 5, seed=0))
    optimizer = StackedMuon([stack], lr=0.02)
    step(stack, optimizer, 1)
    loaded = nn.Parameter(stack.detach().clone())
    resumed = StackedMuon([loaded], lr=0.5)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for duplicate in [resumed, copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))]:
        (p,) = duplicate.param_groups[0]["params"]
        step(p, duplicate, 2)
        with pytest.raises(InputError, match="2 or more dimensions"):
            duplicate.add_param_group({"params": [nn.Parameter(torch.zeros(3))]})
        assert len(duplicate.param_groups) == 1
        assert type(duplicate) is StackedMuon
    step(stack, optimizer, 2)
    assert torch.equal(loaded, stack)
    assert torch.equal(copy.deepcopy(optimizer).param_groups[0]["params"][0], stack)


def test_stack_refusals():
    matrix = nn.Parameter(torch.zeros(2, 2))
    with pytest.raises(InputError, match=r"params: a parameter of shape \(2,\) is not allowed"):
        StackedMuon([matrix, nn.Parameter(torch.zeros(2))])
    with pytest.raises(ValueError, match="empty parameter list"):
        StackedMuon([])
    with pytest.raises(TypeError, match="iterable of Tensors"):
        StackedMuon(matrix)
    with pytest.raises(ValueError, match="Learning rate"):
        StackedMuon([matrix], lr=-1)
    with pytest.raises(ValueError, match="Adjust learning rate function"):
        StackedMuon([matrix], adjust_lr_fn="other")


def test_signatures_are_shown():
    assert list(inspect.signature(StackedMuon).parameters) == list(
        inspect.signature(torch.optim.Muon).parameters
    )
    assert {"ns_steps", "power"} <= set(inspect.signature(StackedMuonPower).parameters)


def test_powered_stack():
    # φ_p by hand on the gradient of the plain optimizer.
    first, second = (nn.Parameter(normal(3, 4, 5, seed=0)) for _ in range(2))
    ours, plain = StackedMuonPower([first], lr=0.02, power=1.3), StackedMuon([second], lr=0.02)
    for step in range(5):
        first.grad = normal(3, 4, 5, seed=1 + step)
        second.grad = first.grad.sign() * first.grad.abs() ** 1.3
        ours.step()
        plain.step()
    assert torch.allclose(first, second, atol=1e-4)
    assert (first - normal(3, 4, 5, seed=0)).abs().max() > 1e-2
    assert powered(StackedMuon) is StackedMuonPower
    assert pickle.loads(pickle.dumps(StackedMuonPower)) is StackedMuonPower


def split(model: nn.Module, **options: object) -> dict[str, set[str]]:
    names = {id(p): name for name, p in model.named_parameters()}
    return {g["algorithm"]: {names[id(p)] for p in g["params"]} for g in muon_groups(model, **options)}


def test_split_of_llama():
    model = llama()
    parts = split(model)
    assert parts["adamw"] == {n for n, p in model.named_parameters() if p.ndim == 1} | {
        "model.embed_tokens.weight",
        "lm_head.weight",
    }
    assert parts["muon"] == set(dict(model.named_parameters())) - parts["adamw"]
    assert len(parts["muon"]) == 14


def test_split_of_qwen():
    model = qwen()
    parts = split(model)
    assert "model.layers.1.mlp.experts.gate_up_proj" in parts["muon"]
    assert "model.layers.1.mlp.shared_expert.down_proj.weight" in parts["muon"]
    assert "model.layers.1.mlp.gate.weight" in parts["adamw"]
    assert "model.layers.1.mlp.shared_expert_gate.weight" in parts["adamw"]
    assert "model.layers.1.self_attn.q_proj.bias" in parts["adamw"]
    assert parts["muon"] | parts["adamw"] == set(dict(model.named_parameters()))
    assert not parts["muon"] & parts["adamw"]
    asked = split(model, adamw_patterns=["embed_tokens", "lm_head"])
    assert asked["muon"] - parts["muon"] == {
        f"model.layers.{i}.mlp.{name}.weight" for i in (0, 1) for name in ("gate", "shared_expert_gate")
    }


def test_split_of_tied_frozen_and_wrapped_models():
    model = qwen(tied=True)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    model.model.layers[0].mlp.experts.down_proj.requires_grad_(False)
    model.model.norm.weight.requires_grad_(False)
    wrapped = nn.Module()
    wrapped.module = model
    groups = muon_groups(wrapped)
    owned = [id(p) for group in groups for p in group["params"]]
    assert len(owned) == len(set(owned))
    assert set(owned) == {id(p) for p in model.parameters() if p.requires_grad}
    assert any(p is model.lm_head.weight for p in groups[1]["params"])


def test_split_refusals_and_options():
    model = Net()
    with pytest.raises(InputError, match=r"adamw_patterns\[1\]: router is not allowed"):
        muon_groups(model, adamw_patterns=["embed", "router"])
    with pytest.raises(InputError, match="adamw_patterns: embed"):
        muon_groups(model, adamw_patterns="embed")
    with pytest.raises(InputError, match=r"adamw_patterns\[0\]: \("):
        muon_groups(model, adamw_patterns=["("])
    with pytest.raises(InputError, match=r"model: Net .* matrix"):
        muon_groups(model, adamw_patterns=["."])
    muon, adamw = muon_groups(model, muon={"power": 1.5}, adamw={"lr": 3e-4, "weight_decay": 0.0})
    optimizer = MuonAdamWPower([adamw, muon], lr=1e-3, power=1.2)
    chosen = [(g["algorithm"], g["power"], g["lr"], g["weight_decay"]) for g in optimizer.param_groups]
    assert chosen == [("muon", 1.5, 1e-3, 0.1), ("adamw", 1.2, 3e-4, 0.0)]
    # The biases of several experts are a matrix in memory only.
    model.experts_bias = nn.Parameter(torch.zeros(3, 6))
    assert "experts_bias" in split(model)["adamw"]


def test_combination_equals_separate_optimizers():
    model, twin = Net(), Net()
    combined = powered_optimizer(model, power=1.3, momentum=0.9, eps=1e-6)
    muon, adamw = muon_groups(twin)
    both = {"lr": 1e-2, "weight_decay": 0.1, "power": 1.3}
    separate = [
        StackedMuonPower(muon["params"], momentum=0.9, **both, **MOONLIGHT),
        AdamWPower(adamw["params"], betas=(0.9, 0.95), eps=1e-6, **both),
    ]
    train(model, combined, 0, 6)
    for step in range(6):
        twin.zero_grad()
        twin.loss(step).backward()
        for optimizer in separate:
            optimizer.step()
    assert equal(weights(model), weights(twin))


def test_power_one_is_the_baseline():
    model, twin = Net(), Net()
    train(model, powered_optimizer(model, power=1.0), 0, 6)
    muon, adamw = muon_groups(twin)
    stack = torch.optim.AdamW(adamw["params"], lr=1e-2, weight_decay=0.1, betas=(0.9, 0.95))
    train(twin, CombinedOptimizer(StackedMuon(muon["params"], lr=1e-2, **MOONLIGHT), stack), 0, 6)
    assert equal(weights(model), weights(twin))


def test_update_rule_of_moonlight():
    # W ← W − η(0.2·√max(A, B)·O + λW); Nesterov's first step is a multiple of x, and O that of x.
    w = nn.Parameter(normal(8, 3, seed=0))
    before, g = w.detach().double().numpy(), normal(8, 3, seed=1)
    optimizer = MuonAdamWPower([{"params": [w], "algorithm": "muon"}], lr=0.01, power=1.2)
    w.grad = g.clone()
    optimizer.step()
    rate = 0.01 * 0.2 * np.sqrt(8)
    expected = before * (1 - 0.01 * 0.1) - rate * newton_schulz(sign_power(g.double().numpy(), 1.2))
    assert np.allclose(w.detach().double().numpy(), expected, atol=rate * 0.03)  # torch iterates in bfloat16


def test_powered_pair_refusals():
    matrix = nn.Parameter(torch.zeros(2, 2))
    with pytest.raises(InputError, match=r"params: Parameter .* muon_groups"):
        MuonAdamWPower([matrix], power=1.2)
    with pytest.raises(InputError, match="algorithm of a parameter group: missing"):
        MuonAdamWPower([{"params": [matrix]}], power=1.2)
    with pytest.raises(InputError, match="params: an empty list"):
        MuonAdamWPower([], power=1.2)
    with pytest.raises(InputError, match="power: -1"):
        MuonAdamWPower([{"params": [matrix], "algorithm": "muon"}], power=-1)


def test_kernels_of_convolutions_go_to_adamw():
    model = nn.ModuleDict({"conv": nn.Conv2d(8, 16, 3), "up": nn.Linear(4, 8), "lm_head": nn.Linear(8, 4)})
    muon, adamw = muon_groups(model, adamw_patterns=["lm_head"])
    assert [tuple(p.shape) for p in muon["params"]] == [(8, 4)]
    assert any(p is model["conv"].weight for p in adamw["params"])


class Reparametrized(nn.Module):
    """Weights that are computed from other parameters, by both forms of torch's, and what is no matrix."""

    def __init__(self):
        super().__init__()
        self.plain = nn.Linear(4, 4, bias=False)
        self.normed = torch.nn.utils.parametrizations.weight_norm(nn.Linear(4, 4, bias=False))
        self.spectral = torch.nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4, bias=False))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self.older = torch.nn.utils.weight_norm(nn.Linear(4, 4, bias=False))
        self.older_spectral = torch.nn.utils.spectral_norm(nn.Linear(4, 4, bias=False))
        self.kernel = nn.Conv1d(4, 4, 3, bias=False)
        self.normed_kernel = torch.nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 4, 3, bias=False))


def test_weights_that_are_computed_from_others_go_to_adamw():
    model = Reparametrized()
    muon, adamw = muon_groups(model, adamw_patterns=())
    assert muon["params"] == [model.plain.weight]
    assert len(adamw["params"]) == len(list(model.parameters())) - 1


def test_a_model_with_other_names_is_told_to_name_its_embedding():
    model = nn.ModuleDict({"wte": nn.Embedding(5, 2), "up": nn.Linear(2, 4)})
    with pytest.raises(InputError, match=r"^model: ModuleDict with wte\.weight.*adamw_patterns=\["):
        muon_groups(model)
    muon, adamw = muon_groups(model, adamw_patterns=[r"wte\."])
    assert muon["params"] == [model["up"].weight]
    assert model["wte"].weight in adamw["params"]
