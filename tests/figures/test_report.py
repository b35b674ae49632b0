"""The committed results and report: fresh, complete, and a pure function of one another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from figures.curves import Point
from figures.open_claims import OPEN_CLAIMS
from figures.report import page, power_columns, report
from figures.results import dump, load, results, schema
from gradpower.tools.errors import InputError
from theory.claims.registry import CLAIMS

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "theory.json"
CONVERGENCE = ROOT / "results" / "convergence.json"

CLAIM = {
    "id": "4.3-unique",
    "statement": "There is one maximiser of f(p) where |f| > 0.",
    "place": "Proposition 4.3",
    "source": "paper",
    "kind": "equality",
    "symbolic": {"passed": True, "detail": "derived"},
    "numeric": {"passed": False, "detail": "two maxima at a | b"},
    "rigorous": None,
    "region": "ε·ln(1/σ) < 1",
    "paper_value": "one",
    "verdict": "fails",
    "expected": "holds",
}


def found(power, edge=None, **more):
    return {"power": power, "at_edge": edge, **more}


POWERS = [
    {
        "law": "uniform",
        "noise_to_signal": ratio,
        "proposition": found(power + 0.01, bounds=[power - 0.1, power + 0.2]),
        "limit": found(power + 0.004),
        "exact": found(power) if power else found(0.0, "low"),
        "monte_carlo": found(power, power_interval=[power - 0.00123, power + 0.00123]),
        "drift_to_rms": found(3.0, "high"),
    }
    for ratio, power in ((0.1, 0.0), (2.0, 0.918), (10.0, 1.2158))
]
CONFIG = {"mean": 1e-6, "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8}
CONTENT = results("theory", {"config": CONFIG}, optimal_powers=POWERS, claims=[CLAIM])


def test_the_committed_report_is_fresh():
    fresh = page(ROOT / "results")
    assert fresh == (ROOT / "paper_repro.md").read_text(encoding="utf-8"), (
        "paper_repro.md is stale: run `gradpower reproduce --update`"
    )


def test_committed_optimal_powers_are_what_is_computed():
    committed = load(RESULTS, "theory")
    config = committed["provenance"]["config"]
    adam = {name: config[name] for name in ("beta1", "beta2", "epsilon")}
    for row in committed["optimal_powers"]:
        sigma = config["mean"] * row["noise_to_signal"]
        point = Point(row["law"], config["mean"], sigma, **adam)
        assert point.limit_optimum().power == pytest.approx(row["limit"]["power"], abs=1e-6)
        if row["law"] != "laplace":  # takes longer than the other two together
            best = point.optimum()
            assert best.power == pytest.approx(row["exact"]["power"], abs=1e-6)
            assert best.at_edge == row["exact"]["at_edge"]


def test_simulated_intervals_hold_the_exact_powers():
    for row in load(RESULTS, "theory")["optimal_powers"]:
        if row["monte_carlo"] and "power_interval" in row["monte_carlo"]:
            low, high = row["monte_carlo"]["power_interval"]
            assert low <= row["exact"]["power"] <= high


def test_the_committed_results_name_no_place_of_a_machine():
    for file in (RESULTS, CONVERGENCE, ROOT / "paper_repro.md"):
        text = file.read_text(encoding="utf-8")
        assert str(ROOT) not in text
        assert str(Path.home()) not in text or str(Path.home()) == "/"


def test_the_report_tells_a_failing_claim():
    text = report(CONTENT)
    assert "| [`4.3-unique`](#43-unique) | Proposition 4.3 | paper | ✓ | ✗ | – | fails |" in text
    assert "0 of 1 claims hold" in text
    assert "- numeric ✗ two maxima at a | b" in text
    assert "- condition: ε·ln(1/σ) < 1" in text
    assert "- verdict: **fails** (expected: holds)" in text


def test_the_report_lists_what_is_not_attempted():
    text = report(CONTENT)
    assert text.count("not attempted yet") == len(OPEN_CLAIMS)


def test_figure_7_is_counted_as_it_is():
    text = report(CONTENT)
    assert "| p* at the left edge (low noise) | 2 | 0.1 |" in text
    assert "| p* between | 1 | 2 |" in text
    assert "but not with the same counts" in text


def test_numbers_are_rounded_to_what_they_are_worth():
    columns = power_columns(POWERS)
    assert columns["exact"] == ["→ 0", "0.9180", "1.2158"]
    assert columns["Monte Carlo"][2] == "1.2158 ± 0.0012"
    assert columns["bounds"][2] == "1.12 to 1.42"


def test_the_last_bits_do_not_reach_the_report():
    shifted = json.loads(json.dumps(CONTENT))
    shifted["optimal_powers"][1]["exact"]["power"] *= 1 + 1e-9
    assert report(shifted) == report(CONTENT)


def test_results_survive_the_file(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(dump(CONTENT), encoding="utf-8")
    assert load(path, "theory") == json.loads(dump(CONTENT))
    assert load(path, "theory")["schema"] == schema("theory")


@pytest.mark.parametrize("text", [None, "{", "[]", "{}", '{"schema": {"name": "other", "version": 1}}'])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "results.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"^results: "):
        load(path, "theory")


def test_committed_claims_are_those_of_the_registry():
    """A claim that was added, dropped, reworded or re-judged since makes the committed page stale."""
    fields = ("id", "statement", "place", "source", "kind", "expected", "paper_value")
    committed = json.loads(RESULTS.read_text(encoding="utf-8"))["claims"]
    assert [[record[name] for name in fields] for record in committed] == [
        [getattr(claim, name) for name in fields] for claim in CLAIMS
    ]
    assert all(record["verdict"] == record["expected"] for record in committed)
