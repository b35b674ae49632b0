"""What a measurement says of each module, of the gradient-noise scale, and of other batch sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from gradpower.tools.errors import InputError
from theory.measured.gradient_samples import GradientSamples
from theory.measured.micro_batch_gradients import MicroBatchGradients, jackknife_error
from theory.measured.noise_scale import noise_scale_of_norms
from theory.measured.noise_statistics import noise_shape
from theory.measured.noise_to_signal import QUANTILES, noise_to_signal
from theory.measured.shape_fit import (
    ShapeFit,
    averaged_shape,
    cross_fitted_kurtosis,
    fit_shape,
    pooled_excess_kurtosis,
)

if TYPE_CHECKING:
    from experiments.noise.gradients import Raw
    from experiments.noise.moments import Moments

__all__ = ["ShapeFit", "batch_row", "mean_and_error", "module_row", "noise_scales"]

MAGNITUDES = (0.01, 0.1, 0.5, 0.9, 0.99)


def mean_and_error(values: Sequence[float]) -> dict[str, float]:
    """Return the mean of independent values and its standard error.

    >>> mean_and_error([1.0, 3.0])
    {'mean': 2.0, 'standard_error': 1.0}
    """
    return {
        "mean": float(np.mean(values)),
        "standard_error": float(np.std(values, ddof=1)) / math.sqrt(len(values)),
    }


def module_row(raw: Raw, name: str) -> dict[str, Any]:
    """Return what there is to say of a module at the micro-batches' size.

    Signal Σμ² and noise Σσ² are over all its coordinates; their errors, and all else, come from the sampled ones.
    """
    data = raw.data(name)
    ratios = noise_to_signal(data)
    signal, noise = _totals(raw.first.halves[name])
    kurtosis, kurtosis_error = pooled_excess_kurtosis(data)
    medians = noise_shape(GradientSamples(data.gradients))
    entries = raw.modules[name] * len(data.gradients)
    shape = fit_shape(data)
    return {
        "module": name,
        "coordinates": data.coordinates,
        "sampled": data.gradients.shape[1],
        "noise_to_signal": math.sqrt(noise / signal) if signal > 0 else math.inf,
        "noise_to_signal_error": _ratio_error(signal, ratios.signal_error, noise, ratios.noise_error),
        "signal": signal,
        "signal_error": ratios.signal_error,
        "noise": noise,
        "noise_error": ratios.noise_error,
        "ratio_quantiles": {
            "probability": QUANTILES,
            "debiased": ratios.quantiles,
            "standard_error": ratios.quantile_errors,
            "naive": ratios.naive,
        },
        "snr": _snr(raw, name),
        "shape": asdict(shape),
        "excess_kurtosis": {
            "pooled": kurtosis,
            "standard_error": kurtosis_error,
            "all_coordinates": _kurtosis_of_all(raw.first.halves[name]),
            "median": medians.excess_kurtosis,
            "median_error": medians.excess_kurtosis_error,
        },
        "skewness": {
            "median": medians.skewness,
            "standard_error": medians.skewness_error,
            "median_magnitude": medians.absolute_skewness,
        },
        "root_mean_square": _magnitudes(data),
        "zero_entries": raw.first.zeros[name] / entries,
        "varying_coordinates": ratios.vary,
        "second_size": second_size(data, raw.data(name, second=True), raw.second.size / raw.first.size)
        | second_shape(shape, raw.data(name, second=True), raw.second.size / raw.first.size),
    }


def _ratio_error(signal: float, signal_error: float, noise: float, noise_error: float) -> float:
    """The standard error of √(noise/signal), to first order; NaN where the signal is not positive."""
    if signal <= 0 or noise <= 0:
        return math.nan
    return math.sqrt(noise / signal) / 2 * math.hypot(signal_error / signal, noise_error / noise)


def _totals(halves: Sequence[tuple[Moments, Moments]]) -> tuple[float, float]:
    """`Σ_i μ̂_A·μ̂_B` and `Σ_i σ̂_i²` over all coordinates."""
    signal = noise = 0.0
    for a, b in halves:
        signal += float((a.mean * b.mean).sum())
        noise += float((a.central[0] + b.central[0]).sum()) / (a.count + b.count - 2)
    return signal, noise


def _kurtosis_of_all(halves: Sequence[tuple[Moments, Moments]]) -> float:
    """The pooled excess kurtosis over all coordinates; NaN if fourth moments did not fit into memory."""
    if any(len(a.central) < 3 for a, _ in halves):
        return math.nan
    flat = [
        (
            pair[0][half].count,
            *(np.concatenate([p[half].central[k].flatten().cpu().numpy() for p in halves]) for k in (0, 2)),
        )
        for half, pair in ((0, halves), (1, halves))
    ]
    return cross_fitted_kurtosis(flat)  # type: ignore[arg-type]


def _snr(raw: Raw, name: str) -> dict[str, Any] | None:
    """The MoLS-style signal-to-noise ratio at the micro-batches' size; None where nothing varies."""
    assert raw.first.meter is not None
    try:
        found = raw.first.meter.snrs()[name]
    except ValueError:  # the gradients of some module do not vary
        return None
    low, high = found.interval()
    return {"value": found.snr, "low": low, "high": high, "resolved": found.resolved}


def _magnitudes(data: MicroBatchGradients) -> dict[str, Any]:
    """Quantiles over the sampled coordinates of √(E g²): where ε^(1/p) lies among them decides what ε does."""
    sizes = np.sqrt(np.mean(data.gradients.astype(np.float64) ** 2, axis=0))
    return {"probability": MAGNITUDES, "value": np.quantile(sizes, MAGNITUDES)}


def second_size(small: MicroBatchGradients, large: MicroBatchGradients, times: float) -> dict[str, float]:
    """Check σ ∝ 1/√B: `√(times·Σσ²_large/Σσ²_small)`, which is then 1, and its standard error.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> small = MicroBatchGradients("head", rng.standard_normal((64, 500)), 500)
    >>> large = MicroBatchGradients("head", rng.standard_normal((16, 500)) / 2, 500)
    >>> round(second_size(small, large, 4)["ratio"], 1)
    1.0
    """
    logs = [np.log(np.maximum((data.sigma**2).sum(axis=1), 1e-300)) / 2 for data in (small, large)]
    ratio = math.sqrt(times) * math.exp(float(logs[1][0] - logs[0][0]))
    error = ratio * float(np.hypot(*(jackknife_error(log[1:]) for log in logs)))
    return {"ratio": ratio, "standard_error": error}


def second_shape(shape: ShapeFit, large: MicroBatchGradients, times: float) -> dict[str, float]:
    """Fit the shape at the larger size, beside what averaging independent sequences makes of the smaller size's.

    Returns
    -------
    dict
        `shape` and `shape_error` as fitted, `expected_shape` of `averaged_shape`; NaN where there is none.
    """
    fitted = fit_shape(large)
    return {
        "shape": fitted.shape,
        "shape_error": fitted.error,
        "expected_shape": _shape(shape.shape, times),
    }


def noise_scales(raw: Raw) -> dict[str, Any]:
    """The gradient-noise scale in sequences, from norms at two batch sizes and from the trace of the covariance."""
    b, large = raw.first.size, raw.second.size
    norms = noise_scale_of_norms(np.array(raw.first.norms), np.array(raw.second.norms), b, large)
    pairs = [pair for halves in raw.first.halves.values() for pair in halves]
    signal, noise = _totals(pairs)
    assert raw.first.meter is not None
    try:
        found = raw.first.meter.snrs()["all"]
    except ValueError:
        raise InputError(
            "gradients", "constant or not finite", "gradients that are finite and vary"
        ) from None
    low, high = found.interval()
    return {
        "norms": {"sizes": [b, large], **asdict(norms)},
        "trace": {
            "signal": signal,
            "noise": b * noise,
            "simple": b * noise / signal if signal > 0 else math.nan,
            "interval": [b / high**2 if high > 0 else math.inf, b / low**2 if low > 0 else math.inf],
        },
        "snr": {"value": found.snr, "low": low, "high": high, "resolved": found.resolved},
    }


def batch_row(
    modules: Sequence[Mapping[str, Any]],
    scale: Mapping[str, Any],
    batch_size: int,
    size: int,
    clip_norm: float | None,
) -> dict[str, Any]:
    """Extrapolate to a batch of B sequences: σ_B = σ_b·√(b/B), excess kurtosis times b/B, the norm √(|G|² + S/B).

    The clip factor min(1, clip_norm/norm) multiplies all coordinates alike.
    """
    ratio = batch_size / size
    trace = scale["trace"]
    norm = math.sqrt(max(0.0, trace["signal"]) + trace["noise"] / batch_size)
    return {
        "batch_size": batch_size,
        "gradient_norm": norm,
        "clip_factor": min(1.0, clip_norm / (norm + 1e-6)) if clip_norm is not None else 1.0,
        "modules": [
            {
                "module": row["module"],
                "noise_to_signal": row["noise_to_signal"] / math.sqrt(ratio),
                "excess_kurtosis": row["excess_kurtosis"]["pooled"] / ratio,
                "shape": _shape(row["shape"]["shape"], ratio),
            }
            for row in modules
        ],
    }


def _shape(shape: float, ratio: float) -> float:
    return averaged_shape(shape, ratio) if math.isfinite(shape) else math.nan
