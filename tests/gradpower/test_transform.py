"""φ_p on tensors: against exact arithmetic, at the special values, in every dtype and layout, and its derivative."""

from __future__ import annotations

import cmath
import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._dynamo.testing import CompileCounter

from gradpower import foreach_sign_power, sign_power, sign_power_
from gradpower.tools.errors import InputError
from tests.gradpower.contract import assert_same_bits

POWERS = [1e-6, 0.3, 0.5, 0.9, 1.0, 1.2, 2.0, 3.0]
INF, NAN = math.inf, math.nan
REDUCED = [torch.bfloat16, torch.float16]
DTYPES = [torch.float32, torch.float64, *REDUCED]


def both(g, power, **options):
    """The image by the single map, after it was found the same by all the others.

    The recorded map of a list is the same bit for bit. So are the maps of an optimizer's step, but for the sign of a
    zero in a list, and for the last entries of a tensor, which go another way through torch's float32 pow.
    """
    before = g.clone()
    single = sign_power(g, power, **options)
    for image in foreach_sign_power([g, g], power, **options):
        assert_same_bits(image, single)
    with torch.no_grad():
        images = [sign_power(g, power, **options), *foreach_sign_power([g, g], power, **options)]
        images.append(sign_power_(g.clone(), power, **options))
    assert_same_bits(images[0], images[-1])
    assert_same_bits(images[0][single == 0], single[single == 0])
    for image in images:
        torch.testing.assert_close(image, single, rtol=16 * torch.finfo(g.dtype).eps, atol=0, equal_nan=True)
    assert_same_bits(g, before)
    return single


def spread(dtype, count=997):
    """Numbers of both signs over the range of magnitudes that gradients have, with no power out of range."""
    low = -4 if dtype == torch.float16 else -12
    magnitudes = torch.logspace(low, 1, count, dtype=torch.float64)
    return (magnitudes * (1 - 2 * (torch.arange(count) % 2))).to(dtype)


@pytest.mark.parametrize("power", [*POWERS, torch.tensor(0.7), torch.tensor(1.0)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values_keep_their_sign(dtype, power):
    g = torch.tensor([0.0, -0.0, INF, -INF, NAN, 1.0, -1.0], dtype=dtype)
    assert_same_bits(both(g, power)[:4], g[:4])
    assert both(g, power)[4].isnan()
    assert both(g, power)[5:].tolist() == [1.0, -1.0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_zero_has_no_offset(dtype):
    g = torch.tensor([0.0, -0.0, INF, -INF, 0.25, -0.25], dtype=dtype)
    image = both(g, 0.5, offset=0.75)
    assert_same_bits(image, torch.tensor([0.0, -0.0, INF, -INF, 1.0, -1.0], dtype=dtype))


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("dtype", [torch.float32, *REDUCED])
def test_every_dtype_is_accurate_to_the_last_place(dtype, power):
    """In bfloat16, a power taken in that precision would be several per cent off at 1e-4.

    torch's float32 pow rounds the exponent to float32, which shifts ln |φ_p(g)| by ln |g| times that rounding;
    its cubes are two products, each rounded.
    """
    g = spread(dtype)
    magnitudes = g.double().abs().numpy()
    exact = magnitudes**power
    info = torch.finfo(dtype)
    units = 1 if dtype in REDUCED else 2
    last_place = units * info.eps * 2.0 ** np.floor(np.log2(np.clip(exact, info.tiny, info.max)))
    rounding = np.abs(np.log(magnitudes)) * abs(power - float(np.float32(power))) * exact
    image = both(g, power).double().numpy()
    assert (np.abs(np.abs(image) - exact) <= last_place + rounding).all()
    assert (np.sign(image[exact >= info.tiny]) == np.sign(g.double().numpy()[exact >= info.tiny])).all()


@pytest.mark.parametrize("power", [0.3, 0.9, 1.2, 2.7])
def test_float64_is_exact_to_its_precision(power):
    g = spread(torch.float64, 60)
    with mpmath.workdps(40):
        exact = [float(mpmath.sign(x) * abs(mpmath.mpf(x)) ** mpmath.mpf(power)) for x in g.tolist()]
    np.testing.assert_allclose(both(g, power).numpy(), exact, rtol=3e-16)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("power", [0.4, 1.3])
def test_complex_numbers_keep_their_phase(dtype, power):
    values = [cmath.rect(r, phase) for r in (1e-6, 0.5, 3.0) for phase in (-3.0, -1.0, 0.0, 0.4, 2.0)]
    image = both(torch.tensor(values, dtype=dtype), power)
    exact = torch.tensor(
        [cmath.rect(abs(z) ** power, cmath.phase(z)) for z in values], dtype=torch.complex128
    )
    torch.testing.assert_close(image.to(torch.complex128), exact, rtol=8 * torch.finfo(dtype).eps, atol=0)
    zero = torch.zeros(2, dtype=dtype)
    assert_same_bits(both(zero, power), zero)
    assert both(torch.tensor([complex(INF, 1.0)], dtype=dtype), power).isinf().all()


def test_sparse_gradients_are_summed_first():
    g = torch.sparse_coo_tensor([[0, 2, 0]], [1.0, -3.0, 3.0], (4,), check_invariants=True)
    image = sign_power(g, 2.0)
    assert image.layout == torch.sparse_coo
    assert image.is_coalesced()
    assert image.to_dense().tolist() == [16.0, 0.0, -9.0, 0.0]
    assert not g.is_coalesced()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("power", [0.6, 1.2])
def test_shape_and_strides_do_not_matter(dtype, power):
    base = spread(dtype, 60).view(6, 10)
    columns = base[:, ::3]
    views = [base.T, columns, base[1:, 2:5], base[2, 3], base[:0], base[0].expand(4, 10)]
    for view in views:
        image = both(view, power)
        assert (image.shape, image.dtype, image.device) == (view.shape, view.dtype, view.device)
        copied = sign_power(view.clone(memory_format=torch.contiguous_format), power)
        # Elements at the end of a block of vectors go another way through torch's pow.
        rtol = 16 * torch.finfo(dtype).eps if dtype == torch.float32 else torch.finfo(dtype).eps
        torch.testing.assert_close(image, copied, rtol=rtol, atol=0)


def test_a_mixed_list_is_mapped_tensor_by_tensor():
    tensors = [
        torch.tensor([-2.0, 0.5]),
        torch.tensor([3.0], dtype=torch.float64),
        torch.tensor(0.1, dtype=torch.bfloat16),
        torch.tensor([1 + 1j]),
        torch.zeros(0, 3),
    ]
    for g, image in zip(tensors, foreach_sign_power(tensors, 1.7), strict=True):
        assert_same_bits(image, sign_power(g, 1.7))
    assert foreach_sign_power([], 1.7) == []


def test_power_1_returns_the_same_objects():
    g = spread(torch.float32)
    assert sign_power(g, 1.0) is g
    assert sign_power(g, 1) is g
    assert all(image is g for image in foreach_sign_power([g, g], 1.0))
    assert sign_power(g, 1.0, offset=1e-8) is not g
    assert_same_bits(sign_power(g, torch.tensor(1.0)), g)


@pytest.mark.parametrize("offset", [0.0, 0.2])
@pytest.mark.parametrize("power", [0.5, 1.3, torch.tensor(2.0, dtype=torch.float64)], ids=str)
def test_derivative(power, offset):
    g = torch.tensor([-2.0, -0.3, 0.7, 1.0, 4.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: sign_power(x, power, offset=offset), g)
    (slope,) = torch.autograd.grad(sign_power(g, power, offset=offset).sum(), g)
    expected = float(power) * (g.detach().abs() + offset) ** (float(power) - 1)
    torch.testing.assert_close(slope, expected)


@pytest.mark.parametrize("power", [0.5, 1.3])
def test_derivative_of_complex_numbers(power):
    g = torch.tensor([1 + 1j, -0.5j, -2.0 + 0j], dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: sign_power(x, power), g)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.complex64])
@pytest.mark.parametrize("power", [0.5, 1.3])
def test_derivative_at_zero_is_zero(dtype, power):
    g = torch.zeros(2, dtype=dtype, requires_grad=True)
    for image in (sign_power(g, power), *foreach_sign_power([g, g], power)):
        (slope,) = torch.autograd.grad(image.abs().sum() if dtype.is_complex else image.sum(), g)
        assert_same_bits(slope, torch.zeros(2, dtype=dtype))


NUMBERS = st.floats(1e-30, 1e30).flatmap(lambda x: st.sampled_from([x, -x]))
EXPONENTS = st.floats(0.05, 3.0)
PROPERTY = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def phi(g, power):
    return sign_power(torch.tensor(g, dtype=torch.float64), power).item()


@PROPERTY
@given(g=NUMBERS, p=EXPONENTS, q=EXPONENTS)
def test_powers_compose(g, p, q):
    """φ_p∘φ_q = φ_{pq}; the exponents' rounding weighs |pq·ln|g|| <= 622 times as much."""
    assert phi(phi(g, q), p) == pytest.approx(phi(g, p * q), rel=1e-12)


@pytest.mark.parametrize("g", [torch.tensor([1, 2]), torch.tensor([True]), np.ones(2), [1.0], 2.0, None])
def test_what_is_no_tensor_of_floats_is_refused(g):
    with pytest.raises(InputError, match=r"^g: .* expected a tensor of real floating or complex numbers$"):
        sign_power(g, 1.2)
    with pytest.raises(InputError, match=r"^g: "):
        foreach_sign_power([torch.ones(1), g], 1.2)


@pytest.mark.parametrize("tensors", [None, torch.ones(3), 1.0])
def test_what_is_no_list_of_tensors_is_refused(tensors):
    with pytest.raises(InputError, match=r"^tensors: .* expected a list or tuple of tensors$"):
        foreach_sign_power(tensors, 1.2)


@pytest.mark.filterwarnings("ignore:Sparse CSC tensor support is in beta")
def test_other_sparse_layouts_are_refused():
    with pytest.raises(InputError, match=r"^layout of g: .*torch.sparse_coo"):
        sign_power(torch.ones(2, 2).to_sparse_csc(), 1.2)


BAD_TENSORS = [[1.2], -1.0, NAN, True, 1j]
BAD_POWERS = [0, -1.0, NAN, INF, "1.2", None, True, 1.2j, [1.2], *map(torch.tensor, BAD_TENSORS)]


@pytest.mark.parametrize("power", BAD_POWERS, ids=str)
def test_what_is_no_power_is_refused(power):
    allowed = "a finite number > 0, or a 0-dimensional floating-point tensor of one"
    with pytest.raises(InputError, match=rf"^power: .* is not allowed; expected {allowed}$"):
        sign_power(torch.ones(1), power)


@pytest.mark.parametrize("offset", [-1e-8, NAN, "0"])
def test_what_is_no_offset_is_refused(offset):
    with pytest.raises(InputError, match=r"^offset: .* expected a finite number >= 0$"):
        sign_power(torch.ones(1), 1.2, offset=offset)


def test_the_map_in_place():
    g = torch.tensor([[-4.0, 0.0], [0.25, 9.0]])
    assert sign_power_(g, 0.5) is g
    assert g.tolist() == [[-2.0, 0.0], [0.5, 3.0]]
    column = torch.ones(3, 2)[:, 0]
    assert sign_power_(column.mul_(-8), 1 / 3).tolist() == pytest.approx([-2.0] * 3)
    with pytest.raises(InputError, match=r"^power: 0 "):
        sign_power_(g, 0)


@pytest.mark.parametrize("recorded", [False, True])
def test_float16_saturates_where_it_would_overflow(recorded):
    """2e4^1.2 is 1.4e5: infinite moments would make Adam's update NaN."""
    g = torch.tensor([2e4, -2e4, INF, -INF, 300.0], dtype=torch.float16)
    with torch.set_grad_enabled(recorded):
        image = sign_power(g, 1.2)
    assert image[:4].tolist() == [65504.0, -65504.0, INF, -INF]
    assert image[4].item() == pytest.approx(300**1.2, rel=1e-3)


def test_complex_moduli_beyond_float32():
    """The modulus of the first is infinite in float32, |g|^(p-1) of the second is; the images are neither."""
    smallest = 2.0**-149
    g = torch.tensor([complex(3e38, 3e38), complex(smallest, 0)], dtype=torch.complex64)
    exact = [complex(3e38, 3e38) / abs(complex(3e38, 3e38)) ** 0.5, smallest**0.1]
    image = [sign_power(g, 0.5)[0].item(), sign_power(g, 0.1)[1].item()]
    assert image == pytest.approx(exact, rel=1e-6)


def test_compiled_with_a_tensor_power_there_is_one_graph():
    counter = CompileCounter()
    mapped = torch.compile(sign_power, backend=counter, fullgraph=True)
    g = torch.tensor([-2.0, 0.0, 3.0])
    for power in (1.2, 1.3, 0.8):
        torch.testing.assert_close(mapped(g, torch.tensor(power)), sign_power(g, power))
    assert counter.frame_count == 1
    torch.compiler.reset()


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # by torch.func.jvp
@pytest.mark.parametrize("power", [0.5, 1.5])
def test_transformations_of_functions(power):
    """The derivative is p·|g|^(p-1), and 0 at 0, by either mode; a batch is mapped as its rows."""
    g = torch.tensor([[-2.0, 0.0, 3.0], [0.5, -0.0, 1.0]], dtype=torch.float64)
    slope = torch.where(g == 0, 0, power * g.abs() ** (power - 1))

    def mapped(row):
        return sign_power(row, power)

    assert_same_bits(torch.vmap(mapped)(g), mapped(g))
    with torch.no_grad():
        torch.testing.assert_close(torch.vmap(mapped)(g), mapped(g), rtol=1e-15, atol=0)
    image, tangent = torch.func.jvp(mapped, (g,), (torch.full_like(g, 2.0),))
    assert_same_bits(image, mapped(g))
    torch.testing.assert_close(tangent, 2 * slope)
    torch.testing.assert_close(torch.func.jacrev(mapped)(g[0]), torch.diag(slope[0]))
    torch.testing.assert_close(torch.func.jacfwd(mapped)(g[0]), torch.diag(slope[0]))


def test_the_value_of_a_tensor_on_a_device_is_not_read():
    """It would wait for the device; the meta device has no values at all."""
    power = torch.tensor(1.2, device="meta")
    assert sign_power(torch.ones(3, device="meta"), power).shape == (3,)
    with pytest.raises(InputError, match=r"^power: "):
        sign_power(torch.ones(3), torch.tensor(-1.2))
