"""The Monte-Carlo optimal power: its confidence interval covers the exact p* as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from gradpower.tools.errors import InputError
from simulate.adam.optimum import monte_carlo_optimal_power
from theory.adam.optimum import optimal_power
from theory.laws import parse_law

pytestmark = pytest.mark.slow

MEAN = 1e-6


@pytest.mark.parametrize(("name", "ratio"), [("uniform", 10.0), ("gaussian", 3.0)])
def test_four_in_five_intervals_cover_the_exact_optimum(name, ratio):
    law = parse_law(name)
    truth = optimal_power(MEAN, ratio * MEAN, law, interval=(0.3, 2.5)).power
    covered = 0
    for seed in range(100):
        best = monte_carlo_optimal_power(
            MEAN, ratio * MEAN, law, interval=(0.3, 2.5), trials=512, seed=seed, confidence=0.8
        )
        low, high = best.power_interval
        covered += low <= truth <= high
    assert 66 <= covered <= 92  # 80 ± 3.3 binomial standard deviations, cut at the top by a little


@pytest.mark.parametrize("ratio", [2.0, 10.0, 50.0, 100.0])
def test_it_finds_figure_7s_optima(ratio):
    law = parse_law("uniform")
    truth = optimal_power(MEAN, ratio * MEAN, law, interval=(0.3, 2.5))
    best = monte_carlo_optimal_power(MEAN, ratio * MEAN, law, confidence=0.999)
    assert best.at_edge is None
    assert best.power in best.local_maxima
    low, high = best.power_interval
    assert low <= truth.power <= high
    assert high - low < 0.02
    assert best.update == pytest.approx(truth.update, rel=0.01)


@pytest.mark.parametrize("epsilon", [0.0, 1e-8])
@pytest.mark.parametrize("ratio", [0.0, 0.1])
def test_low_noise_is_best_at_the_edge(ratio, epsilon):
    best = monte_carlo_optimal_power(MEAN, ratio * MEAN, parse_law("uniform"), epsilon=epsilon, trials=256)
    assert best.at_edge == "low"
    assert best.power == 0.0
    assert best.power_interval is None
    assert best.update == pytest.approx(1.0, abs=1e-6)


def test_a_window_below_the_optimum_ends_at_its_upper_edge():
    best = monte_carlo_optimal_power(MEAN, 10 * MEAN, parse_law("uniform"), interval=(0.2, 0.9), trials=256)
    assert (best.power, best.at_edge, best.local_maxima) == (0.9, "high", ())


def test_a_seed_repeats():
    first, again, other = (
        monte_carlo_optimal_power(MEAN, 10 * MEAN, parse_law("uniform"), trials=256, seed=seed)
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first.power != other.power


@pytest.mark.parametrize(
    ("argument", "changes"),
    [
        ("interval", {"interval": (1.0, 1.0)}),
        ("interval", {"interval": (-1.0, 1.0)}),
        ("interval", {"interval": (1.0, np.inf)}),
        ("confidence", {"confidence": 1.0}),
        ("confidence", {"confidence": np.nan}),
        ("mean", {"mean": 0.0}),
        ("trials", {"trials": 7}),
    ],
)
def test_bad_input_is_named(argument, changes):
    good = {"mean": MEAN, "noise_scale": MEAN, "law": parse_law("uniform")}
    with pytest.raises(InputError, match=f"^{argument}: "):
        monte_carlo_optimal_power(**good | changes)
