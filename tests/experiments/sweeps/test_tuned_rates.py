"""The choice of a learning rate: divergence, and the level of the test at tuned rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from experiments.sweeps.groups import best_column


def test_rates_that_diverge_in_more_seeds_are_not_chosen():
    assert best_column(np.array([[3.0, 2.9, np.inf], [3.0, 2.9, 2.0], [3.0, 2.9, 2.0]])) == 1
    assert best_column(np.array([[np.inf], [3.0]])) == 0
    assert best_column(np.array([[3.0, 3.0], [np.inf, np.inf]])) == 0
    assert best_column(np.array([[np.inf, 3.0], [np.inf, np.inf]])) == 1


def level(p_values, nominal=0.05):
    """Return the share of rejections and the largest that a true level of `nominal` leaves likely, + 3 errors."""
    return np.mean(np.asarray(p_values) <= nominal), nominal + 3 * math.sqrt(
        nominal * (1 - nominal) / len(p_values)
    )


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("curve", [(0, 0, 0), (0, 0, 3), (0.06, 0.06, 0.5, 0.5), (1, 0, 1)])
def test_level_of_the_test_at_tuned_rates(seeds, curve):
    """Two values alike, losses in units of the noise: 4000 studies, standard error 0.003."""
    draws = np.random.default_rng(seeds).normal(size=(2, 4000, seeds, len(curve))) + np.array(curve)
    at_best = [np.array([y[:, best_column(y)] for y in side]) for side in draws]
    found, largest = level(stats.ttest_rel(*at_best, axis=1).pvalue)
    assert 0.01 < found < largest
