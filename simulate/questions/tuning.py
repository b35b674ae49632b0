"""Comparing powers fairly: each at its own best learning rate, chosen on other runs than those that judge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from theory.numerics.inputs import Array

CONFIDENCE = 0.95


def learning_rates(low: float, high: float, per_octave: int) -> Array:
    """A geometric grid from `low` to at least `high`.

    >>> learning_rates(1, 4, 2).round(3).tolist()
    [1.0, 1.414, 2.0, 2.828, 4.0]
    """
    octaves = np.log2(high / low)
    return np.asarray(low * 2 ** (np.arange(round(octaves * per_octave) + 1) / per_octave))


@dataclass(frozen=True)
class Ratio:
    """A ratio of two means over paired runs, and its confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return the value with its interval."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def paired_ratio(numerator: Array, denominator: Array) -> Ratio:
    """The ratio of two means over runs that share their noise: Student's interval on the logarithm.

    Linearised, `ln(ā/b̄) ≈ mean(a_i/ā − b_i/b̄)` has the standard error of the differences over the runs.

    >>> ratio = paired_ratio(np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0]))
    >>> ratio.value, ratio.low, ratio.high
    (2.0, 2.0, 2.0)
    """
    a, b = numerator.mean(), denominator.mean()
    error = np.std(numerator / a - denominator / b, ddof=1) / np.sqrt(numerator.size)
    reach = np.exp(student_t.ppf((1 + CONFIDENCE) / 2, numerator.size - 1) * error)
    return Ratio(float(a / b), float(a / b / reach), float(a / b * reach))


def best_rates(final: Array) -> tuple[Array, Array]:
    """The place of each power's best learning rate on half of the runs, and the results of the other runs there.

    `final` is what is to be small, of shape (powers, learning rates, runs).
    """
    half = final.shape[-1] // 2
    index = np.argmin(final[..., :half].mean(axis=-1), axis=-1)
    return index, final[np.arange(final.shape[0]), index, half:]
