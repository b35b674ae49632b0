from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from gradpower import AdamWPower
from gradpower.kernels import adamw_cpu
from gradpower.kernels.adamw_cpu import adamw_power_, reason, supports
from tests.gradpower.reference import STEP, adam_step

TINY = float(np.finfo(np.float32).tiny)


@pytest.fixture
def fresh() -> Iterator[None]:
    """The kernel is compiled anew, by the environment that the test sets, and again after it."""
    adamw_cpu._kernel.cache_clear()
    yield
    adamw_cpu._kernel.cache_clear()


@pytest.fixture
def kernel() -> None:
    if reason():
        pytest.skip(reason())


@pytest.fixture(params=["as compiled for this machine", "portable"])
def form(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both forms of the power: the one that the machine gets, and the one for every machine."""
    if reason():
        pytest.skip(reason())
    if request.param == "portable":
        assert compiled(CC=f"{os.environ.get('CC', 'cc')} -DGRADPOWER_PORTABLE"), reason()
    yield request.param
    if request.param == "portable":
        adamw_cpu._kernel.cache_clear()


def tensors(*shapes: tuple[int, ...], seed: int = 0, step: float = 4.0) -> SimpleNamespace:
    generator = torch.Generator().manual_seed(seed)

    def normal(scale: float) -> list[Tensor]:
        return [scale * torch.randn(shape, generator=generator) for shape in shapes]

    return SimpleNamespace(
        p=normal(1.0),
        g=[g * g.abs() for g in normal(0.05)],
        m=normal(1e-3),
        v=[v.square() for v in normal(1e-3)],
        t=[torch.tensor(step) for _ in shapes],
    )


def clone(state: SimpleNamespace) -> SimpleNamespace:
    return SimpleNamespace(**{name: [x.clone() for x in value] for name, value in vars(state).items()})


def taken(state: SimpleNamespace, **options: float | bool) -> bool:
    return adamw_power_(state.p, state.g, state.m, state.v, state.t, **{**STEP, **options})


def take_step(state: SimpleNamespace, **options: float | bool) -> SimpleNamespace:
    assert taken(state, **options)
    return state


def powered(g: Tensor, power: float, **options: float | bool) -> Tensor:
    """The powered gradient itself: m where beta1 = 0; 10·m at beta1 = 0.9 where 0·∞ is in the way."""

    def mean(beta1: float) -> Tensor:
        state = tensors(tuple(g.shape))
        state.g, state.m = [g], [torch.zeros_like(g)]
        return take_step(state, power=power, beta1=beta1, weight_decay=0.0, **options).m[0]

    x = mean(0.0)
    return torch.where(x.isnan(), mean(0.9) / 0.1, x)


OPTIONS = [
    {},
    {"power": 0.5, "offset": 1e-8},
    {"power": 2.0, "maximize": True},
    {"power": 3.3, "weight_decay": 0.0, "epsilon": 1e-12},
    {"power": 6.0, "epsilon": 1e-12},
    {"decoupled": False},
    {"decoupled": False, "maximize": True, "offset": 1e-3},
    {"gradient_scale": 0.3, "powered_scale": 1.7},
    {"gradient_scale": 1 / 65536, "maximize": True, "powered_scale": 0.01, "power": 0.7},
    {"beta1": 0.0, "beta2": 0.0},
    {"beta1": 0.3, "beta2": 0.999},
    {"lr": 0.0},
    {"power": 1.0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_step_is_the_formula(form, options):
    before = tensors((), (0,), (1,), (7,), (1000,), (31, 33))
    after = take_step(clone(before), **options)
    for i in range(6):
        old = [getattr(before, name)[i].double().numpy() for name in "pgmv"]
        p, m, v = adam_step(*old, 5, **options)
        size = np.abs(m) + np.abs(before.m[i].numpy()) + 1e-30
        assert np.all(np.abs(after.m[i].numpy() - m) <= 6e-7 * size)
        np.testing.assert_allclose(after.v[i].numpy(), v, rtol=1e-6, atol=1e-38)
        moved = np.abs(p - before.p[i].numpy()).max(initial=0)
        np.testing.assert_allclose(after.p[i].numpy(), p, rtol=2e-7, atol=2e-6 * moved)
        assert after.t[i].item() == 5
        assert torch.equal(after.g[i], before.g[i])


@pytest.mark.parametrize("power", [0.1, 0.3, 0.5, 0.9, 1.0, 1.2, 1.7, 2.0, 2.7, 3.3, 3.9, 4.0])
def test_power_is_accurate_to_float32(form, power):
    exponents = np.random.default_rng(0).uniform(np.log2(1e-30), np.log2(1e30), 1 << 18)
    octave = np.exp2(np.arange(-99.0, 99.0))[:, None] * np.linspace(0.999999, 2.000001, 513)
    sizes = np.concatenate([np.exp2(exponents), octave.ravel()]).astype(np.float32)
    sizes.sort()  # a sixteen with one huge gradient takes the portable form as a whole
    exact = sizes.astype(np.float64) ** power
    x = powered(torch.from_numpy(sizes), power).double().numpy()
    normal = (exact >= TINY * (1 + 1e-6)) & (exact <= np.finfo(np.float32).max)
    assert normal.sum() > 50_000
    assert np.abs(x[normal] / exact[normal] - 1).max() <= 3e-7
    assert np.all(x[exact > 1.0001 * 2.0**128] == np.inf)
    assert np.all(x[exact < 0.7 * TINY] == 0)


def test_large_powers_are_accurate_in_proportion(form):
    sizes = torch.logspace(-6, 6, 20_001, dtype=torch.float64).float()
    exact = sizes.double() ** 8
    normal = (exact > TINY) & (exact < 3.4e38)
    assert (powered(sizes, 8.0).double() / exact - 1)[normal].abs().max() <= 6e-7
    assert powered(torch.tensor([0.5, 1.0, 2.0, -2.0]), 1e4).tolist() == [
        0,
        pytest.approx(1),
        np.inf,
        -np.inf,
    ]


@pytest.mark.parametrize("power", [0.5, 1.2, 3.0, 5.0])
def test_special_gradients(form, power):
    g = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1e-40, -1e-45, 1.0, -4.0] + [2.0] * 16)
    m = torch.zeros_like(g)
    state = SimpleNamespace(
        p=[torch.ones_like(g)], g=[g], m=[m], v=[torch.zeros_like(g)], t=[torch.tensor(0.0)]
    )
    take_step(state, power=power, weight_decay=0.0)
    x, p = (m / 0.1).tolist(), state.p[0]
    assert x[:4] == [0, 0, torch.inf, -torch.inf]
    assert np.isnan(x[4])
    assert x[5:7] == [0, 0]
    assert x[7:9] == pytest.approx([1, -(4**power)], rel=1e-6)
    assert p[[0, 1, 5, 6]].tolist() == [1, 1, 1, 1]
    assert p[2:5].isnan().all()
    assert torch.allclose(p[7:9], torch.tensor([0.999, 1.001]))
    assert (m[9:] == m[9]).all()


def test_offset_keeps_zero_at_zero(form):
    g = torch.tensor([0.0, -0.0, 1e-8, -1e-8])
    for scale in (1.0, 0.0):
        x = powered(g, 0.5, offset=1e-8, gradient_scale=scale)
        expected = torch.tensor([0, 0, 2e-8, -2e-8]).sign() * (scale * g.abs() + 1e-8).sqrt() * bool(scale)
        torch.testing.assert_close(x, expected, rtol=3e-7, atol=0)


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        *(("powered_scale", scale) for scale in (0.0, torch.nan, torch.inf, -2.0, 1e-30)),
        *(("gradient_scale", scale) for scale in (0.0, torch.nan, torch.inf, 3e38, 1e-37)),
    ],
)
def test_unusual_scales_multiply(form, name, scale):
    g = torch.tensor([3.0, -0.5, 100.0])
    scaled, after = (g * scale, 1.0) if name == "gradient_scale" else (g, scale)
    expected = (after * scaled.sign() * scaled.double().abs() ** 0.5).float()
    torch.testing.assert_close(powered(g, 0.5, **{name: scale}), expected, rtol=4e-7, atol=0, equal_nan=True)


def test_flushing_of_subnormals_changes_no_zero(form):
    if not torch.set_flush_denormal(True):
        pytest.skip("the processor does not flush subnormals")
    try:
        x = powered(torch.tensor([0.0, -0.0, 1.0] * 6), 0.5, offset=1e-8)
    finally:
        torch.set_flush_denormal(False)
    assert x[:3].tolist() == [0, 0, pytest.approx(1)]


@pytest.mark.parametrize("sizes", [(100_003,), (50_000, 3, 0, 70_001, 16_385, 1), (999,) * 101])
def test_threads_and_neighbours_change_no_bit(form, sizes):
    before, results = tensors(*((n,) for n in sizes)), []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(take_step(clone(before)))
    finally:
        torch.set_num_threads(threads)
    alone = clone(before)
    for i in range(len(sizes)):
        take_step(SimpleNamespace(**{name: value[i : i + 1] for name, value in vars(alone).items()}))
    for other in (*results[1:], alone):
        for name in ("p", "m", "v"):
            assert all(map(torch.equal, getattr(results[0], name), getattr(other, name)))


def test_dense_layouts(kernel):
    plain = tensors((2, 3, 4, 5), (6, 7))
    strided = clone(plain)
    for name in ("p", "g", "m", "v"):
        image, matrix = getattr(strided, name)
        setattr(strided, name, [image.contiguous(memory_format=torch.channels_last), matrix.T.contiguous().T])
    strides = [x.stride() for x in strided.p]
    assert supports(strided.p, strided.g)
    assert not supports(strided.p, plain.g)
    take_step(strided)
    assert [x.stride() for x in strided.p] == strides
    for expected, found in zip(take_step(plain).p, strided.p, strict=True):
        torch.testing.assert_close(found, expected, rtol=2e-7, atol=0)


def test_supports():
    p = torch.zeros(4, 6)

    class Marked(Tensor):
        pass

    assert supports([], [])
    assert supports([Parameter(p), p[:, :1]][:1], [p])
    assert supports([torch.zeros(())], [torch.zeros(())])
    assert supports([torch.zeros(5, 1)], [torch.zeros(1, 5).T])
    refused = [
        p.double(),
        p.to(torch.bfloat16),
        p.to_sparse(),
        p.to("meta"),
        p.as_subclass(Marked),
        torch.zeros(6, 4),
        torch.zeros(6, 4).T,
        torch.zeros(1, 6).expand(4, 6),
        torch.zeros(4, 12)[:, ::2],
        torch._neg_view(p),
    ]
    for other in refused:
        assert not supports([p], [other])
        assert not supports([other], [p])
    gaps = torch.zeros(4, 12)[:, ::2]
    assert not supports([gaps], [gaps])
    assert not supports([p, p], [p])


def test_autograd_sees_the_change(kernel):
    state = tensors((3,))
    state.p = [Parameter(state.p[0])]
    product = (state.p[0] * state.p[0]).sum()
    take_step(state)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("g", torch.zeros(4)),
        ("m", torch.zeros(3, dtype=torch.float64)),
        ("v", torch.zeros(6)[::2]),
        ("t", torch.zeros(2)),
        ("t", torch.tensor(1)),
        ("t", torch.tensor(1.0, dtype=torch.float64)),
    ],
)
def test_refuses_other_tensors_and_leaves_all_as_it_was(kernel, name, wrong):
    state = tensors((3,))
    for value in ([wrong], []):
        changed = SimpleNamespace(**{**vars(state), name: value})
        before = clone(changed)
        assert not taken(changed)
        assert torch.equal(changed.p[0], before.p[0])


@pytest.mark.parametrize("power", [0.0, -1.0, float("nan"), float("inf"), 10_001.0])
def test_refuses_other_powers(kernel, power):
    state = tensors((3,))
    before = clone(state)
    assert not taken(state, power=power)
    assert torch.equal(state.p[0], before.p[0])


GARBAGE = 'for word; do [ "$last" = -o ] && echo garbage >"$word"; last=$word; done; exit 0'


def compiled(**environment: str) -> bool:
    """Whether the kernel can be compiled with these variables of the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        adamw_cpu._kernel.cache_clear()
        return not reason()


def script(path: Path, action: str, where: str = "") -> str:
    """A compiler that does something else for commands with `where` in them."""
    path.write_text(f'#!/bin/sh\ncase "$*" in *{where}*) {action};; esac\nexec cc "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("action", [GARBAGE, "echo 'No space left on device' >&2; exit 1"])
def test_a_place_where_compiling_fails_is_passed_over(kernel, fresh, tmp_path, action):
    place = tmp_path / "place"
    place.mkdir()
    assert compiled(TMPDIR=str(place), CC=script(tmp_path / "cc", action, where=str(place))), reason()
    assert not list(place.iterdir())


def test_a_missing_temporary_directory_is_passed_over(kernel, fresh, tmp_path):
    assert compiled(TMPDIR=str(tmp_path / "missing")), reason()
    assert not compiled(TMPDIR=str(tmp_path / "missing"), CC="missing-cc")
    assert "CC names missing-cc" in reason()


def test_a_library_that_cannot_be_removed_while_in_use_serves(kernel, fresh, tmp_path, monkeypatch):
    """As on a network's file system, where it stays under another name."""

    def refuse(path, *, dir_fd=None):
        raise OSError(errno.ENOTEMPTY, "Directory not empty", path)

    monkeypatch.setattr(os, "rmdir", refuse)
    assert compiled(TMPDIR=str(tmp_path)), reason()


def test_without_compiler(fresh, tmp_path, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    assert not compiled(PATH=str(tmp_path))
    assert "no C compiler: cc, gcc, clang, not found on PATH" in reason()
    assert not taken(tensors((3,)))
    assert not compiled(CC="missing-cc")
    assert "CC names missing-cc" in reason()


@pytest.mark.parametrize("action", ["echo 'no such flag' >&2; exit 1", "exit 0", GARBAGE])
def test_a_compiler_that_fails_is_a_reason(fresh, tmp_path, action):
    assert not compiled(CC=script(tmp_path / "broken-cc", action))
    assert re.search("broken-cc does not compile it: no such flag|cannot be loaded", reason())


def test_a_library_of_something_else_is_a_reason(kernel, fresh):
    assert not compiled(CC="cc -Dgradpower_adamw=other")
    assert "gradpower_adamw" in reason()


def optimizers(**settings: bool) -> tuple[AdamWPower, AdamWPower]:
    """Two of the same parameter and gradient, with and without these settings."""
    params = [Parameter(torch.linspace(-1, 1, 5)) for _ in range(2)]
    for p in params:
        p.grad = p.detach() + 0.1
    return AdamWPower(params[:1], power=1.2, **settings), AdamWPower(params[1:], power=1.2)


def assert_same_steps(one: AdamWPower, other: AdamWPower) -> None:
    for optimizer in (one, other):
        optimizer.step()
    torch.testing.assert_close(one.param_groups[0]["params"], other.param_groups[0]["params"])


def test_a_step_without_the_kernel_is_taken_nevertheless(fresh, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", f'gcc "{tmp_path}')
    with pytest.warns(RuntimeWarning, match=r'CC=gcc ".* is no command'):
        assert_same_steps(*optimizers(fused=True))


@pytest.mark.parametrize("step", [torch.tensor(1.0, dtype=torch.float64), torch.ones(1)])
def test_steps_of_other_kinds_are_counted_on(kernel, step):
    fused, plain = optimizers(fused=True)
    assert_same_steps(fused, plain)
    (state,) = fused.state.values()
    state["step"] = step
    assert_same_steps(fused, plain)
    assert step.item() == 2
