"""Hooks, states, copies, the profiler and processes: what torch does around a step, it does around a powered one."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.nn import Parameter
from torch.optim import Optimizer

from gradpower import AdamWPower, clip_then_power, linear_power, powered
from tests.gradpower.named import (
    NAMED,
    POWER,
    Named,
    assert_close,
    assert_equal,
    every_class,
    every_variant,
    fill,
    matrices,
    normal,
    run,
    run_base,
    tolerance,
)
from tests.gradpower.workers.pickled import stepped

pytestmark = pytest.mark.slow


@every_class
def test_step_hooks_run_once_in_order_and_may_change_the_arguments(named: Named) -> None:
    params = matrices()
    optimizer, calls = named.make(params), []
    fill(params, 0)

    def closure() -> str:
        calls.append("closure")
        return "loss"

    def put_closure(_: Optimizer, args: Any, kwargs: Any) -> Any:
        calls.append("first")
        return args, {**kwargs, "closure": closure}

    hooks = [
        optimizer.register_step_pre_hook(put_closure),
        optimizer.register_step_pre_hook(lambda o, args, kwargs: calls.append(f"second {len(kwargs)}")),
        optimizer.register_step_post_hook(lambda o, args, kwargs: calls.append("after")),
    ]
    assert optimizer.step() == "loss"
    assert calls == ["first", "second 1", "closure", "after"]
    for hook in hooks:
        hook.remove()
    assert optimizer.step() is None
    assert len(calls) == 4
    optimizer.register_step_pre_hook(lambda o, args, kwargs: "neither")
    with pytest.raises(RuntimeError, match="None or a tuple"):
        optimizer.step()


@every_class
def test_state_dict_hooks(named: Named) -> None:
    params, calls = matrices(), []
    optimizer = named.make(params)
    run(optimizer, params)
    optimizer.register_state_dict_pre_hook(lambda o: calls.append("saving"))
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "note": "kept"})
    saved = optimizer.state_dict()
    assert (calls, saved["note"]) == (["saving"], "kept")

    def strengthen(_: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        assert state["param_groups"][0]["power"] == POWER
        return {**state, "param_groups": [{**group, "power": 2.5} for group in state["param_groups"]]}

    other = named.make(matrices(), power=0.5)
    other.register_load_state_dict_pre_hook(strengthen)
    other.register_load_state_dict_post_hook(lambda o: calls.append(o.param_groups[0]["power"]))
    other.load_state_dict(saved)
    assert calls == ["saving", 2.5]
    assert saved["param_groups"][0]["power"] == POWER


@every_variant
def test_gradients_are_left_as_they_were(named: Named, how: dict[str, Any]) -> None:
    params = matrices()
    optimizer = named.make(params, clip=clip_then_power(0.5), **how)
    fill(params, 0)
    gradients = [p.grad for p in params]
    versions, copies = [g._version for g in gradients], [g.clone() for g in gradients]
    optimizer.step()
    assert all(p.grad is g for p, g in zip(params, gradients, strict=True))
    assert [g._version for g in gradients] == versions
    assert_equal(gradients, copies)


class Tagged(Parameter):
    """A parameter of a subclass, as libraries have them."""


@every_variant
def test_a_subclass_of_parameter(named: Named, how: dict[str, Any]) -> None:
    params, twins = [Tagged(p.detach()) for p in matrices()], matrices()
    run(named.make(params, **how), params)
    run(named.make(twins, **how), twins)
    # No kernel of ours takes a subclass: torch's rounds otherwise.
    assert_close(params, twins, 1e-6)
    assert all(type(p) is Tagged for p in params)


@every_class
def test_names_in_the_profiler(named: Named) -> None:
    params = matrices()
    optimizer = named.make(params)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run(optimizer, params, range(1))
        optimizer.zero_grad()
    names = [event.key for event in profile.key_averages() if event.key.startswith("Optimizer.")]
    kind = named.cls.__name__
    assert sorted(names) == [f"Optimizer.step#{kind}.step", f"Optimizer.zero_grad#{kind}.zero_grad"]


@every_variant
def test_one_optimizer_for_each_parameter_inside_backward(named: Named, how: dict[str, Any]) -> None:
    def network() -> nn.Sequential:
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(5, 4, bias=False), nn.Tanh(), nn.Linear(4, 3, bias=False))

    inside, outside = network(), network()
    optimizers = {p: named.make([p], **how) for p in inside.parameters()}

    def take(p: Tensor) -> None:
        optimizers[p].step()
        optimizers[p].zero_grad()

    for p in inside.parameters():
        p.register_post_accumulate_grad_hook(take)
    optimizer = named.make(outside.parameters(), **how)
    for step in range(4):
        x = normal(6, 5, seed=step)
        inside(x).square().mean().backward()
        outside(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert_equal(inside.parameters(), outside.parameters())
    assert all(p.grad is None for p in inside.parameters())


def test_pickled_optimizers_step_in_a_spawned_process() -> None:
    optimizers = [named.make([{"params": matrices()[:1], "power": 0.9}]) for named in NAMED.values()]
    optimizers.append(powered(torch.optim.NAdam)([Parameter(torch.ones(2, 2))], power=1.1))
    for optimizer in optimizers:
        run(optimizer, optimizer.param_groups[0]["params"], range(2))
    sent = [pickle.dumps(optimizer) for optimizer in optimizers]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        theirs = list(pool.map(stepped, sent, timeout=60))
    assert [kind for kind, _, _ in theirs] == [*NAMED, "NAdamPower"]
    for data, (_, powers, weights) in zip(sent, theirs, strict=True):
        _, same_powers, same_weights = stepped(data)
        assert powers == same_powers
        for a, b in zip(weights, same_weights, strict=True):
            assert a == pytest.approx(b, rel=1e-6)


@every_class
def test_older_and_plainer_states_load(named: Named) -> None:
    params, twins = matrices(), matrices()
    optimizer, base = named.make(params), named.make_base(twins)
    run(optimizer, params)
    run_base(base, twins)
    saved, theirs = deepcopy(optimizer.state_dict()), deepcopy(base.state_dict())
    for group in (*saved["param_groups"], *theirs["param_groups"]):
        for name in ("foreach", "fused", "maximize", "capturable", "differentiable"):
            group.pop(name, None)
    for state in (*saved["state"].values(), *theirs["state"].values()):
        if "step" in state:
            state["step"] = 3.0
    optimizer, base = named.make(params, power=2.0), named.make_base(twins)
    optimizer.load_state_dict(saved)
    base.load_state_dict(theirs)
    assert optimizer.param_groups[0]["power"] == POWER
    run(optimizer, params, range(3, 6))
    run_base(base, twins, range(3, 6))
    assert_close(params, twins, tolerance(named))


def test_power_schedule_built_after_a_flat_checkpoint_was_loaded() -> None:
    options = StateDictOptions(flatten_optimizer_state_dict=True)
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    optimizer = AdamWPower(first.parameters(), power=1.4)
    schedule = linear_power(optimizer, 1.0, 10)
    for _ in range(3):
        first(normal(4, 3, seed=1)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    saved = get_optimizer_state_dict(first, optimizer, options=options)
    resumed = AdamWPower(second.parameters(), power=1.4)
    set_optimizer_state_dict(second, resumed, saved, options=options)
    again = linear_power(resumed, 1.0, 10)
    again.load_state_dict(schedule.state_dict())
    assert again.get_last_power() == pytest.approx([1.4 - 0.4 * 3 / 10])


@every_class
def test_named_parameters(named: Named) -> None:
    names, params = ["in.weight", "out.weight", "head.weight"], matrices()
    optimizer = named.make(zip(names, params, strict=True))
    run(optimizer, params)
    saved = optimizer.state_dict()
    assert saved["param_groups"][0]["param_names"] == names
    other = named.make(zip(names, matrices(), strict=True), power=3.0)
    other.load_state_dict(saved)
    assert (other.param_groups[0]["param_names"], other.param_groups[0]["power"]) == (names, POWER)
