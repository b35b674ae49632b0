"""What every powered optimizer is held to: the optimizers, the objectives and the runs that the tests share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from lion_pytorch import Lion
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import Optimizer

from gradpower import powered, sign_power

REAL = (torch.float32, torch.float64, torch.bfloat16)
ALL = (*REAL, torch.complex64)
Settings = dict[str, Any]


class Signum(Optimizer):
    """Signed momentum: an optimizer that is not torch's, with one step count for all parameters.

    m_t = β·m_{t−1} + (1−β)·g_t, θ_t = θ_{t−1} − η·sign(m_t); the count would tell of steps by portions.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-2, beta: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "beta": beta})
        self.steps_taken = 0

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.steps_taken += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    m = self.state[p].setdefault("momentum", torch.zeros_like(p))
                    m.lerp_(p.grad, 1 - group["beta"])
                    p.add_(torch.sgn(m), alpha=-group["lr"])
        return loss


@dataclass(frozen=True)
class Case:
    """A base optimizer with its settings, and what it takes."""

    name: str
    base: type[Optimizer]
    settings: Settings = field(default_factory=dict)
    dtypes: tuple[torch.dtype, ...] = ALL
    matrices: bool = False

    def takes(self, *names: str) -> bool:
        parameters = inspect.signature(self.base.__init__).parameters
        return all(name in parameters for name in names)

    @property
    def implementations(self) -> Iterator[tuple[str, Settings]]:
        yield "default", {"foreach": False} if self.takes("foreach") else {}
        if self.takes("foreach"):
            yield "foreach", {"foreach": True}
        if self.takes("fused"):
            yield "fused", {"fused": True}

    def regularized(self) -> Settings:
        """Weight decay and ascent, where the base has them."""
        wanted = {"weight_decay": 0.1, "maximize": True}
        return {name: value for name, value in wanted.items() if self.takes(name)}

    def make(self, params: Iterable[Any], power: float | Tensor | None, **more: Any) -> Optimizer:
        """Return the powered optimizer, or the plain base at power None."""
        cls: Any = self.base if power is None else powered(self.base)
        return cls(params, **{**self.settings, **more}, **({} if power is None else {"power": power}))


CASES = [
    Case("AdamW", torch.optim.AdamW, {"lr": 0.02, "betas": (0.9, 0.95), "weight_decay": 0.1}),
    Case("AdamW-amsgrad", torch.optim.AdamW, {"lr": 0.02, "amsgrad": True}),
    Case("Adam", torch.optim.Adam, {"lr": 0.02}),
    Case("Adam-amsgrad", torch.optim.Adam, {"lr": 0.02, "weight_decay": 0.01, "amsgrad": True}),
    Case("Adagrad", torch.optim.Adagrad, {"lr": 0.1, "lr_decay": 0.01, "initial_accumulator_value": 0.1}),
    Case("SGD", torch.optim.SGD, {"lr": 0.02}),
    Case("SGD-momentum", torch.optim.SGD, {"lr": 0.02, "momentum": 0.9, "dampening": 0.1}),
    Case("SGD-nesterov", torch.optim.SGD, {"lr": 0.02, "momentum": 0.9, "nesterov": True}),
    Case("RMSprop", torch.optim.RMSprop, {"lr": 0.01}),
    Case("RMSprop-centered", torch.optim.RMSprop, {"lr": 0.01, "momentum": 0.5, "centered": True}),
    Case("Muon", torch.optim.Muon, {"lr": 0.02}, REAL, matrices=True),
    Case("Adamax", torch.optim.Adamax, {"lr": 0.02}),
    Case("NAdam", torch.optim.NAdam, {"lr": 0.02}),
    Case("RAdam", torch.optim.RAdam, {"lr": 0.02}),
    Case("Adadelta", torch.optim.Adadelta, {"lr": 1.0}),
    Case("Rprop", torch.optim.Rprop, {"lr": 0.01}),
    Case("ASGD", torch.optim.ASGD, {"lr": 0.02}),
    Case("Adafactor", torch.optim.Adafactor, {"lr": 0.02}, REAL),
    Case("Lion", Lion, {"lr": 0.01}),
    Case("Signum", Signum, {"lr": 0.01}),
]
BY_NAME = {case.name: case for case in CASES}


@dataclass
class Problem:
    """Parameters, and the loss of the t-th batch."""

    params: list[Parameter]
    loss: Callable[[int], Tensor]

    def fill_gradients(self, step: int) -> None:
        for p in self.params:
            p.grad = None
        self.loss(step).backward()  # type: ignore[no-untyped-call]

    def groups(self, arrangement: str, lr: float) -> list[Any]:
        """One group of all parameters, or two with learning rates of their own."""
        if arrangement == "one group" or len(self.params) == 1:
            return list(self.params)
        half = len(self.params) // 2
        return [{"params": self.params[:half]}, {"params": self.params[half:], "lr": lr / 2}]


def parameters(shapes: Iterable[tuple[int, ...]], dtype: torch.dtype, seed: int) -> list[Parameter]:
    generator = torch.Generator().manual_seed(seed)
    wide = torch.complex128 if dtype.is_complex else torch.float64
    return [Parameter(torch.randn(s, dtype=wide, generator=generator).to(dtype) / 2) for s in shapes]


def quadratic(dtype: torch.dtype, *, matrices: bool = False) -> Problem:
    """Σ_i a_i·|θ_i − c_i(t)|²/2 over a matrix, a vector and a number, with centres that move."""
    shapes: list[tuple[int, ...]] = [(3, 4), (2, 2)] if matrices else [(3, 4), (5,), ()]
    params = parameters(shapes, dtype, seed=1)
    centres = [parameters(shapes, dtype, seed=2 + t) for t in range(4)]

    def loss(step: int) -> Tensor:
        parts = [
            (p - c.detach()).abs().square().sum() for p, c in zip(params, centres[step % 4], strict=True)
        ]
        return torch.stack([part * (k + 1) / 2 for k, part in enumerate(parts)]).sum()

    return Problem(params, loss)


def logistic(dtype: torch.dtype, *, matrices: bool = False) -> Problem:
    """Logistic regression in three classes, a batch of 6 of 24 points at a time."""
    params = parameters([(3, 4)] if matrices else [(3, 4), (3,)], dtype, seed=3)
    (points,) = parameters([(24, 4)], dtype, seed=4)
    labels = torch.arange(24) % 3

    def loss(step: int) -> Tensor:
        batch = slice(6 * (step % 4), 6 * (step % 4) + 6)
        bias = None if matrices else params[1]
        scores = nn.functional.linear(points[batch].detach(), params[0], bias)
        return nn.functional.cross_entropy(scores, labels[batch])

    return Problem(params, loss)


def mlp(dtype: torch.dtype, *, matrices: bool = False) -> Problem:
    """A regression by a network of one hidden layer, on noisy targets."""
    shapes: list[tuple[int, ...]] = [(5, 4), (2, 5)] if matrices else [(5, 4), (5,), (2, 5), (2,)]
    params = parameters(shapes, dtype, seed=5)
    points, targets, noise = parameters([(8, 4), (8, 2), (32, 2)], dtype, seed=6)

    def loss(step: int) -> Tensor:
        weights, biases = (params, [None, None]) if matrices else (params[::2], params[1::2])
        hidden = torch.tanh(nn.functional.linear(points.detach(), weights[0], biases[0]))
        aim = (targets + noise[8 * (step % 4) : 8 * (step % 4) + 8]).detach()
        return nn.functional.mse_loss(nn.functional.linear(hidden, weights[1], biases[1]), aim)

    return Problem(params, loss)


OBJECTIVES = {"quadratic": quadratic, "logistic": logistic, "mlp": mlp}
# How each objective is optimized, so that every option of the base meets every optimizer once.
ARRANGEMENTS = {"quadratic": "one group", "logistic": "one group", "mlp": "two groups"}
# Every pair of an optimizer and an objective, and every pair of an optimizer and a dtype.
OBJECTIVES_IN = {
    torch.float32: ("quadratic", "logistic", "mlp"),
    torch.float64: ("logistic",),
    torch.bfloat16: ("mlp",),
    torch.complex64: ("quadratic",),
}


def contract_runs() -> Iterator[tuple[Case, str, torch.dtype, str, Settings]]:
    """Yield (optimizer, objective, dtype, implementation, its settings) for all that go together."""
    for case in CASES:
        for dtype in case.dtypes:
            for objective in OBJECTIVES_IN[dtype]:
                for implementation, settings in case.implementations:
                    if implementation == "fused" and (dtype.is_complex or _base_is_wrong(case, dtype)):
                        continue
                    yield case, objective, dtype, implementation, settings


def _base_is_wrong(case: Case, dtype: torch.dtype) -> bool:
    """torch's fused SGD on the CPU may leave entries of its bfloat16 momentum unset, so that no two runs agree."""
    return case.base is torch.optim.SGD and "momentum" in case.settings and dtype == torch.bfloat16


def twins(
    case: Case,
    objective: str,
    dtype: torch.dtype,
    settings: Settings,
    *,
    power: float,
    steps: int,
    feed: Callable[[Tensor], Tensor] = torch.clone,
) -> list[tuple[list[Tensor], Settings]]:
    """Run the powered optimizer beside its base, which is fed with `feed` of the same gradients.

    The gradients are those on the path of the base. Returns parameters and state of both.
    """
    problems = [OBJECTIVES[objective](dtype, matrices=case.matrices) for _ in range(2)]
    more = {**(case.regularized() if objective == "logistic" else {}), **settings}
    optimizers = [
        case.make(problem.groups(ARRANGEMENTS[objective], case.settings["lr"]), p, **more)
        for problem, p in zip(problems, (power, None), strict=True)
    ]
    for step in range(steps):
        problems[1].fill_gradients(step)
        for p, q in zip(*(problem.params for problem in problems), strict=True):
            assert q.grad is not None
            p.grad, q.grad = q.grad, feed(q.grad)
        for optimizer in optimizers:
            optimizer.step()
    return [
        ([p.detach() for p in problem.params], optimizer.state_dict()["state"])
        for problem, optimizer in zip(problems, optimizers, strict=True)
    ]


def by_hand(power: float) -> Callable[[Tensor], Tensor]:
    return lambda g: sign_power(g, power)


def stream(params: list[Parameter], step: int, *, scale: float = 1.0, seed: int = 0) -> None:
    """Set gradients that do not depend on the parameters: Gaussian, around a mean of 0.3."""
    generator = torch.Generator().manual_seed(1000 * seed + step)
    for p in params:
        wide = torch.complex128 if p.is_complex() else torch.float64
        g = 0.3 + torch.randn(p.shape, dtype=wide, generator=generator)
        p.grad = (scale * g).to(p.dtype)


def assert_same_bits(actual: object, expected: object, where: str = "") -> None:
    """Compare tensors, and dictionaries and lists of them, bit for bit: NaN equals NaN and 0 is not −0."""
    if isinstance(expected, dict):
        assert isinstance(actual, dict), where
        assert actual.keys() == expected.keys(), where
        for key in expected:
            assert_same_bits(actual[key], expected[key], f"{where}[{key!r}]")
    elif isinstance(expected, list | tuple):
        assert isinstance(actual, list | tuple), where
        assert len(actual) == len(expected), where
        for index, pair in enumerate(zip(actual, expected, strict=True)):
            assert_same_bits(*pair, f"{where}[{index}]")
    elif isinstance(expected, Tensor):
        assert isinstance(actual, Tensor), where
        assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape), where
        same = bits(actual) == bits(expected)
        assert bool(same.all()), f"{where}: {actual} is not {expected}"
    else:
        assert actual == expected, f"{where}: {actual!r} is not {expected!r}"


def bits(t: Tensor) -> Tensor:
    return t.detach().contiguous().reshape(-1).view(torch.uint8)


def skip_without_later_groups(base: type[Optimizer]) -> None:
    """Skip where the base itself cannot step a group that is added later, as Adagrad of torch 2.9."""
    first, later = parameters([(2, 2), (2, 2)], torch.float32, seed=0)
    optimizer: Any = base([first])
    optimizer.add_param_group({"params": [later]})
    later.grad = torch.ones_like(later)
    try:
        optimizer.step()
    except KeyError:
        pytest.skip(f"{base.__name__} of torch {torch.__version__} makes no state for groups added later")
