"""Spikes of a training loss, by a fixed definition."""

import numpy as np
from numpy.typing import ArrayLike

from theory.numerics.inputs import Array

WINDOW = 50
"""Losses before one, which it is held against."""


def spikes(losses: ArrayLike, *, deviations: float = 6.0, apart: int = 10) -> list[int]:
    """Return the places of spikes in a series of losses: what stands far above the losses just before.

    A spike is above the median of the `WINDOW` losses before it by more than `deviations` times their median absolute
    deviation, and by more than rounding. What stands as far above within `apart` places of its last belongs to it. The
    first `WINDOW` losses have too few before them, and are none. Under independent Gaussian losses 6 deviations are 4
    standard deviations.

    Parameters
    ----------
    losses : array_like
        Shape (lines,); one that is not finite is a spike, and is left out of the windows.

    Examples
    --------
    >>> losses = 3 + 0.01 * np.sin(np.arange(200.0))
    >>> losses[120:123] += 0.5
    >>> spikes(losses)
    [120]
    """
    series: Array = np.asarray(losses, dtype=np.float64)
    places: list[int] = []
    latest = -apart - 1
    for place in range(WINDOW, len(series)):
        before = series[place - WINDOW : place]
        before = before[np.isfinite(before)]
        middle = float(np.median(before)) if before.size else np.inf
        spread = float(np.median(np.abs(before - middle))) if before.size else 0.0
        usual = series[place] <= middle + max(deviations * spread, 1e-9)
        if not usual:
            if place - latest > apart:
                places.append(place)
            latest = place
    return places
