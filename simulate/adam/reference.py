"""The readable twin of the fast path: Adam on powered gradients as one would write it down, step by step."""

from collections.abc import Iterable

import numpy as np

from simulate.adam.setting import Setting
from theory.numerics.inputs import Array


def adam_averages(
    gradients: Iterable[Array], powers: Array, beta1: float, beta2: float
) -> tuple[Array, Array]:
    """Adam's moving averages from zero: `m ← β1·m + (1−β1)·x`, `v ← β2·v + (1−β2)·x²`, x = sign(g)|g|^p.

    >>> m, v = adam_averages([np.array([-2.0])], np.array([3.0]), 0.5, 0.75)
    >>> m.tolist(), v.tolist()
    ([-4.0], [16.0])
    """
    m = v = np.zeros(())
    for g in gradients:
        x = np.sign(g) * np.abs(g) ** powers
        m = beta1 * m + (1 - beta1) * x
        v = beta2 * v + (1 - beta2) * x**2
    return m, v


def reference_updates(setting: Setting) -> Array:
    """Compute `simulate_adam`'s updates u from the same noise: (noise scales, powers, trials)."""
    noise_scales, powers = setting.noise_scales[:, None, None], setting.powers[:, None]
    blocks = []
    for source in setting.sources:
        noise = (xi for live, chunk in setting.noise_chunks(source) for xi in chunk[-live:])
        gradients = (setting.mean + noise_scales * xi for xi in noise)
        m, v = adam_averages(gradients, powers, setting.beta1, setting.beta2)
        m_hat, v_hat = m / setting.correction(setting.beta1), v / setting.correction(setting.beta2)
        scale = np.sqrt(v_hat) + setting.epsilon
        # no step where all g = 0
        blocks.append(np.divide(m_hat, scale, out=np.zeros_like(m_hat), where=scale > 0))
    return np.concatenate(blocks, axis=-1)[..., : setting.trials]
