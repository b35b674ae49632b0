"""The named optimizers and the bases that they feed, for the tests of what users do with torch's own optimizers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from gradpower import (
    AdagradPower,
    AdamPower,
    AdamWPower,
    MuonPower,
    RMSpropPower,
    SGDPower,
)

POWER = 1.3


@dataclass(frozen=True)
class Named:
    """A named class, the base that it feeds, and settings with the state that the base can have."""

    cls: type[Any]
    base: type[Any]
    settings: dict[str, Any] = field(default_factory=dict)

    def make(self, params: Iterable[Any], **more: Any) -> Any:
        return self.cls(params, **{"power": POWER, **self.settings, **more})

    def make_base(self, params: Iterable[Any], **more: Any) -> Any:
        return self.base(params, **{**self.settings, **more})


ADAMW = Named(AdamWPower, torch.optim.AdamW, {"lr": 0.02, "weight_decay": 0.1})
NAMED = {
    "AdamWPower": ADAMW,
    "AdamPower": Named(AdamPower, torch.optim.Adam, {"lr": 0.02, "weight_decay": 0.1}),
    "AdagradPower": Named(AdagradPower, torch.optim.Adagrad, {"lr": 0.1}),
    "SGDPower": Named(SGDPower, torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    "RMSpropPower": Named(RMSpropPower, torch.optim.RMSprop, {"lr": 0.02, "momentum": 0.5}),
    "MuonPower": Named(MuonPower, torch.optim.Muon, {"lr": 0.02}),
}
FUSES = ("AdamWPower", "AdamPower", "AdagradPower", "SGDPower")
FOREACHES = (*FUSES, "RMSpropPower")
VARIANTS = [
    *(pytest.param(named, {}, id=name) for name, named in NAMED.items()),
    *(pytest.param(NAMED[name], {"foreach": True}, id=f"{name}-foreach") for name in FOREACHES),
    *(pytest.param(NAMED[name], {"fused": True}, id=f"{name}-fused") for name in FUSES),
]
every_variant = pytest.mark.parametrize(("named", "how"), VARIANTS)
every_class = pytest.mark.parametrize("named", [pytest.param(v, id=k) for k, v in NAMED.items()])


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def matrices(count: int = 3, dtype: torch.dtype = torch.float32) -> list[Parameter]:
    return [Parameter(normal(4, 3 + i, seed=i, dtype=dtype)) for i in range(count)]


def fill(params: Iterable[Tensor], step: int) -> None:
    for i, p in enumerate(params):
        p.grad = normal(*p.shape, seed=100 * step + i, dtype=p.dtype)


def fill_powered(params: Iterable[Tensor], step: int, power: float = POWER) -> None:
    """Give the gradients of `fill` after the power, by its formula in float64."""
    for i, p in enumerate(params):
        g = normal(*p.shape, seed=100 * step + i, dtype=p.dtype).double()
        p.grad = (g.sign() * g.abs() ** power).to(p.dtype)


def run(optimizer: Optimizer, params: list[Any], steps: range = range(3)) -> None:
    for step in steps:
        fill(params, step)
        optimizer.step()


def run_base(optimizer: Optimizer, params: list[Any], steps: range = range(3), power: float = POWER) -> None:
    for step in steps:
        fill_powered(params, step, power)
        optimizer.step()


def assert_close(first: Iterable[Tensor], second: Iterable[Tensor], rtol: float = 2e-5) -> None:
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a.detach(), b.detach(), rtol=rtol, atol=rtol * 0.1)


def assert_equal(first: Iterable[Tensor], second: Iterable[Tensor]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# Muon iterates in bfloat16: a last digit of the gradient may move an entry of the step by 2^-8 of it.
def tolerance(named: Named) -> float:
    return 2e-3 if named.cls is MuonPower else 2e-5
