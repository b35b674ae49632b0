"""The command `gradpower simulate adagrad`: what it prints, which theorem it takes, and its exit codes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from gradpower.__main__ import main
from simulate import simulate_adagrad
from simulate.adagrad.bounds import arm_bound
from simulate.adagrad.descent import Arm, build_descent
from simulate.adagrad.exponent import fitted_exponent
from simulate.problems import parse_problem
from theory.adagrad.assumptions import high_noise_alignment, low_noise_alignment
from theory.adagrad.bounds import (
    Bound,
    BoundConstants,
    adagrad_bound,
    enlarged_gradient_bound,
    low_noise_bound,
)
from theory.laws import parse_law

UNIFORM = parse_law("uniform")


def run(*flags):
    return main(["simulate", "adagrad", "--steps", "200", "--seeds", "4", *flags])


def result_of(capsys, *flags, code=0):
    assert run("--json", *flags) == code
    return json.loads(capsys.readouterr().out)


def test_json_is_what_simulate_adagrad_returns(capsys):
    result = result_of(capsys, "--power", "0.5", "1", "--noise-to-signal", "0", "2", "--seed", "7")
    problem = parse_problem("geman-mcclure")
    arms = problem, [0.5, 1.0], 0.1, [0.0, 2.0], UNIFORM
    runs = simulate_adagrad(build_descent(*arms, steps=200, seeds=4, seed=7))
    assert result["checkpoints"] == runs.steps.tolist()
    assert [(arm["noise_to_signal"], arm["power"]) for arm in result["arms"]] == [
        (0, 0.5),
        (0, 1),
        (2, 0.5),
        (2, 1),
    ]
    last = result["arms"][-1]
    mean, error = runs.over_seeds(runs.mean_square)
    assert last["curves"]["mean_square"] == mean[1, 1, 0].tolist()
    assert last["curves"]["mean_square_standard_error"] == error[1, 1, 0].tolist()
    assert last["measured"] == mean[1, 1, 0, -1]
    assert last["standard_error"] == error[1, 1, 0, -1]
    fit = fitted_exponent(runs.steps, runs.mean_square[1, 1, 0])
    assert (last["exponent"], last["exponent_half_width"]) == fit
    assert last["curves"]["bound"][-1] == last["bound"] == pytest.approx(last["slack"] * last["measured"])
    assert not last["violated"]
    assert {
        "problem": "geman-mcclure",
        "minimum": 0.0,
        "smoothness": 2.0,
        "law": "uniform",
        "noise": "additive",
        "epsilon": 1e-8,
        "steps": 200,
        "seeds": 4,
        "seed": 7,
    }.items() <= result.items()


def test_theorem_4_5_and_its_constants(capsys):
    arm = result_of(capsys, "--power", "1", "--noise-to-signal", "3")["arms"][0]
    bound = float(enlarged_gradient_bound(3 * math.sqrt(3) / 8 * 4, 1.0, 1e-8))
    assert (arm["theorem"], arm["alignment"], arm["average"]) == ("4.5", 1.0, "mean_square")
    assert arm["gradient_bound"] == pytest.approx(bound)
    constants = BoundConstants(gap=0.8, learning_rate=0.1, smoothness=2.0, gradient_bound=bound, epsilon=1e-8)
    expected = adagrad_bound(200.0, constants)
    assert arm["bound"] == pytest.approx(float(expected.total))


def test_theorem_4_8_bounds_the_other_average(capsys):
    flags = (
        "--problem",
        "separable:3",
        "--power",
        "0.5",
        "--noise",
        "multiplicative",
        "--noise-to-signal",
        "0.5",
    )
    arm = result_of(capsys, *flags)["arms"][0]
    problem = parse_problem("separable:3")
    c = float(low_noise_alignment(0.5, 0.5, UNIFORM))
    assert (arm["theorem"], arm["average"], arm["alignment"]) == ("4.8", "mean_power", pytest.approx(c))
    assert arm["measured"] == arm["curves"]["mean_power"][-1]
    largest = float(problem.largest_gradient.max()) * 1.5
    constants = BoundConstants(
        gap=problem.start_value,
        learning_rate=0.1,
        smoothness=1.0,
        gradient_bound=enlarged_gradient_bound(largest, 0.5, 1e-8),
        epsilon=1e-8,
        dimension=3,
    )
    expected = low_noise_bound(200.0, constants, 0.5, alignment=c)
    assert arm["bound"] == pytest.approx(float(expected.total))


def test_theorem_4_11_takes_the_worst_coordinate(capsys):
    flags = ("--problem", "river-valley", "--power", "1.5", "0.5", "--noise-to-signal", "2")
    upper, lower = result_of(capsys, *flags)["arms"]
    problem = parse_problem("river-valley")
    scale = problem.largest_gradient
    s = high_noise_alignment(1.5, 2 * scale, scale, UNIFORM).min()
    assert (upper["theorem"], upper["alignment"], upper["note"]) == ("4.11", pytest.approx(s), "")
    assert lower["theorem"] == "4.11"
    assert "stated for p > 1" in lower["note"]


@pytest.mark.parametrize(
    ("flags", "theorem", "note"),
    [
        (["--noise", "multiplicative", "--power", "1.5"], "none", "fails near a stationary point under mult"),
        (["--noise-to-signal", "0", "--power", "1.5"], "none", "under no noise"),
        (["--noise-to-signal", "0", "--power", "0.5"], "4.8", ""),
        (["--law", "gaussian", "--power", "1"], "none", "gradients have no bound"),
        (["--law", "gaussian", "--power", "1", "--noise-to-signal", "0"], "4.5", ""),
        (["--problem", "quadratic:3", "--power", "1"], "none", "gradients have no bound"),
        (["--epsilon", "0", "--power", "1"], "none", "ε = 0"),
        (["--power", "0.5", "--noise", "multiplicative"], "4.8", ""),
        (["--power", "2"], "4.11", ""),
        (
            ["--noise", "multiplicative", "--power", "0.1", "--law", "binary", "--noise-to-signal", "5"],
            "4.8",
            "",
        ),
    ],
)
def test_which_theorem(capsys, flags, theorem, note):
    arm = result_of(capsys, *flags)["arms"][0]
    assert arm["theorem"] == theorem
    assert note in arm["note"]
    assert (arm["bound"] is None) == (theorem == "none")
    assert arm["measured"] > 0


def test_an_assumption_that_fails_is_said():
    skewed = parse_law("two-point:0.2")
    descent = build_descent("plateau", 0.5, 0.1, 1.0, skewed, steps=10)
    found = arm_bound(descent, Arm(1.0, 0.5, 0.1))
    assert (found.theorem, found.note) == ("none", "Assumption 4.9 fails: the best s is -inf")


def test_a_bound_that_fails_is_marked_with_exit_code_1(monkeypatch, capsys):
    def tiny(steps, constants):
        return Bound(*(np.where(steps > 50, 1e-9, 1.0) for _ in range(3)))

    monkeypatch.setattr("simulate.adagrad.bounds.adagrad_bound", tiny)
    result = result_of(capsys, "--power", "1", "1.5", code=1)
    assert {arm["power"]: arm["violated"] for arm in result["arms"]} == {1.0: True, 1.5: False}
    assert run("--power", "1") == 1
    assert "yes" in capsys.readouterr().out


@pytest.mark.parametrize("at_the_start", [False, True])
def test_chance_is_no_violation(monkeypatch, capsys, at_the_start):
    """Bounds at the very mean are exceeded by half of the averages, but not by more than their errors.

    At the start all seeds are at one point and there is no error.
    """
    arms = "geman-mcclure", 1.0, 0.1, 2.0, UNIFORM
    runs = simulate_adagrad(build_descent(*arms, steps=200, seeds=4))
    bound = runs.over_seeds(runs.mean_square)[0][0, 0, 0] * (1 - 1e-12)
    if not at_the_start:
        bound[0] *= 2
    monkeypatch.setattr(
        "simulate.adagrad.bounds.adagrad_bound", lambda steps, constants: Bound(bound, 0.0, 0.0)
    )
    (arm,) = result_of(capsys, "--power", "1", "--noise-to-signal", "2", code=int(at_the_start))["arms"]
    assert arm["violated"] is at_the_start


def test_table(capsys):
    assert run("--problem", "logistic:3", "--power", "0.5", "1", "--noise", "multiplicative") == 0
    text = capsys.readouterr().out
    for part in (
        "logistic:3",
        "multiplicative uniform noise",
        "4.8",
        "4.5",
        "slack",
        "exponent",
        "4 runs of T = 200",
    ):
        assert part in text
    assert "…" not in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--problem", "rosenbrock"], "problem: rosenbrock is not allowed; expected geman-mcclure"),
        (["--problem", "separable:0"], "problem: separable:0"),
        (["--steps", "0"], "steps: 0"),
        (["--seeds", "1"], "seeds: 1"),
        (["--power", "11"], "power"),
        (["--learning-rate", "0"], "learning_rate"),
        (["--noise-to-signal", "-1"], "noise_to_signal"),
        (["--epsilon", "-1"], "epsilon: -1"),
        (["--law", "cauchy"], "law: cauchy"),
        (
            ["--law", "student-t:1"],
            "law: student-t:1 is not allowed; expected a law with a finite moment of order 1",
        ),
        (["--threads", "0"], "threads: 0"),
        (["--output", "nowhere/result.json"], "output: nowhere/result.json"),
    ],
)
def test_bad_input_makes_one_line(capsys, flags, message):
    assert run(*flags) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.startswith("gradpower: error: ")
    assert captured.err.count("\n") == 1


def test_a_file_of_another_kind_is_not_replaced(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("mine", encoding="utf-8")
    assert run("--output", str(page)) == 2
    assert "a new file, or a .json file: this one is not replaced" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == "mine"
