"""The fitted exponent on curves whose exponent is known."""

from __future__ import annotations

import numpy as np
import pytest

from simulate.adagrad.exponent import fitted_exponent

STEPS = np.unique(np.logspace(0, 6, 49).round())


@pytest.mark.parametrize("exponent", [-0.3, 0.0, 0.5, 2 / 3, 1.7])
def test_a_power_law_is_found(exponent):
    curves = np.array([1.0, 20.0, 1e-9])[:, None] * STEPS**-exponent
    mean, half_width = fitted_exponent(STEPS, curves)
    assert mean == pytest.approx(exponent, abs=1e-12)
    assert half_width < 1e-12


def test_only_the_last_decades_count():
    curves = np.where(STEPS < 1e4, 1.0, (STEPS / 1e4) ** -0.75) * np.ones((4, 1))
    assert fitted_exponent(STEPS, curves)[0] == pytest.approx(0.75, abs=1e-12)


def test_intervals_cover_as_often_as_they_say():
    generator = np.random.default_rng(1)
    curves = STEPS**-0.5 * np.exp(0.1 * generator.standard_normal((2000, 6, STEPS.size)))
    mean, half_width = fitted_exponent(STEPS, curves)
    assert mean.shape == half_width.shape == (2000,)
    covered = np.mean(np.abs(mean - 0.5) <= half_width)
    assert covered == pytest.approx(0.95, abs=0.02)


def test_no_exponent_of_zeros_or_of_a_single_checkpoint():
    assert np.isnan(fitted_exponent([1.0], [[2.0], [3.0]])[0])
    assert np.isnan(fitted_exponent([1.0, 2.0], [[2.0, 0.0], [3.0, 1.0]])[0])
    assert np.isnan(fitted_exponent([1.0, 2.0], np.zeros((3, 2)))[1])
