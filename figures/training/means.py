"""Means over seeds, as rows and as marks with intervals."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes

from experiments.statistics import SeedMean


def interval_of(mean: SeedMean) -> dict[str, float | None]:
    """Return a mean and the ends of its interval, for a row."""
    return {"mean": mean.mean, "low": mean.low, "high": mean.high}


def draw_means(
    axis: Axes, places: Iterable[float], means: Sequence[SeedMean], *, across: bool = False, **style: Any
) -> None:
    """Draw means at some places, each with its interval if it has one; `across` lays them flat."""
    lengths = [
        (math.nan, math.nan)
        if mean.low is None or mean.high is None
        else (mean.mean - mean.low, mean.high - mean.mean)
        for mean in means
    ]
    style = {"linewidth": 1.1, "markersize": 4, "elinewidth": 1.0, "capsize": 2.5} | style
    errors: Any = list(zip(*lengths, strict=True))
    values = [mean.mean for mean in means]
    if across:
        axis.errorbar(values, list(places), xerr=errors, **style)
    else:
        axis.errorbar(list(places), values, yerr=errors, **style)
