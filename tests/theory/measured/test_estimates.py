"""The assumptions' constants from measured gradients: coverage against exact moments, honesty, and every file."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from gradpower.__main__ import main
from gradpower.tools.errors import InputError
from theory.adam.moments import power_moments
from theory.laws import parse_law
from theory.measured.commands import second_verdict, verdict
from theory.measured.confidence import ratio_range
from theory.measured.estimates import estimate_assumptions
from theory.measured.gradient_samples import GradientSamples

COMMAND = ["theory", "measured-assumptions", "--samples"]


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def estimate(samples, powers=(0.5, 1.2), gradient=None, **settings):
    return estimate_assumptions(GradientSamples(np.asarray(samples), gradient), powers, **settings)


SETTINGS = [("uniform", 0.3, 0.5), ("binary", 3.0, 3.0), ("gaussian", 1.0, 1.2), ("laplace", 0.5, 0.7)]
MEAN = np.array([1.0, -2.0, 0.5, -1.0, 3.0, 1.5, -0.1, 10.0])


def truth(name: str, ratio: float, power: float) -> np.ndarray:
    moment = power_moments(power, np.abs(MEAN), ratio * np.abs(MEAN), parse_law(name)).first
    return moment / np.abs(MEAN) ** min(power, 1.0)


def covered(name, ratio, power, trials, count, known=False, **settings) -> tuple[int, int]:
    """In how many trials all bounds held, and how many lower bounds on the minimum did."""
    generator, law, constants = random(5), parse_law(name), truth(name, ratio, power)
    both = least = 0
    for _ in range(trials):
        samples = MEAN * (1 + ratio * law.sample(generator, (count, MEAN.size)))
        one = estimate(samples, [power], MEAN if known else None, **settings).powers[0]
        both += bool(np.all((one.lower <= constants) & (constants <= one.upper)))
        least += not one.minimum.lower > constants[~np.isnan(one.estimate)].min(initial=math.inf)
    return both, least


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(("name", "ratio", "power"), SETTINGS)
def test_simultaneous_bounds_cover_in_their_fraction(name, ratio, power, known):
    trials = 250
    both, least = covered(name, ratio, power, trials, 400, known, confidence=0.9)
    slack = 3 * math.sqrt(0.9 * 0.1 / trials)
    assert both / trials >= 0.9 - slack
    assert least / trials >= 0.9 - slack


def test_rare_gradients_are_missed():
    """Where the samples of a rare event show no variance Student's interval is far too narrow, as the command says."""
    law = np.random.default_rng(0)
    missed = 0
    for _ in range(40):
        rare = law.random((400, 100)) < 0.01
        estimates = estimate_assumptions(GradientSamples(0.49 + rare), [0.5])
        truth = (0.99 * 0.49**0.5 + 0.01 * 1.49**0.5) / 0.5**0.5
        (found,) = estimates.powers
        missed += bool(((found.lower > truth) | (found.upper < truth)).any())
    assert missed > 20


def test_intervals_shrink_with_samples_and_with_the_gradient():
    samples = 1 + random(2).normal(size=(4000, 3))
    wide, narrow = (estimate(samples[:n], [0.5, 1.5]).powers for n in (250, 4000))
    known = estimate(samples, [0.5, 1.5], np.ones(3)).powers
    for a, b, c in zip(wide, narrow, known, strict=True):
        assert np.all(a.upper - a.lower > 2.5 * (b.upper - b.lower))
        assert np.all(b.upper - b.lower > c.upper - c.lower)


def test_ratio_range_against_a_grid():
    x, y = np.linspace(0.5, 2.0, 101)[:, None], np.linspace(0.0, 1.0, 101)
    for low, high in [(1.0, 3.0), (-1.0, 3.0), (-3.0, -1.0)]:
        for exponent in (0.3, 1.0):
            ratio = (low + (high - low) * y) / x**exponent
            found = ratio_range((x[0], x[-1]), (np.array([low]), np.array([high])), exponent)
            np.testing.assert_allclose(np.ravel(found), [ratio.min(), ratio.max()], rtol=1e-12)


def test_skewed_noise_that_contradicts_is_found():
    """Rare large positive gradients outweigh the mean; at p = 1/2 the many small negative ones win."""
    rare = random(4).random((3000, 5)) < 0.1
    samples = np.where(rare, 9.0, -0.5) * [1.0, 1.0, -1.0, 1e-20, 1.0]
    samples[:, 4] = 1 + 0.1 * random(6).normal(size=3000)
    estimates = estimate(samples, (0.5, 3.0))
    low, high = estimates.powers
    assert low.contradicting == [0, 1, 2, 3]
    assert high.contradicting == []
    assert low.minimum.upper < 0
    assert (verdict(estimates, low), verdict(estimates, high)) == ("contradicted", "holds")


def test_symmetric_noise_without_a_gradient_is_unresolved():
    estimates = estimate(random(7).normal(size=(500, 40)), (0.5, 3.0))
    assert not estimates.resolved.any()
    assert estimates.unresolved.all()
    assert np.all(estimates.samples_needed > 500)
    for one in estimates.powers:
        assert one.contradicting == []
        assert all(map(math.isnan, one.minimum))
        assert verdict(estimates, one) == "undecided"


def test_the_samples_asked_for_resolve():
    def draw(count):
        return 0.1 + random(8).normal(size=(count, 1))

    few = estimate(draw(200))
    assert not few.resolved[0]
    enough = estimate(
        draw(int(4 * 200 * (few.half_width[0] / 0.1) ** 2))
    )  # of n·(half-width/|G|)² one in two would
    assert enough.resolved[0]


def test_low_noise_holds_and_high_noise_fails_at_its_second_condition():
    estimates = estimate(MEAN * (1 + 0.3 * random(9).uniform(-1, 1, (1000, MEAN.size))), (0.5, 1, 1.2))
    assert [verdict(estimates, one) for one in estimates.powers] == ["holds"] * 3
    assert 0.97 <= estimates.powers[0].minimum.lower < 0.98
    assert (
        second_verdict(estimates, estimates.powers[2]) == "contradicted"
    )  # the smallest gradient has s near 0.1^0.2, R is 13


def test_second_condition_of_example_4_10():
    """g = ∇F ± a with p = 3: ρ = R²/s = (μ + a)²/(μ² + 3a²), near 1/3."""
    samples = 1 + 20 * parse_law("binary").sample(random(10), (40_000, 2))
    estimates = estimate(samples, [3.0], gradient_bound=21.0)
    rho = estimates.powers[0].rho(estimates.bound)
    assert rho.lower <= 21**2 / 1201 <= rho.upper < 1
    assert second_verdict(estimates, estimates.powers[0]) == "holds"


def test_power_one_is_an_identity():
    samples = random(11).standard_cauchy((50, 7))
    for gradient, bound in [(None, None), (np.arange(7.0), None), (None, 1e9)]:
        one = estimate(samples, [1.0], gradient, gradient_bound=bound).powers[0]
        assert all(np.all(v == 1) for v in (one.estimate, one.lower, one.upper))


def test_a_known_gradient():
    samples = np.array([1.0, 0.0, -1.0]) + random(13).normal(size=(400, 3))
    estimates = estimate(samples, (0.5,), np.array([1.0, 0.0, -1.0]))
    assert estimates.misplaced == 0
    assert estimates.resolved.tolist() == [True, False, True]
    assert not estimates.unresolved.any()  # the condition is 0 >= 0 where the gradient vanishes
    assert verdict(estimates, estimates.powers[0]) == "holds"
    assert estimate(samples, (0.5,), np.array([1.0, 0.0, 1.0])).misplaced == 1


def test_units_do_not_matter():
    """c is scale-free and s scales like |g|^{p−1}, also where |g|^{2p} is below the range of float64."""
    samples = MEAN + random(14).normal(size=(300, MEAN.size))
    plain, tiny = (estimate(samples * unit, (0.5, 5.0)).powers for unit in (1.0, 1e-40))
    np.testing.assert_allclose(tiny[0].lower, plain[0].lower, rtol=1e-9)
    np.testing.assert_allclose(tiny[1].lower, plain[1].lower * 1e-160, rtol=1e-9)


def test_noise_to_signal_is_corrected_for_the_noise_of_the_mean():
    estimates = estimate(1 + 5 * random(15).normal(size=(100, 20_000)))
    assert np.mean(estimates.mean**2) > 1.2
    squared = (estimates.standard_deviation / estimates.noise_to_signal) ** 2
    assert np.isinf(estimates.noise_to_signal).any()
    assert 1 < np.mean(squared) < 1.1  # above 1 because what is below 0 counts as 0


@pytest.mark.parametrize(
    ("argument", "settings"),
    [
        ("power", {"powers": ()}),
        ("power", {"powers": (0.5, 11.0)}),
        ("power", {"powers": (0.0,)}),
        ("confidence", {"confidence": 1.0}),
        ("confidence", {"confidence": math.nan}),
        ("gradient_bound: 2.5 .* 3", {"gradient_bound": 2.5}),
        ("gradient_bound", {"gradient_bound": -1.0}),
        ("gradient_bound", {"gradient_bound": math.nan}),
    ],
)
def test_bad_settings(argument, settings):
    with pytest.raises(InputError, match=f"^{argument}"):
        estimate([[1.0, -2.0], [0.5, 3.0]], **settings)


def test_the_command_prints_one_object(tmp_path, capsys):
    np.save(tmp_path / "g.npy", np.array([1.0, 0.0]) + 0.1 * random(20).normal(size=(200, 2)))
    output = tmp_path / "out.json"
    words = [*COMMAND, str(tmp_path / "g.npy"), "--power", "0.5", "1", "2", "--json", "--output", str(output)]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads(output.read_text())
    assert (result["samples"], result["coordinates"], result["resolved"]) == (200, 2, 1)
    assert [one["power"] for one in result["powers"]] == [0.5, 1, 2]
    assert result["powers"][0]["lower_bound"] > 0.98
    assert result["powers"][0]["rho"] is None
    assert [one["verdict"] for one in result["powers"]] == ["undecided", "holds", "undecided"]
    assert [one["second_verdict"] for one in result["powers"]][:2] == [None, None]
    assert result["samples_to_resolve"]["1.0"] > 200


@pytest.mark.parametrize("flags", [[], ["--gradient-bound", "50"]])
def test_the_table_tells_the_verdicts(tmp_path, capsys, flags):
    samples = tmp_path / "g.csv"
    np.savetxt(samples, np.array([1.0, 0.0]) + random(21).normal(size=(300, 2)), delimiter=",")
    (tmp_path / "full.txt").write_text("1 5")
    assert main([*COMMAND, str(samples), "--gradient", str(tmp_path / "full.txt"), *flags]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "undecided" in shown
    assert "does not fit the samples on 1 coordinates" in shown
    assert ("R = 50, given" in shown) == bool(flags)


def test_results_without_any_resolved_coordinate_are_still_json(tmp_path, capsys):
    np.save(tmp_path / "g.npy", np.tile([[1.0], [-1.0]], (5, 3)))
    assert main([*COMMAND, str(tmp_path / "g.npy"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["resolved"] == 0
    assert result["samples_to_resolve"]["0.9"] is None
