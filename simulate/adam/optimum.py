"""The power with the largest mean update, estimated by Monte Carlo with a confidence interval."""

import numpy as np
from scipy.interpolate import BSpline, PPoly, make_interp_spline
from scipy.stats import t as student_t

from gradpower.tools.errors import require
from gradpower.tools.terminal import Progress
from simulate.adam.monte_carlo import AdamTrials, simulate_adam
from theory.adam.optimum import OptimalPower
from theory.laws import NoiseLaw
from theory.numerics.inputs import Array
from theory.numerics.inputs import interval as checked_interval

_POWERS = 256
_FLAT = 1e-12  # rounding makes such differences between drifts that are equal


def monte_carlo_optimal_power(
    mean: float,
    noise_scale: float,
    law: NoiseLaw,
    *,
    beta1: float = 0.9,
    beta2: float = 0.95,
    epsilon: float = 1e-8,
    interval: tuple[float, float] = (0.0, 5.0),
    trials: int = 16384,
    seed: int = 0,
    confidence: float = 0.95,
    progress: Progress | None = None,
) -> OptimalPower:
    """Estimate p* = argmax E u(p) at stationarity (the starred powers of Figure 7).

    All powers see the same noise, so the mean over the trials, ū(p), is as smooth in p as its expectation: a
    quintic spline through an equally spaced grid interpolates it, and p̂* is a root of ū'. By the delta method
    `p̂* − p* ≈ −ū'(p*)/ū''(p*)`: the margin of p̂* is that of the slope, from the scatter of 64 independent
    batches at p̂* and Student's quantile, over |ū''(p̂*)|. An end of the interval of powers wins unless a
    maximum inside beats it by more than the margin of their difference.

    Arguments are those of `simulate_adam`, but for `interval`, 0 <= LOW < HIGH (the grid lies inside, LOW = 0 is never
    simulated), and `confidence`, the level of the confidence interval, in (0, 1).

    >>> from theory.laws import parse_law
    >>> best = monte_carlo_optimal_power(1e-6, 1e-5, parse_law("uniform"), trials=4096)
    >>> f"{best.power:.2f}"
    '1.22'
    """
    require(0 < confidence < 1, "confidence", confidence, "a number between 0 and 1")
    low, high = checked_interval("interval", interval)
    powers = low + (high - low) * (np.arange(_POWERS) + 0.5) / _POWERS
    simulated = simulate_adam(
        powers,
        mean,
        noise_scale,
        law,
        beta1=beta1,
        beta2=beta2,
        epsilon=epsilon,
        trials=trials,
        seed=seed,
        progress=progress,
    )
    return _estimate(simulated, powers, (low, high), confidence)


def _estimate(
    simulated: AdamTrials, powers: Array, interval: tuple[float, float], confidence: float
) -> OptimalPower:
    low, high = interval
    curve = make_interp_spline(powers, simulated.drift, k=5)
    batches = make_interp_spline(powers, simulated.batch_drifts().T, k=5)
    maxima = _local_maxima(curve, low, high)
    # Where u does not depend on p, rounding must not decide.
    edge = high if curve(high) - curve(low) > _FLAT else low
    best = max(maxima, key=curve, default=edge)
    at_edge = power_interval = None
    if curve(best) - curve(edge) <= max(_margin(batches(best) - batches(edge), confidence), _FLAT):
        best, at_edge = edge, "low" if edge == low else "high"
    else:
        margin = _margin(batches(best, nu=1), confidence) / abs(float(curve(best, nu=2)))
        power_interval = max(best - margin, low), min(best + margin, high)
    return OptimalPower(
        power=best,
        update=float(curve(best)),
        at_edge=at_edge,
        local_maxima=maxima,
        interval=interval,
        method="monte-carlo",
        power_interval=power_interval,
    )


def _local_maxima(curve: BSpline, low: float, high: float) -> tuple[float, ...]:
    roots = PPoly.from_spline(curve.derivative()).roots(extrapolate=True)
    inside = roots[(roots > low) & (roots < high)]
    return tuple(float(root) for root in inside if curve(root, nu=2) < 0)


def _margin(batches: Array, confidence: float) -> float:
    """Half the width of Student's confidence interval of the mean of independent `batches`."""
    error = batches.std(ddof=1) / np.sqrt(batches.size)
    return float(student_t.ppf((1 + confidence) / 2, batches.size - 1) * error)
