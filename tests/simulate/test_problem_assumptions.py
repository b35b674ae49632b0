"""Assumptions 4.4, 4.6 and 4.9 on test problems: the constants hold where they are said to, and fail elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from simulate.adagrad.problem_assumptions import NoisyProblem
from simulate.problems import parse_problem
from theory.adagrad.distortion import mean_map
from theory.laws import parse_law


def gradients(name):
    """Gradients at points near and far, of shape (d, points)."""
    problem = parse_problem(name)
    spread = 10.0 ** np.random.default_rng(0).uniform(-4, 2, (problem.dimension, 200))
    signs = np.random.default_rng(1).choice([-1.0, 1.0], spread.shape)
    return problem, problem.gradient(spread * signs)


@pytest.mark.parametrize("name", ["geman-mcclure", "river-valley", "separable:3"])
@pytest.mark.parametrize("law", ["uniform", "binary", "gaussian"])
@pytest.mark.parametrize("power", [1.2, 3.0])
def test_the_high_noise_constant_holds_at_every_point_and_no_larger_one(name, law, power):
    problem, gradient = gradients(name)
    s = NoisyProblem(problem, parse_law(law), "additive", 2.0).high_noise_constant(power)
    sigma = (2.0 * problem.gradient_scale)[:, None]
    aligned = gradient * mean_map(power, gradient, sigma, parse_law(law))
    assert np.all(aligned >= s * gradient**2 * (1 - 1e-9))
    assert np.any(aligned < 1.3 * s * gradient**2)


@pytest.mark.parametrize("law", ["uniform", "two-point:0.3"])
def test_the_low_noise_constant_holds_under_multiplicative_noise(law):
    problem, gradient = gradients("river-valley")
    noise = parse_law(law)
    c = NoisyProblem(problem, noise, "multiplicative", 0.4).low_noise_constant(0.5)
    size = np.abs(gradient)
    mean = np.sign(gradient) * mean_map(0.5, size, 0.4 * size, noise)  # ∇F·(1 + rξ): the sign goes along
    assert 0 < c <= 1
    assert np.all(gradient * mean >= c * size**1.5 * (1 - 1e-9))


def test_sparse_noise_alone_keeps_assumption_4_6_under_additive_noise():
    problem = parse_problem("plateau")
    constants = {
        name: NoisyProblem(problem, parse_law(name), "additive", 1.0).low_noise_constant(0.5)
        for name in ("uniform", "gaussian", "sparse:0.25", "two-point:0.2")
    }
    assert constants["uniform"] == constants["gaussian"] == 0
    assert constants["sparse:0.25"] == 0.75
    assert constants["two-point:0.2"] < 0


def test_bounds_on_noisy_gradients():
    plateau, gaussian = parse_problem("plateau"), parse_law("gaussian")
    assert (
        NoisyProblem(parse_problem("quadratic:2"), parse_law("uniform"), "additive", 1.0).largest_gradient
        == np.inf
    )
    assert NoisyProblem(plateau, gaussian, "additive", 1.0).largest_gradient == np.inf
    quiet = NoisyProblem(plateau, gaussian, "multiplicative", 0.0).largest_gradient
    assert quiet == pytest.approx(np.exp(-0.5))


def test_strong_binary_noise_is_the_example_of_assumption_4_9():
    noisy = NoisyProblem(parse_problem("geman-mcclure"), parse_law("binary"), "additive", 100.0)
    assert noisy.rho(3.0) == pytest.approx(1.01**2 / 3, rel=1e-3)
