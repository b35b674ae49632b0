"""Clipping before and after the power: torch's own clipping, in the order that was asked for."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.utils import clip_grad_norm_

from gradpower import AdamWPower, Clip, SGDPower, clip_then_power, power_then_clip, sign_power
from gradpower.tools.errors import InputError
from tests.gradpower.contract import CASES, assert_same_bits, parameters, stream

SHAPES = ((3, 4), (5, 3), (2, 2))
ORDERS = [clip_then_power, power_then_clip]
MAX_NORM = 0.7
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_order = pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.__name__)


def by_hand(params, order, powers, *, max_norm=MAX_NORM, norm_type=2.0):
    """Replace the gradients by what the base is to receive, with torch's clipping; return the norm."""
    for p in params:
        p.grad = p.grad.clone()
    if order is clip_then_power:
        norm = clip_grad_norm_(params, max_norm, norm_type)
    for p, power in zip(params, powers, strict=True):
        p.grad = sign_power(p.grad, power)
    if order is power_then_clip:
        norm = clip_grad_norm_(params, max_norm, norm_type)
    return norm


@every_case
@every_order
@pytest.mark.parametrize("power", [1.0, 1.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("max_norm", [MAX_NORM, 1e3], ids=["clips", "does not"])
def test_it_is_torchs_clipping_bit_for_bit(case, order, power, dtype, max_norm):
    params, expected = (parameters(SHAPES, dtype, seed=1) for _ in range(2))
    optimizer, base = case.make(params, power, clip=order(max_norm)), case.make(expected, None)
    for step in range(4):
        stream(params, step)
        stream(expected, step)
        norm = by_hand(expected, order, [power] * len(SHAPES), max_norm=max_norm)
        assert (norm > max_norm) == (max_norm == MAX_NORM)
        optimizer.step()
        base.step()
    assert_same_bits(params, expected)


@every_order
@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.5, math.inf])
@pytest.mark.parametrize("powers", [(1.3, 0.6, 1.0), (1.0, 1.0, 1.0)], ids=str)
def test_the_norm_runs_over_all_groups(order, powers, norm_type):
    """Norms of groups are combined after they are rounded, torch's are those of all tensors at once."""
    params, expected = (parameters(SHAPES, torch.float64, seed=1) for _ in range(2))
    groups = [{"params": [p], "power": power} for p, power in zip(params, powers, strict=True)]
    optimizer = SGDPower(groups, lr=0.1, momentum=0.9, power=1.0, clip=order(MAX_NORM, norm_type=norm_type))
    base = torch.optim.SGD(expected, lr=0.1, momentum=0.9)
    for step in range(4):
        stream(params, step)
        raw = [p.grad.clone() for p in params]
        stream(expected, step)
        by_hand(expected, order, powers, norm_type=norm_type)
        optimizer.step()
        base.step()
        assert_same_bits([p.grad for p in params], raw)
    torch.testing.assert_close(params, expected, rtol=1e-13, atol=0)


@every_order
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("power", [1.0, 1.3])
def test_a_norm_that_is_not_finite_does_what_torchs_clipping_does(order, power, bad):
    params, expected = (parameters(SHAPES, torch.float32, seed=1) for _ in range(2))
    optimizer, base = (
        SGDPower(params, lr=0.1, power=power, clip=order(1.0)),
        torch.optim.SGD(expected, lr=0.1),
    )
    for some in (params, expected):
        stream(some, 0)
        some[0].grad[0, 0] = bad
    by_hand(expected, order, [power] * len(SHAPES), max_norm=1.0)
    optimizer.step()
    base.step()
    assert params[0][0, 0].isnan()
    torch.testing.assert_close(params, expected, rtol=0, atol=0, equal_nan=True)


@every_order
def test_sparse_gradients_have_no_norm_as_in_torch(order):
    params = parameters([(4, 1), (2, 2)], torch.float64, seed=1)
    stream(params, 0)
    values = torch.ones(2, 1, dtype=torch.float64)
    params[0].grad = torch.sparse_coo_tensor([[0, 2]], values, (4, 1), check_invariants=True)
    raw, before = [p.grad for p in params], [p.detach().clone() for p in params]
    with pytest.raises(NotImplementedError):
        clip_grad_norm_(params, MAX_NORM)
    with pytest.raises(NotImplementedError):
        SGDPower(params, lr=0.1, power=1.3, clip=order(MAX_NORM)).step()
    assert all(p.grad is g for p, g in zip(params, raw, strict=True))
    assert_same_bits(params, before)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Clip("power", 1.0), "^order: power .* 'clip_then_power' or 'power_then_clip'$"),
        (lambda: clip_then_power(0.0), "^max_norm: 0.0 .* finite number > 0$"),
        (lambda: power_then_clip(-1.0), "^max_norm: -1.0 "),
        (lambda: clip_then_power(math.nan), "^max_norm: nan "),
        (lambda: clip_then_power("1"), "^max_norm: '1' "),
        (lambda: clip_then_power(1.0, norm_type=0), "^norm_type: 0 "),
        (lambda: AdamWPower(parameters(SHAPES, torch.float32, 1), power=1.2, clip="x"), "^clip: x "),
    ],
)
def test_what_is_no_clipping_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
