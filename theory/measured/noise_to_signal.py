"""The noise-to-signal ratios σ_i/|μ_i| of the coordinates of a module, free of the noise of the measured means."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import minimize
from scipy.special import chdtri, ndtr, ndtri

from theory.measured.micro_batch_gradients import MicroBatchGradients, jackknife_error
from theory.numerics.inputs import Array

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_RATIOS = np.linspace(np.log(1e-3), np.log(1e5), 140)  # ln r
_SPREADS = 24
_EDGES = np.concatenate([np.linspace(0.0, 8.0, 161), np.geomspace(8.2, 1e4, 120)])


@dataclass(frozen=True)
class NoiseToSignal:
    """Noise-to-signal ratios of a module, at the size of the micro-batches."""

    quantiles: tuple[float, ...]
    """Of σ_i/|μ_i| over the coordinates that vary, at `QUANTILES`, by a log-normal fit, and their standard errors."""
    quantile_errors: tuple[float, ...]
    naive: tuple[float, ...]
    """The same quantiles of σ̂_i/|μ̂_i|, which N samples keep below about √N/0.7 in the median."""


def noise_to_signal(data: MicroBatchGradients) -> NoiseToSignal:
    """Estimate the distribution of the ratios.

    z_i = √N·|μ̂_i|/σ̂_i is, by the central limit theorem, the magnitude of a non-central t of mean about √N·|μ_i|/σ_i.
    The quantiles are those of the log-normal distribution of the ratio under which the observed z are most likely.
    (Without such a family, ratios far above √N cannot be told from each other: their z are all pure noise.)

    >>> rng = np.random.default_rng(0)
    >>> ratio = np.exp(rng.normal(np.log(20), 1, 20_000))
    >>> data = MicroBatchGradients("head", 1 / ratio + rng.standard_normal((64, 20_000)), 20_000)
    >>> found = noise_to_signal(data)
    >>> 16 < found.quantiles[2] < 24, found.naive[2] < 12
    (True, True)
    """
    count = len(data.gradients)
    logs, naive = [], np.full(len(QUANTILES), np.nan)
    for index, n in enumerate([count, *(count - len(rows) for rows in data.left_out)]):
        varies = data.sigma[index] > 0
        if not np.any(varies):
            logs.append(np.full(len(QUANTILES), np.nan))
            continue
        z = np.sqrt(n) * np.abs(data.means[:, index, varies].sum(axis=0) / 2) / data.sigma[index, varies]
        if index == 0:
            naive = np.quantile(np.sqrt(n) / np.maximum(z, 1e-12), QUANTILES)
        logs.append(_log_quantiles(z, n))
    quantiles = np.exp(logs[0])
    errors = quantiles * jackknife_error(np.array(logs[1:]))
    return NoiseToSignal(tuple(quantiles.tolist()), tuple(errors.tolist()), tuple(naive.tolist()))


def _log_quantiles(z: Array, count: int) -> Array:
    """`ln r` at `QUANTILES` from the magnitudes z of Gaussian variables with mean √count/r."""
    observed, _ = np.histogram(np.minimum(z, _EDGES[-1] * 0.999), _EDGES)
    likelihood = _masses(count)[observed > 0]
    observed = observed[observed > 0] / observed.sum()

    def misfit(parameters: Array) -> float:
        centre, spread = parameters[0], np.exp(parameters[1])
        share = np.exp(-0.5 * ((_RATIOS - centre) / spread) ** 2)
        total = share.sum()
        return float(-(observed @ np.log(likelihood @ (share / total)))) if total > 0 else np.inf

    # a start where the root mean square of z is what it would be without spread
    excess = max(float(np.mean(np.minimum(z, 1e4) ** 2)) - 1, 1e-3)
    start = np.array([np.log(np.sqrt(count / excess)), 0.0])
    bounds = [(_RATIOS[0], _RATIOS[-1]), (np.log(0.1), np.log(3.0))]
    found = minimize(misfit, np.clip(start, *np.transpose(bounds)), method="Nelder-Mead", bounds=bounds)
    return np.asarray(found.x[0] + np.exp(found.x[1]) * ndtri(QUANTILES))


@lru_cache(maxsize=8)
def _masses(count: int) -> Array:
    """Probability of each cell of `_EDGES` for z of `count` samples at each of `_RATIOS`, shape (cells, ratios).

    z is the magnitude of Student's non-central t with count − 2 degrees of freedom: Gaussian given σ̂/σ, over whose law
    the average is taken.
    """
    degrees = count - 2
    centre = np.sqrt(count) * np.exp(-_RATIOS)
    total = np.zeros((_EDGES.size - 1, _RATIOS.size))
    for chance in (np.arange(_SPREADS) + 0.5) / _SPREADS:
        edges = _EDGES[:, None] * np.sqrt(chdtri(degrees, 1 - chance) / degrees)
        up = ndtr(edges - centre) - ndtr(-edges - centre)
        # far above its centre the difference of two numbers close to 1 is lost; the complement is not
        above = ndtr(centre - edges) + ndtr(-edges - centre)
        total += np.where(up[1:] > 0.5, -np.diff(above, axis=0), np.diff(up, axis=0))
    return np.maximum(total / _SPREADS, 1e-300)
