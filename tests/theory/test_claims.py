"""The registry: verdicts as committed, checks that can fail, and the command that prints them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

import theory.adam.commands
import theory.claims.commands
from gradpower.tools.errors import InputError
from gradpower.tools.terminal import Output
from theory.adam.example import Example
from theory.adam.update import limit_update
from theory.claims import CLAIMS, Check, Claim, high_noise, leading_order, run_claim, true_update
from theory.claims.high_noise import HIGH_NOISE
from theory.claims.low_noise import LOW_NOISE, edge_threshold
from theory.claims.true_update import TRUE_UPDATE, enclosed_maximum, predicted_correction
from theory.laws import Uniform


@pytest.mark.parametrize("claim", [*LOW_NOISE, *HIGH_NOISE, *TRUE_UPDATE], ids=lambda claim: claim.id)
def test_verdict_is_the_committed_one(claim):
    checked = run_claim(claim)
    assert checked.verdict == claim.expected, [checked.symbolic, checked.numeric, checked.rigorous]
    assert "NOT" not in (checked.rigorous.detail if checked.rigorous else "")


def test_registry_is_well_formed():
    names = [claim.id for claim in CLAIMS]
    assert len(set(names)) == len(names)
    for claim in CLAIMS:
        assert claim.statement.endswith(".")
        assert (claim.source == "ours") == (claim.place == "beyond the paper")


def fake(symbolic=True, numeric=True, rigorous=True, region=None):
    return Claim(
        id="fake",
        statement="A claim.",
        place="nowhere",
        source="ours",
        kind="tight",
        expected="holds",
        symbolic=lambda: Check(symbolic, ""),
        numeric=lambda: Check(numeric, ""),
        rigorous=lambda: Check(rigorous, ""),
        region=(lambda: region) if region else None,
    )


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        (fake(), "holds"),
        (fake(region="σ < 1"), "holds with a condition"),
        (fake(symbolic=False), "fails"),
        (fake(numeric=False, region="σ < 1"), "fails"),
        (fake(rigorous=False), "fails"),
    ],
)
def test_verdict_follows_from_the_checks(claim, verdict):
    assert run_claim(claim).verdict == verdict


def test_remainder_check_can_fail():
    """A remainder bound below the true coefficient is not proved, in either regime."""
    assert not leading_order.remainder_proved(True, 0.05, 5.0, 0.1).passed
    assert not leading_order.remainder_proved(False, 0.4, 5.0, 0.1).passed


def test_remainder_ratio_is_the_exact_update_over_the_leading_form():
    power = np.array([0.5, 1.2, 3.0])
    for low_noise, ratio in ((True, 0.2), (False, 5.0)):
        exact = limit_update(power, 1e-3, ratio * 1e-3, Uniform(), epsilon=1e-5)
        if low_noise:
            leading = 1e-3**power / (1e-3**power + 1e-5)
            weight = leading
        else:
            sigma = 5e-3
            denominator = sigma**power / np.sqrt(2 * power + 1) + 1e-5
            leading = sigma**power / denominator / ratio
            weight = 1 - 1e-5 / denominator
        found = leading_order.ratio(power, min(ratio, 1 / ratio), weight, low_noise)
        np.testing.assert_allclose(found, exact / leading, rtol=1e-12)


def test_symbolic_checks_can_fail(monkeypatch):
    """With another exponent in f, none of the derivations about it goes through."""
    wrong = 1 / (2 * high_noise.P + 2) + high_noise._EPS * sp.exp(high_noise._L * high_noise.P)
    monkeypatch.setattr(high_noise, "_INVERSE_F", wrong)
    assert not high_noise._stationarity_symbolic().passed
    assert not high_noise._unique_symbolic().passed


def test_rigorous_checks_can_fail(monkeypatch):
    """A p* from another Lambert argument leaves its bounds and its enclosure."""
    right = high_noise._lambert
    monkeypatch.setattr(high_noise, "_lambert", lambda log, lam: right(log, lam) * 1.5)
    assert not high_noise._bound_rigorous(lower=False).passed
    assert not high_noise._lambert_rigorous().passed
    monkeypatch.setattr(high_noise, "_lambert", lambda log, lam: right(log, lam) * 0.5)
    assert not high_noise._bound_rigorous(lower=True).passed


def test_numeric_checks_can_fail(monkeypatch):
    monkeypatch.setattr(high_noise, "high_noise_power", lambda sigma, epsilon=1e-8: 2.0)
    assert not high_noise._bound_numeric(lower=False).passed
    assert not high_noise._lambert_numeric().passed
    monkeypatch.setattr(true_update, "_NOISY", (2, 10))
    assert not true_update._figure_numeric().passed
    assert not true_update._figure_rigorous().passed
    monkeypatch.setattr(true_update, "predicted_correction", lambda *a: 1.02 * predicted_correction(*a))
    assert not true_update._correction_numeric().passed


def test_maximum_is_not_proved_where_there_is_none():
    with pytest.raises(ArithmeticError, match="no certain change of sign"):
        enclosed_maximum(1e5)  # p* is above 2.5 there


def test_edge_threshold_separates():
    threshold = edge_threshold(epsilon=1e-2)
    assert 1.03 < threshold < 1.04


def test_check_command(capsys, monkeypatch):
    names = ("4.2-supremum", "4.3-theta")
    assert theory.claims.commands.check(Output(json=True), only=names) == 0
    claims = json.loads(capsys.readouterr().out)["claims"]
    assert [c["id"] for c in claims] == list(names)
    keys = {"id", "statement", "source", "kind", "symbolic", "numeric", "rigorous", "region", "verdict"}
    assert keys <= set(claims[0])
    assert (claims[0]["verdict"], claims[1]["verdict"]) == ("holds", "holds with a condition")
    surprising = replace(fake(), expected="fails")
    monkeypatch.setattr(theory.claims.commands, "CLAIMS", (surprising,))
    monkeypatch.setenv("COLUMNS", "200")
    assert theory.claims.commands.check(Output()) == 1
    assert "(expected:" in capsys.readouterr().out


def test_check_command_refuses_unknown_claims():
    with pytest.raises(InputError, match=r"^only: 4.4 is not allowed"):
        theory.claims.commands.check(Output(), only=("4.4",))


def test_update_command(capsys):
    theory.adam.commands.update(Example(), Output(json=True), power=1.2)
    result = json.loads(capsys.readouterr().out)
    assert result["update"] == pytest.approx(0.17254076, abs=1e-8)
    assert result["limit"] == pytest.approx(0.17760138503783876, rel=1e-12)
    assert {"rms", "power", "mean", "noise_scale", "law", "beta1", "beta2", "epsilon"} <= set(result)
    theory.adam.commands.update(Example(law="student-t:2"), Output(json=True), power=1.2)
    assert json.loads(capsys.readouterr().out)["limit"] is None
    theory.adam.commands.update(
        Example(law="student-t:3", beta1=0.99, beta2=0.5), Output(json=True), power=2.0
    )
    result = json.loads(capsys.readouterr().out)
    assert result["rms"] is None
    assert len(result["notes"]) == 2
    theory.adam.commands.update(Example(law="student-t:2"), Output(), power=1.2, step=5)
    assert "no limit" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"^power: "):
        theory.adam.commands.update(power=-1.0)
