"""How fast a measured curve falls: the exponent of its power law."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student_t

from theory.numerics.inputs import Array, positive

CONFIDENCE = 0.95  # of all intervals and comparisons
_DECADES = 2.0


def fitted_exponent(steps: ArrayLike, values: ArrayLike) -> tuple[Array, Array]:
    """Fit `−d ln value/d ln T` by least squares over the last two decades, seed by seed.

    The seeds are independent, the checkpoints of one seed are not: the interval is Student's, from the scatter of the
    seeds' exponents.

    `steps` are increasing T, shape (checkpoints,), `values` the curves, shape (..., seeds, checkpoints), at least two
    seeds. Returns the mean exponent and half the width of its 95 % interval, shape (...) each; NaN where one of a
    seed's values is 0, or only one checkpoint lies in these decades.

    >>> T = np.array([1, 10, 100, 1000])
    >>> exponent, half_width = fitted_exponent(T, [3 * T**-0.5, 5 * T**-0.5])
    >>> f"{exponent:.3f} ± {half_width:.3f}"
    '0.500 ± 0.000'
    """
    every = positive("steps", steps)
    late = every >= every[-1] / 10.0**_DECADES * (1 - 1e-9)  # a little room, so that rounding does not decide
    log_steps = np.log(every[late])
    centred = log_steps - log_steps.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = -np.log(np.asarray(values, dtype=np.float64)[..., late]) @ centred / (centred @ centred)
    slopes = np.where(np.isfinite(slopes), slopes, np.nan)
    seeds = slopes.shape[-1]
    error = slopes.std(axis=-1, ddof=1) / np.sqrt(seeds)
    return slopes.mean(axis=-1), student_t.ppf((1 + CONFIDENCE) / 2, seeds - 1) * error
