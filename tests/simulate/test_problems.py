"""The test problems: their gradients, and that no point contradicts the constants they declare."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from numba import njit
from scipy.optimize import minimize

from gradpower.tools.errors import InputError
from simulate.problems import parse_problem
from simulate.problems.elementary import exp2, log2

PROBLEMS = ["geman-mcclure", "river-valley", "plateau", "pseudo-huber"]
PROBLEMS += ["separable:64", "logistic:20", "quadratic:64"]
NAMES = [*PROBLEMS, "separable:1", "separable:7", "logistic:3", "quadratic:1"]
# Where L is claimed to be attained, and the largest gradients to be the suprema.
EXACT_SMOOTHNESS = {"geman-mcclure", "plateau", "pseudo-huber", "separable:64", "quadratic:64"}
EXACT_GRADIENT = {"geman-mcclure", "plateau", "pseudo-huber", "separable:64", "river-valley"}


def points(problem, number=400):
    """Random points at all scales, the start, and the origin; shape (d, points)."""
    generator = np.random.default_rng(1)
    scales = 10.0 ** generator.uniform(-4, 3, number)
    cloud = generator.standard_normal((problem.dimension, number)) * scales
    grid = np.outer(np.ones(problem.dimension), np.linspace(-3, 3, 601))
    corners = np.stack([problem.start, 0 * problem.start], axis=1)
    return np.concatenate([cloud, grid, corners], axis=1)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_the_slope_of_the_value(name):
    problem = parse_problem(name)
    generator = np.random.default_rng(2)
    theta = generator.standard_normal((problem.dimension, 30)) * generator.uniform(0.1, 4, 30)
    direction = generator.standard_normal(theta.shape)
    step = 1e-5
    slope = (problem.value(theta + step * direction) - problem.value(theta - step * direction)) / (2 * step)
    np.testing.assert_allclose(slope, (problem.gradient(theta) * direction).sum(axis=0), rtol=1e-6, atol=2e-9)


@pytest.mark.parametrize("name", ["geman-mcclure", "plateau", "pseudo-huber", "river-valley"])
def test_gradient_against_mpmath(name):
    problem = parse_problem(name)
    formulas = {
        "geman-mcclure": lambda t: t**2 / (1 + t**2),
        "plateau": lambda t: 1 - mpmath.exp(-(t**2) / 2),
        "pseudo-huber": lambda t: mpmath.sqrt(1 + t**2) - 1,
    }
    with mpmath.workdps(80):
        if name == "river-valley":

            def h(t):
                return mpmath.sqrt(1 + t**2) - 1

            def valley(x, y):
                return h(x) / 20 + h(y - h(x) / 2)

            for x, y in [(-10.0, 3.0), (0.3, -2.0), (1e-9, 0.0)]:
                exact = [mpmath.diff(valley, (x, y), n) for n in ((1, 0), (0, 1))]
                got = problem.gradient(np.array([x, y]))
                np.testing.assert_allclose(got, np.array(exact, dtype=float), rtol=1e-12, atol=1e-17)
            return
        for t in (-12.0, -1.3, 1e-9, 0.4, 5.0):
            exact = float(mpmath.diff(formulas[name], t))
            np.testing.assert_allclose(problem.gradient(np.array([t])), exact, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_constants_are_never_exceeded(name):
    problem = parse_problem(name)
    theta = points(problem)
    gradient = problem.gradient(theta)
    steepest = np.abs(gradient).max(axis=1)
    assert np.all(steepest <= problem.largest_gradient * (1 + 1e-12))
    assert np.all(problem.value(theta) >= problem.minimum)
    generator = np.random.default_rng(3)
    worst = 0.0
    for size in (1e-3, 1e-1, 1.0, 30.0):
        move = size * generator.standard_normal(theta.shape)
        move[:, ::3] *= generator.random((problem.dimension, 1)) < 0.2
        length = np.linalg.norm(move, axis=0)
        change = np.linalg.norm(problem.gradient(theta + move) - gradient, axis=0)
        moved = length > 0
        worst = max(worst, np.max(change[moved] / length[moved]))
    assert worst <= problem.smoothness * (1 + 1e-9)
    if name in EXACT_GRADIENT:
        assert np.all(steepest >= 0.98 * problem.largest_gradient)


@pytest.mark.parametrize("name", sorted(EXACT_SMOOTHNESS | {"river-valley", "logistic:20"}))
def test_smoothness_is_attained_or_near(name):
    problem = parse_problem(name)
    origin, step = np.zeros((problem.dimension, problem.dimension)), 1e-6
    columns = problem.gradient(origin + step * np.eye(problem.dimension)) / step
    if name == "river-valley":
        columns = columns[:, 1:]
    curvature = np.linalg.norm(columns - problem.gradient(origin) / step * (name == "logistic:20"), 2)
    assert curvature <= problem.smoothness * (1 + 1e-6)
    assert curvature >= problem.smoothness * (1 - 1e-6 if name in EXACT_SMOOTHNESS else 0.5)


@pytest.mark.parametrize(
    "name", ["geman-mcclure", "river-valley", "logistic:3", "plateau", "separable:7", "pseudo-huber"]
)
def test_no_descent_goes_below_the_minimum(name):
    problem = parse_problem(name)
    generator = np.random.default_rng(4)
    lowest = np.inf
    for _ in range(12):
        start = 2 * generator.standard_normal(problem.dimension)
        found = minimize(lambda x: float(problem.value(x)), start, jac=problem.gradient, method="L-BFGS-B")
        lowest = min(lowest, found.fun)
    assert lowest >= problem.minimum - 1e-15
    if not name.startswith("logistic"):
        assert lowest <= problem.minimum + 1e-8


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_start(name):
    problem = parse_problem(name)
    theta = np.broadcast_to(problem.start[:, None, None], (problem.dimension, 2, 3))
    assert problem.gradient(theta).shape == (problem.dimension, 2, 3)
    np.testing.assert_allclose(problem.value(theta), np.full((2, 3), problem.start_value), rtol=1e-13)
    assert problem.start_value > problem.minimum
    assert np.all(np.isfinite(problem.gradient_scale))
    assert np.all(problem.gradient_scale > 0)
    assert parse_problem(problem) is problem
    assert parse_problem(name).name == name
    assert problem.start.dtype == np.float64


def test_flat_plateau_and_far_start():
    assert abs(parse_problem("plateau").gradient(np.array([5.0]))[0]) < 2e-5
    assert parse_problem("plateau").gradient(np.array([60.0]))[0] == 0.0
    assert np.all(np.isinf(parse_problem("quadratic:3").largest_gradient))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "rosenbrock",
        "separable",
        *(f"separable:{size}" for size in ("", "0", "-1", "1.5", "10001", "x", "²")),
        "logistic:501",
        "plateau:2",
        "quadratic:1e3",
    ],
)
def test_unknown_problems_are_refused(name):
    with pytest.raises(InputError, match=r"^problem: .* is not allowed; expected ") as refused:
        parse_problem(name)
    if name in ("", "rosenbrock"):
        assert all(known.partition(":")[0] in str(refused.value) for known in PROBLEMS)


@njit(error_model="numpy")
def powers(x, power, result):
    for i in range(x.size):
        result[i] = exp2(power * log2(x[i]))


@pytest.mark.parametrize("power", [0.05, 0.5, 1.3, 2.0, 10.0])
def test_elementary_powers_against_mpmath(power):
    generator = np.random.default_rng(5)
    # From a product p·log2 x of Y one bit is lost in Y: as if p were off by a few units in its last place.
    x = 2.0 ** np.concatenate(
        [generator.uniform(-90 / power, 90 / power, 300).clip(-1000, 1000), [0, 0.5, -0.5]]
    )
    got = np.empty_like(x)
    powers(x, power, got)
    with mpmath.workdps(30):
        exact = np.array([float(mpmath.mpf(value) ** mpmath.mpf(power)) for value in x])
    error = np.abs(got / exact - 1)
    assert np.all(error <= 6e-16 + 3e-16 * np.abs(power * np.log2(x)))
    assert error.max() < 3e-14


def test_elementary_powers_at_the_edges():
    x = np.array([0.0, 5e-324, 2.0**-1023, 2.0**-1022, 1.0, 2.0])
    got = np.empty_like(x)
    powers(x, 0.01, got)
    np.testing.assert_allclose(got, [0, 0, 0, 2**-10.22, 1, 2**0.01], rtol=1e-14)
    powers(x, 10.0, got)
    np.testing.assert_array_equal(got, [0, 0, 0, 0, 1, 1024])
