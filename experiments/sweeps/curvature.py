"""How often Page's test would call a fall where there is none, at the curvatures and the noise that a study has.

The test takes the best powers of a seed as exchangeable between batch sizes. They are not where the loss is flat in p
at one batch size: there the best of a noisy grid lies anywhere, near the grid's middle in the mean, and that can look
like a fall from a sharp optimum above the middle. Here losses are drawn with one optimum for all, and curves that are
as unequal as the study's seeds allow.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike
from scipy.special import stdtrit
from scipy.stats import rankdata

from experiments.sweeps.statistics import page_test
from theory.inputs import Array

DRAWS = 2000


def false_falls(
    values: Sequence[float],
    tables: Sequence[ArrayLike],
    *,
    alpha: float = 0.05,
    draws: int = DRAWS,
    rng: Generator,
) -> tuple[float, float] | None:
    """Return the share of draws without a trend in which Page's test of the best grid values finds a fall; its error.

    Parabolas in ln x are fitted seed by seed. The batch size with the largest mean curvature keeps it, and its vertex,
    within the grid, is the optimum of all; the others have the lower ends of the 1 − α t intervals of their curvatures,
    but at least 0. The noise of a batch size is that of its losses about the means over seeds and over the grid.

    Parameters
    ----------
    values : sequence of float
        The grid, > 0.
    tables : sequence of array_like
        For each batch size losses of shape (seeds >= 2, values), finite, with equally many seeds.
    alpha : float
        Level of the test.
    draws : int
        How many studies are drawn.
    rng : Generator
        Their source.

    Returns
    -------
    (float, float) or None
        None if there are fewer than four values or two seeds.

    Examples
    --------
    >>> rng, x = np.random.default_rng(0), np.log([0.7, 0.8, 0.9, 1.0, 1.2, 1.5])
    >>> even = [0.5 * (x - 0.2) ** 2 + 0.003 * rng.normal(size=(5, 6)) for _ in range(3)]
    >>> flat = [even[0], *(0.003 * rng.normal(size=(5, 6)) for _ in range(2))]
    >>> shares = [false_falls(np.exp(x), tables, draws=500, rng=rng)[0] for tables in (even, flat)]
    >>> bool(shares[0] < 0.08), bool(shares[1] > 0.12)
    (True, True)
    """
    losses: Array = np.stack([np.asarray(table, dtype=np.float64) for table in tables])
    batches, seeds, count = losses.shape
    if count < 4 or seeds < 2:
        return None
    x = np.log(np.asarray(values, dtype=np.float64))
    centred = losses - losses.mean(axis=2, keepdims=True)
    # Coefficients of c₀ + c₁·x + c₂·x², shape (batches, 3, seeds).
    fits = np.stack([np.polynomial.polynomial.polyfit(x, table.T, 2) for table in centred])
    noise = np.array(
        [
            math.sqrt(float(((table - table.mean(axis=0)) ** 2).sum()) / ((seeds - 1) * (count - 1)))
            for table in centred
        ]
    )
    mean, spread = fits[:, 2].mean(axis=1), fits[:, 2].std(axis=1, ddof=1)
    sharpest = int(mean.argmax())
    curvature = mean - float(stdtrit(seeds - 1, 1 - alpha / 2)) * spread / math.sqrt(seeds)
    curvature[sharpest] = mean[sharpest]
    vertex = -fits[sharpest, 1].mean() / (2 * mean[sharpest]) if mean[sharpest] > 0 else x.mean()
    shape = np.maximum(curvature, 0)[:, None] * (x - np.clip(vertex, x[0], x[-1])) ** 2
    drawn = shape[:, None, None] + noise[:, None, None, None] * rng.normal(
        size=(batches, draws, seeds, count)
    )
    ranks = rankdata(drawn.argmin(axis=3), axis=0)
    # The test does not depend on the order of the seeds: few of the draws are different ones.
    kinds = Counter(tuple(sorted(map(tuple, ranks[:, draw].T.tolist()))) for draw in range(draws))
    share = sum(n for kind, n in kinds.items() if page_test(kind).p_falling <= alpha) / draws
    return share, math.sqrt(share * (1 - share) / draws)
