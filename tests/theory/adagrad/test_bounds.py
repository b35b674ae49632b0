"""The bounds of Section 4.2, the lemma behind them and the assumptions' constants, against independent computation."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from gradpower.tools.errors import InputError
from theory.adagrad.assumptions import (
    alignment,
    contraction,
    high_noise_alignment,
    largest_bound_to_noise,
    largest_noise_to_signal,
    low_noise_alignment,
)
from theory.adagrad.bounds import (
    BoundConstants,
    adagrad_bound,
    enlarged_gradient_bound,
    high_noise_bound,
    low_noise_bound,
    second_moment_bound,
)
from theory.adagrad.relative_noise import relative_noise_bound
from theory.laws import Binary, Empirical, Gaussian, Uniform, parse_law

CONSTANTS = BoundConstants(
    gap=0.7, learning_rate=0.3, smoothness=5.0, gradient_bound=2.5, epsilon=1e-6, dimension=7
)


@pytest.mark.parametrize("steps", [1, 1000, 1e6])
def test_bounds_are_the_printed_formulas(steps):
    r, c, p, gap, eta, smooth, eps, d = 2.5, 0.6, 0.4, 0.7, 0.3, 5.0, 1e-6, 7
    log, root = d * math.log(1 + steps * r ** (2 * p) / eps), math.sqrt(steps)
    low = low_noise_bound(steps, CONSTANTS, p, alignment=c)
    assert low.start == pytest.approx(2 * r**p * gap / (c * eta * root))
    assert low.variance == pytest.approx(4 * r ** (p + 1) / c**2 * log / root)
    assert low.curvature == pytest.approx(eta * r**p * smooth / c * log / root)
    q, s = 1.7, 2.2
    rho, log = r ** (q - 1) / s, d * math.log(1 + steps * r ** (2 * q) / eps)
    high = high_noise_bound(steps, CONSTANTS, q, alignment=s)
    assert high.start == pytest.approx(2 * r * rho * gap / (eta * root))
    assert high.variance == pytest.approx(4 * r**2 * rho**2 * log / root)
    assert high.curvature == pytest.approx(eta * r * smooth * rho * log / root)
    assert high.total == pytest.approx(float(high.start + high.variance + high.curvature))


def test_bounds_broadcast():
    bound = low_noise_bound([[1.0], [10.0]], CONSTANTS, [0.2, 0.5, 1.0], alignment=0.9)
    assert bound.total.shape == (2, 3) == bound.start.shape
    single = low_noise_bound(10, CONSTANTS, 0.5, alignment=0.9)
    assert bound.total[1, 1] == pytest.approx(float(single.total))


def test_second_moment_bound_is_theorem_4_11_with_b():
    with_r = high_noise_bound(1e4, CONSTANTS, 1.0, alignment=0.8)
    without = second_moment_bound(1e4, CONSTANTS, alignment=0.8, second_moment=6.25)
    assert without.total == pytest.approx(float(with_r.total), rel=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gap": -1}, "gap: -1.0"),
        ({"learning_rate": 0}, "learning_rate: 0.0"),
        ({"epsilon": 0}, "epsilon: 0.0"),
        ({"dimension": 0.5}, "dimension: 0.5"),
        ({"gradient_bound": math.nan}, "gradient_bound: nan"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(InputError, match=message):
        replace(CONSTANTS, **change)


def test_powers_outside_a_theorem_are_refused():
    with pytest.raises(InputError, match="Theorem 4"):
        low_noise_bound(10, CONSTANTS, 1.2, alignment=1)
    with pytest.raises(InputError, match="steps"):
        adagrad_bound(0.5, CONSTANTS)
    with pytest.raises(InputError, match="p <= 1"):
        relative_noise_bound(10, CONSTANTS, 1.2, alignment=1, largest_factor=1)


def test_a_bound_on_gradients_is_asked_for_where_the_theorem_needs_one():
    unbounded = replace(CONSTANTS, gradient_bound=math.inf)
    with pytest.raises(InputError, match="gradient_bound: inf"):
        adagrad_bound(10, unbounded)
    with pytest.raises(InputError, match="gradient_bound: R"):
        adagrad_bound(10, replace(CONSTANTS, gradient_bound=1e-4))
    assert second_moment_bound(10, unbounded, alignment=1, second_moment=1).total > 0


@pytest.mark.parametrize("power", [0.3, 1.0, 4.0])
def test_enlarged_bound_covers_epsilon(power):
    r = enlarged_gradient_bound(2.0, power, 0.3)
    assert r ** (2 * power) == pytest.approx(2.0 ** (2 * power) + 0.3)


@pytest.mark.parametrize("power", [0.2, 0.5, 0.8])
def test_largest_ratio_is_where_the_constant_is_reached(power):
    for name in ("uniform", "gaussian", "two-point:0.3"):
        law = parse_law(name)
        ratio = largest_noise_to_signal(power, 0.95, law)
        assert float(low_noise_alignment(power, ratio, law)) == pytest.approx(0.95, abs=1e-6)
        assert float(low_noise_alignment(power, 1.05 * ratio, law)) < 0.95


def test_both_signs_of_the_gradient_count():
    law = parse_law("two-point:0.2")
    both = [float(alignment(0.5, 0.8, side)) for side in (law, law.reflected())]
    assert both[0] != both[1]
    assert float(low_noise_alignment(0.5, 0.8, law)) <= min(both) + 1e-12


def test_sparse_noise_keeps_a_constant_whatever_its_size():
    law = parse_law("sparse:0.25")
    assert largest_noise_to_signal(0.5, 0.7, law) == math.inf
    assert float(low_noise_alignment(0.5, 1e6, law)) == pytest.approx(0.75, abs=1e-3)


@pytest.mark.parametrize(("power", "reach"), [(1.2, 3.0), (1.5, 0.7), (0.5, 2.0), (3.0, 5.0)])
def test_high_noise_constant_is_the_least_slope(power, reach):
    for law in (Binary(), Uniform(), Gaussian()):

        def slope(x, law=law):
            return float(x ** (power - 1) * alignment(power, 1 / x, law))

        dense = min(slope(x) for x in np.linspace(1e-3, reach, 4001))
        refined = minimize_scalar(slope, bounds=(1e-4, reach), method="bounded").fun
        found = float(high_noise_alignment(power, 2.0, 2 * reach, law)) / 2 ** (power - 1)
        assert found <= min(dense, refined) * (1 + 1e-9)
        assert found >= min(dense, refined) * (1 - 1e-4)


def test_skewed_noise_has_no_high_noise_constant():
    assert float(high_noise_alignment(1.5, 1.0, 1.0, parse_law("two-point:0.2"))) == -math.inf
    assert float(high_noise_alignment(1.0, 1.0, 1.0, parse_law("two-point:0.2"))) == 1.0
    skewed = Empirical([0.0, 0.0, 0.0, 1.0])
    assert float(contraction(1.5, 2 * skewed.reach, skewed)) == math.inf


def test_contraction_of_two_point_noise():
    for power in (3, 5):
        ratio = 1.01 ** (1 / (power - 1))
        assert largest_bound_to_noise(power, 1.01 / power, Binary()) == pytest.approx(ratio, rel=1e-9)
        assert float(contraction(power, ratio, Binary())) == pytest.approx(1.01 / power, rel=1e-6)
    assert math.isnan(largest_bound_to_noise(2.0, 1.0, Uniform()))
    assert math.isnan(largest_bound_to_noise(2.0, 1.0, Gaussian()))
    with pytest.raises(InputError, match="bound_to_noise"):
        contraction(2.0, 0.9, Uniform())


def test_relative_noise_bound_solves_its_equation():
    t, p, c, kappa, r = 1e6, 0.5, 0.9, 1.3, 2.5
    found = float(relative_noise_bound(t, CONSTANTS, p, alignment=c, largest_factor=kappa))
    a = kappa**p * t ** ((1 - p) / (2 * (p + 1)))
    y, eta = found * t ** (1 / (p + 1)), 0.3
    root = math.sqrt(1e-6)
    right = (root / a) ** (1 / p) + 4 * a / (c * eta) * (
        0.7 / 7 + 2 * (2 * eta * r / c + eta**2 * 5 / 2) * math.log(1 + a * y**p / root)
    )
    assert y == pytest.approx(right, rel=1e-9)


def test_relative_noise_bound_falls_like_the_root_of_t():
    for power in (0.2, 0.5, 1.0):
        early, late = relative_noise_bound([1e20, 1e24], CONSTANTS, power, alignment=0.9, largest_factor=1.3)
        assert math.log10(early / late) / 4 == pytest.approx(0.5, abs=0.03)
