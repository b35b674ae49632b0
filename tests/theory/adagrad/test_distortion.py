"""What φ_p does to a problem: against mpmath and Monte Carlo."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradpower.tools.errors import InputError
from theory.adagrad.distortion import (
    centre,
    effective_smoothness,
    mean_map,
    mean_map_slope,
    stalling_gradient,
)
from theory.adagrad.powered_noise import high_noise_quality
from theory.adam.moments import power_moments
from theory.claims.beyond.mean_map import skewed_samples
from theory.claims.beyond.noise_shape import quality
from theory.laws import Empirical, parse_law

LAWS = ("uniform", "gaussian", "laplace", "generalized-normal:3", "student-t:9")
DISCRETE = ("binary", "two-point:0.1", "two-point:0.7", "sparse:0.3")


def phi(gradient, power):
    return np.sign(gradient) * np.abs(gradient) ** power


@pytest.mark.parametrize("name", [*LAWS, *DISCRETE])
def test_against_monte_carlo(name):
    """The mean within four standard errors, for both signs of G."""
    law = parse_law(name)
    draws = law.sample(np.random.default_rng(11), 200_000)
    for power, gradient, sigma in ((0.4, -0.7, 1.0), (1.3, 0.2, 2.0), (2.0, -3.0, 0.5)):
        values = phi(gradient + sigma * draws, power)
        exact, error = mean_map(power, gradient, sigma, law), values.std() / np.sqrt(draws.size)
        assert abs(values.mean() - exact) < 4 * error


def mp_gaussian(function, gradient, cuts):
    """E function(G + ξ) for standard normal ξ, by mpmath."""
    return mp.quad(lambda g: function(g) * mp.npdf(g - gradient), sorted({-12, gradient, 12, *cuts}))


@pytest.mark.parametrize("power", [0.3, 1.0, 1.7, 3.0])
@pytest.mark.parametrize("gradient", [-2.0, 0.0, 0.6])
def test_gaussian_noise_by_mpmath(power, gradient):
    law = parse_law("gaussian")
    mean = mp_gaussian(lambda g: mp.sign(g) * abs(g) ** power, gradient, [0])
    assert mean_map(power, gradient, 1.0, law) == pytest.approx(float(mean), rel=1e-8, abs=1e-12)
    slope = mp.diff(lambda g: mp_gaussian(lambda x: mp.sign(x) * abs(x) ** power, g, [0]), gradient)
    assert mean_map_slope(power, gradient, 1.0, law) == pytest.approx(float(slope), rel=1e-5)


@pytest.mark.parametrize("shape", [0.4, 1.0, 2.0, 3.0])
@pytest.mark.parametrize(("location", "scale"), [(0.0, 1.0), (1e-8, 1.0), (0.6, 1.0), (1.0, 0.05)])
def test_negative_orders_by_quadrature(shape, location, scale):
    """E|g|^q for q down to −0.98, where most of the mass lies below the quadrature nodes."""
    law = parse_law(f"generalized-normal:{shape:g}")
    twin = {1.0: "laplace", 2.0: "gaussian"}.get(shape)
    for order in (-0.98, -0.6, -0.1):
        found = law.absolute_moment(order, location, scale)
        if twin:
            exact = parse_law(twin).absolute_moment(order, location, scale)
            assert found == pytest.approx(exact, rel=1e-13)
        elif location > 1e-3:  # the slope of a moment whose order the nodes resolve
            ends = mean_map(order + 1, location + np.array([-1e-5, 1e-5]), scale, law)
            assert found == pytest.approx(np.diff(ends)[0] / (2e-5 * (order + 1)), rel=1e-6)
        elif shape == 3.0:  # so smooth at its mode that 1e-8 makes no difference to pure noise
            assert found == pytest.approx(law.absolute_moment(order, 0.0, scale), rel=1e-13)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([*LAWS, *DISCRETE]), st.floats(0.05, 3.0), st.floats(-4.0, 4.0), st.floats(0.01, 3.0))
def test_mean_map_is_odd_increasing_and_homogeneous(name, power, gradient, sigma):
    law = parse_law(name)
    value = mean_map(power, gradient, sigma, law)
    scale = abs(gradient) ** power + sigma**power
    assert mean_map(power, -gradient, sigma, law.reflected()) == pytest.approx(-value, abs=1e-11 * scale)
    assert mean_map(power, gradient + 0.1, sigma, law) > value
    assert mean_map(power, 3 * gradient, 3 * sigma, law) == pytest.approx(
        3**power * value, abs=1e-11 * 3**power * scale
    )
    if gradient > 1e-290:
        assert value == pytest.approx(power_moments(power, gradient, sigma, law).first, rel=1e-13)


@pytest.mark.parametrize("name", [*LAWS, *DISCRETE])
def test_vanishing_gradients(name):
    law = parse_law(name)
    tiny = mean_map(1.3, [1e-308, 5e-324, 1e-200], 1.0, law)
    assert np.isfinite(tiny).all()
    assert tiny[2] == pytest.approx(mean_map(1.3, 0.0, 1.0, law), abs=1e-15)


def test_without_noise():
    law = parse_law("uniform")
    np.testing.assert_allclose(mean_map(0.5, [-4.0, 0.0, 9.0], 0.0, law), [-2.0, 0.0, 3.0])
    np.testing.assert_allclose(mean_map_slope([0.5, 2.0], 4.0, 0.0, law), [0.25, 8.0])
    np.testing.assert_array_equal(mean_map_slope([0.5, 1.0, 2.0], 0.0, 0.0, law), [math.inf, 1.0, 0.0])
    np.testing.assert_array_equal(effective_smoothness([0.5, 1.0, 2.0], 0.0, 3.0, law), [math.inf, 1.0, 6.0])


def test_a_law_by_its_quantiles_has_finite_slopes():
    law, powers = parse_law("triangular"), np.array([0.3, 0.5, 0.9, 1.5])
    at_zero = mean_map_slope(powers, 0.0, 2.0, law)
    np.testing.assert_allclose(at_zero, 2.0 ** (powers - 1) * 2 / (powers + 1), rtol=1e-4)
    np.testing.assert_allclose(effective_smoothness(powers[:3], 2.0, 1.0, law), at_zero[:3], rtol=1e-9)
    ends = mean_map(0.5, [0.6 - 1e-4, 0.6 + 1e-4], 1.0, parse_law("arcsine"))
    slope = mean_map_slope(0.5, 0.6, 1.0, parse_law("arcsine"))
    assert slope == pytest.approx(np.diff(ends)[0] / 2e-4, rel=1e-4)


def test_an_atom_on_zero_makes_the_slope_infinite():
    two = parse_law("two-point:0.2")
    assert mean_map_slope(0.5, [two.lower, -two.upper], 1.0, two).tolist() == [math.inf] * 2
    assert np.isfinite(mean_map_slope(0.5, [-two.lower, two.upper], 1.0, two)).all()
    assert mean_map_slope(0.5, 0.0, 1.0, parse_law("sparse:0.3")) == math.inf
    assert mean_map_slope(0.5, 1.0, 1.0, Empirical([-1.0, 1.0])) == math.inf


@pytest.mark.parametrize("name", ["uniform", "laplace", "binary", "two-point:0.1", "sparse:0.4"])
@pytest.mark.parametrize("power", [0.6, 1.2, 1.8, 2.5])
def test_effective_smoothness_is_the_largest_slope(name, power):
    law = parse_law(name)
    for largest in (0.2, 1.4):
        factor = effective_smoothness(power, 1.0, largest, law)
        grid = np.append(np.linspace(-largest, largest, 401), 0.0)
        steepest = mean_map_slope(power, grid, 1.0, law).max()
        if math.isinf(factor):  # an atom can make g = 0
            assert power < 1
            assert abs(getattr(law, "lower", 1.0)) <= largest or name.startswith("sparse")
        else:
            assert steepest * (1 - 1e-12) <= factor <= steepest * (1 + 1e-4)


def test_stalling_gradient_is_the_root():
    for law in (parse_law("two-point:0.02"), parse_law("two-point:0.6"), skewed_samples()):
        for power in (0.3, 0.9, 1.1, 4.0):
            stall = stalling_gradient(power, 2.0, law)
            assert (
                mean_map(power, stall * (1 - 1e-9), 2.0, law) * mean_map(power, stall * (1 + 1e-9), 2.0, law)
                < 0
            )
            assert stalling_gradient(power, 2.0, law.reflected()) == pytest.approx(-stall, rel=1e-9)
    assert stalling_gradient([0.5, 3.0], 1.0, parse_law("student-t:4")).tolist() == [0.0, 0.0]
    assert centre(0.001, parse_law("two-point:0.001")) == pytest.approx(-((1 / 999) ** 0.5), rel=1e-12)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_descent_stalls_there(power):
    """SGD and Adagrad on powered gradients of θ²/2 under two-point noise settle around θ = G₀."""
    law, generator = parse_law("two-point:0.1"), np.random.default_rng(2)
    theta, squares, rest = np.full((2, 200), 0.5), np.zeros(200), np.zeros(2)
    for step in range(4000):
        powered = phi(theta + law.sample(generator, (2, 200)), power)
        squares += powered[1] ** 2
        theta -= np.stack([0.01 * powered[0], 0.2 * powered[1] / np.sqrt(squares + 1e-8)])
        rest += theta.mean(axis=1) / 2000 if step >= 2000 else 0.0
    np.testing.assert_allclose(rest, stalling_gradient(power, 1.0, law), atol=0.02)


def test_quality_is_the_transforms_quality():
    for name in ("gaussian", "laplace", "student-t:5"):
        law = parse_law(name)
        for power in (0.5, 1.2):
            expected = quality(lambda x, p=power: x**p, law)
            assert high_noise_quality(power, law) == pytest.approx(expected, rel=1e-8)
    assert high_noise_quality([0.5, 3.0], parse_law("binary")).tolist() == [0.5, 3.0]
    assert high_noise_quality(0.5, parse_law("sparse:0.5")) == math.inf


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("power", lambda law: mean_map(0.0, 1.0, 1.0, law)),
        ("gradient", lambda law: mean_map(1.0, math.nan, 1.0, law)),
        ("noise_scale", lambda law: mean_map_slope(1.0, 1.0, -1.0, law)),
        ("largest_gradient", lambda law: effective_smoothness(1.0, 1.0, -1.0, law)),
        ("law", lambda law: mean_map(3.5, 1.0, 1.0, law)),
        ("law", lambda law: high_noise_quality(1.6, law)),
        ("law", lambda law: high_noise_quality(1.0, parse_law("two-point:0.1"))),
    ],
)
def test_bad_input_is_named(argument, call):
    with pytest.raises(InputError, match=rf"^{argument}: "):
        call(parse_law("student-t:3"))
