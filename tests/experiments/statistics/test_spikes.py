"""Spikes: those that are put in are found, once each, and noise and trends have few."""

import numpy as np
import pytest

from experiments.statistics import spikes


@pytest.fixture
def losses():
    """A falling loss with Gaussian noise."""
    return 4 - 0.001 * np.arange(400) + 0.01 * np.random.default_rng(0).normal(size=400)


def test_what_is_put_in_is_found_once(losses):
    assert spikes(losses) == []
    for place in (100, 103, 200, 330):
        losses[place : place + 3] += 0.3
    losses[331] = np.nan
    assert spikes(losses) == [100, 200, 330]


def test_the_first_window_and_a_step_up(losses):
    losses[20] += 1
    losses[150:] += 1
    assert spikes(losses)[:1] == [150]
    assert len(spikes(losses)) == 1
    assert spikes(losses[:50]) == []


def test_a_loss_that_is_not_finite_is_one():
    assert spikes([3.0] * 60 + [None, 3.0]) == [60]
    assert spikes([3.0] * 80) == []
