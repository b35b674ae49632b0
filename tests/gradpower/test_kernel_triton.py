"""The Triton kernel against the formula in float64: interpreted on the CPU, compiled for GPUs, run where there is one.

Triton decides at import whether it interprets, so the checks marked so run in one process of their own with
TRITON_INTERPRET=1, as this file's main program; where there is a CUDA device they run on it as well, compiled.
"""

from __future__ import annotations

import gc
import importlib.util
import itertools
import json
import math
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from experiments.training.launches import Launches
from gradpower.kernels import adamw_triton as kernel
from gradpower.transform import SignPower
from tests.gradpower.reference import STEP, adam_step

ROOT = Path(__file__).parents[2]
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SIZES = (0, 1, 7, 1000, 5000, 2064)  # the last is a multiple of 16: wide loads
DEFAULTS: dict[str, Any] = STEP | {"lr": 1e-2}
STILL = DEFAULTS | {"lr": 0.0, "beta1": 0.0, "beta2": 0.0}  # m becomes the powered gradient, θ stays
CHECKS: dict[str, Callable[[str], None]] = {}

has_triton = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not has_triton, reason="Triton is not installed")
needs_cuda = pytest.mark.skipif(
    not (has_triton and torch.cuda.is_available()), reason="needs Triton and a CUDA device"
)


def check(function: Callable[[str], None]) -> Callable[[str], None]:
    CHECKS[function.__name__] = function
    return function


def twin(p: Tensor, g: Tensor, m: Tensor, v: Tensor, step: float, **numbers: Any) -> list[Tensor]:
    """The step in float64 and out of place; `step` counts this one."""
    tensors = (t.detach().cpu().double().numpy() for t in (p, g, m, v))
    return [torch.as_tensor(result) for result in adam_step(*tensors, step, **numbers)]


class Lists:
    """Parameters, gradients, moments and steps; `step` takes one step and compares it with the twin."""

    def __init__(self, params: list[Tensor], grad_dtypes: list[torch.dtype], seed: int = 0) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.params = params
        self.grad_dtypes = grad_dtypes
        self.exp_avgs = [torch.zeros_like(p) for p in params]
        self.exp_avg_sqs = [torch.zeros_like(p) for p in params]
        self.steps = [torch.zeros((), device=p.device) for p in params]
        self.grads: list[Tensor] = []
        self.fresh_grads()

    def random(self, like: Tensor, dtype: torch.dtype) -> Tensor:
        scale = 10 ** (3 * torch.rand(like.shape, generator=self.generator, dtype=torch.float64) - 3)
        values = torch.randn(like.shape, generator=self.generator, dtype=torch.float64) * scale
        return torch.empty_like(like, dtype=dtype).copy_(values)

    def fresh_grads(self) -> None:
        pairs = zip(self.params, self.grad_dtypes, strict=True)
        self.grads = [self.random(p, dtype) for p, dtype in pairs]

    @property
    def all(self) -> tuple[list[Tensor], ...]:
        return self.params, self.grads, self.exp_avgs, self.exp_avg_sqs, self.steps

    def run(self, options: dict[str, Any]) -> bool:
        return kernel.adamw_power_(*self.all, **options)

    def step(self, options: dict[str, Any], **numbers: float) -> None:
        """`numbers` are what the twin takes where the options hold tensors."""
        expected = [
            twin(p, g, m, v, float(s) + 1, **(options | numbers))
            for p, g, m, v, s in zip(*self.all, strict=True)
        ]
        before = [g.clone() for g in self.grads]
        assert kernel.supports(self.params, self.grads)
        assert self.run(options)
        for i, wanted in enumerate(expected):
            for actual, value in zip(
                (self.params[i], self.exp_avgs[i], self.exp_avg_sqs[i]), wanted, strict=True
            ):
                relative = max(1e-6, torch.finfo(actual.dtype).eps)
                least = 1e-7 if actual.dtype != torch.float16 else 2e-7
                torch.testing.assert_close(actual.cpu().double(), value, rtol=relative, atol=least)
            assert torch.equal(self.grads[i], before[i])


def mixed(device: str, seed: int = 0, sizes: tuple[int, ...] = SIZES) -> Lists:
    generator = torch.Generator().manual_seed(seed)
    kinds = [(p, p) for p in DTYPES] + [(torch.float32, torch.bfloat16), (torch.bfloat16, torch.float32)]
    pairs = list(itertools.product(sizes, kinds))
    params = [torch.randn(n, generator=generator).to(device, p) for n, (p, _) in pairs]
    return Lists(params, [g for _, (_, g) in pairs], seed)


def powered(gradient: Tensor, device: str, **options: Any) -> Tensor:
    """The gradient as the kernel powers it."""
    lists = Lists([torch.zeros_like(gradient, device=device)], [gradient.dtype])
    lists.grads = [gradient.to(device)]
    lists.run(STILL | options)
    return lists.exp_avgs[0].cpu()


@check
def options_and_dtypes(device: str) -> None:
    scales = ({}, {"offset": 1e-3, "gradient_scale": 0.25, "powered_scale": 3.0, "power": 0.6})
    flags = ((True, False), (False, True))
    for index, ((decoupled, maximize), more) in enumerate(itertools.product(flags, scales)):
        lists = mixed(device, seed=index)
        for _ in range(2):
            lists.step(DEFAULTS | {"decoupled": decoupled, "maximize": maximize} | more)
            lists.fresh_grads()


@check
def betas_and_epsilon(device: str) -> None:
    for beta1, beta2, epsilon, power in (
        (0.0, 0.999, 1e-3, 2.0),
        (0.5, 0.0, 1e-6, 0.3),
        (0.99, 0.9999, 0.1, 1.0),
    ):
        lists = mixed(device, seed=7, sizes=(1000, 2064))
        options = DEFAULTS | {"beta1": beta1, "beta2": beta2, "epsilon": epsilon, "power": power}
        lists.step(options)


@check
def layouts(device: str) -> None:
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    params = [
        random(30, 64).t(),
        random(2, 3, 5, 7).contiguous(memory_format=torch.channels_last),
        random(4, 1, 6).transpose(0, 2),
        random(1001)[1:],  # an address that is no multiple of 16 bytes
        random(2048)[1024:],
        random(),
    ]
    lists = Lists(params, [torch.float32] * len(params))
    for _ in range(2):
        lists.step(DEFAULTS)
        lists.fresh_grads()


@check
def numbers_as_tensors(device: str) -> None:
    numbers = {"power": 1.3, "lr": 0.01, "gradient_scale": 0.5, "powered_scale": 1.5}
    lists = mixed(device, sizes=(7, 2064))
    for dtype in (torch.float64, torch.float32):
        given = {name: torch.tensor(number, dtype=dtype, device=device) for name, number in numbers.items()}
        lists.step(DEFAULTS | given, **{name: tensor.item() for name, tensor in given.items()})
    on_cpu = {name: torch.tensor(number, dtype=torch.float64) for name, number in numbers.items()}
    lists.step(DEFAULTS | on_cpu, **numbers)


@check
def special_values(device: str) -> None:
    inf, nan = math.inf, math.nan
    gradient = torch.tensor([inf, -inf, nan, 0.0, -0.0, 1.0, -1.0, 1e-42, -1e-42])
    for power, offset in ((0.5, 0.0), (1.0, 0.0), (1.5, 0.0), (0.5, 1e-2), (3.0, 1e-2)):
        actual = powered(gradient, device, power=power, offset=offset)
        wanted = torch.tensor([inf, -inf, nan, 0.0, 0.0, (1 + offset) ** power, -((1 + offset) ** power)])
        torch.testing.assert_close(actual[:7], wanted, equal_nan=True, rtol=1e-6, atol=0)
        tiny = (gradient[7].double() + offset) ** power
        torch.testing.assert_close(
            actual[7:].double(), torch.stack([tiny, -tiny]), rtol=1e-6, atol=2e-45
        )  # fmt: skip
    assert powered(torch.tensor([1e20]), device, power=3.0).item() == inf
    assert powered(torch.tensor([1e-20]), device, power=3.0).item() == 0
    assert powered(torch.zeros(3), device, power=0.5, offset=1.0, powered_scale=5.0).count_nonzero() == 0


@check
def accuracy_of_the_power(device: str) -> None:
    generator = torch.Generator().manual_seed(2)
    exponents = torch.empty(10_000, dtype=torch.float64).uniform_(-20, 3, generator=generator)
    gradient = (10**exponents).float() * torch.randn(10_000, generator=generator).sign()
    for power in (0.3, 0.7, 1.2, 1.5, 2.7, 3.0):
        actual = powered(gradient, device, power=power).double()
        wanted = gradient.double().sign() * gradient.double().abs() ** power
        normal = wanted.abs() >= torch.finfo(torch.float32).tiny
        error = ((actual - wanted) / wanted).abs()[normal].max().item()
        assert error < 3e-7, (power, error)
    assert torch.equal(powered(gradient, device, power=1.0), gradient)


@check
def bias_corrections(device: str) -> None:
    """After a first gradient of 1 with ε = 0, −θ/lr is m/(1 − β1^t)·√((1 − β2^t)/v)."""
    for beta, taken in itertools.product((0.9, 0.999, 0.99999), (0, 1, 50, 9_999, 5_000_000)):
        one = torch.ones(1, dtype=torch.float64)
        lists = Lists([torch.zeros(1, device=device)], [torch.float32])
        lists.grads[0].fill_(1.0)
        lists.steps[0].fill_(taken)
        options = DEFAULTS | {"beta1": 0.9, "beta2": beta, "lr": 1.0, "epsilon": 0.0}
        wanted = twin(0 * one, one, 0 * one, 0 * one, taken + 1, **options)[0]
        if taken < 100:
            # β^t through expm1: the twin's own 1 − β^t cancels.
            corrections = [-math.expm1((taken + 1) * math.log(b)) for b in (0.9, beta)]
            wanted = -one * 0.1 / corrections[0] * math.sqrt(corrections[1] / (1 - beta))
        lists.run(options)
        torch.testing.assert_close(lists.params[0].cpu().double(), wanted, rtol=2e-6, atol=0)
        assert lists.steps[0].item() == taken + 1


@check
def float16_gradients_saturate(device: str) -> None:
    """As those of `sign_power`: what is finite in float16 has a finite image in it."""
    inf = math.inf
    values = [2e4, -2e4, 65504.0, -65504.0, inf, -inf, math.nan, 0.0, -0.0, 1e-3, -7.0, 6e-8]
    gradient = torch.tensor(values, dtype=torch.float16)
    numbers = [(1.2, 1, 1), (1.2, 1, 0.3), (1.2, 1, 4), (3, 0.1, 1), (0.5, 0, 1e3), (1, 2, 1)]
    for power, before, after in numbers:
        with torch.no_grad():
            wanted = SignPower(power, before=torch.tensor(before), after=torch.tensor(after))(gradient)
        for dtype, maximize in itertools.product((torch.float32, torch.float16), (False, True)):
            lists = Lists([torch.zeros(12, dtype=dtype, device=device)], [torch.float16])
            lists.grads = [gradient.to(device)]
            options = {"power": power, "gradient_scale": before, "powered_scale": after, "maximize": maximize}
            lists.run(STILL | options)
            actual = lists.exp_avgs[0].cpu() * (-1 if maximize else 1)
            torch.testing.assert_close(actual, wanted.to(dtype), rtol=1e-3, atol=6e-8, equal_nan=True)
            assert torch.equal(actual.abs() == 65504, wanted.abs() == 65504)
            assert torch.equal(actual.isinf(), wanted.isinf())
    for dtype in (torch.float32, torch.float16):
        lists = Lists([torch.zeros(3, dtype=dtype, device=device)], [torch.float16])
        lists.grads[0].fill_(2e4)
        for _ in range(3):
            lists.run(DEFAULTS)
        assert lists.params[0].isfinite().all()


@check
def unchanged_groups_make_no_plans(device: str) -> None:
    """However many groups there are, and though each step has new objects for their parameters."""
    generator = torch.Generator().manual_seed(1)
    params = [torch.randn(n, generator=generator).to(device) for n in range(1, 71)]
    groups = [Lists([p], [torch.float32]) for p in params]
    launches = [Launches() for _ in range(3)]
    for launched in launches:
        for lists in groups:
            lists.params = [p.view_as(p) for p in lists.params]
            with launched:
                lists.run(DEFAULTS)
    with Launches() as alone:
        groups[0].run(DEFAULTS)
    first, *later = [launched.count for launched in launches]
    assert later == [70 * alone.count] * 2
    assert first > later[0]


@check
def changed_addresses_are_followed(device: str) -> None:
    lists = mixed(device, sizes=(7, 2064))
    held = []
    for _ in range(3):
        lists.step(DEFAULTS)
        held += lists.grads  # so that none of the new ones lies where an old one was
        lists.fresh_grads()
    lists.grads[3:] = held[3 : len(lists.grads)]
    lists.step(DEFAULTS)
    for tensors in lists.all:
        tensors[2:] = [t.clone() for t in tensors[2:]]
        lists.step(DEFAULTS)


@check
def plans_live_with_the_state(device: str) -> None:
    gc.collect()
    before = len(kernel._plans)
    params = [torch.randn(3, generator=torch.Generator().manual_seed(i)).to(device) for i in range(9)]
    lists = Lists(params, [torch.float32] * 9)
    for stop in (*range(1, 10), 5, 9):
        kernel.adamw_power_(*(part[:stop] for part in lists.all), **DEFAULTS)
        assert len(kernel._plans) == before + 1
    lists.step(DEFAULTS)
    assert [s.item() for s in lists.steps] == [12.0, 11.0, 10.0, 9.0, 8.0, 6.0, 5.0, 4.0, 3.0]
    del lists
    gc.collect()
    assert len(kernel._plans) == before


@check
def versions_count_the_writes(device: str) -> None:
    lists = mixed(device, sizes=(1, 7))
    changed = (*lists.params, *lists.exp_avgs, *lists.exp_avg_sqs, *lists.steps)
    versions, untouched = [t._version for t in changed], [g._version for g in lists.grads]
    lists.run(DEFAULTS)
    assert all(t._version > before for t, before in zip(changed, versions, strict=True))
    assert [g._version for g in lists.grads] == untouched


@check
def what_is_supported(device: str) -> None:
    plain = torch.zeros(4, 6, device=device)

    class Sub(Tensor):
        pass

    assert kernel.supports([torch.nn.Parameter(plain)], [plain.bfloat16()])
    assert kernel.supports([plain.t()], [plain.t().clone()])
    assert kernel.supports([plain.bfloat16()], [plain], [plain.bfloat16()])
    assert not kernel.supports([plain.bfloat16()], [plain], [plain])
    assert kernel.supports([], [])
    refused = [
        ([plain], []),
        ([plain], [plain.reshape(6, 4)]),
        ([plain], [plain.t().contiguous().t()]),
        ([plain[:, ::2]], [plain[:, ::2]]),
        ([plain[:1].expand(4, 6)], [plain]),
        ([plain], [plain.double()]),
        ([plain.to(torch.complex64)], [plain.to(torch.complex64)]),
        ([plain], [plain.to_sparse()]),
        ([plain.as_subclass(Sub)], [plain]),
        ([plain], [torch._neg_view(plain)]),
        ([plain], [torch.zeros(4, 6, device="meta")]),
    ]
    for params, grads in refused:
        assert not kernel.supports(params, grads)


@check
def refusals(device: str) -> None:
    def fails(change: Callable[[Lists], None]) -> None:
        lists = Lists([torch.zeros(3, device=device)], [torch.float32])
        change(lists)
        assert not lists.run(DEFAULTS)
        assert lists.steps[0].item() == 0

    fails(lambda lists: lists.exp_avgs.__setitem__(0, torch.zeros(3, device=device).bfloat16()))
    fails(lambda lists: lists.exp_avg_sqs.__setitem__(0, torch.zeros(4, device=device)))
    fails(lambda lists: lists.steps.__setitem__(0, torch.zeros((), device=device).double()))
    fails(lambda lists: lists.grads.__setitem__(0, torch.zeros(2, device=device)))
    fails(lambda lists: lists.grads.append(torch.zeros(3, device=device)))


def run_checks() -> dict[str, str]:
    failures = {}
    for name, function in CHECKS.items():
        try:
            function("cpu")
            failures[name] = ""
        except Exception:
            failures[name] = traceback.format_exc()
    return failures


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    path = os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
    return kept | {"PYTHONPATH": path} | more


@pytest.fixture(scope="module")
def failures() -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__],
        env=environment(TRITON_INTERPRET="1"), capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return result


@needs_triton
@pytest.mark.parametrize("name", CHECKS)
def test_interpreted(name: str, failures: dict[str, str]) -> None:
    assert not failures[name], failures[name]


COMPILE = """
import sys
import triton, triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import mangle_type
from gradpower.kernels.adamw_triton_device import compiled

constants = ["PARAM", "GRADIENT", "ALIGNED", "MAXIMIZE", "DECOUPLED", "BLOCK"]
kernel = compiled()
assert [parameter.name for parameter in kernel.params if parameter.is_constexpr] == constants
assert {mangle_type(number, True) for number in (0.0, 1.0, 1e-3, 16.0)} == {"fp32"}
for param, gradient, aligned, tensors in (
    (tl.float32, tl.float32, True, False),
    (tl.float32, tl.bfloat16, False, True),
    (tl.bfloat16, tl.bfloat16, True, True),
    (tl.float32, tl.float16, True, False),
):
    values = dict(zip(constants, (param, gradient, aligned, not aligned, aligned, 1024)))
    values |= {} if tensors else dict.fromkeys([name for name in kernel.arg_names if name.endswith("_at")])
    types = {}
    for i, name in enumerate(kernel.arg_names):
        scalar = "*fp64" if name.endswith("_at") else "fp32"
        types[name] = "constexpr" if name in values else "*i64" if i < 4 else scalar
    made = triton.compile(ASTSource(kernel, types, values, {(i,): [["tt.divisibility", 16]] for i in range(4)}),
                          target=GPUTarget("cuda", 80, 32), options={"enable_fp_fusion": True, "num_warps": 4})
    wide = all(f"{word}.global.v4.b32" in made.asm["ptx"] for word in ("ld", "st"))
    assert wide == aligned, (param, gradient, aligned)
    print(len(made.asm["cubin"]))
"""


@needs_triton
def test_compiles_with_wide_loads_and_no_number_as_a_constant(tmp_path: Path) -> None:
    """Triton's compiler needs no GPU; it refuses more than its interpreter does."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILE],
        env=environment(TRITON_CACHE_DIR=str(tmp_path)), capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [int(line) > 0 for line in done.stdout.splitlines()] == [True] * 4


def test_without_a_device_it_says_why_and_refuses() -> None:
    if not kernel.reason():
        assert kernel.reason() == ""
        return
    assert "triton" in kernel.reason().lower()
    lists = Lists([torch.zeros(3)], [torch.float32])
    assert not kernel.supports(lists.params, lists.grads)
    assert not lists.run(DEFAULTS)


WITHOUT_COMPILER = """
import torch
torch.cuda.is_available = lambda: True
from gradpower.kernels.adamw_triton import reason
assert reason()
print(reason())
"""


@needs_triton
@pytest.mark.skipif(torch.cuda.is_available(), reason="the driver of CUDA is there")
@pytest.mark.parametrize("libcuda", [False, True])
def test_where_triton_cannot_compile_there_is_a_reason(tmp_path: Path, libcuda: bool) -> None:
    (tmp_path / "libcuda.so.1").touch()
    more = {"TRITON_LIBCUDA_PATH": str(tmp_path)} if libcuda else {}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_COMPILER],
        env=environment(PATH="", TRITON_CACHE_DIR=str(tmp_path), **more),
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Triton cannot be used: ")
    assert ("C compiler" in done.stdout) == libcuda


def test_importing_the_module_imports_no_triton() -> None:
    code = "import sys, gradpower.kernels.adamw_triton; sys.exit('triton' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment(), timeout=600).returncode == 0


@needs_cuda
@pytest.mark.filterwarnings("ignore:::triton")
class TestOnCuda:
    @pytest.fixture
    def no_waiting(self) -> Iterator[Callable[[], None]]:
        """Called by the test, makes every wait for the device an error."""
        yield lambda: torch.cuda.set_sync_debug_mode("error")
        torch.cuda.set_sync_debug_mode("default")

    @pytest.mark.parametrize("name", CHECKS)
    def test_check(self, name: str) -> None:
        CHECKS[name]("cuda:0")

    def test_new_values_compile_nothing_and_nothing_waits(self, no_waiting: Callable[[], None]) -> None:
        from gradpower.kernels.adamw_triton_device import compiled

        lists = mixed("cuda:0")
        lists.run(DEFAULTS)
        cache = compiled().device_caches[torch.cuda.current_device()][0]
        compiled_before = len(cache)
        others = [[g.clone() for g in lists.grads] for _ in range(3)]
        torch.cuda.synchronize()
        no_waiting()
        kernel._plans.clear()
        for i, grads in enumerate(others):
            lists.grads = grads
            number = {
                "power": 1.0 + i / 10,
                "lr": float(i),
                "gradient_scale": 1.0 + i,
                "powered_scale": 2.0 * i,
            }
            lists.run(
                DEFAULTS | number | {"weight_decay": 0.1 * i, "epsilon": 10.0**-i, "beta1": 0.5 * (i > 0)}
            )
        assert len(cache) == compiled_before

    @pytest.mark.parametrize("inside", [False, True], ids=["static gradients", "gradients made in the graph"])
    def test_in_a_graph(self, inside: bool) -> None:
        """Replays follow the tensors of power and learning rate, and leave steps outside of the graph alone."""
        captured, eager = mixed("cuda:0"), mixed("cuda:0")
        power, lr = torch.tensor(1.2, device="cuda"), torch.tensor(1e-2, device="cuda")
        options = DEFAULTS | {"power": power, "lr": lr}
        inputs = [g.clone() for g in captured.grads]

        def take() -> None:
            if inside:
                captured.grads = [2 * g for g in inputs]
            captured.run(options)

        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            take()
        torch.cuda.current_stream().wait_stream(side)
        eager.grads = [(2 if inside else 1) * g for g in inputs]
        eager.run(options)
        outside = [g.clone() for g in eager.grads]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            take()
        static = captured.grads
        for i in range(4):
            power.fill_(1.2 + 0.1 * i)
            lr.fill_(1e-2 / (i + 1))
            if i == 2:
                captured.grads = outside
                captured.run(options)
                captured.grads = static
            else:
                graph.replay()
            eager.run(options)
        torch.cuda.synchronize()
        for one, other in zip(itertools.chain(*captured.all), itertools.chain(*eager.all), strict=True):
            assert torch.equal(one, other)

    def test_on_another_stream(self) -> None:
        lists, reference = mixed("cuda:0"), mixed("cuda:0")
        stream = torch.cuda.Stream()
        for _ in range(3):
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                lists.run(DEFAULTS)
            torch.cuda.current_stream().wait_stream(stream)
            kernel._plans.clear()
            reference.run(DEFAULTS)
            lists.run(DEFAULTS)
            reference.run(DEFAULTS)
        for one, other in zip(itertools.chain(*lists.all), itertools.chain(*reference.all), strict=True):
            assert torch.equal(one, other)


if __name__ == "__main__":
    print(json.dumps(run_checks()))
