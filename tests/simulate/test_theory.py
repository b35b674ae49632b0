"""Monte Carlo against the exact update: stationary and literal, every law, and the truncation's bound."""

from __future__ import annotations

import numpy as np
import pytest

from simulate import simulate_adam
from simulate.adam.reference import adam_averages
from simulate.adam.setting import Setting
from simulate.adam.truncation import largest_rms, truncation_bound
from theory.adam.moments import power_moments
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
    assert literal.truncation_bound == 0


def test_as_many_literal_steps_as_the_window_are_the_stationary_simulation():
    stationary = simulate_adam(POWERS, MEAN, 10 * MEAN, LAWS[0], trials=64)
    literal = simulate_adam(POWERS, MEAN, 10 * MEAN, LAWS[0], trials=64, steps=stationary.steps)
    np.testing.assert_allclose(literal.updates, stationary.updates, rtol=1e-14)
    assert np.all(stationary.truncation_bound < 1e-15)


@pytest.mark.parametrize("window", [16, 64, 128])
@pytest.mark.parametrize(
    ("beta1", "beta2", "epsilon"), [(0.9, 0.95, 1e-8), (0.95, 0.7, 1e-6), (0.5, 0.99, 0.0)]
)
def test_truncation_bound_holds_for_short_windows(monkeypatch, window, beta1, beta2, epsilon):
    """The same noise seen whole and through a short window: the bound holds, and is no idle one."""
    monkeypatch.setattr("simulate.adam.setting.stationary_window", lambda beta1, beta2: window)
    law = parse_law("gaussian")
    scales = np.array([10 * MEAN])
    setting = Setting(POWERS, MEAN, scales, law, beta1, beta2, epsilon, 2000, None, 0, antithetic=False)
    gradients = MEAN + scales * law.sample(np.random.default_rng(0), (4000, 2000))

    def averages(g):
        m, v = adam_averages(g / setting.units, POWERS[:, None], beta1, beta2)
        return m[None], v[None]

    def update(m, v):
        return m / (np.sqrt(v) + setting.scaled_epsilon()[..., None])

    whole, seen = averages(gradients), averages(gradients[-window:])
    distance = np.abs(update(*whole) - update(*seen)).mean(axis=-1)
    bound = truncation_bound(setting, largest_rms(setting), *seen)
    assert np.all(distance <= bound)
    assert np.all(distance >= bound / 1000)


def test_the_chord_lies_above_the_moments():
    setting = Setting(POWERS, MEAN, MEAN * RATIOS, LAWS[3], 0.9, 0.95, 1e-8, 4, None, 0, antithetic=True)
    exact = (
        power_moments(POWERS, MEAN, MEAN * RATIOS[:, None], LAWS[3]).rms / setting.units[:, None] ** POWERS
    )
    assert np.all(largest_rms(setting) >= exact * (1 - 1e-12))
    np.testing.assert_allclose(largest_rms(setting)[:, [0, -1]], exact[:, [0, -1]])


def test_no_bound_without_a_second_moment():
    """Student-t with 3 degrees of freedom: E|g|^{2p} exists for p < 1.5 only."""
    simulated = simulate_adam([1.0, 1.4, 1.8], MEAN, 10 * MEAN, parse_law("student-t:3"), trials=64)
    assert np.isfinite(simulated.truncation_bound).tolist() == [True, True, False]
    assert np.all(np.isfinite(simulated.drift))
