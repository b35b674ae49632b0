"""Logarithm and power for the compiled loops: no branch and no call, so that eight lanes go through at once.

A number is x = 2^e·m with m in [√½, √2), and

    log2 x = e + log2 m,   log2 m = s·P(s²)  with s = (m−1)/(m+1),   |s| <= 0.172,
    2^y = 2^k·Q(y − k)     with k = y rounded, |y − k| <= ½.

P and Q are the polynomials of degrees 6 and 10 that interpolate at Chebyshev points: their relative errors are
below 3e-16. The fused products `fma` are written out, so that no compiler may choose where to round.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

Loop = TypeVar("Loop", bound=Callable[..., Any])
_TINY = 2.0**-1022  # below it float64 loses bits; such numbers count as 0
_MINUS_INFINITY = -1e9  # stands for log2 0: 2^(p·(-1e9)) is 0 for all powers in use, and p·(-1e9) is no NaN
_UNDERFLOW = -1021.0
_ROUNDING = 1.5 * 2.0**52  # adding it leaves the rounded number in the last bits
_ROOT_HALF = int(np.float64(np.sqrt(0.5)).view(np.int64))

_P0, _P1, _P2, _P3, _P4, _P5, _P6 = (
    2.885390081777927,
    0.9617966939243345,
    0.5770780172463286,
    0.4121984020482752,
    0.32061638813224547,
    0.2614442493522915,
    0.2429160853987535,
)
_Q0, _Q1, _Q2, _Q3, _Q4, _Q5, _Q6, _Q7, _Q8, _Q9, _Q10 = (
    1.0,
    0.69314718055995,
    0.24022650695910097,
    0.05550410866444772,
    0.009618129107606888,
    0.0013333558230164974,
    0.0001540353044173605,
    1.5252657260200837e-05,
    1.321544258792169e-06,
    1.0208690299958306e-07,
    7.072585949269223e-09,
)


def _fma(typing: Any, x: Any, y: Any, z: Any) -> Any:
    number = types.float64
    return number(number, number, number), lambda context, builder, signature, values: builder.fma(*values)


def _bits(typing: Any, x: Any) -> Any:
    return types.int64(types.float64), _reinterpreted


def _number(typing: Any, x: Any) -> Any:
    return types.float64(types.int64), _reinterpreted


def _reinterpreted(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    return builder.bitcast(values[0], context.get_value_type(signature.return_type))


fma = cast(Callable[[float, float, float], float], intrinsic(_fma))  # x·y + z, rounded once
_as_bits = cast(Callable[[float], int], intrinsic(_bits))
_as_number = cast(Callable[[int], float], intrinsic(_number))


# no fastmath: the same sums whatever the compiler
inlined = cast(Callable[[Loop], Loop], njit(error_model="numpy", forceinline=True))


@inlined
def log2(x: float) -> float:
    """log2 x for normal x > 0; −1e9 for x below 2^−1022."""
    exponent = (_as_bits(x) - _ROOT_HALF) >> 52
    m = _as_number(_as_bits(x) - (exponent << 52))
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = fma(fma(fma(fma(fma(fma(_P6, z, _P5), z, _P4), z, _P3), z, _P2), z, _P1), z, _P0)
    return fma(s, p, float(exponent)) if x >= _TINY else _MINUS_INFINITY


@inlined
def exp2(y: float) -> float:
    """2^y for y < 1024; 0 below 2^−1021. Larger y give nonsense, which callers must rule out."""
    shifted = y + _ROUNDING
    f = y - (shifted - _ROUNDING)
    q = fma(fma(fma(fma(fma(_Q10, f, _Q9), f, _Q8), f, _Q7), f, _Q6), f, _Q5)
    q = fma(fma(fma(fma(fma(q, f, _Q4), f, _Q3), f, _Q2), f, _Q1), f, _Q0)
    return _as_number(_as_bits(q) + (_as_bits(shifted) << 52)) if y > _UNDERFLOW else 0.0
