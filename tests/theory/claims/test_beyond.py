"""Claims beyond the paper: wrong statements are seen, and mpmath agrees."""

import mpmath as mp
import pytest
from flint import arb, ctx

from theory.adam.update import limit_update
from theory.claims.beyond import (
    every_noise_level,
    exact_update,
    noise_shape,
    tails,
)
from theory.laws import Gaussian, parse_law


def test_best_power_by_mpmath():
    def quality(p):
        signal = mp.quad(lambda x: p * x ** (p - 1) * mp.exp(-(x**3)), [0, 1, 2, 4])
        return signal / mp.sqrt(mp.quad(lambda x: x ** (2 * p) * mp.exp(-(x**3)), [0, 1, 2, 4]))

    assert mp.findroot(lambda p: mp.diff(quality, p), 1.9) == pytest.approx(2, abs=1e-8)


def test_counterexample_needs_its_heavy_tail_and_its_flat_bulk():
    pure_laplace = tails.UniformWithTail(arb(1), arb(2))
    pure_uniform = tails.UniformWithTail(arb(0), arb(2))
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


def test_what_fails_for_light_tails():
    assert not every_noise_level.falls("uniform", (10.0,), [1.0, 1.2])
    assert not every_noise_level.falls("generalized-normal:4", (10.0,), [1.0, 1.2])


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


def test_local_criterion_by_mpmath():
    mean = [mp.quad(lambda x, q=q: mp.exp(-(x**3)) * x**q, [0, 1, 4]) for q in (0, 2)]
    logs = [mp.quad(lambda x, q=q: mp.exp(-(x**3)) * x**q * mp.log(x), [0, 0.01, 0.2, 1, 4]) for q in (0, 2)]
    exact = 1 + logs[0] / mean[0] - logs[1] / mean[1]
    law = parse_law("generalized-normal:3")
    assert tails.quality_slope(law.density, 1.0) == pytest.approx(exact, rel=1e-7)


def test_quality_is_bounded_by_the_score():
    law = parse_law("student-t:5")
    assert noise_shape.quality(law.score, law) == pytest.approx(
        (6 / 8 * 5 / 3) ** 0.5, rel=1e-9
    )  # Fisher information (ν+1)/(ν+3) over the variance (ν−2)/ν
