"""Certificates of Assumptions 4.6 and 4.9: proofs and counterexamples agree with the best constants."""

from __future__ import annotations

import json

import mpmath as mp
import numpy as np
import pytest
from flint import arb

from gradpower.__main__ import main
from gradpower.tools.errors import InputError
from theory.adagrad.assumptions import high_noise_alignment, low_noise_alignment
from theory.adagrad.certificates import (
    high_noise_certificate,
    low_noise_certificate,
    mean_and_slope,
    nonnegative_power,
)
from theory.adagrad.distortion import mean_map, mean_map_slope
from theory.laws import parse_law

CLOSED = ("uniform", "binary", "gaussian", "sparse:0.25", "two-point:0.2")


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("power", [0.4, 1.7])
def test_closed_forms_are_the_moments(name, power):
    law = parse_law(name)
    mean, slope = mean_and_slope(law)
    for x in (0.03, 0.9, 1.7, 12.0):
        assert float(mean(arb(power), arb(x))) == pytest.approx(
            float(mean_map(power, x, 1.0, law)), rel=1e-12
        )
        if power > 1:
            expected = float(mean_map_slope(power, x, 1.0, law))
            assert float(slope(arb(power), arb(x))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize(("power", "ratio"), [(0.2, 0.3), (0.5, 1.0), (0.9, 4.0)])
def test_low_noise_is_decided_on_both_sides_of_the_best_constant(name, power, ratio):
    law = parse_law(name)
    best = float(low_noise_alignment(power, ratio, law))
    if best > 0:
        proof = low_noise_certificate(power, ratio, 0.98 * best, law)
        assert (proof.verdict, proof.holds) == ("proved", True)
    failing = low_noise_certificate(power, ratio, max(1.02 * best, 0.01), law)
    assert (failing.verdict, failing.holds) == ("refuted", False)
    assert failing.gradient_to_noise >= 1 / ratio - 1e-12


@pytest.mark.parametrize("name", ["uniform", "binary", "gaussian", "sparse:0.25"])
@pytest.mark.parametrize(("power", "reach"), [(1.2, 0.5), (2.0, 3.0), (3.0, 1.0)])
def test_high_noise_is_decided_on_both_sides_of_the_best_constant(name, power, reach):
    law = parse_law(name)
    best = float(high_noise_alignment(power, 1.0, reach, law))
    failing = high_noise_certificate(power, reach, 1.05 * best, law)
    assert failing.verdict == "refuted"
    assert 0 < failing.gradient_to_noise <= reach
    x = failing.gradient_to_noise
    assert float(mean_map(power, x, 1.0, law)) < 1.05 * best * x
    assert high_noise_certificate(power, reach, 0.97 * best, law).verdict == "proved"


def test_skewed_noise_is_refuted_by_a_gradient():
    found = high_noise_certificate(1.5, 1.0, 1e-3, parse_law("two-point:0.2"))
    assert found.verdict == "refuted"
    values = [
        s * float(mean_map(1.5, s * found.gradient_to_noise, 1.0, parse_law("two-point:0.2")))
        for s in (1, -1)
    ]
    assert min(values) < 0


def test_laws_without_closed_form_say_so():
    found = low_noise_certificate(0.5, 0.2, 0.9, parse_law("laplace"))
    assert (found.verdict, found.holds) == ("numbers only", True)
    assert not low_noise_certificate(0.5, 5.0, 0.9, parse_law("laplace")).holds


def test_powers_of_balls_around_zero():
    around = arb(0, 0.5)
    power = nonnegative_power(around, arb("0.3"))
    assert power.contains(arb(0))
    assert power.contains(arb("0.5") ** arb("0.3"))
    assert not power.contains(arb(1))
    with mp.workdps(20):
        exact = mp.mpf("0.7") ** mp.mpf("0.3")
    assert float(nonnegative_power(arb("-0.7"), arb("0.3"))) == pytest.approx(float(exact))


@pytest.mark.parametrize(("power", "function"), [(1.0, low_noise_certificate), (1.0, high_noise_certificate)])
def test_powers_out_of_range_are_refused(power, function):
    with pytest.raises(InputError, match="power"):
        function(power, 1.0, 0.5, parse_law("uniform"))


def test_the_command_decides(capsys):
    flags = ["--law", "binary", "--power", "0.5", "1.2", "--noise-to-signal", "0.2", "--json"]
    assert main(["theory", "assumptions", *flags]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["verdict"] for row in rows] == ["proved", "proved"]
    assert main(["theory", "assumptions", "--law", "uniform", "--power", "2", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][0]
    assert row["verdict"] == "refuted"
    assert 0 < row["gradient_to_noise"] <= 0.011
    assert np.isclose(row["rho"], 1.01)


def test_bounds_from_the_command_line(capsys):
    flags = "--theorem 4.8 --power 0.5 --steps 100 10000 --alignment 0.9 --json"
    assert main(["theory", "bound", *flags.split()]) == 0
    result = json.loads(capsys.readouterr().out)
    total = np.array(result["start"]) + result["variance"] + result["curvature"]
    np.testing.assert_allclose(result["bound"], total)


@pytest.mark.parametrize(
    "flags",
    [
        "bound --theorem 4.8 --power 1.5",
        "bound --theorem 4.5 --power 2",
        "bound --theorem 4.5 --alignment 0.5",
        "bound --steps 0.5",
        "bound --steps 0",
        "assumptions --power 1.2 --constant 5",
        "assumptions --power 1.2 --noise-to-signal -1",
        "assumptions --power 0.5 --bound-to-noise 0.5",
    ],
)
def test_bad_input_is_one_line(capsys, flags):
    assert main(["theory", *flags.split()]) == 2
    assert capsys.readouterr().err.count("\n") == 1
