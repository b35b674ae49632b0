"""What a step costs in launches, and what others see of the optimizer while it runs."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest
import torch
from torch.nn import Parameter
from torch.optim import Optimizer

from experiments.training.launches import Launches, launches_of
from gradpower import (
    AdamWPower,
    MuonAdamWPower,
    SGDPower,
    clip_then_power,
    foreach_sign_power,
    power_then_clip,
    powered,
    step_paths,
)
from gradpower.optimizers.stand_in import stand_in_class
from gradpower.tools.errors import InputError
from tests.gradpower.contract import BY_NAME, CASES, Signum, assert_same_bits, parameters, stream

SHAPES = ((3, 4), (5, 3))


class Mine(powered(torch.optim.Adamax)):
    """A subclass at a module's top, which can be pickled by its name."""


TORCHS = [case for case in CASES if case.base.__module__.startswith("torch.optim")]
every_torch_case = pytest.mark.parametrize("case", TORCHS, ids=lambda case: case.name)


def small(count):
    params = [Parameter(torch.full((16,), 0.5)) for _ in range(count)]
    for p in params:
        p.grad = torch.full((16,), -0.25)
    return params


@pytest.mark.parametrize("count", [10, 300, 3000])
@pytest.mark.parametrize("name", ["AdamW", "SGD-momentum", "Adagrad", "RMSprop", "Adamax"])
@pytest.mark.parametrize("how", ["for-loop", "foreach"])
def test_the_power_takes_four_launches_however_many_parameters_there_are(name, how, count):
    case = BY_NAME[name]
    settings = {"foreach": how == "foreach"}
    base = launches_of(case.make(small(count), None, **settings))
    ours = launches_of(case.make(small(count), 1.2, **settings))
    assert ours <= base + 4
    assert ours <= 2 * base


def test_plain_sgd_has_three_launches_and_the_power_adds_four():
    """The one base of torch's for which four are more than its own."""
    assert launches_of(BY_NAME["SGD"].make(small(300), None, foreach=True)) == 3
    assert launches_of(BY_NAME["SGD"].make(small(300), 1.2, foreach=True)) == 7


@pytest.mark.parametrize(("offset", "most"), [(0.0, 4), (1e-8, 5)])
def test_a_list_takes_a_handful_of_launches(offset, most):
    tensors = [torch.full((16,), 0.25) for _ in range(300)]
    with torch.no_grad(), Launches() as launched:
        foreach_sign_power(tensors, 1.2, offset=offset)
    assert launched.count <= most


@every_torch_case
@pytest.mark.parametrize("clip", [None, clip_then_power(0.1), power_then_clip(0.1)], ids=str)
@pytest.mark.parametrize("power", [1.3, torch.tensor(0.7)], ids=str)
def test_nothing_of_the_users_changes_during_a_step(case, power, clip):
    """A signal handler or another thread may look between any two operations."""
    params = parameters(SHAPES, torch.float32, seed=1)
    optimizer = case.make([{"params": [p]} for p in params], power, clip=clip)
    stream(params, 0)
    optimizer.step()
    stream(params, 1)
    groups, raw = optimizer.param_groups, [p.grad for p in params]
    inside, copies = [dict(group) for group in groups], [g.clone() for g in raw]
    saved = optimizer.state_dict()

    def look():
        assert optimizer.param_groups is groups
        assert [dict(group) for group in groups] == inside
        assert all(p.grad is g for p, g in zip(params, raw, strict=True))
        seen = optimizer.state_dict()
        assert seen["param_groups"] == saved["param_groups"]
        assert seen["state"].keys() == saved["state"].keys()
        for key, values in saved["state"].items():
            assert seen["state"][key].keys() == values.keys()

    with Launches(look) as launched:
        optimizer.step()
    assert launched.count > 10
    assert_same_bits(raw, copies)


def test_another_optimizer_sees_powered_gradients_and_its_own_groups():
    params = parameters(SHAPES, torch.float32, seed=1)
    optimizer = powered(Signum)([{"params": [p]} for p in params], power=1.3)
    stream(params, 0)
    raw, groups, powers = [p.grad for p in params], optimizer.param_groups, []

    def look():
        assert optimizer.param_groups is groups
        powers.extend(group["power"] for group in optimizer.state_dict()["param_groups"])

    with Launches(look):
        optimizer.step()
    assert set(powers) == {1.3}
    assert all(p.grad is g for p, g in zip(params, raw, strict=True))


class Sharpness(Optimizer):
    """A sharpness-aware step: the closure is evaluated at two points."""

    def __init__(self, params):
        super().__init__(params, {"lr": 0.1})

    def step(self, closure=None):
        closure()
        return closure()


class Requiring(Sharpness):
    def step(self, closure):
        return closure()


class Asserting(Sharpness):
    def step(self, closure=None):
        assert closure is not None
        return closure()


class Raising(Sharpness):
    def step(self, closure=None):
        if closure is None:
            raise RuntimeError("needs a closure")
        return closure()


class TwoSteps(Signum):
    first_step = second_step = None


class Setting(Signum):
    set_closure = None


class Backward(Signum):
    fused_backward = None


class Curvature(Signum):
    def curvature(self, p):
        return torch.autograd.grad(p.grad.sum(), p)


@pytest.mark.parametrize(
    "base", [Sharpness, Requiring, Asserting, Raising, TwoSteps, Setting, Backward, Curvature]
)
def test_bases_that_live_on_their_closure_are_refused_when_made(base):
    with pytest.raises(InputError, match=rf"^base: {base.__name__} is not allowed; .* takes one gradient"):
        powered(base)


class Branches(Signum):
    def step(self, closure=None, *, twice=False):
        """Call the closure once, in one of two places.

        A text at the margin.
        """
        if twice:
            loss = closure()
        else:
            with torch.enable_grad():
                loss = None if closure is None else closure()
        super().step()
        return loss


def test_one_call_of_the_closure_on_every_way_through_is_no_repetition():
    params = parameters(SHAPES, torch.float32, seed=1)
    stream(params, 0)
    optimizer = powered(Branches)(params, power=1.3)
    assert optimizer.step(lambda: 2.0) == 2.0


def test_a_step_refuses_keywords_that_the_base_does_not_take():
    for power in (1.0, 1.3):
        params = parameters(SHAPES, torch.float32, seed=1)
        optimizer = AdamWPower(params, power=power)
        stream(params, 0)
        before = [p.detach().clone() for p in params]
        with pytest.raises(TypeError, match="nonsense"):
            optimizer.step(nonsense=3)
        assert_same_bits(params, before)


def test_a_class_that_collects_gradients_in_its_own_way_is_stepped_by_its_own_way():
    class Doubling(torch.optim.SGD):
        def _init_group(self, group, params, grads, *rest):
            result = super()._init_group(group, params, grads, *rest)
            grads[:] = [2 * g for g in grads]
            return result

    class Counting(SGDPower):
        calls = 0

        def _init_group(self, *arguments):
            self.calls += 1
            return super()._init_group(*arguments)

    p, q = Parameter(torch.zeros(2)), Parameter(torch.zeros(2))
    doubling, counting = powered(Doubling)([p], lr=1.0, power=2.0), Counting([q], lr=1.0, power=2.0)
    p.grad, q.grad = torch.tensor([1.0, -3.0]), torch.tensor([1.0, -3.0])
    doubling.step()
    counting.step()
    assert p.tolist() == [-2.0, 18.0]
    assert (q.tolist(), counting.calls) == ([-1.0, 9.0], 1)


def test_bases_are_known_after_torch_compile_has_wrapped_their_methods():
    torch.compile(torch.sin, backend="eager")(torch.ones(1))
    for case in TORCHS:
        assert stand_in_class(case.base) is not None, case.name
        fresh = type("Fresh", (case.base,), {})
        assert powered(fresh)._stand_in is not None, case.name


def test_subclasses_keep_their_signature_and_their_class_when_pickled():
    class Own(AdamWPower):
        def __init__(self, params, strength, power=1.1):
            super().__init__(params, lr=strength, power=power)

    assert list(inspect.signature(Own).parameters) == ["params", "strength", "power"]
    mine = Mine(parameters(SHAPES, torch.float32, seed=1), power=1.2)
    assert type(pickle.loads(pickle.dumps(mine))) is Mine


def test_what_the_closure_sets_holds_for_this_step():
    p = Parameter(torch.zeros(2))
    optimizer = SGDPower([p], lr=1.0, power=1.0)

    def closure():
        p.grad = torch.tensor([4.0, -4.0])
        optimizer.param_groups[0].update(power=0.5, lr=0.5)

    optimizer.step(closure)
    assert p.tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("name", ["power", "offset", "clip"])
def test_a_base_with_an_argument_of_our_name_is_refused(name):
    parameters = [
        inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in ("self", "params", name)
    ]

    def initialize(self, params, value):
        """Nothing that matters: the class is refused."""

    initialize.__signature__ = inspect.Signature(parameters)
    with pytest.raises(InputError, match=f"without an argument '{name}'"):
        powered(type("Theirs", (Optimizer,), {"__init__": initialize}))


@pytest.mark.parametrize("power", [1.0, 1.3])
def test_what_a_base_returns_without_a_closure_is_returned(power):
    class Telling(Signum):
        def step(self, closure=None):
            super().step(closure)
            return "stepped"

    params = parameters(SHAPES, torch.float32, seed=1)
    stream(params, 0)
    assert powered(Telling)(params, power=power).step() == "stepped"


def test_extra_keywords_of_a_step_reach_the_base():
    class Scaled(Signum):
        def step(self, closure=None, *, scale=1.0):
            self.scale = scale
            return super().step(closure)

    for power in (1.0, 1.3):
        params = parameters(SHAPES, torch.float32, seed=1)
        optimizer = powered(Scaled)(params, power=power)
        stream(params, 0)
        optimizer.step(scale=0.5)
        assert optimizer.scale == 0.5


@pytest.mark.parametrize(
    "key", ["power_offset", "powers", "offsets", "grad_power", "powr", "Power", "pow", "offst", "clip"]
)
def test_keys_that_would_be_ignored_are_refused(key):
    params = parameters(SHAPES, torch.float32, seed=1)
    with pytest.raises(InputError, match=f"^key of a parameter group: {key} .* expected power or offset"):
        AdamWPower([{"params": params, key: 1.1}], power=1.2)
    optimizer = AdamWPower(params, power=1.2)
    with pytest.raises(InputError, match=f"^key of a parameter group: {key} "):
        optimizer.add_param_group({"params": parameters(SHAPES, torch.float32, seed=2), key: 1.1})
    assert len(optimizer.param_groups) == 1


def test_a_key_of_the_bases_own_may_speak_of_powers():
    class Followed(Signum):
        def __init__(self, params, lr=0.01, lr_power=-0.5):
            super().__init__(params, lr)
            self.defaults["lr_power"] = lr_power
            self.param_groups[0]["lr_power"] = lr_power

    optimizer = powered(Followed)(parameters(SHAPES, torch.float32, seed=1), power=1.3)
    assert optimizer.param_groups[0]["lr_power"] == -0.5


@pytest.mark.parametrize("name", ["AdamW", "SGD", "RMSprop", "Muon"])
def test_parameters_on_the_cpu_under_another_default_device(name):
    case = BY_NAME[name]
    params, expected = (parameters(SHAPES, torch.float32, seed=1) for _ in range(2))
    mine, theirs = (
        case.make(params, 1.3, clip=clip_then_power(0.5)),
        case.make(expected, 1.3, clip=clip_then_power(0.5)),
    )
    for step, place in enumerate(
        ("cpu", "meta")
    ):  # torch 2.9 makes the state of AdamW where the default says
        stream(params, step)
        stream(expected, step)
        theirs.step()
        with torch.device(place):
            mine.step()
    assert_same_bits(params, expected)


@pytest.mark.parametrize("key", ["name", "lower", "layer", "p", "properties"])
def test_other_keys_are_the_users_own(key):
    optimizer = AdamWPower([{"params": parameters(SHAPES, torch.float32, seed=1), key: 1.1}], power=1.2)
    assert optimizer.param_groups[0][key] == 1.1


def test_paths_of_what_holds_or_wraps_optimizers():
    matrix, bias = parameters(SHAPES, torch.float32, seed=1)
    groups = [{"params": [matrix], "algorithm": "muon"}, {"params": [bias], "algorithm": "adamw"}]
    assert step_paths(MuonAdamWPower(groups, power=1.2)) == ["powered gradients, then the base"] * 2
    assert step_paths(SGDPower([matrix], lr=0.1, power=1.2, fused=True)) == [
        "powered gradients, then the base (there is no kernel for SGD)"
    ]


def test_paths():
    params = parameters(SHAPES, torch.float32, seed=1)
    groups = [{"params": params[:1]}, {"params": params[1:], "power": 1.0}]
    assert step_paths(torch.optim.AdamW(params)) == ["base"]
    assert step_paths(AdamWPower(copy.deepcopy(groups), power=1.2)) == [
        "powered gradients, then the base",
        "base",
    ]
    fused = step_paths(AdamWPower(copy.deepcopy(groups), power=1.2, fused=True))
    assert fused[0].startswith(("one pass: gradpower.kernels.", "powered gradients, then the base ("))
    double = AdamWPower([Parameter(torch.ones(2, dtype=torch.float64))], power=1.2, fused=True)
    assert step_paths(double)[0].startswith("powered gradients, then the base (")
    amsgrad = AdamWPower(copy.deepcopy(groups), power=1.2, fused=True, amsgrad=True)
    assert step_paths(amsgrad)[0] == "powered gradients, then the base (amsgrad=True has no kernel)"
