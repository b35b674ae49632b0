"""torch.compile of a step: the same numbers, and no new graph for another power."""

from __future__ import annotations

import shutil

import pytest
import torch

from gradpower import clip_then_power, power_then_clip, powered
from tests.gradpower.contract import BY_NAME, Signum, assert_same_bits, parameters, stream

SHAPES = ((3, 4), (5, 3))
NAMES = ["AdamW", "SGD-momentum", "Adagrad", "RMSprop", "NAdam", "Lion", "Muon"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(autouse=True)
def _no_graphs_of_other_tests():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


class Backend:
    """Runs the graphs as they are, and counts them."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, module, inputs):
        self.graphs += 1
        return module.forward


def compiled_steps(optimizer, params, changes):
    """Take one compiled step after each change; return the number of graphs made by then."""
    backend, counts = Backend(), []
    step = torch.compile(optimizer.step, backend=backend)
    for index, change in enumerate(changes):
        change(optimizer)
        stream(params, index)
        raw = [p.grad for p in params]
        copies = [g.clone() for g in raw]
        step()
        assert all(p.grad is g for p, g in zip(params, raw, strict=True))
        assert_same_bits(raw, copies)
        counts.append(backend.graphs)
    return counts


def eager_steps(optimizer, params, changes):
    for index, change in enumerate(changes):
        change(optimizer)
        stream(params, index)
        optimizer.step()


def set_to(key, value):
    def change(optimizer):
        group = optimizer.param_groups[0]
        if isinstance(group[key], torch.Tensor):
            group[key].fill_(value)
        else:
            group[key] = value

    return change


@pytest.mark.parametrize("power", [1.3, torch.tensor(1.3)], ids=["number", "tensor"])
@pytest.mark.parametrize("name", NAMES)
def test_another_power_needs_no_new_graph_and_numbers_are_the_same(name, power):
    """p = 1 included. Two graphs at most are the base's: its first step makes the state."""
    case, changes = BY_NAME[name], [set_to("power", p) for p in (1.3, 1.3, 0.7, 1.0, 1.9, 2.0)]
    params, expected = (parameters(SHAPES, torch.float32, seed=1) for _ in range(2))
    counts = compiled_steps(case.make(params, power), params, changes)
    assert counts[0] >= 1
    assert counts[1:] == [counts[1]] * 5
    twin = case.make(expected, 1.3)
    eager_steps(twin, expected, changes)
    # Newton-Schulz in bfloat16 turns a last-digit difference into one of 2^-8 of a step.
    error = len(changes) * case.settings["lr"] * 2**-8 if name == "Muon" else 2e-6
    torch.testing.assert_close(params, expected, rtol=1e-5, atol=error)
    assert float(twin.param_groups[0]["power"]) == 2.0


@pytest.mark.parametrize("lr", [0.01, torch.tensor(0.01)], ids=["number", "tensor"])
@pytest.mark.parametrize("name", ["AdamW", "SGD-momentum"])
def test_another_learning_rate_costs_what_it_costs_the_base(name, lr):
    case, changes = BY_NAME[name], [set_to("lr", r) for r in (0.01, 0.01, 0.02, 0.03)]
    counts = []
    for power in (1.3, None):
        params = parameters(SHAPES, torch.float32, seed=1)
        rate = lr.clone() if isinstance(lr, torch.Tensor) else lr
        counts.append(compiled_steps(case.make(params, power, lr=rate), params, changes))
        torch.compiler.reset()
    assert [later - counts[0][1] for later in counts[0]] == [later - counts[1][1] for later in counts[1]]
    if isinstance(lr, torch.Tensor):
        assert counts[0][-1] == counts[0][1]


@pytest.mark.parametrize(
    "settings",
    [
        {"clip": clip_then_power(0.5)},
        {"clip": power_then_clip(0.5)},
        {"foreach": True},
        {
            "capturable": True,
            "foreach": True,
        },  # for devices; of the CPU's steps, torch takes the compiled ones
    ],
    ids=str,
)
def test_clips_and_implementations_need_no_new_graph(settings):
    case, changes = BY_NAME["AdamW"], [set_to("power", p) for p in (1.3, 0.7, 1.0)]
    params, expected = (parameters(SHAPES, torch.float32, seed=1) for _ in range(2))
    counts = compiled_steps(case.make(params, 1.3, **settings), params, changes)
    assert counts == [counts[0]] * 3
    eager_steps(case.make(expected, 1.3, clip=settings.get("clip")), expected, changes)
    torch.testing.assert_close(params, expected, rtol=1e-5, atol=2e-6)


def test_a_compiled_step_returns_the_loss_of_its_closure():
    (p,) = parameters([(4,)], torch.float32, seed=1)
    optimizer = BY_NAME["SGD"].make([p], 2.0, lr=1.0)

    def closure():
        optimizer.zero_grad()
        loss = (3 * p).sum()
        loss.backward()
        return loss.detach()

    before = p.detach().clone()
    loss = torch.compile(optimizer.step, backend="eager")(closure)
    torch.testing.assert_close(loss, 3 * before.sum())
    torch.testing.assert_close(p.detach(), before - 9)


def test_everything_is_put_back_when_a_compiled_step_fails():
    class Failing(Signum):
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.grad.add_(1)
            raise ZeroDivisionError

    params = parameters(SHAPES, torch.float32, seed=1)
    optimizer = powered(Failing)(params, power=1.3, offset=1e-8)
    stream(params, 0)
    raw = [p.grad for p in params]
    copies = [g.clone() for g in raw]
    with pytest.raises(ZeroDivisionError):
        torch.compile(optimizer.step, backend="eager")()
    assert all(p.grad is g for p, g in zip(params, raw, strict=True))
    assert_same_bits(raw, copies)
    assert optimizer.param_groups[0]["power"] == 1.3
    assert optimizer.param_groups[0]["offset"] == 1e-8


def test_a_compiled_step_leaves_the_groups_alone():
    params = parameters(SHAPES, torch.float32, seed=1)
    optimizer = powered(torch.optim.AdamW)([{"params": [p]} for p in params], lr=0.02, power=1.3)
    groups, seen = optimizer.param_groups, []

    def backend(module, inputs):
        def run(*arguments):
            seen.append(optimizer.param_groups is groups and all("power" in group for group in groups))
            return module.forward(*arguments)

        return run

    step = torch.compile(optimizer.step, backend=backend)
    for index in range(2):
        stream(params, index)
        step()
    assert seen
    assert all(seen)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch's compiler needs g++ for the CPU")
def test_torchs_own_compiler():
    case, changes = BY_NAME["AdamW"], [set_to("power", p) for p in (1.3, 0.7, 1.0)]
    params, expected = (parameters(SHAPES, torch.float32, seed=1) for _ in range(2))
    optimizer = case.make(params, 1.3, lr=torch.tensor(0.02))
    step = torch.compile(optimizer.step)
    for index, change in enumerate(changes):
        change(optimizer)
        stream(params, index)
        step()
    eager_steps(case.make(expected, 1.3), expected, changes)
    torch.testing.assert_close(params, expected, rtol=1e-5, atol=2e-6)
