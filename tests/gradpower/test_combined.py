import copy
import io
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from gradpower.clipping import clip_then_power
from gradpower.optimizers.combined import CombinedOptimizer
from gradpower.optimizers.muon import MuonAdamWPower, StackedMuon
from gradpower.optimizers.muon_groups import muon_groups
from gradpower.optimizers.power_optimizers import MuonPower
from gradpower.tools.errors import InputError
from tests.gradpower.models import Net, equal, powered_optimizer, train, weights

MOONLIGHT = {"adjust_lr_fn": "match_rms_adamw"}


def plain_pair(model: nn.Module) -> CombinedOptimizer:
    muon, adamw = muon_groups(model)
    return CombinedOptimizer(
        StackedMuon(muon["params"], lr=1e-2, **MOONLIGHT),
        torch.optim.AdamW(adamw["params"], lr=1e-2, weight_decay=0.1),
    )


def with_adagrad(model: nn.Module) -> CombinedOptimizer:
    # Adagrad reads keys of its own in all of the state that it is given.
    muon, rest = muon_groups(model)
    return CombinedOptimizer(StackedMuon(muon["params"]), torch.optim.Adagrad(rest["params"]))


MAKERS = [powered_optimizer, plain_pair, with_adagrad]


@pytest.mark.parametrize("make", MAKERS)
def test_groups_and_state_are_shared(make):
    model = Net()
    optimizer = make(model)
    train(model, optimizer, 0, 2)
    children = list(optimizer.optimizers.values())
    assert all(
        a is b
        for a, b in zip(optimizer.param_groups, [g for c in children for g in c.param_groups], strict=True)
    )
    assert all(child.state is optimizer.state for child in children)
    assert set(optimizer.state) == set(model.parameters())


@pytest.mark.parametrize("make", MAKERS)
def test_resumed_run_equals_the_unbroken_one(make):
    whole = Net()
    train(whole, make(whole), 0, 9)
    model = Net()
    optimizer = make(model)
    train(model, optimizer, 0, 4)
    buffer = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    model = Net()
    optimizer = make(model)
    train(model, optimizer, 0, 1)  # its own groups and state must give way
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    assert all(child.state is optimizer.state for child in optimizer.optimizers.values())
    train(model, optimizer, 4, 9)
    assert equal(weights(model), weights(whole))


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["copy", "pickle"]
)
def test_duplicates_go_on_alone(make, duplicate):
    model = Net()
    optimizer = make(model)
    train(model, optimizer, 0, 3)
    optimizer.load_state_dict(
        optimizer.state_dict()
    )  # now the state begins with Muon's, which Adagrad cannot read
    twin, twins = duplicate((model, optimizer))
    assert type(twins) is type(optimizer)
    assert {p for g in twins.param_groups for p in g["params"]} == set(twin.parameters())
    at_three = weights(model)
    train(twin, twins, 3, 6)
    assert equal(weights(model), at_three)
    train(model, optimizer, 3, 6)
    assert equal(weights(model), weights(twin))
    assert not equal(weights(model), at_three)
    assert list(twins.optimizers) == list(optimizer.optimizers)


def test_state_dict_is_torchs():
    model = Net()
    optimizer = powered_optimizer(model)
    train(model, optimizer, 0, 1)
    state = optimizer.state_dict()
    assert [g["params"] for g in state["param_groups"]] == [[0, 1], [2, 3, 4, 5, 6]]
    assert [set(state["state"][i]) for i in (0, 6)] == [
        {"momentum_buffer"},
        {"step", "exp_avg", "exp_avg_sq"},
    ]
    assert [g["algorithm"] for g in state["param_groups"]] == ["muon", "adamw"]


def test_state_of_other_algorithms_is_refused():
    model = Net()
    optimizer = powered_optimizer(model)
    train(model, optimizer, 0, 1)
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        group["algorithm"] = "muon"
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(InputError, match=r"algorithms of the loaded groups: .*'muon', 'muon'"):
        optimizer.load_state_dict(state)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict({**before, "param_groups": before["param_groups"][:1]})
    assert optimizer.state_dict()["param_groups"] == before["param_groups"]


def test_a_refused_load_changes_nothing():
    # The second optimizer refuses its powers after the first has loaded.
    model, twin = Net(), Net()
    optimizer, other = powered_optimizer(model), powered_optimizer(twin)
    train(model, optimizer, 0, 2)
    train(twin, other, 0, 2)
    bad = copy.deepcopy(optimizer.state_dict())
    bad["param_groups"][0]["lr"] = 0.5
    bad["param_groups"][1]["power"] = -1.0
    with pytest.raises(InputError, match=r"power: -1.0"):
        optimizer.load_state_dict(bad)
    train(model, optimizer, 2, 4)
    train(twin, other, 2, 4)
    assert equal(weights(model), weights(twin))


def test_plain_checkpoint_keeps_the_powers():
    model = Net()
    muon, adamw = muon_groups(model)
    options = {"lr": 1e-2, "weight_decay": 0.1}
    plain = CombinedOptimizer(
        StackedMuon(muon["params"], **options, **MOONLIGHT),
        torch.optim.AdamW(adamw["params"], **options),
        algorithms=("muon", "adamw"),
    )
    train(model, plain, 0, 2)
    optimizer = powered_optimizer(model)
    optimizer.load_state_dict(plain.state_dict())
    assert [group["power"] for group in optimizer.param_groups] == [1.2, 1.2]
    train(model, optimizer, 2, 3)
    assert optimizer.state[model.norm.weight]["step"] == 3


def test_closure_is_evaluated_once_with_gradients():
    model, twin = Net(), Net()
    optimizer, calls = powered_optimizer(model), []

    def closure() -> torch.Tensor:
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = model.loss(0)
        loss.backward()
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
    assert calls == [True]
    assert loss == twin.loss(0)
    train(twin, powered_optimizer(twin), 0, 1)
    assert equal(weights(model), weights(twin))


def test_step_hooks():
    model = Net()
    optimizer, seen = powered_optimizer(model), []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    optimizer.optimizers["muon"].register_step_post_hook(lambda *_: seen.append("muon"))
    optimizer.optimizers["adamw"].register_step_post_hook(lambda *_: seen.append("adamw"))
    train(model, optimizer, 0, 1)
    assert seen == ["before", "muon", "adamw", "after"]


def test_load_hooks():
    optimizer = powered_optimizer(Net())
    seen = []
    optimizer.register_load_state_dict_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append(o.param_groups[0]["lr"]))
    optimizer.register_state_dict_post_hook(lambda _, state: {**state, "extra": 1})
    state = optimizer.state_dict()
    state["param_groups"][0]["lr"] = 0.25
    optimizer.load_state_dict(state)
    assert (seen, state["extra"]) == (["before", 0.25], 1)


def test_learning_rate_schedules():
    model = Net()
    optimizer = powered_optimizer(model)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
    rates = []
    for step in range(5):
        rates.append([child.param_groups[0]["lr"] for child in optimizer.optimizers.values()])
        train(model, optimizer, step, step + 1)
        schedule.step()
    expected = [1e-2 * (1 + np.cos(np.pi * t / 4)) / 2 for t in range(5)]
    assert np.allclose(rates, np.array([expected, expected]).T)
    with pytest.raises(ValueError, match="momentum"):
        torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=5)


def test_gradient_scaler():
    model, twin = Net(), Net()
    optimizer = powered_optimizer(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    for step in range(3):
        optimizer.zero_grad()
        scaler.scale(model.loss(step)).backward()
        scaler.step(optimizer)
        scaler.update()
    train(twin, powered_optimizer(twin), 0, 3)
    assert equal(weights(model), weights(twin))  # a power of two scales exactly
    before = weights(model)
    scaler.scale(model.loss(3) * float("inf")).backward()
    scaler.step(optimizer)
    assert equal(weights(model), before)


def test_added_groups():
    model = Net()
    muon, adamw = muon_groups(model)
    optimizer = MuonAdamWPower([muon], lr=1e-2, power=1.2)
    assert len(optimizer.param_groups) == 1
    train(model, optimizer, 0, 1)
    optimizer.add_param_group({**adamw, "power": 1.1})
    assert optimizer.param_groups[1] is optimizer.optimizers["adamw"].param_groups[0]
    assert (optimizer.param_groups[1]["power"], optimizer.param_groups[1]["betas"]) == (1.1, (0.9, 0.95))
    before = weights(model)
    train(model, optimizer, 1, 2)
    assert not any(torch.equal(a, b) for a, b in zip(before, weights(model), strict=True))
    fresh = [nn.Parameter(torch.zeros(3))]
    for group, message in [
        ({"params": fresh}, "algorithm of a parameter group: missing .* 'muon' or 'adamw'"),
        ({"params": fresh, "algorithm": "sgd"}, "algorithm of a parameter group: sgd"),
        ({"params": fresh, "algorithm": "muon"}, "2 or more dimensions"),
        ({"params": fresh, "algorithm": "adamw", "power": 0.0}, "power: 0.0"),
        ({"params": [model.experts], "algorithm": "adamw"}, "more than one parameter group"),
    ]:
        with pytest.raises(ValueError, match=message):
            optimizer.add_param_group(group)
        assert (
            len(optimizer.param_groups)
            == sum(len(o.param_groups) for o in optimizer.optimizers.values())
            == 2
        )
    with pytest.raises(InputError, match="param_group: list"):
        optimizer.add_param_group(fresh)


def test_groups_and_state_put_in_place_by_others():
    # accelerate assigns both through its wrapper.
    model, twin = Net(), Net()
    optimizer, other = powered_optimizer(model), powered_optimizer(twin)
    train(model, optimizer, 0, 2)
    optimizer.param_groups = [dict(group) for group in optimizer.param_groups]
    optimizer.state = copy.copy(optimizer.state)
    optimizer.param_groups[0]["lr"] = 0.0
    before = model.up.weight.detach().clone()
    train(model, optimizer, 2, 3)
    assert torch.equal(before, model.up.weight)
    train(twin, other, 0, 3)
    assert torch.equal(twin.state_dict()["norm.weight"], model.norm.weight)


def test_combination_refusals():
    matrix, vector = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2))
    muon, adamw = torch.optim.Muon([matrix]), torch.optim.AdamW([vector])
    with pytest.raises(InputError, match=r"optimizers: LBFGS .* closure"):
        CombinedOptimizer(muon, torch.optim.LBFGS([vector]))
    with pytest.raises(InputError, match="optimizers: list"):
        CombinedOptimizer([muon, adamw])
    with pytest.raises(InputError, match=r"algorithms: .*'AdamW', 'AdamW'"):
        CombinedOptimizer(adamw, torch.optim.AdamW([matrix]))
    with pytest.raises(InputError, match="algorithms"):
        CombinedOptimizer()
    with pytest.raises(ValueError, match="more than one parameter group"):
        CombinedOptimizer(muon, torch.optim.SGD([matrix]))
    with pytest.raises(InputError, match="no combinations"):
        CombinedOptimizer(CombinedOptimizer(muon), adamw)
    clipping = MuonPower([matrix], power=1.2, clip=clip_then_power(1.0))
    with pytest.raises(InputError, match="clip of an optimizer"):
        CombinedOptimizer(clipping, adamw)


def test_accelerate():
    accelerate = pytest.importorskip("accelerate", reason="needs accelerate")
    model, twin = Net(), Net()
    accelerator = accelerate.Accelerator(cpu=True)
    optimizer = powered_optimizer(model)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1 / (1 + t))
    prepared, wrapped, schedule = accelerator.prepare(model, optimizer, schedule)
    for step in range(3):
        wrapped.zero_grad()
        accelerator.backward(prepared.loss(step))
        wrapped.step()
        schedule.step()
    other = powered_optimizer(twin)
    rate = torch.optim.lr_scheduler.LambdaLR(other, lambda t: 1 / (1 + t))
    for step in range(3):
        train(twin, other, step, step + 1)
        rate.step()
    assert equal(weights(model), weights(twin))
    wrapped.load_state_dict(wrapped.state_dict())
    assert wrapped.param_groups[0]["lr"] == pytest.approx(1e-2 / 4)
    assert optimizer.defaults["lr"] == 1e-2


def test_distributed_checkpoint_state():
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    model = Net()
    optimizer = powered_optimizer(model)
    train(model, optimizer, 0, 2)
    state = copy.deepcopy(get_optimizer_state_dict(model, optimizer))
    twin = Net()
    twin.load_state_dict(model.state_dict())
    other = powered_optimizer(twin)
    set_optimizer_state_dict(twin, other, state)
    train(model, optimizer, 2, 4)
    train(twin, other, 2, 4)
    assert equal(weights(model), weights(twin))
