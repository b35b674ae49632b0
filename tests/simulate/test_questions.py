"""The studies at their smallest size, and the statistics they rest on."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import get_type_hints

import msgspec
import numpy as np
import pytest

from simulate.adagrad.bounds import arm_bound, compared
from simulate.adagrad.descent import build_descent
from simulate.adagrad.monte_carlo import simulate_adagrad
from simulate.questions import Size, Studies, bounds, extremes, gains, rates, unbounded
from simulate.questions.extremes import LAWS, compare
from simulate.questions.gains import speed_up
from simulate.questions.planning import best_rates, paired_ratio
from theory.adagrad.bounds import Bound
from theory.adagrad.powered_noise import high_noise_quality
from theory.laws import parse_law

pytestmark = pytest.mark.slow

QUICK = Size(300, 1_000, seeds=4, rates_per_octave=1, search_steps=100, search_rounds=3)
QUESTIONS = {
    "bounds": bounds,
    "rates": rates,
    "gains": gains,
    "extremes": extremes,
    "unbounded": unbounded,
}


@functools.cache
def quick(name):
    """The rows of a study at its smallest size; once for all tests, which only read them."""
    return QUESTIONS[name].run(QUICK)


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_study_gives_rows_that_a_file_can_hold_and_the_same_ones_again(name):
    first = quick(name)
    assert msgspec.convert(msgspec.to_builtins(first), get_type_hints(Studies)[name]) == first
    assert first == QUESTIONS[name].run(QUICK)


def test_no_bound_is_violated_even_in_short_runs():
    for name in ("bounds", "unbounded"):
        rows = quick(name)
        assert any(row.bound is not None for row in rows)
        assert not any(row.violated for row in rows)


def test_a_bound_too_small_is_violated():
    """A million million times less than the theorem says is less than what is measured, beyond chance."""
    descent = build_descent("pseudo-huber", 1.0, 1.0, 0.3, "uniform", steps=200, seeds=8)
    runs = simulate_adagrad(descent)
    ((place, arm),) = descent.arms.items()
    right = arm_bound(descent, arm)
    assert not compared(descent, runs, place, right, tests=10).violated
    bound = right.bound
    tiny = replace(right, bound=Bound(bound.start / 1e12, bound.variance / 1e12, bound.curvature / 1e12))
    assert compared(descent, runs, place, tiny, tests=10).violated


def test_paired_ratio_covers_as_often_as_it_says():
    generator, covered, trials = np.random.default_rng(3), 0, 2000
    for _ in range(trials):
        common = generator.normal(1.0, 0.3, 24)
        a, b = 2 * common + generator.normal(0, 0.05, 24), common + generator.normal(0, 0.05, 24)
        ratio = paired_ratio(a, b)
        covered += ratio.low <= 2.0 <= ratio.high
    assert abs(covered / trials - 0.95) < 0.02


def test_rates_are_judged_on_other_runs_than_those_that_chose_them():
    final = np.array([[[1.0, 1.0, 9.0, 9.0], [2.0, 2.0, 3.0, 3.0]]])
    index, judged = best_rates(final)
    assert index.tolist() == [0]
    assert judged.tolist() == [[9.0, 9.0]]


def test_speed_up_of_one_for_the_same_curve():
    steps = np.array([1.0, 10.0, 100.0])
    curve = steps**-0.5
    assert speed_up(steps, curve, curve) == pytest.approx(1.0)


def test_gain_over_adagrad_is_that_of_drift_over_rms_under_binary_noise():
    """A small true run of question 3, against theory."""
    descent = build_descent("pseudo-huber", [1.0, 2.0], [5.0], 3.0, "binary", steps=30_000, seeds=32)
    final = simulate_adagrad(descent).mean_square[0, :, 0, :, -1]
    ratio = paired_ratio(final[1], final[0])
    law = parse_law("binary")
    expected = float(high_noise_quality(1.0, law) / high_noise_quality(2.0, law))
    assert ratio.value == pytest.approx(expected, rel=0.1)
    assert ratio.high < 1


def test_adagrad_against_itself_is_one():
    rows = [row for row in quick("gains") if row.power == 1.0]
    assert rows
    assert all(row.tuned == row.shared == 1.0 for row in rows)


def test_adagrad_compared_with_itself_is_one():
    (ratio,), (adagrad_rate, rate) = compare("pseudo-huber", "uniform", 1.0, 1.0, steps=50, seeds=4, seed=0)
    assert ratio.value == 1.0
    assert rate == adagrad_rate


def test_the_larger_set_of_laws_is_at_least_as_extreme():
    """On the runs of the search, for which the extremes are the smallest and largest ratios found."""
    rows = quick("extremes")
    found = {(row.laws, row.goal): row for row in rows if row.steps == QUICK.search_steps}
    assert set(found) == {(laws, goal) for laws in LAWS for goal in ("helps most", "hurts most")}

    def again(laws, goal):
        row = found[laws, goal]
        runs = {"steps": QUICK.search_steps, "seeds": QUICK.seeds // 2, "seed": extremes._SEED}
        return compare(row.problem, row.law, row.noise_to_signal, row.power, **runs)[0][0].value

    assert again("any", "helps most") <= again("symmetric", "helps most")
    assert again("any", "hurts most") >= again("symmetric", "hurts most")
