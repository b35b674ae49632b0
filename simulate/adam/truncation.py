"""How far the stationary update is from the one that has seen the last N steps only.

Let m_N, v_N be the averages started N steps back from zero, u_N = m_N/(√v_N + ε). Stationary averages are
`m = m_N + β1^N·m'`, `v = v_N + β2^N·v'`, where m', v' are stationary too and, being older, independent of
m_N, v_N. Then

    u − u_N = β1^N·m'/(√v + ε) − u_N·(√v − √v_N)/(√v + ε),

and because v >= v_N, and √(a + b) − √a <= b/(2√a),

    |u − u_N| <= β1^N·|m'|/(√v_N + ε) + β2^N·v'·|u_N|/(2√v_N·(√v_N + ε)).

In expectation, with X² = E x² = E|g|^{2p}, E v' = X² and E|m'| <= E|x| <= X,

    E|u − u_N| <= β1^N·X·E[1/(√v_N + ε)] + ½·β2^N·X²·E[|u_N|/(√v_N·(√v_N + ε))].

The two expectations on the right are of simulated quantities, and are averaged over the trials. ln E|g|^{2p}
is convex in p (Hölder), so its chord over the grid of powers lies above it: two exact moments serve them all.
"""

from __future__ import annotations

import numpy as np

from simulate.adam.setting import Setting
from theory.adam.moments import power_moments
from theory.numerics.inputs import Array


def truncation_bound(setting: Setting, x_rms: Array, m: Array, v: Array) -> Array:
    """Bound |E u − E u_N| from X (`largest_rms`) and the averages m_N, v_N in units in which max(μ, σ) = 1.

    0 if steps are literal; infinite if the law has no moment of order 2p.
    """
    if setting.steps is not None:
        return np.zeros(m.shape[:-1])
    root = np.sqrt(v)
    window = setting.window
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        inverse = 1 / (root + setting.scaled_epsilon()[..., None])
        first = setting.beta1**window * x_rms * inverse.mean(axis=-1)
        second = setting.beta2**window * x_rms**2 * (np.abs(m) / root * inverse**2).mean(axis=-1) / 2
        bound = first + second
    return np.where(np.isfinite(bound), bound, np.inf)


def largest_rms(setting: Setting) -> Array:
    """Bound `√(E φ_p(g)²)` in units in which max(μ, σ) = 1 by the chord of its logarithm over the powers."""
    powers, units = setting.powers, setting.units
    known = powers[2 * powers < setting.law.moment_limit]
    result = np.full((units.size, powers.size), np.inf)
    for i, unit in enumerate(units):
        location, scale = setting.mean / unit, setting.noise_scales[i] / unit
        if scale == 0:
            result[i] = 1.0
        elif known.size:
            ends = known[[0, -1]]
            log_rms = np.log(power_moments(ends, location, scale, setting.law).rms)
            result[i, : known.size] = np.exp(np.interp(known, ends, log_rms))
    return result
