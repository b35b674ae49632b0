"""The two commands, called as functions and through their flags."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tyro

from gradpower.__main__ import main
from gradpower.tools.errors import InputError
from gradpower.tools.terminal import Output, progress_bar
from simulate import simulate_adam
from simulate.adam import commands
from theory.adam.example import Example
from theory.adam.optimum import optimal_power
from theory.laws import parse_law


def printed(capsys):
    return json.loads(capsys.readouterr().out)


def test_adam_prints_what_simulate_adam_returns(capsys):
    commands.adam(Example(noise_to_signal=3.0), Output(json=True), power=(1.0, 1.2), trials=64, seed=5)
    result = printed(capsys)
    expected = simulate_adam([1.0, 1.2], 1e-6, 3e-6, parse_law("uniform"), trials=64, seed=5)
    assert result["drift"] == pytest.approx(expected.drift.tolist(), rel=1e-12)
    assert result["standard_error"] == pytest.approx(expected.standard_error.tolist(), rel=1e-9)
    assert result["quantiles"]["0.5"] == pytest.approx(
        np.quantile(expected.updates, 0.5, axis=-1).tolist(), rel=1e-12
    )
    inputs = {
        "power": [1.0, 1.2],
        "mean": 1e-6,
        "noise_to_signal": 3.0,
        "law": "uniform",
        "trials": 64,
        "seed": 5,
    }
    assert inputs.items() <= result.items()
    assert result["stationary"] is True


def test_flags_are_flat(capsys):
    flags = "--power 1.2 --law laplace --noise-scale 1e-5 --beta2 0.9 --trials 64 --steps 7 --json"
    tyro.cli(commands.adam, args=flags.split())
    result = printed(capsys)
    inputs = {"law": "laplace", "noise_scale": 1e-5, "beta2": 0.9, "steps": 7, "stationary": False}
    assert inputs.items() <= result.items()


def test_adam_draws_a_table(capsys):
    commands.adam(power=(1.0, 1.5), trials=64)
    text = capsys.readouterr().out
    assert "σ/μ = 10" in text
    assert "1.5" in text
    assert "64 trials of 768 steps" in text


def test_optimal_power_by_monte_carlo(capsys):
    commands.optimal_power(output=Output(json=True), method="monte-carlo", trials=1024)
    result = printed(capsys)
    assert result["power"] == pytest.approx(1.216, abs=0.02)
    low, high = result["power_interval"]
    assert low < result["power"] < high
    assert {
        "method": "monte-carlo",
        "at_edge": None,
        "trials": 1024,
        "confidence": 0.95,
    }.items() <= result.items()
    commands.optimal_power(method="monte-carlo", trials=1024)
    assert "power interval" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["proposition", "limit", "exact"])
def test_optimal_power_by_theory(capsys, method):
    commands.optimal_power(
        Example(noise_to_signal=50.0), Output(json=True), method=method, interval=(0.0, 3.0)
    )
    expected = optimal_power(1e-6, 5e-5, parse_law("uniform"), method=method, interval=(0.0, 3.0))
    result = printed(capsys)
    assert result["power"] == pytest.approx(expected.power, rel=1e-12)
    assert (result["method"], result["interval"], result["noise_to_signal"]) == (method, [0.0, 3.0], 50.0)


def test_the_result_is_also_a_file(tmp_path, capsys):
    target = tmp_path / "adam.json"
    commands.adam(output=Output(output=target), power=(1.2,), trials=64)
    assert str(target) in capsys.readouterr().out.replace("\n", "")
    commands.adam(output=Output(json=True, output=target), power=(1.2,), trials=64)
    assert json.loads(target.read_text()) == printed(capsys)
    assert list(tmp_path.iterdir()) == [target]


def test_bad_input_writes_nothing(tmp_path, capsys):
    with pytest.raises(InputError, match=r"^trials: "):
        commands.adam(output=Output(output=tmp_path / "adam.json"), trials=3)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


def test_no_progress_bar_off_the_terminal(capsys):
    with progress_bar("working") as report:
        assert report is None
    assert capsys.readouterr().err == ""


def test_a_progress_bar_on_a_slow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("gradpower.tools.terminal._PATIENCE", -1.0)
    with progress_bar("working") as report:
        report(1, 2)
    assert "working" in capsys.readouterr().err


def test_quick_work_shows_no_bar(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_bar("working") as report:
        report(1, 2)
    assert capsys.readouterr().err == ""


def test_a_power_from_few_samples_has_an_interval_and_a_warning(tmp_path, capsys):
    samples = tmp_path / "noise.npy"
    np.save(samples, np.random.default_rng(0).triangular(-1, 0, 1, 2000))
    found = {}
    for law in ("empirical", "empirical-symmetric"):
        words = ["theory", "optimal-power", "--law", f"{law}:{samples}", "--method", "limit", "--json"]
        assert main([*words, "--noise-to-signal", "30"]) == 0
        found[law] = json.loads(capsys.readouterr().out)
    widths = {law: np.ptp(row["power_interval"]) for law, row in found.items()}
    assert widths["empirical-symmetric"] < widths["empirical"] / 2
    assert "accidental skewness decides" in found["empirical"]["notes"][0]
    assert found["empirical-symmetric"]["notes"] == []
