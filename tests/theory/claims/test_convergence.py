"""Section 4.2 and Appendix C: no check passes for a statement that is false."""

import math
from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from flint import arb

from theory.claims import (
    assumption_4_9,
    lemma_c_1,
    theorem_4_5,
    theorem_4_8,
    theorem_4_11,
    theorems,
)
from theory.claims.beyond import relative_noise, second_moment
from theory.laws import Binary, Uniform, parse_law


def test_young_needs_its_shares():
    """With a hundredth of them the inequality fails for some law."""
    assert lemma_c_1.least_young_remainder() > 0
    assert lemma_c_1.least_young_remainder(0.02) < 0


THEOREMS = (theorem_4_5.THEOREM, theorem_4_8.THEOREM, theorem_4_11.THEOREM)


@pytest.mark.parametrize("theorem", THEOREMS, ids=("4.5", "4.8", "4.11"))
def test_a_wrong_constant_is_not_assembled(theorem):
    assert theorem.assembly().passed
    assert not replace(theorem, penalty=theorem.penalty / 2).assembly().passed


@pytest.mark.parametrize(
    "runs", [*(theorem.runs for theorem in THEOREMS), relative_noise.RUNS, second_moment.RUNS]
)
def test_a_bound_too_small_is_violated(runs):
    share = runs.largest_share()
    assert 0 < share <= 1
    larger = replace(runs, share=lambda *setting: runs.share(*setting) / (0.9 * share))
    assert larger.largest_share() > 1


def test_printed_condition_fails_and_the_larger_r_serves():
    assert theorem_4_5.printed_excess(100.0, 10.0) > 0
    edge = theorems.smallest_failing_epsilon()
    best = min(-float(theorem_4_5.printed_excess(1.01 * edge, 10 ** (k / 50))) for k in range(-100, 150))
    worse = min(-float(theorem_4_5.printed_excess(0.97 * edge, 10 ** (k / 50))) for k in range(-100, 150))
    assert best < 0 < worse


def test_rate_of_the_bound_depends_on_the_power():
    assert theorem_4_8.bound_exponent(sp.Rational(1, 2)) == sp.Rational(2, 3)
    assert theorem_4_8.bound_exponent(sp.Integer(1)) != sp.Rational(2, 3)


def test_two_point_factor_vanishes_nowhere_but_is_no_constant():
    direct = ((1.5**3.3 - 0.5**3.3) / 1.0 - 3.3) / (3.3 * 2.3 * 1.3 * 0.25)
    assert float(assumption_4_9.curvature_factor(arb(3.3), arb("0.25"))) == pytest.approx(direct)


def test_bimodal_laws_escape_the_unimodal_claim():
    exact = Binary().absolute_moment
    assert assumption_4_9.gain_without_gradient(lambda q: exact(q, 0.0, 1.0), 3.0) == pytest.approx(1 / 3)


def test_adagrad_without_noise_is_fast_whatever_the_power():
    for power in (0.25, 1.0):
        square, powered = relative_noise.run_without_noise(power, 20_000)
        assert powered == pytest.approx(1.0, abs=0.1)
        assert square > 0.9


def test_sum_is_not_certain_for_a_step_too_long():
    assert not relative_noise.bounded_sum(learning_rate=5.0).is_finite()


def test_constants_of_the_bound_without_r_follow_the_law():
    uniform, uniform_variance = second_moment.bound_ratios(parse_law("uniform"), (2.0,))
    laplace, _ = second_moment.bound_ratios(parse_law("laplace"), (2.0,))
    assert uniform[0] < 1 < laplace[0]
    assert uniform_variance[0] == pytest.approx(uniform[0] ** 2, rel=1e-2)


@pytest.mark.parametrize("name", [*lemma_c_1.LAWS, "two-point:0.2"])
def test_descent_against_monte_carlo(name):
    law, g, v, p, sigma, eps = parse_law(name), 0.3, 0.8, 1.4, 0.9, 1e-3
    step = lemma_c_1.step(g, v, p, sigma, law, eps)
    samples = g + sigma * law.sample(np.random.default_rng(2), 400_000)
    psi = np.sign(samples) * np.abs(samples) ** p
    for exact, values in (
        (step.progress, g * psi / np.sqrt(v + psi**2 + eps)),
        (step.penalty, psi**2 / (v + psi**2 + eps)),
    ):
        assert abs(values.mean() - exact) < 4.5 * values.std() / math.sqrt(values.size)
    mean_square = float(np.mean(psi**2))
    assert step.root_moment**2 == pytest.approx(mean_square, rel=0.1)
    assert step.square == pytest.approx(g**2 / math.sqrt(v + step.root_moment**2 + eps))


def test_lemma_c1_fails_for_a_constant_that_is_too_large():
    """With s four times too large and a large v the penalty cannot make up for it: the lemma needs its assumption."""
    step = lemma_c_1.step(0.1, 1e8, 1.0, 1.0, Uniform(), 1e-8)
    assert step.slack(1.0) > 0
    assert step.slack(4.0) < 0
