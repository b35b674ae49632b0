"""The optimal power against mpmath, closed forms and brute force, and the propositions' formulas."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradpower.tools.errors import InputError
from theory.adam.optimum import maximise, optimal_power
from theory.adam.propositions import high_noise_power, high_noise_power_bounds, high_noise_update
from theory.adam.update import exact_update, limit_update
from theory.laws import Empirical, Uniform, parse_law


def mp_limit_power(mean, ratio, epsilon, guess):
    """Root of d u∞/dp under uniform noise, from the exact form, in 40 digits."""
    mu, sigma = mp.mpf(mean), mp.mpf(mean) * ratio

    def log_update(p):
        first = ((sigma + mu) ** (p + 1) - (sigma - mu) ** (p + 1)) / (2 * sigma * (p + 1))
        second = ((sigma + mu) ** (2 * p + 1) + (sigma - mu) ** (2 * p + 1)) / (2 * sigma * (2 * p + 1))
        return mp.log(first / (mp.sqrt(second) + mp.mpf(epsilon)))

    return mp.findroot(lambda p: mp.diff(log_update, p), guess)


@pytest.mark.parametrize("ratio", [2, 5, 10, 100, 1000])
@pytest.mark.parametrize("epsilon", [1e-12, 1e-8, 1e-5])
def test_limit_against_mpmath(ratio, epsilon):
    found = optimal_power(1e-6, ratio * 1e-6, Uniform(), epsilon=epsilon, method="limit")
    with mp.workdps(40):
        root = mp_limit_power("1e-6", ratio, epsilon, found.power if found.at_edge is None else 0.5)
    local = [abs(p - float(root)) for p in found.local_maxima]
    assert min(local) < 1e-8


@pytest.mark.parametrize("name", ["uniform", "gaussian", "laplace"])
def test_exact_is_the_top_of_the_exact_curve(name):
    """Richardson's derivative of the exact update vanishes at p* to 1e-8 in p."""
    law = parse_law(name)
    best = optimal_power(1e-6, 1e-5, law)

    def drift(power):
        return np.log(exact_update(power, 1e-6, 1e-5, law).drift)

    step = 0.02 * best.power
    centre = best.power
    stencil = np.array([1.0, -8.0, 8.0, -1.0]) / 12
    slope = stencil @ drift(centre + step * np.array([-2.0, -1.0, 1.0, 2.0])) / step
    slope_half = stencil @ drift(centre + step / 2 * np.array([-2.0, -1.0, 1.0, 2.0])) / (step / 2)
    curvature = (drift(centre + step) - 2 * drift(centre) + drift(centre - step)) / step**2
    extrapolated = (16 * slope_half - slope) / 15
    assert curvature < 0
    assert abs(extrapolated / curvature) < 1e-8
    assert best.update == pytest.approx(float(exact_update(best.power, 1e-6, 1e-5, law).drift), rel=1e-10)


@pytest.mark.parametrize(
    "name", ["uniform", "gaussian", "laplace", "student-t:5", "generalized-normal:4", "binary"]
)
@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.999, 1.05, 2.0, 7.0, 300.0])
def test_global_maximum_beats_a_dense_grid(name, ratio):
    law = parse_law(name)
    best = optimal_power(1e-6, ratio * 1e-6, law, method="limit")
    grid = np.linspace(best.interval[0] + 1e-3, best.interval[1] - 1e-3, 400)
    assert best.update >= limit_update(grid, 1e-6, ratio * 1e-6, law).max() * (1 - 1e-9)
    assert all(best.interval[0] < p < best.interval[1] for p in best.local_maxima)
    assert (best.at_edge is None) == (best.power in best.local_maxima)


def test_edge_of_low_noise():
    """For σ <= μ the supremum is the p → 0 limit 1/(1+ε); just above, an interior maximum beats the edge."""
    for ratio in (0.0, 0.5, 1.0):
        for method in ("proposition", "limit", "exact"):
            best = optimal_power(1e-6, ratio * 1e-6, Uniform(), method=method)
            assert (best.at_edge, best.power) == ("low", 0.0)
            assert best.update == pytest.approx(1 / (1 + 1e-8), rel=1e-9)
    above = optimal_power(1e-6, 1.2e-6, Uniform(), method="limit")
    assert above.at_edge is None
    assert above.update > 1 / 1.2  # E sign(g) = μ/σ, the value at p → 0


def test_two_competing_maxima():
    """A curve with a local maximum and a higher edge, and one with two maxima: all are reported."""
    edge = maximise(lambda p: 2 * np.exp(-5 * p) + np.exp(-((p - 2) ** 2)), (0.0, 5.0), "limit")
    assert edge.at_edge == "low"
    assert edge.local_maxima == pytest.approx((2.0,), abs=1e-3)
    double = maximise(
        lambda p: np.exp(-8 * (p - 1) ** 2) + 1.5 * np.exp(-8 * (p - 3) ** 2), (0.0, 5.0), "limit"
    )
    assert double.local_maxima == pytest.approx((1.0, 3.0), abs=1e-6)
    assert double.power == double.local_maxima[1]
    rising = maximise(lambda p: 1 + p, (0.5, 2.0), "limit")
    assert (rising.at_edge, rising.power, rising.local_maxima) == ("high", 2.0, ())


def test_flat_curve_has_no_maxima():
    """No noise and ε = 0: u = 1 for every power."""
    best = optimal_power(1.0, 0.0, Uniform(), epsilon=0.0, method="limit")
    assert best.local_maxima == ()
    assert best.update == 1


@settings(max_examples=50, deadline=None)
@given(st.floats(1e-12, 0.3), st.floats(1e-14, 1e-2))
def test_lambert_form_is_stationary_and_bounded(sigma, epsilon):
    log = -np.log(sigma)
    power = high_noise_power(sigma, epsilon=epsilon)
    low, high = high_noise_power_bounds(sigma, epsilon=epsilon)
    assert low < power < high
    assert -power * log == pytest.approx(np.log(epsilon * log) + 1.5 * np.log(2 * power + 1), abs=1e-9 * log)
    around = high_noise_update(power * np.array([0.99, 1.0, 1.01]), 1.0, sigma, epsilon=epsilon)
    assert around[1] == around.max()


def test_proposition_outside_its_condition():
    """ε·ln(1/σ) >= 1 or σ >= 1: f is monotone, so the maximum is at an end of the interval."""
    assert optimal_power(1e-3, 0.01, Uniform(), epsilon=0.3, method="proposition").at_edge == "low"
    assert optimal_power(1e-3, 2.0, Uniform(), method="proposition").at_edge == "high"
    clipped = optimal_power(1e-6, 1e-5, Uniform(), method="proposition", interval=(0.0, 1.0))
    assert (clipped.at_edge, clipped.power) == ("high", 1.0)


def test_moments_that_end_shorten_the_interval():
    best = optimal_power(1e-6, 1e-5, parse_law("student-t:3"), method="limit")
    assert best.interval[1] == pytest.approx(1.5, rel=1e-5)
    assert best.power < 1


@pytest.mark.parametrize(
    ("argument", "change"),
    [
        ("interval", {"interval": (1.0, 1.0)}),
        ("interval", {"interval": (-1.0, 1.0)}),
        ("interval", {"interval": (0.0, 11.0)}),
        ("method", {"method": "guess"}),
        ("mean", {"mean": 0.0}),
        ("noise_scale", {"noise_scale": float("nan")}),
        ("law", {"law": parse_law("gaussian"), "method": "proposition"}),
    ],
)
def test_bad_input_names_the_argument(argument, change):
    with pytest.raises(InputError, match=rf"^{argument}: "):
        optimal_power(**{"mean": 1e-6, "noise_scale": 1e-5, "law": Uniform()} | change)


@pytest.mark.parametrize(("sigma", "epsilon"), [(1.0, 1e-8), (2.0, 1e-8), (1e-3, 0.2)])
def test_closed_form_refuses_where_it_does_not_apply(sigma, epsilon):
    for function in (high_noise_power, high_noise_power_bounds):
        with pytest.raises(InputError, match=r"Proposition 4\.3 needs"):
            function(sigma, epsilon=epsilon)


def test_rounding_makes_no_maxima():
    """A singular end (binary, p → 0) and a curve flat to rounding give no local maxima of their own."""
    binary = optimal_power(1e-6, 1e-5, parse_law("binary"), method="limit")
    assert len(binary.local_maxima) == 1
    assert binary.power == pytest.approx(1.36479355, abs=1e-6)
    two_points = Empirical([-1.0] * 99 + [99.0])
    flat = optimal_power(1.0, 100.0, two_points, method="limit", interval=(0.0, 10.0), epsilon=0.0)
    assert flat.local_maxima == ()
    assert flat.update == pytest.approx(0.1, rel=1e-12)


def test_interval_beyond_the_moments_names_the_law():
    with pytest.raises(InputError, match=r"^law: student-t:1\.5 .* moment of order 4"):
        optimal_power(1.0, 1.0, parse_law("student-t:1.5"), method="limit", interval=(2.0, 4.0))
