"""Measured changes against predicted ones: the slope of the regression through the origin, 1 if they agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from gradpower.tools.labels import Label
from theory.measured.micro_batch_gradients import jackknife_error
from theory.numerics.inputs import Array


@dataclass(frozen=True)
class Calibration:
    """The slope b of measured = b·predicted."""

    slope: float
    """Mean over seeds."""
    low: float
    high: float
    """95 % t interval over seeds, which takes the predicted changes as known."""
    jackknife: tuple[float, float]
    """95 % interval by leaving out one seed at a time, which does not."""
    count: int
    """Changes."""
    signs: int
    """Those of the predicted sign."""

    @property
    def label(self) -> Label:
        """By the t interval: reproduced if it lies within [0.8, 1.2], in part above 0."""
        return slope_label(self.low, self.high)

    @property
    def jackknife_label(self) -> Label:
        """The same by the jackknife."""
        return slope_label(*self.jackknife)


def slope_label(low: float, high: float) -> Label:
    """Return the verdict on an interval of the slope: reproduced if it lies within [0.8, 1.2], in part above 0.

    >>> slope_label(0.7, 1.1)
    <Label.IN_PART: 'in part'>
    """
    if low >= 0.8 and high <= 1.2:
        return Label.REPRODUCED
    return Label.IN_PART if low > 0 else Label.NOT_REPRODUCED


def calibrate(measured: Array, predicted: Array, *, weighted: bool = True) -> Calibration:
    """Regress measured on predicted changes, shape (changes, seeds), through the origin, seed by seed.

    Weights and regressor, the mean predicted change, are common to all seeds; a change is weighted by one over the
    variance of its gaps over seeds, or all are alike.

    Examples
    --------
    >>> predicted = np.array([[1.0, 1.2, 0.8], [-2.0, -2.1, -1.9]])
    >>> round(calibrate(0.9 * predicted, predicted, weighted=False).slope, 12)
    0.9
    """
    slopes = _slopes(measured, predicted, weighted)
    seeds = slopes.size
    without = [
        _slopes(np.delete(measured, seed, 1), np.delete(predicted, seed, 1), weighted).mean()
        for seed in range(seeds)
    ]
    quantile = float(stdtrit(seeds - 1, 0.975))
    slope, margin = float(slopes.mean()), quantile * float(slopes.std(ddof=1) / np.sqrt(seeds))
    wider = quantile * float(jackknife_error(np.array(without)))
    signs = int(np.sum(measured.mean(axis=1) * predicted.mean(axis=1) > 0))
    return Calibration(
        slope, slope - margin, slope + margin, (slope - wider, slope + wider), len(measured), signs
    )


def _slopes(measured: Array, predicted: Array, weighted: bool) -> Array:
    mean = predicted.mean(axis=1)
    weight = mean / (measured - predicted).var(axis=1, ddof=1) if weighted else mean
    return np.asarray(weight @ measured / (weight @ mean))
