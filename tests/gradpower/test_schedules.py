"""Schedules of the power, and torch's schedulers of the learning rate beside them."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import weakref

import pytest
import torch
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR

from gradpower import (
    AdamWPower,
    Anneal,
    PowerSchedule,
    SGDPower,
    clip_then_power,
    cosine_power,
    linear_power,
    power_then_clip,
    powered,
    sign_power,
    wsd_power,
)
from gradpower.tools.errors import InputError
from tests.gradpower.contract import CASES, assert_same_bits, parameters, stream

SHAPES = ((3, 4), (5, 3))


def two_powers(first=1.4, second=0.8):
    params = parameters(SHAPES, torch.float32, seed=1)
    groups = [{"params": params[:1], "power": first}, {"params": params[1:], "power": second}]
    return params, AdamWPower(groups, lr=0.02, power=1.0)


def course(schedule, optimizer, steps):
    """The powers of all groups before each step, and after the last."""
    seen = [schedule.get_last_power()]
    for _ in range(steps):
        optimizer.step()
        seen.append(schedule.get_last_power())
    return seen


@pytest.mark.parametrize(
    ("make", "shares"),
    [
        (lambda o: PowerSchedule(o, 1.0, lambda t: 1.0), [1.0] * 7),
        (lambda o: linear_power(o, 1.0, 4, start=1), [1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]),
        (lambda o: cosine_power(o, 1.0, 4), [(1 + math.cos(math.pi * min(t, 4) / 4)) / 2 for t in range(7)]),
        (lambda o: wsd_power(o, 1.0, 6, decay_fraction=0.5), [1.0, 1.0, 1.0, 1.0, 2 / 3, 1 / 3, 0.0]),
        (lambda o: PowerSchedule(o, 1.0, lambda t: 1 / (1 + t)), [1 / (1 + t) for t in range(7)]),
    ],
    ids=["constant", "linear", "cosine", "wsd", "own"],
)
@pytest.mark.parametrize("tensors", [False, True], ids=["numbers", "tensors"])
def test_the_powers_go_from_their_own_to_the_common_one(make, shares, tensors):
    start = [torch.tensor(p, dtype=torch.float64) if tensors else p for p in (1.4, 0.8)]
    _, optimizer = two_powers(*start)
    seen = course(make(optimizer), optimizer, 6)
    for powers, w in zip(seen, shares, strict=True):
        assert powers == pytest.approx([w * 1.4 + (1 - w) * 1.0, w * 0.8 + (1 - w) * 1.0], rel=1e-12)
    for group, given in zip(optimizer.param_groups, start, strict=True):
        assert (group["power"] is given) == tensors or shares == [1.0] * 7


def test_the_step_uses_the_scheduled_power():
    params, optimizer = two_powers(1.4, 1.4)
    expected = parameters(SHAPES, torch.float32, seed=1)
    base = torch.optim.AdamW(expected, lr=0.02)
    linear_power(optimizer, 0.6, 8)
    for step in range(10):
        stream(params, step)
        stream(expected, step)
        for p in expected:
            w = 1 - min(step / 8, 1)
            p.grad = sign_power(p.grad, w * 1.4 + (1 - w) * 0.6)
        optimizer.step()
        base.step()
    assert_same_bits(params, expected)


@pytest.mark.parametrize("optimizer_first", [True, False])
@pytest.mark.parametrize("start", [1.4, torch.tensor(1.4)], ids=["number", "tensor"])
def test_a_resumed_schedule_goes_on(optimizer_first, start):
    _, optimizer = two_powers(start, 0.8)
    schedule = linear_power(optimizer, 1.0, 6)
    course(schedule, optimizer, 3)
    saved = copy.deepcopy((optimizer.state_dict(), schedule.state_dict()))
    rest = course(schedule, optimizer, 4)

    _, fresh = two_powers(1.4, 0.8)
    resumed = linear_power(fresh, 1.0, 6)
    pairs = list(zip((fresh, resumed), saved, strict=True))
    for thing, state in pairs if optimizer_first else reversed(pairs):
        thing.load_state_dict(state)
    assert course(resumed, fresh, 4) == rest


def test_a_group_added_later_joins_from_its_own_power():
    _, optimizer = two_powers()
    schedule = linear_power(optimizer, 1.0, 4)
    course(schedule, optimizer, 2)
    optimizer.add_param_group({"params": parameters([(2, 2)], torch.float32, seed=3), "power": 2.0})
    optimizer.step()
    assert schedule.get_last_power() == pytest.approx([1.1, 0.95, 1.25])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: PowerSchedule(torch.optim.SGD(o.param_groups[0]["params"]), 1.0, len), "^optimizer: SGD "),
        (lambda o: PowerSchedule(o, 0.0, len), "^end: 0.0 "),
        (lambda o: PowerSchedule(o, "x", len), "^end: 'x' "),
        (lambda o: PowerSchedule(o, 1.0, 0.5), "^weight: 0.5 "),
        (lambda o: PowerSchedule(o, 1.0, lambda t: 1.5), r"^weight\(step\): 1.5 .* in \[0, 1\]$"),
        (lambda o: PowerSchedule(o, 1.0, lambda t: -0.5), r"^weight\(step\): -0.5 "),
        (lambda o: PowerSchedule(o, 1.0, lambda t: math.nan), r"^weight\(step\): nan "),
        (lambda o: linear_power(o, 1.0, 0), "^steps: 0 "),
        (lambda o: linear_power(o, 1.0, 2.5), "^steps: 2.5 .* whole number"),
        (lambda o: cosine_power(o, 1.0, 4, start=-1), "^start: -1 "),
        (lambda o: wsd_power(o, 1.0, 10, decay_fraction=0), "^decay_fraction: 0 "),
        (lambda o: wsd_power(o, 1.0, 10, decay_fraction=1.5), "^decay_fraction: 1.5 "),
        (lambda o: Anneal("exponential", 0, 1), "^shape: exponential .* 'linear'"),
        (lambda o: Anneal("linear", True, 2), "^start: True "),
    ],
)
def test_what_is_no_schedule_is_refused(make, message):
    _, optimizer = two_powers()
    with pytest.raises(InputError, match=message):
        make(optimizer)


LR_SCHEDULES = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t)),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=20, cycle_momentum=False),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 8),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, total_iters=3), lr_scheduler.CosineAnnealingLR(o, 5)], [3]
    ),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1),
    "SWALR": lambda o: SWALR(o, swa_lr=0.001, anneal_epochs=4),
}


@pytest.mark.parametrize("power_first", [True, False])
@pytest.mark.parametrize("name", LR_SCHEDULES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_learning_rates_are_scheduled_as_those_of_the_base(case, name, power_first):
    """And the power beside them: neither touches the other, whichever is made first."""
    params, expected = (parameters(SHAPES, torch.float32, seed=1) for _ in range(2))
    pair = case.make(params, 1.3), case.make(expected, None)
    if power_first:
        schedule = linear_power(pair[0], 1.0, 4)
    rates = [LR_SCHEDULES[name](optimizer) for optimizer in pair]
    if not power_first:
        schedule = linear_power(pair[0], 1.0, 4)
    schedule.step()
    for step in range(6):
        stream(params, step)
        stream(expected, step)
        for p in expected:
            p.grad = sign_power(p.grad, schedule.get_last_power()[0])
        for optimizer, rate in zip(pair, rates, strict=True):
            optimizer.step()
            rate.step(*([1.0] if name == "ReduceLROnPlateau" else []))
        assert pair[0].param_groups[0]["lr"] == pair[1].param_groups[0]["lr"]
    assert_same_bits(params, expected)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("unscale", [False, True], ids=["left to the scaler", "unscaled by the user"])
@pytest.mark.parametrize("clip", [None, clip_then_power(0.5), power_then_clip(0.5)], ids=str)
@pytest.mark.parametrize("base", [torch.optim.AdamW, torch.optim.SGD, torch.optim.Adagrad])
def test_a_grad_scaler_changes_nothing(base, clip, fused, unscale):
    """The scale is a power of two, so that scaling is exact: p = 1.3 must act on the unscaled gradient."""
    params, expected = (parameters(SHAPES, torch.float32, seed=1) for _ in range(2))
    options = {"lr": 0.02, "power": 1.3, "fused": fused, "clip": clip}
    optimizer, twin = (powered(base)(some, **options) for some in (params, expected))
    for scaled in (optimizer, copy.deepcopy(optimizer)):
        assert not scaled._step_supports_amp_scaling
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)
    for step in range(5):
        stream(params, step, scale=scaler.scale(torch.tensor(1.0)).item())
        stream(expected, step)
        if unscale:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        twin.step()
    assert scaler.get_scale() == 2.0**12
    assert_same_bits(params, expected)


def test_groups_do_not_share_one_tensor():
    first, second, third = (torch.nn.Parameter(torch.ones(2)) for _ in range(3))
    power = torch.tensor(1.4)
    optimizer = AdamWPower([{"params": [first]}, {"params": [second]}], power=power)
    schedule = PowerSchedule(optimizer, 1.0, lambda step: min(step / 4, 1.0))
    seen = [schedule.get_last_power()]
    for _ in range(2):
        optimizer.step()
        seen.append(schedule.get_last_power())
    optimizer.add_param_group({"params": [third]})
    optimizer.step()
    expected = [[1.0] * 2, [1.1] * 2, [1.2] * 2, [1.3] * 3]
    assert [*seen, schedule.get_last_power()] == [pytest.approx(row, rel=1e-6) for row in expected]
    assert float(power) == float(torch.tensor(1.4))


def test_a_new_schedule_starts_where_the_last_one_ended():
    """And takes its place: an optimizer has one schedule."""
    optimizer = AdamWPower([torch.nn.Parameter(torch.ones(1))], power=1.4)
    first = linear_power(optimizer, 0.8, 6)
    course(first, optimizer, 4)
    second = linear_power(optimizer, 2.0, 2)
    assert course(second, optimizer, 2) == [[pytest.approx(p)] for p in (1.0, 1.5, 2.0)]
    assert (first.last_step, second.last_step) == (4, 2)


def test_a_state_of_the_plain_base_leaves_the_initial_power():
    params = [torch.nn.Parameter(torch.ones(1))]
    optimizer = AdamWPower(params, power=1.4)
    schedule = linear_power(optimizer, 1.0, 10)
    for _ in range(5):
        optimizer.step()
    optimizer.load_state_dict(torch.optim.AdamW(params).state_dict())
    optimizer.step()
    assert schedule.get_last_power() == [pytest.approx(1.16)]


def test_a_schedule_is_torchs_and_leaves_learning_rates_to_others():
    _, optimizer = two_powers()
    schedule = linear_power(optimizer, 1.0, 4)
    assert isinstance(schedule, lr_scheduler.LRScheduler)
    assert "initial_lr" not in optimizer.param_groups[0]
    optimizer.param_groups[1]["lr"] = torch.tensor(0.5)
    lr_scheduler.LambdaLR(optimizer, lambda t: 0.5)
    rates = schedule.get_last_lr()
    assert rates == [0.01, torch.tensor(0.25)]
    assert rates[1] is not optimizer.param_groups[1]["lr"]
    for _ in range(3):
        schedule.step()
    schedule.step(7)
    assert (schedule.get_lr(), schedule.last_epoch) == (rates, 0)
    with pytest.raises(AttributeError, match="last_epoch"):
        lr_scheduler.SequentialLR(optimizer, [schedule], [])


def test_a_chain_of_schedules_saves_both():
    def chained():
        _, optimizer = two_powers()
        parts = [lr_scheduler.ExponentialLR(optimizer, 0.5), linear_power(optimizer, 1.0, 4)]
        return optimizer, lr_scheduler.ChainedScheduler(parts, optimizer)

    (optimizer, chain), (fresh, resumed) = chained(), chained()
    for _ in range(2):
        optimizer.step()
        chain.step()
    fresh.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(chain.state_dict())
    for one in (optimizer, fresh):
        one.step()
        assert [group["power"] for group in one.param_groups] == pytest.approx([1.1, 0.95])
        assert one.param_groups[0]["lr"] == 0.005


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_of_a_schedule_drive_their_own_optimizer(copied):
    _, optimizer = two_powers()
    schedule = linear_power(optimizer, 1.0, 4)
    alone = copied(optimizer)
    twin, follower = copied((optimizer, schedule))
    assert follower.optimizer is twin
    alone.step()
    twin.step()
    twin.step()
    assert (schedule.last_step, follower.last_step) == (0, 2)
    assert [group["power"] for group in alone.param_groups] == [1.4, 0.8]
    assert [group["power"] for group in twin.param_groups] == pytest.approx([1.2, 0.9])


def test_a_schedule_needs_no_reference_and_keeps_nothing_in_memory():
    _, optimizer = two_powers()
    schedule = weakref.ref(linear_power(optimizer, 1.0, 4))
    assert schedule() is None
    optimizer.step()
    assert optimizer.param_groups[0]["power"] == pytest.approx(1.3)
    gone = weakref.ref(optimizer)
    gc.disable()
    try:
        del optimizer
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("optimizer_first", [True, False])
def test_a_distributed_checkpoint_counts_no_step(optimizer_first):
    """To make the states of a fresh optimizer, and of one without states each time, it takes a step without effect."""
    models = [torch.nn.Linear(3, 2) for _ in range(2)]
    optimizer, fresh = (SGDPower(model.parameters(), lr=0.1, power=1.4) for model in models)
    schedule = linear_power(optimizer, 1.0, 4)
    course(schedule, optimizer, 2)
    saved = get_optimizer_state_dict(models[0], optimizer)
    resumed = linear_power(fresh, 1.0, 4)
    loads = [
        lambda: set_optimizer_state_dict(models[1], fresh, saved),
        lambda: resumed.load_state_dict(schedule.state_dict()),
    ]
    for load in loads if optimizer_first else reversed(loads):
        load()
    assert (schedule.last_step, resumed.last_step) == (2, 2)
    assert course(resumed, fresh, 2) == course(schedule, optimizer, 2)


def test_a_step_at_rate_zero_counts_if_it_has_a_gradient():
    (p,) = parameters([(4,)], torch.float32, seed=1)
    for gradient in (
        torch.tensor([0.0, 0.0, 1e-30, 0.0]),
        torch.tensor([0.0, 0.0, 1.0, 0.0]).to_sparse(),
        None,
    ):
        schedule = linear_power(SGDPower([p], lr=torch.tensor(0.0), power=1.4), 1.0, 4)
        p.grad = gradient
        schedule.optimizer.step()
        assert schedule.last_step == 1
