"""Parameters and settings that torch's own optimizers take: the powered ones take the base's step on φ_p(g)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from gradpower import MuonPower, SGDPower, clip_then_power, power_then_clip
from tests.gradpower.named import (
    POWER,
    VARIANTS,
    Named,
    assert_close,
    assert_equal,
    every_class,
    every_variant,
    fill,
    fill_powered,
    matrices,
    normal,
    run,
    run_base,
    tolerance,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small are slower on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@every_variant
def test_groups_with_options_of_their_own(named: Named, how: dict[str, Any]) -> None:
    params, twins = matrices(), matrices()
    options: list[dict[str, Any]] = [{"power": 0.7, "lr": 0.1}, {"weight_decay": 0.3}, {"power": 2.0}]
    groups = [{"params": [p], **option} for p, option in zip(params, options, strict=True)]
    run(named.make(groups, **how), params)
    for i, (p, option) in enumerate(zip(twins, options, strict=True)):
        alone = {k: v for k, v in option.items() if k != "power"}
        base = named.make_base([p], **how, **alone)
        for step in range(3):
            fill_powered(twins, step, option.get("power", POWER))
            base.step()
        assert_close([params[i]], [p], tolerance(named))


@every_variant
def test_groups_and_parameters_without_gradients(named: Named, how: dict[str, Any]) -> None:
    params, twins = matrices(), matrices()
    frozen = Parameter(normal(4, 4, seed=9), requires_grad=False)
    idle, before = Parameter(normal(4, 4, seed=8)), frozen.clone()
    groups = [{"params": []}, {"params": [idle]}, {"params": [frozen, *params]}]
    # torch's fused SGD wants momentum for all parameters of a step or for none.
    how = {**how, "momentum": 0.0} if named.cls is SGDPower and how.get("fused") else how
    optimizer, base = named.make(groups, **how), named.make_base(twins, **how)
    optimizer.step()
    assert not any(optimizer.state[p] for p in (idle, frozen)) or named.base is torch.optim.Adagrad
    for step in range(4):
        for filler, ps in ((fill, params), (fill_powered, twins)):
            filler(ps, step)
            ps[step % 3].grad = None
        optimizer.step()
        base.step()
    assert_close(params, twins, tolerance(named))
    assert torch.equal(frozen, before)
    assert torch.equal(idle, normal(4, 4, seed=8))


@pytest.mark.parametrize("clip", [None, clip_then_power(0.1), power_then_clip(0.1)])
@every_variant
def test_parameters_of_size_zero(named: Named, how: dict[str, Any], clip: Any) -> None:
    params, twins = matrices(), matrices()
    nothing = [Parameter(torch.empty(0, 3))]
    if named.cls is not MuonPower:  # it takes matrices only, and divides by the number of columns
        nothing += [Parameter(torch.empty(0)), Parameter(torch.empty(3, 0))]
    run(named.make([*params, *nothing], clip=clip, **how), [*params, *nothing])
    run(named.make(twins, clip=clip, **how), twins)
    assert_close(params, twins)


def wrong_parameters() -> dict[str, Callable[[Parameter], Any]]:
    return {
        "a set in a group": lambda weight: [{"params": {weight}}],
        "a tensor": lambda weight: weight,
        "nothing": lambda weight: [],
        "no leaf": lambda weight: [weight * 2],
        "a number": lambda weight: [1.0],
        "one in two groups": lambda weight: [{"params": [weight]}, {"params": [weight]}],
        "no params": lambda weight: [{"lr": 0.1}],
    }


@pytest.mark.parametrize("kind", wrong_parameters())
@every_class
def test_refused_parameters_are_those_of_the_base(named: Named, kind: str) -> None:
    wrong, weight = wrong_parameters()[kind], Parameter(torch.zeros(2, 2))
    with pytest.raises((TypeError, ValueError, KeyError)) as theirs:
        named.make_base(wrong(weight))
    with pytest.raises(theirs.type) as ours:
        named.make(wrong(weight))
    assert str(ours.value) == str(theirs.value)


@every_class
def test_duplicates_in_a_group_warn_as_in_the_base(named: Named) -> None:
    weight = Parameter(torch.zeros(2, 2))
    seen = []
    for make in (named.make_base, named.make):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            make([weight, weight])
        seen.append([(warning.category, str(warning.message)) for warning in caught])
    assert seen[0] == seen[1] != []


@every_variant
def test_a_state_loaded_after_a_change_of_dtype(named: Named, how: dict[str, Any]) -> None:
    params, wide = matrices(), [Parameter(p.double()) for p in matrices()]
    first, second = named.make(params, **how), named.make(wide, power=9.0, **how)
    base = named.make_base(twins := matrices(), **how)
    run(first, params)
    run_base(base, twins)
    second.load_state_dict(first.state_dict())
    assert second.param_groups[0]["power"] == POWER
    base_wide = named.make_base([Parameter(p.double()) for p in matrices()], **how)
    base_wide.load_state_dict(base.state_dict())
    for p, twin in zip(wide, base_wide.param_groups[0]["params"], strict=True):
        for key, value in base_wide.state[twin].items():
            assert getattr(second.state[p][key], "dtype", None) == getattr(value, "dtype", None), key
    run(second, wide, range(3, 5))
    run_base(base_wide, base_wide.param_groups[0]["params"], range(3, 5))
    assert_close(wide, base_wide.param_groups[0]["params"], tolerance(named))


@every_variant
def test_parameters_that_are_not_contiguous(named: Named, how: dict[str, Any]) -> None:
    params = [Parameter(normal(5, 4, seed=2).t())]
    if named.cls is not MuonPower:
        params.append(Parameter(normal(2, 3, 4, 5, seed=3).to(memory_format=torch.channels_last)))
    if not how.get("fused"):  # torch's fused kernels on the CPU step over memory, gaps and all
        params.append(Parameter(normal(8, 10, seed=1)[::2, ::2]))
    twins = [Parameter(p.detach().contiguous()) for p in params]
    assert not any(p.is_contiguous() for p in params)
    optimizer, base = named.make(params, **how), named.make_base(twins, **how)
    for step in range(3):
        fill(params, step)
        for p in params:
            # As autograd leaves it, or in another order where the kernels allow it.
            like = torch.preserve_format if step != 1 or how.get("fused") else torch.contiguous_format
            p.grad = torch.empty_like(p, memory_format=like).copy_(p.grad)
        optimizer.step()
        fill_powered(twins, step)
        base.step()
    assert_close(params, twins, tolerance(named))


@every_variant
def test_a_group_of_several_dtypes(named: Named, how: dict[str, Any]) -> None:
    def mixed() -> list[Parameter]:
        return [*matrices(), *matrices(2, torch.float64), *matrices(2, torch.bfloat16)]

    params, twins = mixed(), mixed()
    run(named.make(params, **how), params)
    run_base(named.make_base(twins, **how), twins)
    assert_close(params[:5], twins[:5], tolerance(named))
    for a, b in zip(params[5:], twins[5:], strict=True):
        torch.testing.assert_close(a, b, rtol=2e-2, atol=2e-2)


@every_variant
def test_learning_rate_as_a_tensor(named: Named, how: dict[str, Any]) -> None:
    rate = torch.tensor(named.settings["lr"])
    if (
        how.get("foreach")
        and "capturable" in named.make(matrices()).defaults
        and named.base is not torch.optim.RMSprop
    ):
        with pytest.raises(ValueError, match="lr as a Tensor is not supported"):
            named.make(matrices(), **how, lr=rate)
        return
    params, twins = matrices(), matrices()
    optimizer = named.make(params, **{**how, "lr": rate})
    assert optimizer.param_groups[0]["lr"] is rate
    run(optimizer, params)
    run(named.make(twins, **how), twins)
    assert_close(params, twins, 1e-6)
    rate.zero_()
    before = [p.detach().clone() for p in params]
    run(optimizer, params, range(3, 4))
    assert_equal(params, before)


@pytest.mark.parametrize(("named", "how"), [v for v in VARIANTS if v.id != "MuonPower"])
def test_ascent_is_descent_of_the_negative(named: Named, how: dict[str, Any]) -> None:
    params, twins = matrices(), matrices()
    up, down = named.make(params, maximize=True, **how), named.make(twins, **how)
    for step in range(3):
        fill(params, step)
        up.step()
        fill(twins, step)
        for p in twins:
            p.grad.neg_()
        down.step()
    assert_equal(params, twins)


cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: torch finds none here")


@cuda
@pytest.mark.parametrize("places", [("cuda", "cuda", "cuda"), ("cpu", "cuda", "cuda")], ids=["one", "both"])
@every_variant
def test_state_and_step_on_cuda_devices(named: Named, how: dict[str, Any], places: tuple[str, ...]) -> None:
    params = [Parameter(p.detach().to(place)) for p, place in zip(matrices(), places, strict=True)]
    twins = matrices()
    optimizer, base = named.make(params, **how), named.make_base(twins, **how)
    for step in range(3):
        for p, twin in zip(params, twins, strict=True):
            g = normal(*twin.shape, seed=step)
            p.grad, twin.grad = g.to(p.device), g.sign() * g.abs() ** POWER
        optimizer.step()
        base.step()
    assert_close([p.cpu() for p in params], twins, max(tolerance(named), 1e-4))
    for p in params:
        moved = {key: value for key, value in optimizer.state[p].items() if key != "step"}
        assert all(value.device == p.device for value in moved.values() if isinstance(value, Tensor))
