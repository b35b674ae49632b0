"""What the studies share: how large they are, and powers compared fairly, each at its own best learning rate."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.stats import t as student_t

from gradpower.tools.terminal import progress_bar
from simulate.adagrad.exponent import CONFIDENCE
from theory.numerics.inputs import Array

Plan = TypeVar("Plan")


@dataclass(frozen=True)
class Size:
    """The size of every study."""

    steps: int  # T of the comparisons
    long_steps: int  # T where exponents are fitted
    seeds: int  # independent runs of each arm
    rates_per_octave: int  # learning rates tried a factor 2; the best one is sought on this grid
    search_steps: int  # T of the search for extremes
    search_rounds: int  # instances tried from each of its starts


FULL = Size(100_000, 1_000_000, seeds=32, rates_per_octave=2, search_steps=3_000, search_rounds=40)


def reported(plans: Iterable[Plan], study: str) -> Iterator[Plan]:
    """Yield the plans of a study, and show how many are done."""
    todo = list(plans)
    with progress_bar(f"study of {study}") as progress:
        for done, plan in enumerate(todo, start=1):
            yield plan
            if progress is not None:
                progress(done, len(todo))


def learning_rates(low: float, high: float, per_octave: int) -> Array:
    """A geometric grid from `low` to at least `high`.

    >>> learning_rates(1, 4, 2).round(3).tolist()
    [1.0, 1.414, 2.0, 2.828, 4.0]
    """
    octaves = np.log2(high / low)
    return np.asarray(low * 2 ** (np.arange(round(octaves * per_octave) + 1) / per_octave))


class Ratio(NamedTuple):
    """A ratio of two means over paired runs, and its confidence interval."""

    value: float
    low: float
    high: float


def paired_ratio(numerator: Array, denominator: Array) -> Ratio:
    """The ratio of two means over runs that share their noise: Student's interval on the logarithm.

    Linearised, `ln(ā/b̄) ≈ mean(a_i/ā − b_i/b̄)` has the standard error of the differences over the runs.

    >>> paired_ratio(np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0]))
    Ratio(value=2.0, low=2.0, high=2.0)
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
