"""Assumptions 4.4, 4.6 and 4.9 on test problems: the constants hold where they are said to, and fail elsewhere."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gradpower.__main__ import main
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


def test_the_command_gives_all_constants(capsys):
    assert main(["simulate", "assumptions", "--law", "binary", "--noise-to-signal", "100", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    rows = {row["power"]: row for row in result["rows"]}
    assert rows[3.0]["holds"] == "4.9"
    assert rows[3.0]["rho"] == pytest.approx(1.01**2 / 3, rel=1e-3)
    assert rows[0.5]["holds"] == "no"
    assert result["assumption_4_4"] is True


@pytest.mark.parametrize(
    ("flags", "named"),
    [("--problem nowhere", "problem"), ("--noise-to-signal -1", "noise_to_signal"), ("--power 0", "power")],
)
def test_bad_input_is_one_line(capsys, flags, named):
    assert main(["simulate", "assumptions", *flags.split()]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{named}: " in error
