"""Monte Carlo against the exact update: stationary and literal, and every law."""

from __future__ import annotations

import numpy as np
import pytest

from simulate import simulate_adam
from theory.adam.update import exact_update
from theory.laws import Empirical, parse_law

pytestmark = pytest.mark.slow

MEAN = 1e-6
RATIOS = np.array([0.3, 1.0, 3.0, 10.0, 100.0])
POWERS = np.linspace(0.25, 3.0, 6)
BETAS = [(0.9, 0.95), (0.9, 0.95), (0.5, 0.99), (0.95, 0.8), (0.0, 0.9)]
LAWS = [
    *map(parse_law, ("uniform", "binary", "gaussian", "laplace", "student-t:5", "student-t:1.5")),
    *map(parse_law, ("generalized-normal:0.7", "generalized-normal:4")),
    Empirical(np.random.default_rng(5).exponential(size=300)),
]


def z_scores(simulated, exact):
    # Where all trials agree to the last bits the standard error is rounding only.
    return (simulated.drift - exact.drift) / np.hypot(simulated.standard_error, 1e-11)


def test_drift_agrees_with_the_exact_update_in_all_of_270_settings():
    scores = []
    for index, law in enumerate(LAWS):
        beta1, beta2 = BETAS[index % len(BETAS)]
        rates = {"beta1": beta1, "beta2": beta2}
        simulated = simulate_adam(POWERS, MEAN, MEAN * RATIOS, law, **rates, trials=4096, seed=100 + index)
        scores.append(z_scores(simulated, exact_update(POWERS, MEAN, MEAN * RATIOS[:, None], law, **rates)))
    assert np.size(scores) == 270
    assert np.abs(scores).max() < 4
    assert np.abs(scores).max() > 1  # standard errors are not inflated either


def test_rms_agrees_with_the_exact_update():
    simulated = simulate_adam(POWERS, MEAN, MEAN * RATIOS, LAWS[0], trials=8192)
    exact = exact_update(POWERS, MEAN, MEAN * RATIOS[:, None], LAWS[0])
    np.testing.assert_allclose(simulated.rms, exact.rms, rtol=0.03)


@pytest.mark.parametrize("steps", [1, 2, 10, 60])
def test_literal_steps_agree_with_the_exact_bias_corrected_update(steps):
    simulated = simulate_adam(POWERS, MEAN, MEAN * RATIOS, LAWS[3], trials=4096, steps=steps)
    exact = exact_update(POWERS, MEAN, MEAN * RATIOS[:, None], LAWS[3], step=steps)
    assert np.abs(z_scores(simulated, exact)).max() < 4


def test_a_million_literal_steps_show_the_stationary_update():
    literal = simulate_adam(1.2, MEAN, 10 * MEAN, LAWS[0], trials=128, steps=1_000_000)
    exact = exact_update(1.2, MEAN, 10 * MEAN, LAWS[0])
    assert abs(z_scores(literal, exact)) < 4


def test_as_many_literal_steps_as_the_window_are_the_stationary_simulation():
    stationary = simulate_adam(POWERS, MEAN, 10 * MEAN, LAWS[0], trials=64)
    literal = simulate_adam(POWERS, MEAN, 10 * MEAN, LAWS[0], trials=64, steps=stationary.steps)
    np.testing.assert_allclose(literal.updates, stationary.updates, rtol=1e-14)
