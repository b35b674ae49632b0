"""The long-run variance of Adam's update against Monte Carlo, identities and published-by-derivation values."""

from __future__ import annotations

import numpy as np
import pytest

from gradpower.tools.errors import InputError
from theory.adam.noise_equivalent import long_run_update, noise_equivalent
from theory.adam.update import exact_update
from theory.laws import parse_law


def simulated(power, ratio, law, beta1, beta2, *, epsilon, seed=0, chains=6000, burn=400, steps=400):
    """Mean of u, and the variance of its sum over `steps` steps per step, with standard errors."""
    generator = np.random.default_rng(seed)
    m, v, sums = np.zeros((3, chains))
    for step in range(burn + steps):
        g = 1.0 + ratio * law.sample(generator, chains)
        x = np.sign(g) * np.abs(g) ** power
        m, v = beta1 * m + (1 - beta1) * x, beta2 * v + (1 - beta2) * x**2
        if step >= burn:
            sums += m / (np.sqrt(v) + epsilon)
    variance = sums.var(ddof=1) / steps
    return sums.mean() / steps, sums.std() / steps / np.sqrt(chains), variance, variance * np.sqrt(2 / chains)


@pytest.mark.parametrize(
    ("name", "power", "ratio", "beta2", "epsilon"),
    [
        ("uniform", 1.5, 3.0, 0.95, 0.0),
        ("laplace", 0.6, 1.0, 0.9, 0.0),
        ("generalized-normal:0.5", 1.2, 10.0, 0.98, 0.0),
        ("two-point:0.2", 1.0, 2.0, 0.95, 0.5),
        ("sparse:0.2", 0.5, 5.0, 0.95, 0.1),
    ],
)
def test_the_variance_of_the_sum_is_that_of_many_chains(name, power, ratio, beta2, epsilon):
    law = parse_law(name)
    exact = long_run_update(power, 1.0, ratio, law, beta2=beta2, epsilon=epsilon)
    mean, mean_error, variance, error = simulated(power, ratio, law, 0.9, beta2, epsilon=epsilon)
    assert abs(mean - exact.drift) < 4 * mean_error
    # a sum over T steps misses Σ|k|·c_k/T of the long-run variance: up to 1/((1 − β2)·T)
    assert abs(variance - exact.variance) < 4 * error + exact.variance * 1.5 / ((1 - beta2) * 400)
    assert error < 0.02 * exact.variance


def test_without_momentum_or_memory_the_updates_are_independent():
    """β1 = β2 = 0: u is the sign of g, whose variance is 1 − (E u)²."""
    law = parse_law("uniform")
    found = long_run_update(1.3, 1.0, 4.0, law, beta1=0.0, beta2=0.0)
    assert found.drift == pytest.approx(0.25, rel=1e-7)
    assert found.variance == pytest.approx(1 - 0.25**2, rel=1e-6)


@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_with_a_long_memory_of_v_the_delta_method_is_exact(beta1):
    """β2 → 1: u = m/√v with v near V = E g², and a sum of u is one of (g − μ(g² − V)/(2V))/√V, whatever β1 is.

    For g = 1 + 2ξ, ξ Gaussian: V = 5, Var g = 4, Var g² = 48, Cov(g, g²) = 8.
    """
    expected = 4 / 5 - 8 / 5**2 + 48 / (4 * 5**3)
    found = long_run_update(1.0, 1.0, 2.0, parse_law("gaussian"), beta1=beta1, beta2=0.99999)
    assert found.variance == pytest.approx(expected, rel=1e-3)


def test_the_drift_is_that_of_the_exact_update():
    law = parse_law("laplace")
    for power, ratio, epsilon in ((0.5, 1.0, 0.0), (1.2, 30.0, 0.3), (2.0, 0.5, 1e-3)):
        found = long_run_update(power, 1e-3, 1e-3 * ratio, law, epsilon=epsilon)
        exact = exact_update(power, 1e-3, 1e-3 * ratio, law, epsilon=epsilon)
        assert found.drift == pytest.approx(float(exact.drift), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("uniform", {0.8: 0.935, 1.2: 1.060, 1.5: 1.143}),
        ("gaussian", {0.8: 0.994, 1.2: 0.998, 1.5: 0.985}),
        ("laplace", {0.8: 1.086, 1.2: 0.921, 1.5: 0.816}),
    ],
)
def test_the_noise_equivalents_of_the_specification(name, values):
    for power, q in values.items():
        assert noise_equivalent(power, parse_law(name)) == pytest.approx(q, abs=0.002)


def test_strong_noise_is_the_limit_of_finite_noise():
    for name in ("uniform", "laplace"):
        law = parse_law(name)
        gaps = [
            noise_equivalent(1.5, law, noise_to_signal=r) - noise_equivalent(1.5, law) for r in (10.0, 100.0)
        ]
        assert abs(gaps[1]) < 0.02 * abs(gaps[0]) < 1e-3


def test_a_power_of_one_changes_nothing():
    assert noise_equivalent(1.0, parse_law("laplace"), noise_to_signal=3.0) == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize(
    ("law", "options", "named"),
    [
        ("two-point:0.2", {}, "a symmetric law"),
        ("sparse:0.1", {}, "without an atom at 0"),
        ("gaussian", {"noise_to_signal": 0.5}, "noise_to_signal: 0.5"),
        ("gaussian", {"beta2": 0.0}, "beta2: 0.0"),
        ("student-t:0.5", {"beta2": 0.85, "beta1": 0.95}, "tails leave the mean square of u finite"),
    ],
)
def test_what_has_no_equivalent_is_refused(law, options, named):
    with pytest.raises(InputError, match=named):
        noise_equivalent(1.2, parse_law(law), **options)
