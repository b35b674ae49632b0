"""Claims beyond the paper: wrong statements are seen, and mpmath agrees."""

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from flint import arb, ctx

from gradpower.tools.errors import InputError
from tests.theory.claims.passing import passes
from theory.adam.update import limit_update
from theory.claims.beyond import (
    damping,
    every_noise_level,
    exact_update,
    mean_map,
    noise_shape,
    powered_noise,
    tails,
)
from theory.laws import Gaussian, parse_law


def test_integration_by_parts_sees_a_wrong_factor():
    assert not noise_shape.parts_hold(noise_shape.NORMAL, factor=2)


@pytest.mark.parametrize("wrong", [lambda b: b, lambda b: b - 1.1, lambda b: b / 2])
def test_a_wrong_best_power_is_noticed(wrong):
    assert not noise_shape.slope_sign_proved(wrong)[0]
    assert noise_shape.power_errors(wrong, (3.0,), 1e3)[0] > 0.05


def test_best_power_by_mpmath():
    def quality(p):
        signal = mp.quad(lambda x: p * x ** (p - 1) * mp.exp(-(x**3)), [0, 1, 2, 4])
        return signal / mp.sqrt(mp.quad(lambda x: x ** (2 * p) * mp.exp(-(x**3)), [0, 1, 2, 4]))

    assert mp.findroot(lambda p: mp.diff(quality, p), 1.9) == pytest.approx(2, abs=1e-8)


def test_damping_by_mpmath_and_a_wrong_constant():
    def size(p):
        moments = [mp.quad(lambda x, q=q: x**q * mp.npdf(x), [0, 1, 3, 10]) * 2 for q in (p, 2 * p)]
        return moments[0] / mp.sqrt(moments[1])

    assert size(1.2) / size(1) == pytest.approx(0.93954486, abs=1e-8)
    assert damping.damping_is(0.94, 2)
    assert damping.damping_is(0.9395, 4)
    assert not damping.damping_is(0.95, 2)


@pytest.mark.parametrize(("power", "degrees"), [(0.7, 5.0), (1.0, 4.0), (1.5, 9.0)])
def test_student_slope_by_mpmath(power, degrees):
    def log_quality(p):
        def density(x):
            return (1 + x * x) ** (-(degrees + 1) / 2)

        nodes = [0, 0.1, 1, 10, mp.inf]
        low = mp.quad(lambda x: p * x ** (p - 1) * density(x), nodes)
        return mp.log(low) - mp.log(mp.quad(lambda x: x ** (2 * p) * density(x), nodes)) / 2

    assert float(tails.student_slope(arb(power), arb(degrees))) == pytest.approx(
        mp.diff(log_quality, power), abs=1e-6
    )


def test_counterexample_needs_its_heavy_tail_and_its_flat_bulk():
    assert not tails.survives(tails.COUNTEREXAMPLE)
    pure_laplace = tails.UniformWithTail(arb(1), arb(2))
    pure_uniform = tails.UniformWithTail(arb(0), arb(2))
    assert tails.survives(pure_laplace)
    assert tails.survives(pure_uniform)
    assert float(pure_laplace.slope(arb(1))) == pytest.approx(-0.5)
    assert float(pure_uniform.kurtosis) == pytest.approx(1.8)


@pytest.mark.parametrize(("power", "delta"), [(1.0, 0.3), (1.7, 2.0), (4.0, 6.0)])
def test_gaussian_slope_by_mpmath(power, delta):
    def log_update(p):
        odd = mp.hyp1f1((1 - p) / 2, 1.5, -(delta**2) / 2) * mp.gamma(p / 2 + 1) * mp.mpf(2) ** (p / 2)
        even = mp.hyp1f1(-p, 0.5, -(delta**2) / 2) * mp.gamma(p + 0.5) * mp.mpf(2) ** p
        return mp.log(odd) - mp.log(even) / 2

    slope = mp.diff(log_update, power)
    assert float(every_noise_level.gaussian_slope(arb(power), arb(delta))) == pytest.approx(slope, rel=1e-7)
    step = 1e-5
    u = limit_update([power - step, power + step], 1.0, 1 / delta, Gaussian(), epsilon=0)
    assert (u[1] / u[0] - 1) / (2 * step) == pytest.approx(float(slope), rel=1e-5)


def test_what_fails_for_light_tails_or_a_wrong_factor():
    assert not every_noise_level.falls("uniform", (10.0,), [1.0, 1.2])
    assert not every_noise_level.falls("generalized-normal:4", (10.0,), [1.0, 1.2])
    assert not every_noise_level.sinh_exceeds(0.05, 10.0, factor=1.1)[0]


def test_gaussian_moment_slope_changes_sign():
    with ctx.workprec(128):
        assert every_noise_level.moment_slope(arb(1), arb(1e-9), arb(0.69)) < 0
        assert every_noise_level.moment_slope(arb(1), arb(1e-9), arb(0.70)) > 0


def test_a_wrong_kernel_is_noticed():
    assert not exact_update.is_kernel(exact_update.H1 + exact_update.EPS)
    assert not exact_update.is_kernel(exact_update.H1.subs(exact_update.EPS, 2 * exact_update.EPS))
    with ctx.workprec(128):
        enclosure = exact_update.kernel_enclosure(arb(2), arb("0.5"), 1).real
        assert not enclosure.overlaps(1 / (arb(2).sqrt() + arb("0.51")))


def test_a_wrong_beta_shows_in_the_enumeration():
    assert exact_update.enumeration_error(1.2, 10.0, 0.1, beta2=0.96) > 1e-4


def test_a_wrong_scale_of_epsilon_is_noticed():
    assert not exact_update.scale_cancels(sp.Integer(1))
    assert exact_update.scale_error(lambda power: 1.0) > 1e-2


def test_local_criterion_by_mpmath():
    mean = [mp.quad(lambda x, q=q: mp.exp(-(x**3)) * x**q, [0, 1, 4]) for q in (0, 2)]
    logs = [mp.quad(lambda x, q=q: mp.exp(-(x**3)) * x**q * mp.log(x), [0, 0.01, 0.2, 1, 4]) for q in (0, 2)]
    exact = 1 + logs[0] / mean[0] - logs[1] / mean[1]
    assert tails.local_criterion("generalized-normal:3") == pytest.approx(exact, rel=1e-7)


def test_quality_is_bounded_by_the_score():
    law = parse_law("student-t:5")
    assert noise_shape.quality(law.score, law) == pytest.approx(
        (6 / 8 * 5 / 3) ** 0.5, rel=1e-9
    )  # Fisher information (ν+1)/(ν+3) over the variance (ν−2)/ν


@pytest.mark.parametrize(
    "wrong",
    [
        lambda p, g, law: mean_map.exact_slope(p, g, law) / p,
        lambda p, g, law: mean_map.exact_slope(p, -g, law) * (1 + 1e-6),
        lambda p, g, law: float(p * np.abs(g) ** (p - 1)) if g else 0.0,
    ],
)
def test_a_wrong_slope_is_noticed(wrong):
    assert mean_map.slope_error(wrong, ("uniform",)) > 5e-7


@pytest.mark.parametrize("wrong", [0.0, 1.0])
def test_the_slope_at_one_end_does_not_bound_it_for_every_power(wrong):
    low, _ = mean_map.smoothness_gap(lambda p, largest, law: mean_map.exact_slope(p, wrong * largest, law))
    assert low < 0.97


def test_too_large_a_factor_is_not_tight():
    assert mean_map.smoothness_gap(lambda *a: 1.05 * mean_map.exact_factor(*a))[1] > 1.04


def test_a_wrong_mean_map_is_noticed(monkeypatch):
    right = mean_map.uniform_mean
    monkeypatch.setattr(mean_map, "uniform_mean", lambda size=mean_map.X: right(2 * size))
    assert not passes(mean_map.slope, "symbolic")
    assert not passes(mean_map.smoothness, "symbolic")


def test_a_wrong_stalling_point_is_noticed(monkeypatch):
    assert mean_map.centre_error(lambda power, law: 0.0) > 0.1
    assert not mean_map.centre_proved(lambda p, odds: mean_map.two_point_centre(p * 1.1, odds), 0.1)[0]
    right = mean_map.two_point_centre
    monkeypatch.setattr(mean_map, "two_point_centre", lambda p, odds: right(p, odds) * (1 + (p - 1) / 10))
    assert not passes(mean_map.stalling, "symbolic")
    assert not passes(mean_map.stalling, "rigorous")


def test_a_wrong_correlation_is_noticed(monkeypatch):
    assert powered_noise.correlation_error(lambda p, kappa: kappa) > 0.01
    gain = powered_noise.correlation_gain
    assert not powered_noise.shrinking_proved(lambda p: gain(p) * 1.05, (0.05, 0.9))[0]
    right = powered_noise.series_coefficient
    monkeypatch.setattr(powered_noise, "series_coefficient", lambda n: right(n) * (1 + sp.Rational(n, 9)))
    assert not passes(powered_noise.correlation, "symbolic")


def test_the_direction_needs_the_division_and_the_symmetry(monkeypatch):
    assert powered_noise.direction_cosine(0.5, 1e3, parse_law("gaussian")) > 1 - 1e-6
    assert powered_noise.direction_cosine(0.5, 1e3, parse_law("gaussian"), 0.0) < 0.95
    assert powered_noise.direction_cosine(0.5, 1e3, parse_law("two-point:0.1")) < 0.9
    monkeypatch.setattr(powered_noise, "LAWS", ("two-point:0.1",))
    with pytest.raises(InputError, match="symmetric"):
        passes(powered_noise.direction, "numeric")


def test_a_wrong_update_from_the_ratio_is_noticed(monkeypatch):
    assert powered_noise.snr_error(lambda s: s / (1 + s)) > 0.1
    right = powered_noise.high_noise_quality
    monkeypatch.setattr(powered_noise, "high_noise_quality", lambda p, law: 1.01 * right(p, law))
    assert not passes(powered_noise.snr, "numeric")
    assert not passes(powered_noise.direction, "numeric")
