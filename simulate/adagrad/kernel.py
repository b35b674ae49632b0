"""The compiled loop of Adagrad on powered gradients: a tile of LANES = arms × runs, some steps.

Every quantity of a tile is a row of LANES numbers. Short loops over a row, each with one or two of the expensive
operations, keep both the multipliers and the divider of the processor busy; a longer body would wait for itself.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import boolean, float64, njit, void

from simulate.problems.base import GRADIENT_TYPE
from simulate.problems.elementary import exp2, fma, inlined, log2
from theory.numerics.inputs import Array

RUNS = 16  # side by side, of the same arm
ARMS = 8  # with the same noise
LANES = RUNS * ARMS  # constants, so that the compiler knows all distances in memory

ROWS = 17
_rows = iter(range(0, ROWS * LANES, LANES))
# Where the rows of a tile's flat `work` begin. First what the arms are; …
POWER, LEARNING_RATE, NOISE_TO_SIGNAL = next(_rows), next(_rows), next(_rows)
# … what is measured over the steps: three sums with the rounding they have lost, and an extreme; …
SUMS = next(_rows), next(_rows), next(_rows)  # of ‖∇F‖², ‖∇F‖_{p+1}^{p+1} and ‖∇F‖_1
LOST = next(_rows), next(_rows), next(_rows)
LARGEST_GRADIENT = next(_rows)
# … the sums over the steps of one call; and scratch.
_SQUARES, _POWERS, _ABSOLUTES = next(_rows), next(_rows), next(_rows)
_SQUARE, _X, _LOG, _TRUE_LOG = next(_rows), next(_rows), next(_rows), next(_rows)


@inlined
def _add_noise(gradient: Array, noise: Array, scale: float, multiplicative: bool, work: Array) -> None:
    if multiplicative:
        for run in range(RUNS):
            for arm in range(ARMS):
                lane = arm * RUNS + run
                work[_X + lane] = gradient[lane] * (1.0 + work[NOISE_TO_SIGNAL + lane] * noise[run])
    else:
        for run in range(RUNS):
            for arm in range(ARMS):
                lane = arm * RUNS + run
                work[_X + lane] = gradient[lane] + work[NOISE_TO_SIGNAL + lane] * (scale * noise[run])


@inlined
def _update(theta: Array, v: Array, gradient: Array, epsilon: float, work: Array) -> None:
    for lane in range(LANES):
        work[_LOG + lane] = log2(abs(work[_X + lane]))
        work[_TRUE_LOG + lane] = log2(abs(gradient[lane]))
    for lane in range(LANES):
        power, g, true = work[POWER + lane], work[_X + lane], gradient[lane]
        work[LARGEST_GRADIENT + lane] = max(work[LARGEST_GRADIENT + lane], abs(g))
        work[_SQUARE + lane] += true * true
        work[_ABSOLUTES + lane] += abs(true)
        x = np.copysign(exp2(power * work[_LOG + lane]), g)
        work[_X + lane] = g if power == 1.0 else x
    for lane in range(LANES):
        power, x, true = work[POWER + lane], work[_X + lane], gradient[lane]
        v[lane] = fma(x, x, v[lane])
        root = np.sqrt(v[lane] + epsilon)
        theta[lane] -= work[LEARNING_RATE + lane] * x / root if root > 0.0 else 0.0
        summand = exp2((power + 1.0) * work[_TRUE_LOG + lane])
        work[_POWERS + lane] += true * true if power == 1.0 else summand


@inlined
def _finish_step(work: Array) -> None:
    for lane in range(LANES):
        work[_SQUARES + lane] += work[_SQUARE + lane]
        work[_SQUARE + lane] = 0.0


@inlined
def _finish_sums(work: Array) -> None:
    # Knuth's exact addition: a sum of 10⁶ terms loses no more than that of one call.
    for row in range(0, 3 * LANES, LANES):
        for lane in range(row, row + LANES):
            total, summand = work[SUMS[0] + lane], work[_SQUARES + lane]
            new = total + summand
            part = new - total
            work[LOST[0] + lane] += (total - (new - part)) + (summand - part)
            work[SUMS[0] + lane] = new
            work[_SQUARES + lane] = 0.0


def _advance(
    fill_gradient: Callable[[Array, Array, Array], None],
    parameters: Array,
    scale: Array,
    multiplicative: bool,
    epsilon: float,
    noise: Array,
    theta: Array,
    v: Array,
    work: Array,
) -> None:
    gradient = np.empty_like(theta[0])
    for tile in range(theta.shape[0]):
        for step in range(noise.shape[0]):
            fill_gradient(theta[tile], parameters, gradient)
            for i in range(gradient.shape[0]):
                _add_noise(gradient[i], noise[step, i], scale[i], multiplicative, work[tile])
                _update(theta[tile, i], v[tile, i], gradient[i], epsilon, work[tile])
            _finish_step(work[tile])
        _finish_sums(work[tile])


@cache
def compiled_advance() -> Callable[..., None]:
    """Return the compiled loop; compiled when first asked for.

    Its arguments are the compiled gradient and its parameters, the noise scales σ_i/r, whether the noise is
    multiplicative, ε, the noise (steps, d, RUNS), and what it changes: θ and v (tiles, d, LANES) and the rows of
    work (tiles, ROWS·LANES).
    """
    cube, table = float64[:, :, ::1], float64[:, ::1]
    signature = void(GRADIENT_TYPE, table, float64[::1], boolean, float64, cube, cube, cube, table)
    compiled: Callable[..., None] = njit(signature, error_model="numpy", nogil=True, cache=True)(_advance)
    return compiled
