"""Section 4.2: every verdict is the committed one, and no check passes for a statement that is false."""

import pytest
import sympy as sp

from theory.claims import (
    beyond_theorems,
    convergence_lemmas,
    convergence_theorems,
    high_noise_assumption,
    low_noise_assumption,
)
from theory.claims.claim import run_claim
from theory.laws import Binary, parse_law

CLAIMS = (
    *convergence_lemmas.CONVERGENCE_LEMMAS,
    *convergence_theorems.CONVERGENCE_THEOREMS,
    *low_noise_assumption.LOW_NOISE_ASSUMPTION,
    *high_noise_assumption.HIGH_NOISE_ASSUMPTION,
    *beyond_theorems.BEYOND_THEOREMS,
)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_verdict_is_the_committed_one(claim):
    checked = run_claim(claim)
    assert checked.as_expected, checked
    for check in (checked.symbolic, checked.numeric, checked.rigorous):
        assert check is None or (check.detail and "\n" not in check.detail and type(check.passed) is bool)


def test_every_check_of_a_claim_that_fails_refutes_it():
    failing = [claim for claim in CLAIMS if claim.expected == "fails"]
    assert failing
    for claim in failing:
        checked = run_claim(claim)
        assert not any(
            check.passed for check in (checked.symbolic, checked.numeric, checked.rigorous) if check
        )


def test_young_needs_its_shares():
    """With a tenth of the two shares the inequality fails for some law."""
    assert convergence_lemmas.least_young_remainder() > 0
    assert convergence_lemmas.least_young_remainder(0.01, 0.01) < 0


def test_wrong_young_weights_are_seen(monkeypatch):
    monkeypatch.setattr(convergence_lemmas, "SECOND_WEIGHT", convergence_lemmas.SECOND_WEIGHT * 2)
    assert not convergence_lemmas._young_symbolic().passed


def test_smaller_bounds_of_the_lemmas_fail(monkeypatch):
    assert convergence_lemmas.log_sum_ratio(0.95) > 1
    assert convergence_lemmas.largest_moment_ratio(0.5) > 1
    assert convergence_lemmas.least_descent_slack(factor=2.5)[0] < 0


@pytest.mark.parametrize("theorem", ["4.5", "4.8", "4.11"])
def test_a_wrong_constant_is_not_assembled(monkeypatch, theorem):
    wrong = convergence_theorems.PRINTED[theorem]._replace(
        penalty=convergence_theorems.PRINTED[theorem].penalty / 2
    )
    monkeypatch.setitem(convergence_theorems.PRINTED, theorem, wrong)
    assert not convergence_theorems._assembly(theorem).passed


@pytest.mark.parametrize("theorem", ["4.5", "4.8", "4.11"])
def test_a_bound_too_small_is_violated(theorem):
    share, _ = convergence_theorems.largest_share(theorem)
    assert 0 < share <= 1
    assert convergence_theorems.largest_share(theorem, factor=0.9 * share)[0] > 1


def test_printed_condition_fails_and_the_larger_r_serves():
    assert convergence_theorems.printed_excess(100.0, 10.0) > 0
    edge = convergence_theorems.smallest_failing_epsilon()
    best = min(
        -float(convergence_theorems.printed_excess(1.01 * edge, 10 ** (k / 50))) for k in range(-100, 150)
    )
    worse = min(
        -float(convergence_theorems.printed_excess(0.97 * edge, 10 ** (k / 50))) for k in range(-100, 150)
    )
    assert best < 0 < worse


def test_rate_of_the_bound_depends_on_the_power():
    assert convergence_theorems.bound_exponent(sp.Rational(1, 2)) == sp.Rational(2, 3)
    assert convergence_theorems.bound_exponent(sp.Integer(1)) != sp.Rational(2, 3)


def test_example_4_7_fails_beyond_its_ratio(monkeypatch):
    ratio, power = low_noise_assumption.smallest_ratio("uniform")
    assert ratio == pytest.approx(0.4787, abs=1e-4)
    monkeypatch.setattr(low_noise_assumption, "smallest_ratio", lambda law: (1.05 * ratio, power))
    assert not low_noise_assumption._example_numeric().passed


def test_monotonicity_check_sees_the_wrong_direction():
    values = low_noise_assumption.additive_constants("uniform")
    assert low_noise_assumption.is_monotone(values, 0.5)
    assert not low_noise_assumption.is_monotone(values, 1.5)


def test_two_point_factor_vanishes_nowhere_but_is_no_constant():
    from flint import arb

    direct = ((1.5**3.3 - 0.5**3.3) / 1.0 - 3.3) / (3.3 * 2.3 * 1.3 * 0.25)
    assert float(high_noise_assumption.curvature_factor(arb(3.3), arb("0.25"))) == pytest.approx(direct)


def test_bimodal_laws_escape_the_unimodal_claim():
    assert high_noise_assumption.gain_without_gradient(high_noise_assumption._arcsine, 1.5) < 1
    exact = Binary().absolute_moment
    assert high_noise_assumption.gain_without_gradient(lambda q: exact(q, 0.0, 1.0), 3.0) == pytest.approx(
        1 / 3
    )


def test_shares_of_the_bounds_beyond_can_exceed_one():
    for share in (beyond_theorems.largest_relative_share, beyond_theorems.largest_second_moment_share):
        value, _ = share()
        assert share(factor=0.9 * value)[0] > 1


def test_adagrad_without_noise_is_fast_whatever_the_power():
    for power in (0.25, 1.0):
        square, powered = beyond_theorems.run_without_noise(power, 20_000)
        assert powered == pytest.approx(1.0, abs=0.1)
        assert square > 0.9


def test_sum_is_not_certain_for_a_step_too_long():
    assert not beyond_theorems.bounded_sum(learning_rate=5.0).is_finite()


def test_constants_of_the_bound_without_r_follow_the_law():
    uniform, uniform_variance = beyond_theorems.bound_ratios(parse_law("uniform"), (2.0,))
    laplace, _ = beyond_theorems.bound_ratios(parse_law("laplace"), (2.0,))
    assert uniform[0] < 1 < laplace[0]
    assert uniform_variance[0] == pytest.approx(uniform[0] ** 2, rel=1e-2)
