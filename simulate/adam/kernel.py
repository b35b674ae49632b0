"""The one compiled loop: sums of powers, `Σ_s a_s·r_s^k` for k = 0, 1, 2, …, by products alone.

With a = w·φ_{p0}(g) and r = |g|^Δ these are the averages
`m = Σ w_s φ_p(g_s)` on the grid of powers p = p0 + kΔ; with a = ω·|g|^{2·p0} and r = |g|^{2Δ},
the averages `v = Σ ω_s φ_p(g_s)²`. One product and one sum each.
"""

from collections.abc import Callable

from numba import njit

from theory.numerics.inputs import Array

LANES = 64  # trials side by side, a constant so that the compiler knows all distances in memory
STEP_TILE = 4
POWER_TILE = 8


def _add_power_sums(first: Array, ratio: Array, sums: Array) -> None:
    for tile in range(sums.shape[0]):
        total = sums[tile]
        for group in range(first.shape[0]):
            x, r = first[group], ratio[group]
            for lane in range(LANES):
                # Four steps at once stay in registers over eight powers: 12 stores for 32 terms.
                x0, x1, x2, x3 = x[lane], x[lane + LANES], x[lane + 2 * LANES], x[lane + 3 * LANES]
                r0, r1, r2, r3 = r[lane], r[lane + LANES], r[lane + 2 * LANES], r[lane + 3 * LANES]
                for k in range(POWER_TILE):
                    total[lane + k * LANES] += (x0 + x1) + (x2 + x3)
                    x0 *= r0
                    x1 *= r1
                    x2 *= r2
                    x3 *= r3
                x[lane], x[lane + LANES], x[lane + 2 * LANES], x[lane + 3 * LANES] = x0, x1, x2, x3


# No fastmath: neither contraction nor reordering, so the sums are the same on every machine.
_compiled: Callable[[Array, Array, Array], None] = njit(nogil=True, cache=True)(_add_power_sums)


def add_power_sums(first: Array, ratio: Array, sums: Array) -> None:
    """Add `Σ_s first[s]·ratio[s]^k` to sums[k], lane by lane; `first` is overwritten.

    There are whole STEP_TILEs of steps, and whole POWER_TILEs of sums.

    >>> import numpy as np
    >>> sums = np.zeros((8, LANES))
    >>> add_power_sums(np.ones((4, LANES)), np.full((4, LANES), 2.0), sums)
    >>> sums[:, 0].tolist()
    [4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0]
    """
    _compiled(
        first.reshape(-1, STEP_TILE * LANES),
        ratio.reshape(-1, STEP_TILE * LANES),
        sums.reshape(-1, POWER_TILE * LANES),
    )
