"""What a step does and leaves, what the constructor takes and refuses, and what `powered` makes."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest
import torch
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from gradpower import (
    AdagradPower,
    AdamPower,
    AdamWPower,
    MuonPower,
    PoweredOptimizer,
    RMSpropPower,
    SGDPower,
    clip_then_power,
    powered,
    sign_power,
)
from gradpower.tools.errors import InputError
from tests.gradpower.contract import (
    CASES,
    Signum,
    assert_same_bits,
    parameters,
    skip_without_later_groups,
    stream,
)

NAMED = [AdamPower, AdamWPower, AdagradPower, SGDPower, RMSpropPower, MuonPower]
CLASSES = [*NAMED, powered(torch.optim.Adamax), powered(Signum)]
every_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
SHAPES = ((3, 4), (5, 3))


def matrices(dtype=torch.float32):
    return parameters(SHAPES, dtype, seed=1)


class Interrupted(Exception):
    pass


def interrupted(base):
    """An optimizer of the same kind whose step fails when everything is prepared for it."""

    class Failing(base):
        def step(self, closure=None):
            assert all(p.grad is not None for group in self.param_groups for p in group["params"])
            raise Interrupted

    return Failing


@every_case
def test_everything_is_put_back_when_the_base_fails(case):
    params = matrices()
    optimizer = powered(interrupted(case.base))([{"params": [p]} for p in params], **case.settings, power=1.3)
    stream(params, 0)
    raw, groups = [p.grad for p in params], optimizer.param_groups
    kept = [dict(group) for group in groups]
    with pytest.raises(Interrupted):
        optimizer.step()
    assert all(p.grad is g for p, g in zip(params, raw, strict=True))
    assert optimizer.param_groups is groups
    assert groups == kept


@every_case
def test_a_second_step_applies_the_power_to_the_raw_gradient(case):
    params, expected = matrices(), matrices()
    optimizer, base = case.make(params, 1.3), case.make(expected, None)
    stream(params, 0)
    for p, q in zip(params, expected, strict=True):
        q.grad = sign_power(p.grad, 1.3)
    for _ in range(2):
        optimizer.step()
        base.step()
    assert_same_bits(params, expected)


@every_case
@pytest.mark.parametrize("power", [1.0, 1.3])
def test_the_closure_runs_once_with_gradients_and_before_the_power(case, power):
    params, expected = matrices(), matrices()
    optimizer, base = case.make(params, power), case.make(expected, None)
    calls = []

    def closure():
        assert torch.is_grad_enabled()
        calls.append(1)
        optimizer.zero_grad()
        loss = sum((p.square() * (k + 1)).sum() for k, p in enumerate(params))
        loss.backward()
        return loss.detach()

    for q in expected:
        q.grad = torch.full_like(q, 9.0)  # what the closure has to replace
    for p, q in zip(params, expected, strict=True):
        p.grad = q.grad.clone()
    with torch.no_grad():
        loss = optimizer.step(closure)
    assert calls == [1]
    start = matrices()
    assert loss.item() == pytest.approx(sum((p.square() * (k + 1)).sum().item() for k, p in enumerate(start)))
    for k, q in enumerate(expected):
        q.grad = sign_power((q.detach() * (k + 1) * 2), power)
    base.step()
    assert_same_bits(params, expected)


@every_case
@pytest.mark.parametrize("plain_first", [False, True])
@pytest.mark.parametrize("power", [1.0, 1.3])
def test_step_hooks_run_once_a_step(case, plain_first, power):
    """torch wraps the step of a class when its first object is made: the plain base may be wrapped or not."""
    fresh = type(case.base.__name__, (case.base,), {"step": unhooked(case.base)})
    cls = None if plain_first else powered(fresh)
    plain = fresh(matrices(), **case.settings)
    cls = powered(fresh) if cls is None else cls
    params, seen = matrices(), []
    optimizer = cls(params, **case.settings, power=power)
    optimizer.register_step_pre_hook(lambda *_: seen.append("pre"))
    optimizer.register_step_post_hook(lambda *_: seen.append("post"))
    handle = register_optimizer_step_pre_hook(lambda *_: seen.append("global"))
    stream(params, 0)
    try:
        optimizer.step()
        assert seen == ["global", "pre", "post"]
        plain.step()
    finally:
        handle.remove()
    assert seen == ["global", "pre", "post", "global"]


def unhooked(base):
    """Return the step of a class as it is before torch wraps it."""
    return base.step.__wrapped__ if hasattr(base.step, "hooked") else base.step


@every_class
def test_copies_and_pickles_go_on_alike(cls):
    params = matrices()
    optimizer = cls(params, lr=0.02, power=1.3, offset=1e-8, clip=clip_then_power(0.5))
    assert "clip: Clip(order='clip_then_power', max_norm=0.5" in repr(optimizer)
    stream(params, 0)
    optimizer.step()
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert (type(other), other.clip) == (cls, clip_then_power(0.5))
        theirs = other.param_groups[0]["params"]
        mine = copy.deepcopy(params)
        twin = cls(mine, lr=0.02, power=1.3, offset=1e-8, clip=clip_then_power(0.5))
        twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        if isinstance(other, Signum):
            twin.steps_taken = other.steps_taken = 1
        for some, one in ((theirs, other), (mine, twin)):
            stream(some, 1)
            one.step()
        assert_same_bits(theirs, mine)


@every_class
def test_classes(cls):
    base = next(c for c in cls.__mro__ if issubclass(c, Optimizer) and not issubclass(c, PoweredOptimizer))
    optimizer = cls(matrices(), power=1.3)
    assert isinstance(optimizer, base)
    assert isinstance(optimizer, PoweredOptimizer)
    assert powered(base) is cls
    assert pickle.loads(pickle.dumps(cls)) is cls
    assert cls.__name__ == f"{base.__name__}Power"
    assert cls.__doc__ != base.__doc__
    assert "power: 1.3" in repr(optimizer)
    assert "offset: 0.0" in repr(optimizer)
    assert "clip" not in repr(optimizer)
    parameters = inspect.signature(cls).parameters
    assert set(inspect.signature(base).parameters) <= set(parameters)
    for name in ("power", "offset", "clip"):
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters["power"].default is inspect.Parameter.empty


@every_class
def test_the_power_must_be_given(cls):
    with pytest.raises(TypeError, match="power"):
        cls(matrices(), lr=0.1)


NUMBERS = [0, -1.0, float("nan"), float("inf"), "1.2", None, True]
TENSORS = [torch.tensor([1.2]), torch.tensor(2)]
NO_POWER = r"^power: .* is not allowed; expected a finite number > 0, or a 0-dimensional floating-point tensor of one$"


@pytest.mark.parametrize("power", [*NUMBERS, *TENSORS, torch.tensor(-1.0)], ids=str)
def test_what_is_no_power_is_refused_everywhere(power):
    with pytest.raises(InputError, match=NO_POWER):
        AdamWPower(matrices(), power=power)
    with pytest.raises(InputError, match=NO_POWER):
        AdamWPower([{"params": matrices(), "power": power}], power=1.2)
    optimizer = AdamWPower(matrices(), power=1.2)
    with pytest.raises(InputError, match=NO_POWER):
        optimizer.add_param_group({"params": matrices(), "power": power})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("power", [*NUMBERS, *TENSORS], ids=str)
def test_a_power_spoilt_later_is_refused_by_the_step(power):
    params = matrices()
    optimizer = AdamWPower(params, power=1.2)
    stream(params, 0)
    before = [p.detach().clone() for p in params]
    optimizer.param_groups[0]["power"] = power
    with pytest.raises(InputError, match=NO_POWER):
        optimizer.step()
    assert_same_bits(params, before)
    del optimizer.param_groups[0]["power"]
    with pytest.raises(InputError, match=r"^power of a parameter group: .*missing"):
        optimizer.step()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"offset": -1e-8}, "^offset: -1e-08 .* >= 0$"),
        ({"offset": "small"}, "^offset: 'small' .* >= 0$"),
        ({"clip": 1.0}, r"^clip: 1.0 .* clip_then_power\(max_norm\)"),
        ({"differentiable": True}, "^differentiable: True .* expected False"),
    ],
)
def test_other_settings_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        AdamWPower(matrices(), power=1.2, **options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RMSpropPower(matrices(), 0.01, 0.99, 1e-8, 0, 0, False, False, None, False, True, power=1.2),
        lambda: AdamWPower([{"params": matrices(), "differentiable": True}], power=1.2),
    ],
    ids=["positional", "in a group"],
)
def test_differentiable_steps_are_refused_however_asked_for(make):
    with pytest.raises(InputError, match=r"^differentiable: True .* expected False"):
        make()


@pytest.mark.parametrize(
    "base",
    [torch.optim.LBFGS, AdamWPower, powered(Signum), dict, torch.nn.Linear, "AdamW", None, torch.optim],
)
def test_what_cannot_be_powered_is_refused(base):
    with pytest.raises(InputError, match=r"^base: .* is not allowed; expected an? "):
        powered(base)


def test_a_subclass_of_lbfgs_is_refused():
    with pytest.raises(InputError, match="calls its closure repeatedly"):
        powered(type("Newton", (torch.optim.LBFGS,), {}))


def fed_base(case, groups, powers, offsets, steps):
    """Step the plain base on groups whose gradients are powered by hand, each with its own power."""
    base = case.make([{"params": group} for group in groups], None)
    for step in range(steps):
        stream([p for group in groups for p in group], step)
        for group, power, offset in zip(groups, powers, offsets, strict=True):
            for p in group:
                p.grad = sign_power(p.grad, power, offset=offset)
        base.step()


@every_case
def test_groups_have_powers_and_offsets_of_their_own(case):
    skip_without_later_groups(case.base)
    mine = [parameters(SHAPES, torch.float32, seed=s) for s in (1, 2, 3)]
    theirs = [parameters(SHAPES, torch.float32, seed=s) for s in (1, 2, 3)]
    first, second, third = mine
    groups = [{"params": first}, {"params": second, "power": torch.tensor(0.6), "offset": 0.1}]
    optimizer = case.make(groups, 1.3, offset=1e-8)
    optimizer.add_param_group({"params": third, "power": 1.0, "offset": 0.0})
    optimizer.add_param_group({"params": []})
    assert [group["offset"] for group in optimizer.param_groups] == [1e-8, 0.1, 0.0, 1e-8]
    assert [float(group["power"]) for group in optimizer.param_groups] == pytest.approx([1.3, 0.6, 1.0, 1.3])
    for step in range(5):
        stream([p for group in mine for p in group], step)
        optimizer.step()
    fed_base(case, theirs, (1.3, torch.tensor(0.6), 1.0), (1e-8, 0.1, 0.0), 5)
    assert_same_bits(mine, theirs)


@every_case
@pytest.mark.parametrize("clip", [None, clip_then_power(1.0)], ids=["no clip", "clip"])
def test_parameters_without_gradients_are_left_alone(case, clip):
    params = parameters([(3, 4), (5, 3), (2, 2)], torch.float32, seed=1)
    optimizer = case.make([{"params": params[:2]}, {"params": params[2:]}], 1.3, clip=clip)
    before = [p.detach().clone() for p in params]
    optimizer.step()
    assert_same_bits(params, before)
    stream(params[:1], 0)
    optimizer.step()
    assert_same_bits(params[1:], before[1:])
    assert not torch.equal(params[0], before[0])
    assert [p.grad is None for p in params] == [False, True, True]


@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")  # by torch's Adagrad
@pytest.mark.parametrize("base", [torch.optim.SparseAdam, torch.optim.SGD, torch.optim.Adagrad])
def test_sparse_gradients_are_summed_before_the_power(base):
    table, twin = (parameters([(6, 2)], torch.float64, seed=4)[0] for _ in range(2))
    optimizer, plain = powered(base)([table], lr=0.1, power=1.5), base([twin], lr=0.1)
    rows = torch.tensor([[4, 1, 4, 0]])
    for step in range(4):
        values = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        table.grad = torch.sparse_coo_tensor(rows, values, (6, 2), check_invariants=True)
        summed = torch.zeros(6, 2, dtype=torch.float64).index_add(0, rows[0], values)[[0, 1, 4]]
        image = summed.sign() * summed.abs() ** 1.5
        twin.grad = torch.sparse_coo_tensor([[0, 1, 4]], image, (6, 2), check_invariants=True)
        raw = table.grad
        optimizer.step()
        plain.step()
        assert table.grad is raw
        assert not raw.is_coalesced()
    torch.testing.assert_close(table, twin, rtol=1e-14, atol=0)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_bad_power_in_the_second_group_steps_nothing(compiled):
    first, second = (torch.nn.Parameter(torch.tensor([3.0, 4.0])) for _ in range(2))
    optimizer = SGDPower([{"params": [first]}, {"params": [second]}], lr=0.1, power=2.0)
    first.grad, second.grad = torch.tensor([3.0, 4.0]), torch.tensor([5.0, 6.0])
    optimizer.param_groups[1]["power"] = -1.0
    step = torch.compile(optimizer.step, backend="eager") if compiled else optimizer.step
    with pytest.raises(InputError, match=r"^power: -1\.0 "):
        step()
    for p, gradient in ((first, [3.0, 4.0]), (second, [5.0, 6.0])):
        assert p.tolist() == [3.0, 4.0]
        assert p.grad.tolist() == gradient
    assert [group["power"] for group in optimizer.param_groups] == [2.0, -1.0]


def test_a_loaded_power_goes_into_the_tensor_that_a_graph_reads():
    optimizer = AdamWPower([torch.nn.Parameter(torch.ones(1))], power=torch.tensor(1.4))
    kept, state = optimizer.param_groups[0]["power"], optimizer.state_dict()
    kept.fill_(0.5)
    state["param_groups"][0]["power"] = torch.tensor(1.2)
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["power"] is kept
    assert float(kept) == float(torch.tensor(1.2))


@pytest.mark.parametrize("implementation", [{}, {"fused": True}])
def test_a_cpu_tensor_of_1_is_the_base(implementation):
    params = [torch.nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2)]
    pair = (
        AdamWPower(params[:1], power=torch.tensor(1.0), **implementation),
        torch.optim.AdamW(params[1:], **implementation),
    )
    for step in range(5):
        for p, optimizer in zip(params, pair, strict=True):
            p.grad = torch.linspace(0.3, -2, 7) * (step + 1)
            optimizer.step()
    assert torch.equal(*params)


def test_layouts_that_the_fused_base_gets_wrong():
    whole = torch.randn(8, 10, generator=torch.Generator().manual_seed(0))
    gapped, plain = torch.nn.Parameter(whole.clone()[::2, ::2]), torch.nn.Parameter(whole[::2, ::2].clone())
    turned, straight = (torch.nn.Parameter(whole.clone()) for _ in range(2))
    fused = AdamWPower([gapped, turned], lr=0.02, power=1.2, fused=True)
    loop = AdamWPower([plain, straight], lr=0.02, power=1.2, foreach=False)
    for step in range(3):
        gradient = torch.randn(8, 10, generator=torch.Generator().manual_seed(step + 1))
        gapped.grad = plain.grad = gradient[::2, ::2].clone()
        straight.grad, turned.grad = gradient, gradient.T.contiguous().T
        fused.step()
        loop.step()
    torch.testing.assert_close(gapped, plain, rtol=0, atol=1e-6)
    torch.testing.assert_close(turned, straight, rtol=0, atol=1e-6)


def test_an_optimizer_that_is_not_torchs_takes_one_step_for_all_parameters():
    params = [Parameter(torch.ones(n)) for n in (3, 5, 2, 4)]
    optimizer = powered(Signum)([{"params": params[:2]}, {"params": params[2:], "power": 0.7}], power=1.3)
    for _ in range(3):
        for p in params:
            p.grad = torch.full_like(p, 0.5)
        optimizer.step()
    assert optimizer.steps_taken == 3


def test_groups_of_power_1_are_left_to_the_base_whatever_their_layout():
    """torch's fused step goes wrong on a gradient laid out unlike its parameter, and so must the group of p = 1."""
    whole = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    plain, mine, other = (Parameter(whole.clone()) for _ in range(3))
    base = torch.optim.AdamW([plain], lr=0.02, fused=True)
    groups = [{"params": [mine]}, {"params": [other], "power": 1.2}]
    optimizer = AdamWPower(groups, lr=0.02, power=1.0, fused=True)
    gradient = whole.flip(0).T.contiguous().T
    for step in range(2):
        plain.grad = mine.grad = other.grad = gradient * (step + 1)
        base.step()
        optimizer.step()
    assert torch.equal(plain, mine)
