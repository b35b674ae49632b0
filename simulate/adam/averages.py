"""The fast path: Adam's averages of one block of trials, as weighted sums over chunks of steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simulate.adam.kernel import LANES, POWER_TILE, add_power_sums
from simulate.adam.noise import CHUNK, noise_chunks
from simulate.adam.setting import Setting
from theory.numerics.inputs import Array

_AGE = np.arange(CHUNK)[::-1, None]


def _weights(beta: float, live: int) -> Array:
    """`(1−β)β^k` for the steps of a chunk, k counted back from its end; 0 before the first live step."""
    return np.where(live > _AGE, (1 - beta) * beta**_AGE, 0.0)


def block_averages(
    setting: Setting, source: np.random.SeedSequence, tick: Callable[[], None]
) -> tuple[Array, Array]:
    """Averages m and v of φ_p(g_t) over one block of trials, (noise scales, powers, LANES), where max(μ, σ) = 1.

    Unrolled over a chunk of C steps the moving averages are `m ← β1^C·m + Σ_k (1−β1)β1^k x_k` and likewise v:
    no step waits for the one before it. `tick` is called after every chunk.
    """
    spacing, powers = setting.spacing, setting.powers.size
    rows = -(-powers // POWER_TILE) * POWER_TILE
    m, v = np.zeros((2, setting.noise_scales.size, rows, LANES))
    for live, noise in noise_chunks(setting.law, source, setting.window, setting.antithetic):
        weights1, weights2 = _weights(setting.beta1, live), _weights(setting.beta2, live)
        for i, unit in enumerate(setting.units):
            g = setting.mean / unit + setting.noise_scales[i] / unit * noise
            with np.errstate(divide="ignore", over="ignore"):
                log = np.log(np.abs(g))
                x, ratio = np.copysign(np.exp(setting.powers[0] * log), g), np.exp(spacing * log)
                square, square_ratio = x * x, ratio * ratio
            m[i] *= setting.beta1**CHUNK
            add_power_sums(x * weights1, ratio, m[i])
            v[i] *= setting.beta2**CHUNK
            add_power_sums(square * weights2, square_ratio, v[i])
        tick()
    return m[:, :powers], v[:, :powers]
