"""What the gradients of micro-batches say of a model's noise, by module and as a whole."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradpower.tools.errors import InputError
from theory.measured.micro_batch_gradients import MicroBatchGradients, jackknife_error
from theory.measured.noise_scale import noise_scale_of_norms
from theory.measured.noise_to_signal import noise_to_signal
from theory.measured.shape_fit import ShapeFit, pooled_excess_kurtosis

if TYPE_CHECKING:
    from experiments.noise.gradients import Gradients
    from gradpower import ModuleSNR

Number = float | None  # None: not finite, or nothing to estimate


@dataclass(frozen=True)
class ModuleRow:
    """The noise of one kind of module, at the micro-batches' size.

    Attributes
    ----------
    module : str
        The kind.
    coordinates, sampled : int
        Its coordinates, and how many were sampled: all but the first ratio comes from these.
    noise_to_signal, low, high : float or None
        √(Σσ²/Σμ²) over all coordinates and its 95 % interval; None where the signal is not above 0.
    ratios, ratio_errors, naive_ratios : tuple
        Quantiles of σ/|μ| over coordinates at `theory.measured.noise_to_signal.QUANTILES`, free of the means' own
        noise, their standard errors, and those of σ̂/|μ̂|; none if no gradient varies.
    shape, shape_error, shape_at_edge : float, float, bool
        The fitted shape b of the noise: 1 Laplace, 2 Gaussian; its error; whether it lies at an end of the search.
    kurtosis, kurtosis_error : float or None
        Pooled excess kurtosis, 0 for Gaussian noise.
    zero_entries : float
        Share of all gradient entries that are exactly 0.
    second_size, second_size_error : float
        σ·√B of micro-batches four times as large over that of the first: 1 if σ ∝ 1/√B.
    """

    module: str
    coordinates: int
    sampled: int
    noise_to_signal: Number
    low: Number
    high: Number
    ratios: tuple[float, ...]
    ratio_errors: tuple[float, ...]
    naive_ratios: tuple[float, ...]
    shape: Number
    shape_error: Number
    shape_at_edge: bool
    kurtosis: Number
    kurtosis_error: Number
    zero_entries: float
    second_size: Number
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
        noise_to_signal=_inverse(snr.snr),
        low=_inverse(high),
        high=_inverse(low),
        ratios=tuple(filter(math.isfinite, ratios.quantiles)),
        ratio_errors=tuple(filter(math.isfinite, ratios.quantile_errors)),
        naive_ratios=tuple(filter(math.isfinite, ratios.naive)),
        shape=_known(fit.shape),
        shape_error=_known(fit.error),
        shape_at_edge=fit.at_edge,
        kurtosis=_known(kurtosis),
        kurtosis_error=_known(kurtosis_error),
        zero_entries=first.zeros[name] / (data.coordinates * len(data.gradients)),
        second_size=_known(ratio),
        second_size_error=_known(error),
    )


def second_size(small: MicroBatchGradients, large: MicroBatchGradients, times: float) -> tuple[float, float]:
    """Check σ ∝ 1/√B: `√(times·Σσ²_large/Σσ²_small)`, which is then 1, and its standard error.

    Examples
    --------
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
    found = noise_scale_of_norms(np.array(first.norms), np.array(second.norms), first.size, second.size)
    return Scale(found.signal, found.noise, _known(found.simple), *map(_known, found.interval))


def scale_of_trace(whole: ModuleSNR, size: int) -> Scale:
    """The gradient-noise scale from the signal-to-noise ratio of all coordinates at micro-batches of `size`."""
    low, high = whole.interval()
    simple = size / whole.squared if whole.squared > 0 else None
    return Scale(
        whole.signal,
        size * whole.noise,
        simple,
        size / high**2 if high else None,
        size / low**2 if low else None,
    )


def snrs(gradients: Gradients) -> dict[str, ModuleSNR]:
    """The signal-to-noise ratio of every module, and of "all" together.

    Raises
    ------
    InputError
        If the gradients of a module do not vary or are not finite.
    """
    try:
        return gradients.meter.snrs()
    except InputError:
        raise InputError(
            "gradients", "constant or not finite", "gradients that are finite and vary"
        ) from None


def _known(value: float) -> Number:
    return float(value) if math.isfinite(value) else None


def _inverse(value: float) -> Number:
    return 1 / value if value > 0 else None
