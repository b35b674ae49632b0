"""The Triton code of AdamW on powered gradients: what one block of elements goes through.

Triton is imported when `compiled` is first called, and then looks names up in this module: `tl` and the functions
below, which `compiled` replaces by what Triton makes of them. Coefficients are weighted least-squares fits, close to
minimax: of log2(1 + f)/f on [√½ − 1, √2 − 1] to 2e-9 of the logarithm, and of (2^x − 1)/x on [−½, ½] to 3e-9 of 2^x.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any, no_type_check

import torch

tl: Any = None


@no_type_check
def _read(value, at):
    return tl.cast(value if at is None else tl.load(at), tl.float32)


@no_type_check
def _read_power(value, rest, at):
    """The power as two float32 numbers, its rounded value and the rest."""
    if at is None:
        value = tl.cast(value, tl.float32)
        rest = tl.cast(rest, tl.float32)
    else:
        full = tl.load(at).to(tl.float64)
        value = full.to(tl.float32)
        rest = (full - value.to(tl.float64)).to(tl.float32)
    return value, rest


@no_type_check
def _array(at, start, DTYPE: tl.constexpr, ALIGNED: tl.constexpr):
    """Pointer to element `start` of the array whose address is at `at`."""
    array = tl.load(at).to(tl.pointer_type(DTYPE))
    if ALIGNED:
        array = tl.multiple_of(array, 16)
    return array + start


@no_type_check
def _power(a, power, rest):
    """`a^(power + rest)` for a > 0; inf and NaN pass.

    log2 a = e + log2 m, m in [√½, √2). The leading 16 bits of the power times e are exact, and so is what is left of
    them after the whole part n of the exponent is taken off: only 2^(exponent − n) is rounded, not 2^exponent.
    """
    tiny = a < 1.1754943508222875e-38
    bits = tl.where(tiny, a * 16777216.0, a).to(tl.int32, bitcast=True)
    shift = (bits - 0x3F3504F3) >> 23
    e = shift.to(tl.float32) - tl.where(tiny, 24.0, 0.0)
    f = (bits - (shift << 23)).to(tl.float32, bitcast=True) - 1.0
    q = -0.1077258288860321 * f + 0.18571628630161285
    q = q * f - 0.19199082255363464
    q = q * f + 0.20484407246112823
    q = q * f - 0.23951540887355804
    q = q * f + 0.28853684663772583
    q = q * f - 0.36070021986961365
    q = q * f + 0.4808996021747589
    q = q * f - 0.7213473320007324
    q = q * f + 1.4426950216293335

    head = (power.to(tl.int32, bitcast=True) & -256).to(tl.float32, bitcast=True)
    leading = head * e
    trailing = (power - head + rest) * e + power * (q * f)
    n = tl.floor(leading + trailing + 0.5)
    x = (leading - n) + trailing
    y = 0.0001532646274426952 * x + 0.0013390806270763278
    y = y * x + 0.009618505835533142
    y = y * x + 0.05550359934568405
    y = y * x + 0.24022647738456726
    y = y * x + 0.6931471824645996
    y = y * x + 1.0

    # Two factors, because 2^n alone leaves float32's range where the product does not.
    scale = tl.minimum(tl.maximum(n, -252.0), 254.0).to(tl.int32)
    half = scale >> 1
    y = y * ((half + 127) << 23).to(tl.float32, bitcast=True)
    y = y * ((scale - half + 127) << 23).to(tl.float32, bitcast=True)
    exact = (power == 1.0) & (rest == 0.0)
    return tl.where((a < float("inf")) & (exact == 0), y, a)


@no_type_check
def _bias_correction(step, log_beta):
    """`1 − β^step`, without the cancellation of the plain formula in float32."""
    z = step * log_beta
    series = 1.0 + z * 0.125
    series = 1.0 + series * z * 0.14285714285714285
    series = 1.0 + series * z * 0.16666666666666666
    series = 1.0 + series * z * 0.2
    series = 1.0 + series * z * 0.25
    series = 1.0 + series * z * 0.3333333333333333
    series = 1.0 + series * z * 0.5
    return tl.where(z > -0.5, -z * series, 1.0 - tl.exp(z))


@no_type_check
def _powered(g, power, rest, offset, scale):
    """`scale·sign(g)·(|g| + offset)^p`, and 0 where g is."""
    x = _power(tl.abs(g) + offset, power, rest) * scale
    return tl.where(g == 0.0, 0.0, tl.where(g < 0.0, -x, x))


@no_type_check
def _adamw_power(
    owners, firsts, table, gradients,
    power, rest, power_at, lr, lr_at,
    gradient_scale, gradient_scale_at, powered_scale, powered_scale_at,
    offset, beta1, weight1, log_beta1, beta2, weight2, log_beta2,
    weight_decay, epsilon,
    PARAM: tl.constexpr, GRADIENT: tl.constexpr, ALIGNED: tl.constexpr,
    MAXIMIZE: tl.constexpr, DECOUPLED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(0)
    owner = tl.load(owners + block)
    row = table + owner * 5
    size = tl.load(row + 4)
    if ALIGNED:
        size = tl.multiple_of(size, 16)
    start = (block - tl.load(firsts + owner)) * BLOCK
    within = tl.arange(0, BLOCK)
    mask = start + within < size
    p_at = _array(row, start, PARAM, ALIGNED) + within
    m_at = _array(row + 1, start, PARAM, ALIGNED) + within
    v_at = _array(row + 2, start, PARAM, ALIGNED) + within
    g_at = _array(gradients + owner, start, GRADIENT, ALIGNED) + within
    p = tl.load(p_at, mask=mask).to(tl.float32)
    m = tl.load(m_at, mask=mask).to(tl.float32)
    v = tl.load(v_at, mask=mask).to(tl.float32)
    g = tl.load(g_at, mask=mask).to(tl.float32)
    if MAXIMIZE:
        g = -g

    power, rest = _read_power(power, rest, power_at)
    scaled = g * _read(gradient_scale, gradient_scale_at)
    x = _powered(scaled, power, rest, offset, _read(powered_scale, powered_scale_at))
    if GRADIENT.is_fp16():
        # As `sign_power`: what is finite in float16 stays so. NaN passes through these comparisons.
        x = tl.where(x > 65504.0, 65504.0, tl.where(x < -65504.0, -65504.0, x))
        x = tl.where(tl.abs(g) == float("inf"), g, x)
    lr = _read(lr, lr_at)
    if DECOUPLED:
        p -= lr * weight_decay * p
    else:
        x += weight_decay * p
    step = tl.load(tl.load(row + 3).to(tl.pointer_type(tl.float32)))
    m = beta1 * m + weight1 * x
    v = beta2 * v + weight2 * (x * x)
    unbias = 1.0 / tl.sqrt_rn(_bias_correction(step, log_beta2))
    p -= (lr / _bias_correction(step, log_beta1)) * m / (tl.sqrt_rn(v) * unbias + epsilon)
    tl.store(p_at, p.to(PARAM), mask=mask)
    tl.store(m_at, m.to(PARAM), mask=mask)
    tl.store(v_at, v.to(PARAM), mask=mask)


@cache
def compiled() -> Any:
    """Return `_adamw_power` as Triton compiles it, or interprets it where TRITON_INTERPRET=1 is set."""
    global tl
    triton = importlib.import_module("triton")
    tl = importlib.import_module("triton.language")
    for function in (_read, _read_power, _array, _power, _powered, _bias_correction, _adamw_power):
        globals()[function.__name__] = triton.jit(function)
    return globals()["_adamw_power"]


def device_type() -> str:
    """Where `compiled` can run: "cuda", or "cpu" if it is interpreted."""
    return "cpu" if type(compiled()).__module__ == "triton.runtime.interpreter" else "cuda"


def triton_dtype(dtype: torch.dtype) -> Any:
    """Triton's name of a torch dtype, once `compiled` has been called."""
    return getattr(tl, str(dtype).removeprefix("torch."))
