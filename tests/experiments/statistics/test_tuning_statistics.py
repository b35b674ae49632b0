"""Losses at tuned rates: divergence, the estimate's bias, and the level of the test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from experiments.statistics import best_column, tune
from gradpower.tools.errors import InputError


@pytest.mark.parametrize(
    ("rates", "losses", "named"),
    [([1.0, 0.9], [[1, 2]], "rates"), ([0.9, 1.0], [[1, np.nan]], "losses"), ([0.9], [[1, 2]], "losses")],
)
def test_bad_tables(rates, losses, named):
    with pytest.raises(InputError, match=named):
        tune(rates, losses)


def test_a_rate_at_an_end_is_named():
    losses = [[3.0, 2.9, 2.8, 3.1], [3.1, 3.0, 2.9, 3.2]]
    assert [tune(range(1, 1 + n), np.array(losses)[:, :n]).at_edge for n in (3, 4)] == [True, False]


def test_tuning_on_the_other_seeds_is_unbiased():
    """Four rates of equal worth: the plain minimum flatters by E min of four means, the choice by others does not."""
    trials, seeds, noise = 3000, 3, 0.01
    losses = 3 + noise * np.random.default_rng(0).normal(size=(trials, seeds, 4))
    chosen = [
        [table[s, np.argmin(np.delete(table, s, axis=0).mean(0))] for s in range(seeds)] for table in losses
    ]
    tuned = [tune([1, 2, 3, 4], table) for table in losses[:40]]
    assert [t.held_out for t in tuned] == [tuple(row) for row in chosen[:40]]
    error = noise / math.sqrt(trials * seeds)
    assert np.mean(chosen) == pytest.approx(3.0, abs=4 * error)
    # E min of 4 standard normals is −1.0294.
    assert losses.mean(1).min(1).mean() == pytest.approx(3 - 1.0294 * noise / math.sqrt(seeds), abs=4 * error)


def test_tuning_with_divergence():
    losses = np.array([[3.0, 2.9, np.inf], [3.0, 2.9, 2.0], [3.0, 2.9, 2.0]])
    tuned = tune([1.0, 2.0, 4.0], losses)
    # The other seeds prefer 4, where seed 0 diverges; for seeds 1 and 2 it has diverged in seed 0.
    assert tuned.held_out == (np.inf, 2.9, 2.9)
    assert (tuned.rate, tuned.losses) == (2.0, (2.9, 2.9, 2.9))
    lost = tune([1.0], [[np.inf], [3.0]])
    assert lost.losses == lost.held_out == (np.inf, 3.0)
    nothing = tune([1.0, 2.0], [[3.0, 3.0], [np.inf, np.inf]])
    assert nothing.held_out == (np.inf, np.inf)
    assert nothing.losses == (3.0, np.inf)
    fewer = tune([1.0, 2.0], [[np.inf, 3.0], [np.inf, np.inf]])
    assert (fewer.rate, fewer.losses) == (2.0, (3.0, np.inf))


def test_one_seed_has_no_others():
    assert tune([1.0, 2.0], [[3.0, 2.9]]).held_out == (2.9,)


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
    assert at_best[0][0] == pytest.approx(tune(range(1, 1 + len(curve)), draws[0, 0]).losses)
    found, largest = level(stats.ttest_rel(*at_best, axis=1).pvalue)
    assert 0.01 < found < largest


def test_held_out_losses_would_have_no_level():
    """Why they are an estimate only: taken as independent, flat losses of 3 seeds at 5 rates reject far too often."""
    draws = np.random.default_rng(0).normal(size=(2, 4000, 3, 5))
    others = (draws.sum(2, keepdims=True) - draws).argmin(3)
    held_out = np.take_along_axis(draws, others[..., None], axis=3)[..., 0]
    assert held_out[0, 0] == pytest.approx(tune(range(1, 6), draws[0, 0]).held_out)
    found, largest = level(stats.ttest_rel(*held_out, axis=1).pvalue)
    assert found > largest
    assert np.corrcoef(*(held_out[0] - held_out[1])[:, :2].T)[0, 1] > 0.1
