"""Noise laws: moments against mpmath, rules against closed forms, samples against both, and bad names."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gradpower.tools.errors import InputError
from theory.adam.moments import power_moments
from theory.adam.update import exact_update
from theory.laws import Empirical, QuantileLaw, TwoPoint, parse_law

DENSITY_LAWS = [
    "uniform",
    "gaussian",
    "laplace",
    "generalized-normal:0.6",
    "generalized-normal:5",
    "student-t:7",
]
SYMMETRIC_LAWS = [*DENSITY_LAWS, "binary", "two-point:0.5", "triangular", "arcsine"]
LAWS = [*SYMMETRIC_LAWS, "two-point:0.3", "two-point:0.8"]


def mp_density(name, x):
    """The standardised density, written out independently in mpmath."""
    kind, _, parameter = name.partition(":")
    if kind == "uniform":
        return mp.mpf(0.5) if abs(x) <= 1 else mp.mpf(0)
    if kind == "gaussian":
        return mp.exp(-(x**2) / 2) / mp.sqrt(2 * mp.pi)
    if kind == "laplace":
        return mp.exp(-mp.sqrt(2) * abs(x)) / mp.sqrt(2)
    shape = mp.mpf(parameter)
    if kind == "generalized-normal":
        alpha = mp.sqrt(mp.gamma(1 / shape) / mp.gamma(3 / shape))
        return shape / (2 * alpha * mp.gamma(1 / shape)) * mp.exp(-((abs(x) / alpha) ** shape))
    width = mp.sqrt(shape - 2)  # √(ν−2): Student-t scaled to unit variance
    constant = mp.gamma((shape + 1) / 2) / (mp.gamma(shape / 2) * mp.sqrt(mp.pi) * width)
    return constant * (1 + (x / width) ** 2) ** (-(shape + 1) / 2)


def mp_moments(name, power, mean, scale):
    """E φ_p and E φ_p² by mpmath's quadrature in ξ, split where g or ξ is 0."""
    limit = 1 if name == "uniform" else mp.inf
    cuts = sorted(
        {-limit, -mean / scale, 0, mean / scale, limit} | ({-30, -3, 3, 30} if limit > 1 else set())
    )
    cuts = [c for c in cuts if abs(c) <= limit]

    def integral(function):
        return mp.quad(lambda x: function(mean + scale * x) * mp_density(name, x), cuts)

    first = integral(lambda g: mp.sign(g) * abs(g) ** power)
    return first, integral(lambda g: abs(g) ** (2 * power))


@pytest.mark.parametrize("name", DENSITY_LAWS)
@pytest.mark.parametrize(("power", "mean", "scale"), [(0.3, 1, 0.4), (1.2, 1, 3), (2.7, 1, 20), (1.0, 1, 1)])
def test_moments_against_mpmath(name, power, mean, scale):
    with mp.workdps(30):
        first, second = mp_moments(name, mp.mpf(power), mp.mpf(mean), mp.mpf(scale))
        rms = mp.sqrt(second)
    moments = power_moments(power, mean, scale, parse_law(name))
    # mpmath's own quadrature of |ξ|^0.6-like densities and power tails is the less accurate side
    assert moments.first == pytest.approx(float(first), rel=2e-9)
    assert moments.rms == pytest.approx(float(rms), rel=2e-9)


@pytest.mark.parametrize("name", ["uniform", "gaussian", "laplace", "student-t:30"])
def test_quadrature_against_closed_forms(name):
    """The nodes that the exact update uses, against the laws' closed forms, to 1e-12 and down to μ/σ = 1e-9."""
    law = parse_law(name)
    for location, scale in ((1, 1e-9), (1, 1e-3), (1, 0.4), (1, 1), (0.3, 1), (1e-3, 1), (1e-9, 1)):
        for power in (0.01, 0.4, 1.0, 1.2, 3.0, 10.0):
            rule = law.folded_rule(location, scale, power)
            assert rule.even.sum() == pytest.approx(1, abs=1e-13)
            assert rule.signed_moment(power) == pytest.approx(
                law.signed_moment(power, location, scale), rel=1e-12
            )
            absolute = law.absolute_moment(2 * power, location, scale)
            assert rule.absolute_moment(2 * power) == pytest.approx(absolute, rel=1e-12)


@pytest.mark.parametrize("name", SYMMETRIC_LAWS)
def test_no_cancellation_far_below_the_noise(name):
    """At μ/σ = 1e-9 the drift is its derivative in μ: E φ_p/μ is the same as at 1e-7, and not 0."""
    law = parse_law(name)
    slopes = [law.signed_moment(1.2, location, 1.0) / location for location in (1e-7, 1e-9)]
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-6)
    assert slopes[1] > 0.5


@pytest.mark.parametrize("name", LAWS)
def test_extreme_scales_neither_underflow_nor_overflow(name):
    if name.startswith("student"):
        name = "student-t:40"
    for unit in (1e-30, 1e3):
        for power in (0.01, 10.0):
            moments = power_moments(power, unit, 3 * unit, parse_law(name))
            scaled = power_moments(power, 1.0, 3.0, parse_law(name))
            assert moments.first / unit**power == pytest.approx(scaled.first, rel=1e-11)
            assert moments.rms / unit**power == pytest.approx(scaled.rms, rel=1e-11)


@pytest.mark.parametrize("name", [*LAWS, "student-t:1.5"])
def test_samples_follow_the_law(name):
    """Sampled E|ξ|^½ and P(g > 0) against the rule, within four standard errors."""
    law, size = parse_law(name), 200_000
    draws = law.sample(np.random.default_rng(1), size)
    rule = law.folded_rule(0.5, 1.0, 1.0)
    for even, sampled in ((0.5, np.abs(0.5 + draws) ** 0.5), (None, np.sign(0.5 + draws))):
        exact = rule.absolute_moment(even) if even else rule.signed_moment(1e-12)
        assert abs(sampled.mean() - exact) < 4 * sampled.std() / np.sqrt(size)


@pytest.mark.parametrize("name", [*LAWS, "sparse:0.2"])
def test_quantiles_have_the_moments_of_the_law(name):
    law = parse_law(name)
    noise = law.quantile((np.arange(200_000) + 0.5) / 200_000)
    assert np.all(np.diff(noise) >= 0)
    for power in (0.5, 1.0, 1.5):
        for shift in (0.3, 1.0):
            values = shift + noise
            expected = law.signed_moment(power, shift, 1.0)
            assert np.mean(np.sign(values) * np.abs(values) ** power) == pytest.approx(expected, abs=3e-3)


@pytest.mark.parametrize(("name", "shape"), [("gaussian", 2.0), ("laplace", 1.0)])
def test_closed_quantiles_are_those_of_the_gamma_law(name, shape):
    chance = np.append(np.random.default_rng(0).random(10_000), [1e-300, 1e-16, 0.5, 1 - 2.0**-53])
    expected = parse_law(f"generalized-normal:{shape}").quantile(chance)
    np.testing.assert_allclose(parse_law(name).quantile(chance), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["gaussian", "laplace", "generalized-normal:3", "student-t:5"])
def test_density_and_score(name):
    law, points = parse_law(name), np.array([-2.3, -0.4, 0.7, 1.9])
    with mp.workdps(30):
        density = [float(mp_density(name, mp.mpf(float(x)))) for x in points]
        score = [float(-mp.diff(lambda x: mp.log(mp_density(name, x)), mp.mpf(float(x)))) for x in points]
    np.testing.assert_allclose(law.density(points), density, rtol=1e-12)
    np.testing.assert_allclose(law.score(points), score, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(LAWS), st.floats(0.05, 3), st.floats(1e-3, 1e3), st.floats(1e-6, 1e3))
def test_moment_inequalities_and_scaling(name, power, ratio, unit):
    """|E φ| <= √E φ² (Cauchy–Schwarz), 0 < E φ without skew, and E φ_p(cg) = c^p E φ_p(g)."""
    law = parse_law(name)
    moments, scaled = (power_moments(power, c, c * ratio, law) for c in (1.0, unit))
    assert abs(moments.first) <= moments.rms * (1 + 1e-12)
    assert moments.first > 0 or not law.symmetric
    # skew can make E φ small against its terms, where the rounding of c·r shows
    rounding = 1e-12 * (moments.rms if not law.symmetric else 0.0)
    assert scaled.first == pytest.approx(moments.first * unit**power, rel=1e-10, abs=rounding * unit**power)


def test_identity_power():
    """p = 1: E g = μ for every law, and E g² = μ² + σ² where σ is the standard deviation."""
    unit_variance = ("gaussian", "laplace", "generalized-normal:3", "student-t:5", "binary", "two-point:0.1")
    for name in unit_variance:
        moments = power_moments(1.0, 2.0, 3.0, parse_law(name))
        assert moments.first == pytest.approx(2.0, rel=1e-13)
        assert moments.second == pytest.approx(13.0, rel=1e-12)
    assert power_moments(1.0, 2.0, 3.0, parse_law("uniform")).second == pytest.approx(4 + 9 / 3, rel=1e-13)


@pytest.mark.parametrize("suffix", [".npy", ".txt"])
def test_empirical_law(tmp_path, suffix):
    samples = np.random.default_rng(0).gamma(2.0, size=5000) * 7 + 3
    path = tmp_path / f"noise{suffix}"
    if suffix == ".npy":
        np.save(path, samples)
    else:
        path.write_text("\n".join(map(repr, samples.tolist())))
    law = parse_law(f"empirical:{path}")
    assert law.samples.mean() == pytest.approx(0, abs=1e-12)
    assert law.samples.std() == pytest.approx(1, rel=1e-12)
    direct = 1.0 + 4.0 * law.samples
    condensed = law.folded_rule(0.25, 1.0, 2.0)
    assert condensed.even.size < 2000  # 5000 atoms were condensed
    first, second = np.mean(np.sign(direct) * np.abs(direct) ** 1.3), np.mean(np.abs(direct) ** 3.1)
    assert condensed.signed_moment(1.3) * 4**1.3 == pytest.approx(first, rel=1e-12)
    assert condensed.absolute_moment(3.1) * 4**3.1 == pytest.approx(second, rel=1e-12)


@pytest.mark.parametrize(
    "name",
    [
        "cauchy",
        "",
        "uniform:2",
        "student-t",
        "student-t:0",
        "student-t:x",
        "generalized-normal:-1",
        "generalized-normal:inf",
        "two-point",
        "two-point:0",
        "two-point:1",
        "two-point:nan",
        "empirical:",
        "empirical:/nowhere/at.all",
    ],
)
def test_bad_names_are_one_line(name):
    with pytest.raises(InputError, match=r"^law: ") as caught:
        parse_law(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "1.0 nan", "1.0 apple", "2.0 2.0 2.0"])
def test_bad_sample_files(tmp_path, content):
    path = tmp_path / "noise.txt"
    path.write_text(content)
    with pytest.raises(InputError, match=r"^law: empirical:"):
        parse_law(f"empirical:{path}")
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"^law: "):
        parse_law(f"empirical:{tmp_path}/pickled.npy")


@pytest.mark.parametrize("law", ["student-t:0.1", "student-t:0.5"])
def test_tails_beyond_the_range_of_numbers_are_refused_in_one_line(law):
    with pytest.raises(InputError, match=f"law: {law} is not allowed; expected a law whose tails"):
        exact_update(10.0, 1e-6, 1e-5, parse_law(law))


def test_missing_moments_say_so():
    law = parse_law("student-t:3")
    assert power_moments(1.4, 1.0, 1.0, law).rms > 0
    with pytest.raises(InputError, match=r"moment of order 3\.2"):
        power_moments(1.6, 1.0, 1.0, law)


@pytest.mark.parametrize("shape", [0.2, 0.3, 1.0, 2.0, 2.7, 4.0, 8.0, 20.0, 100.0])
def test_generalized_normal_moments_by_gamma_functions(shape):
    """Pure noise: E|ξ|^q = α^q·Γ((q+1)/b)/Γ(1/b), and the drift per μ is p·E|ξ|^{p−1}; to 1e-12 and 1e-9."""
    law = parse_law(f"generalized-normal:{shape:g}")

    def absolute(order):
        with mp.workdps(30):
            b, q = mp.mpf(shape), mp.mpf(order)
            alpha = mp.sqrt(mp.gamma(1 / b) / mp.gamma(3 / b))
            return float(alpha**q * mp.gamma((q + 1) / b) / mp.gamma(1 / b))

    for power in (0.3, 1.2, 3.0):
        rule = law.folded_rule(0.0, 1.0, power)
        assert rule.absolute_moment(2 * power) == pytest.approx(absolute(2 * power), rel=1e-12)
    for power in (1.2, 3.0):  # the next term of the drift is of relative order μ², or μ^b
        slope = law.folded_rule(1e-7, 1.0, power).signed_moment(power) / 1e-7
        assert slope == pytest.approx(power * absolute(power - 1), rel=1e-9 if shape > 1 else 0.2)


def test_symmetric_samples_are_the_symmetric_law():
    """Two opposite samples are binary noise; mirrored noise mirrors the moments."""
    two, binary = Empirical([-3.0, 3.0]), parse_law("binary")
    for setting in ((0.7, 1.0, 0.5), (1.2, 1.0, 4.0)):
        one, other = power_moments(*setting, two), power_moments(*setting, binary)
        assert one.first == pytest.approx(other.first, rel=1e-12)
        assert one.rms == pytest.approx(other.rms, rel=1e-12)
    skewed = np.random.default_rng(3).exponential(size=400)
    right, left = Empirical(skewed), Empirical(-skewed)
    assert right.folded_rule(0.0, 1.0, 1.0).signed_moment(0.7) == pytest.approx(
        -left.folded_rule(0.0, 1.0, 1.0).signed_moment(0.7), rel=1e-11
    )


@pytest.mark.parametrize("name", [*LAWS, "student-t:1.5"])
def test_reach_and_reflection(name):
    """No draw beyond the reach; −ξ drawn from the law is ξ drawn from its reflection, moment for moment."""
    law = parse_law(name)
    mirror = law.reflected()
    draws = law.sample(np.random.default_rng(5), 10_000)
    assert np.abs(draws).max() <= law.reach
    assert (mirror is law) == law.symmetric
    assert mirror.reach == pytest.approx(law.reach, rel=1e-15)
    rule = mirror.folded_rule(0.0, 1.0, 0.6)
    for power in (0.3, 0.6):
        values = -np.sign(draws) * np.abs(draws) ** power
        assert abs(values.mean() - rule.signed_moment(power)) < 4 * values.std() / 100


@pytest.mark.parametrize("probability", [0.001, 0.2, 0.65])
def test_two_point_moments(probability):
    """Against samples in the right proportion, with mean 0, variance 1 and the skewness of its docstring."""
    law = TwoPoint(probability)
    count = round(1000 * probability)
    samples = Empirical(np.repeat([law.upper, -law.lower], [count, 1000 - count]))
    np.testing.assert_allclose(np.unique(samples.samples), [-law.lower, law.upper], rtol=1e-12)
    for setting in ((0.3, 1.0, 0.5), (1.2, 1.0, 40.0), (2.0, 1.0, 3.0)):
        one, other = power_moments(*setting, law), power_moments(*setting, samples)
        assert one.first == pytest.approx(other.first, rel=1e-11)
        assert one.rms == pytest.approx(other.rms, rel=1e-12)
    skewness = (1 - 2 * probability) / (probability * (1 - probability)) ** 0.5
    assert law.folded_rule(0.0, 1.0, 2.0).signed_moment(3.0) == pytest.approx(skewness, rel=1e-12)
    assert law.signed_moment(1.0, 1e-9, 1.0) == 1e-9


def test_two_points_of_equal_weight_are_binary_noise():
    one, two = parse_law("two-point:0.5"), parse_law("binary")
    for setting in ((0.7, 1.0, 1.0), (1.2, 1e-9, 1.0), (0.4, 1.0, 0.3)):
        assert one.signed_moment(*setting) == two.signed_moment(*setting)
        ours, theirs = (law.folded_rule(*setting[1:], setting[0]) for law in (one, two))
        assert ours.signed_moment(setting[0]) == pytest.approx(theirs.signed_moment(setting[0]), abs=1e-15)


def test_reflected_samples_keep_their_name():
    law = Empirical([1.0, 2.0, 9.0], "empirical:x")
    mirror = law.reflected()
    assert mirror.name == "reflected empirical:x"
    np.testing.assert_array_equal(mirror.samples, -law.samples[::-1])
    assert mirror.reflected().name == law.name
    assert law.reach == mirror.reach == law.samples[-1]


def test_a_skewed_law_must_say_what_its_reflection_is():
    law = Empirical([1.0, 2.0, 9.0])
    with pytest.raises(NotImplementedError, match="Empirical"):
        super(Empirical, law).reflected()


@pytest.mark.parametrize("name", ["gaussian", "laplace", "uniform", "student-t:5"])
def test_a_law_by_its_quantiles_is_that_law(name):
    known = parse_law(name)
    distribution = {
        "gaussian": stats.norm(),
        "laplace": stats.laplace(scale=math.sqrt(0.5)),
        "uniform": stats.uniform(-1, 2),
        "student-t:5": stats.t(5, scale=math.sqrt(3 / 5)),
    }[name]
    own = QuantileLaw(
        "own", distribution.ppf, distribution.cdf, symmetric=True, moment_limit=known.moment_limit
    )
    for power, ratio in ((0.5, 0.5), (1.2, 10.0), (1.5, 1e3)):
        ours, theirs = (exact_update(power, 1.0, ratio, law, epsilon=0.0) for law in (own, known))
        assert float(ours.drift) == pytest.approx(float(theirs.drift), rel=1e-8)
        assert float(ours.rms) == pytest.approx(float(theirs.rms), rel=1e-8)


def test_a_skewed_law_by_its_quantiles_and_its_reflection():
    skewed = QuantileLaw("gumbel", stats.gumbel_r.ppf, stats.gumbel_r.cdf)
    for law, distribution in ((skewed, stats.gumbel_r), (skewed.reflected(), stats.gumbel_l)):
        with np.errstate(over="ignore"):  # in scipy's density, far out
            expected = distribution.expect(lambda x: np.sign(1 + x) * np.abs(1 + x) ** 1.5)
        assert law.signed_moment(1.5, 1.0, 1.0) == pytest.approx(expected, rel=1e-6)


def test_functions_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="quantile and cumulative that undo each other"):
        QuantileLaw("wrong", stats.norm.ppf, stats.laplace.cdf)
    with pytest.raises(InputError, match="symmetric: True"):
        QuantileLaw("gumbel", stats.gumbel_r.ppf, stats.gumbel_r.cdf, symmetric=True)


def test_few_samples_of_symmetric_noise_are_better_with_their_negatives():
    samples = np.random.default_rng(0).triangular(-1, 0, 1, 4000)
    plain, both = Empirical(samples), Empirical(samples).symmetrised()
    assert both.symmetric
    assert both.name == "empirical-symmetric"
    assert both.signed_moment(1.5, 0.0, 1.0) == pytest.approx(0.0, abs=1e-12)
    assert abs(plain.signed_moment(1.5, 0.0, 1.0)) > 1e-4
    assert both.resampled(np.random.default_rng(1)).symmetric


def test_the_bootstrap_of_symmetrised_samples_has_the_spread_of_new_samples():
    """Samples and their negatives are as many measurements as the samples alone."""
    generator = np.random.default_rng(2)

    def statistic(law):
        return law.absolute_moment(1.0, 0.0, 1.0)

    fresh = [statistic(Empirical(generator.standard_normal(1000)).symmetrised()) for _ in range(400)]
    law = Empirical(generator.standard_normal(1000)).symmetrised()
    drawn = [law.resampled(generator) for _ in range(400)]
    assert {draw.samples.size for draw in drawn} == {law.samples.size}
    assert np.std([statistic(draw) for draw in drawn]) == pytest.approx(np.std(fresh), rel=0.15)
