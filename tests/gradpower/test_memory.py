"""The extra memory of a powered step: room for one parameter, whatever the number of parameters."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch.nn import Parameter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gradpower import AdamWPower, SGDPower, clip_then_power, power_then_clip, transform

pytestmark = pytest.mark.slow

# The largest is just above the room that any step may have.
SIZES = (3_000_000, 2_000_000, 1_000_000, 4_250_000, 500_000, 500_000, 4_250_000)


class Live(TorchDispatchMode):
    """Bytes of the tensors that were made under this mode and are still held, and the most there were."""

    def __init__(self, known):
        super().__init__()
        self.known = {t.untyped_storage().data_ptr() for t in known}
        self.live, self.peak, self.seen = 0, 0, {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._enter(leaf.untyped_storage())
        self.peak = max(self.peak, self.live)
        return result

    def _enter(self, storage):
        key = storage.data_ptr()
        if storage.nbytes() and key not in self.known and key not in self.seen:
            self.seen[key] = storage.nbytes()
            self.live += storage.nbytes()
            weakref.finalize(storage, self._leave, key)

    def _leave(self, key):
        self.live -= self.seen.pop(key, 0)


def peak(cls, dtype, **settings):
    """The most extra bytes that the second step holds; the first makes the state."""
    params = [Parameter(torch.ones(n, dtype=dtype)) for n in SIZES]
    optimizer = cls(params, **settings)
    for p in params:
        p.grad = torch.full_like(p, 0.5)
    optimizer.step()
    state = [t for values in optimizer.state.values() for t in values.values() if isinstance(t, torch.Tensor)]
    with Live([*params, *(p.grad for p in params), *state]) as live:
        optimizer.step()
    return live.peak


def largest(dtype):
    return max(SIZES) * torch.empty(0, dtype=dtype).element_size()


# A few numbers without dimensions: steps, factors and norms.
SMALL = 512


@pytest.mark.parametrize(
    "clip", [None, clip_then_power(1.0), power_then_clip(1.0)], ids=["none", "before", "after"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("implementation", [{}, {"foreach": False}, {"foreach": True}], ids=str)
def test_a_step_needs_room_for_one_parameter(dtype, implementation, clip):
    plain = peak(torch.optim.AdamW, dtype, **implementation)
    extra = peak(AdamWPower, dtype, power=1.3, clip=clip, **implementation) - plain
    assert extra <= largest(dtype) + SMALL
    assert plain > 0


def test_sgd_needs_exactly_one_parameter():
    """SGD has no temporaries of its own, so that the room for the powered gradients is all there is."""
    assert peak(torch.optim.SGD, torch.float32, lr=0.1) == 0
    assert peak(SGDPower, torch.float32, lr=0.1, power=1.3) == pytest.approx(largest(torch.float32), rel=0.01)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision_is_widened_a_block_at_a_time(dtype):
    extra = peak(AdamWPower, dtype, power=1.3) - peak(torch.optim.AdamW, dtype)
    assert extra <= largest(dtype) + 3 * 4 * transform.BLOCK + SMALL


def test_power_1_needs_none():
    assert peak(AdamWPower, torch.float32, power=1.0) == peak(torch.optim.AdamW, torch.float32)


@pytest.mark.parametrize(
    ("dtype", "settings", "parameters"),
    [
        (torch.float32, {"clip": clip_then_power(1.0)}, 1.0),
        (torch.float32, {"clip": power_then_clip(1.0)}, 1.0),
        (torch.float32, {"offset": 1e-8}, 1.25),
        (torch.complex64, {}, 4.0),  # as largest(): of 34 MB
    ],
    ids=str,
)
def test_the_exceptions_are_as_told(dtype, settings, parameters):
    assert peak(SGDPower, dtype, lr=0.1, power=1.3, **settings) <= parameters * largest(dtype) + SMALL
