"""What the gradients of micro-batches say of a model's noise, by module and as a whole."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from theory.measured.micro_batch_gradients import MicroBatchGradients, jackknife_error
from theory.measured.noise_scale import noise_scale_of_norms
from theory.measured.noise_to_signal import noise_to_signal
from theory.measured.shape_fit import ShapeFit, pooled_excess_kurtosis

if TYPE_CHECKING:
    from experiments.noise.gradients import Gradients
    from gradpower import ModuleSNR

Number = float | None  # None in files: not finite, or nothing to estimate


@dataclass(frozen=True)
class ModuleRow:
    """The noise of one kind of module, at the micro-batches' size."""

    module: str
    coordinates: int
    sampled: int
    """How many of the coordinates were sampled: all but the first ratio comes from these."""
    noise_to_signal: Number
    """√(Σσ²/Σμ²) over all coordinates, not finite where the signal is not above 0; and its 95 % interval."""
    low: Number
    high: Number
    ratios: tuple[float, ...]
    """Quantiles of σ/|μ| over coordinates at `theory.measured.noise_to_signal.QUANTILES`, free of the means' own
    noise, their standard errors, and those of σ̂/|μ̂|; none if no gradient varies."""
    ratio_errors: tuple[float, ...]
    naive_ratios: tuple[float, ...]
    shape: Number
    """The fitted shape b of the noise: 1 Laplace, 2 Gaussian; its error; whether it lies at an end of the search."""
    shape_error: Number
    shape_at_edge: bool
    kurtosis: Number
    """Pooled excess kurtosis, 0 for Gaussian noise."""
    kurtosis_error: Number
    zero_entries: float
    """Share of all gradient entries that are exactly 0."""
    second_size: Number
    """σ·√B of micro-batches four times as large over that of the first: 1 if σ ∝ 1/√B."""
    second_size_error: Number


@dataclass(frozen=True)
class Scale:
    """A gradient-noise scale S/|G|² in sequences with its 95 % interval, and its parts.

    `signal` is |G|², `noise` the trace S of the covariance of one sequence's gradient.
    """

    signal: float
    noise: float
    simple: Number
    low: Number
    high: Number


def module_row(first: Gradients, second: Gradients, name: str, snr: ModuleSNR, fit: ShapeFit) -> ModuleRow:
    """Describe a module from its gradients at both sizes, its signal-to-noise ratio and the shape of its noise."""
    data = first.of(name)
    ratios = noise_to_signal(data)
    ratio, error = second_size(data, second.of(name), second.size / first.size)
    low, high = snr.interval()
    kurtosis, kurtosis_error = pooled_excess_kurtosis(data)
    return ModuleRow(
        module=name,
        coordinates=data.coordinates,
        sampled=data.gradients.shape[1],
        noise_to_signal=_over(1, snr.snr),
        low=_over(1, high),
        high=_over(1, low),
        ratios=tuple(filter(math.isfinite, ratios.quantiles)),
        ratio_errors=tuple(filter(math.isfinite, ratios.quantile_errors)),
        naive_ratios=tuple(filter(math.isfinite, ratios.naive)),
        shape=fit.shape,
        shape_error=fit.error,
        shape_at_edge=fit.at_edge,
        kurtosis=kurtosis,
        kurtosis_error=kurtosis_error,
        zero_entries=first.zeros[name] / (data.coordinates * len(data.gradients)),
        second_size=ratio,
        second_size_error=error,
    )


def second_size(small: MicroBatchGradients, large: MicroBatchGradients, times: float) -> tuple[float, float]:
    """Check σ ∝ 1/√B: `√(times·Σσ²_large/Σσ²_small)`, which is then 1, and its standard error.

    >>> rng = np.random.default_rng(0)
    >>> small = MicroBatchGradients("head", rng.standard_normal((64, 500)), 500)
    >>> large = MicroBatchGradients("head", rng.standard_normal((16, 500)) / 2, 500)
    >>> round(second_size(small, large, 4)[0], 1)
    1.0
    """
    logs = [np.log(np.maximum((data.sigma**2).sum(axis=1), 1e-300)) / 2 for data in (small, large)]
    ratio = math.sqrt(times) * math.exp(float(logs[1][0] - logs[0][0]))
    return ratio, ratio * float(np.hypot(*(jackknife_error(log[1:]) for log in logs)))


def scale_of_norms(first: Gradients, second: Gradients) -> Scale:
    """The gradient-noise scale from the norms of whole gradients at two batch sizes."""
    scale = noise_scale_of_norms(np.array(first.norms), np.array(second.norms), first.size, second.size)
    return Scale(scale.signal, scale.noise, scale.simple, *scale.interval)


def scale_of_trace(whole: ModuleSNR, size: int) -> Scale:
    """The gradient-noise scale from the signal-to-noise ratio of all coordinates at micro-batches of `size`."""
    low, high = whole.interval()
    ratios = (_over(size, squared) for squared in (whole.squared, high**2, low**2))
    return Scale(whole.signal, size * whole.noise, *ratios)


def _over(value: float, divisor: float) -> float:
    return value / divisor if divisor > 0 else math.inf
