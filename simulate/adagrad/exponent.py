"""How fast a measured curve falls: the exponent of its power law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student_t

from gradpower.tools.errors import require
from theory.numerics.inputs import Array, positive


@dataclass(frozen=True)
class Exponent:
    """The exponent a in `value ∝ T^{−a}`, and half the width of its confidence interval, shape (...)."""

    mean: Array
    half_width: Array


def fitted_exponent(
    steps: ArrayLike, values: ArrayLike, *, decades: float = 2.0, confidence: float = 0.95
) -> Exponent:
    """Fit `−d ln value/d ln T` by least squares over the last decades, seed by seed.

    The seeds are independent, the checkpoints of one seed are not: the interval is Student's, from the scatter of the
    seeds' exponents.

    Parameters
    ----------
    steps, values : array_like
        Increasing T, shape (checkpoints,), and the curves, shape (..., seeds, checkpoints), at least two seeds. Where
        one of a seed's values is 0, or only one checkpoint lies in the last decades, there is no exponent: NaN.
    decades : float
        How much of the curve to use: T from steps[-1]/10^decades on.
    confidence : float
        Level of the interval, in (0, 1); InputError for others.

    >>> T = np.array([1, 10, 100, 1000])
    >>> fit = fitted_exponent(T, [3 * T**-0.5, 5 * T**-0.5])
    >>> f"{fit.mean:.3f} ± {fit.half_width:.3f}"
    '0.500 ± 0.000'
    """
    require(0 < confidence < 1, "confidence", confidence, "a number between 0 and 1")
    every = positive("steps", steps)
    # A little room, so that the rounding of 10^decades does not decide.
    late = every >= every[-1] / 10.0**decades * (1 - 1e-9)
    log_steps = np.log(every[late])
    centred = log_steps - log_steps.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = -np.log(np.asarray(values, dtype=np.float64)[..., late]) @ centred / (centred @ centred)
    slopes = np.where(np.isfinite(slopes), slopes, np.nan)
    seeds = slopes.shape[-1]
    error = slopes.std(axis=-1, ddof=1) / np.sqrt(seeds)
    return Exponent(slopes.mean(axis=-1), student_t.ppf((1 + confidence) / 2, seeds - 1) * error)
