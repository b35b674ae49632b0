"""The committed results and report: fresh, complete, and a pure function of one another."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import msgspec
import pytest
from jinja2 import UndefinedError

from experiments.training.step_cost import STEP_COST
from figures.adam.example import Point
from figures.report.adam import adam_section, power_columns
from figures.report.convergence import convergence_section, headlines
from figures.report.page import claims_page, convergence_page, page, read_findings
from figures.report.render import render
from figures.report.step_time import step_time_section
from figures.report.verdicts import place_verdicts, verdicts_section
from figures.results import THEORY, BestPower, CheckRecord, ClaimRecord, OptimalPowers
from gradpower.tools.errors import InputError
from gradpower.tools.labels import Label
from simulate.questions import CONVERGENCE
from theory.claims.registry import CLAIMS

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "results"
KINDS = (THEORY, CONVERGENCE, STEP_COST)

CLAIM = ClaimRecord(
    id="4.3-unique",
    statement="There is one maximiser of f(p) where |f| > 0.",
    place="Proposition 4.3",
    source="paper",
    kind="equality",
    symbolic=CheckRecord(passed=True, detail="derived"),
    numeric=CheckRecord(passed=False, detail="two maxima at a | b"),
    rigorous=None,
    region="ε·ln(1/σ) < 1",
    paper_value="one",
    verdict="fails",
    expected="holds",
)


def powers(*rows):
    return [
        OptimalPowers(
            "uniform",
            ratio,
            BestPower(power + 0.01, None, bounds=(power - 0.1, power + 0.2)),
            BestPower(power + 0.004, None),
            BestPower(power, None if power else "low"),
            BestPower(power, None, power_interval=(power - 0.00123, power + 0.00123)),
            BestPower(3.0, "high"),
        )
        for ratio, power in rows
    ]


POWERS = powers((0.1, 0.0), (2.0, 0.918), (10.0, 1.2158))


@pytest.fixture(scope="module")
def found():
    return read_findings(RESULTS)


def test_the_committed_report_is_fresh(found):
    assert page(found) == (ROOT / "paper_repro.md").read_text(encoding="utf-8"), (
        "paper_repro.md is stale: run `gradpower report --update`"
    )


def test_the_committed_claims_are_fresh(found):
    assert claims_page(found.theory) == (ROOT / "docs" / "claims.md").read_text(encoding="utf-8"), (
        "docs/claims.md is stale: run `gradpower report --update`"
    )


def test_the_committed_answers_of_section_4_2_are_fresh(found):
    committed = (ROOT / "docs" / "convergence.md").read_text(encoding="utf-8")
    assert convergence_page(found.convergence) == committed, (
        "docs/convergence.md is stale: run `gradpower report --update`"
    )
    assert committed.startswith("# Convergence (Section 4.2)\n")
    assert "](docs/" not in committed


def test_what_the_readme_says_of_the_papers_statements(found):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert (
        "Most statements hold, a quarter of them under a condition that the paper does not name; one fails."
        in readme
    )
    verdicts = [claim.verdict for claim in found.theory.claims if claim.source == "paper"]
    assert verdicts.count(Label.FAILS) == 1
    assert round(4 * verdicts.count(Label.HOLDS_WITH_CONDITION) / len(verdicts)) == 1
    assert verdicts.count(Label.HOLDS) > len(verdicts) / 2


def test_every_place_of_the_paper_has_its_row(found):
    """The table has one row for each, and is short enough to be read."""
    text = verdicts_section(found.theory, found.convergence, found.step_time, found.batch_size)
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(lines) <= 40
    for place, verdict in place_verdicts(found.theory.claims).items():
        rows = [line for line in lines if line.startswith(f"| {place} |")]
        shown = f"| {verdict.label} | {verdict.holding} of {verdict.count} statements"
        assert any(shown in line for line in rows), place
    assert len({line.count("|") for line in lines}) == 1


def test_the_table_without_results():
    theory = read_findings(RESULTS).theory
    text = verdicts_section(dataclasses.replace(theory, optimal_powers=[]))
    assert text.count("| not attempted |") >= 3
    assert "None" not in text


@pytest.mark.parametrize(
    ("labels", "label"),
    [
        (("holds", "holds"), Label.HOLDS),
        (("holds", "holds with a condition"), Label.HOLDS_WITH_CONDITION),
        (("holds", "fails"), Label.IN_PART),
        (("fails", "fails"), Label.FAILS),
    ],
)
def test_the_verdict_on_a_place(labels, label):
    claims = [
        dataclasses.replace(CLAIM, place=place, verdict=Label(verdict))
        for place, verdict in zip(("Lemma 1", "Lemma 1, proof"), labels, strict=True)
    ]
    (verdict,) = place_verdicts([*claims, dataclasses.replace(CLAIM, source="ours")]).values()
    assert verdict.label is label
    assert verdict.holding == 2 - labels.count("fails")


def test_committed_optimal_powers_are_what_is_computed(found):
    config = found.theory.provenance.config
    for row in found.theory.optimal_powers:
        sigma = config.mean * row.noise_to_signal
        point = Point(row.law, config.mean, sigma, config.beta1, config.beta2, config.epsilon)
        assert point.limit_optimum().power == pytest.approx(row.limit.power, abs=1e-6)
        if row.law != "laplace":  # takes longer than the other two together
            best = point.optimum()
            assert best.power == pytest.approx(row.exact.power, abs=1e-6)
            assert best.at_edge == row.exact.at_edge


def test_simulated_intervals_hold_the_exact_powers(found):
    for row in found.theory.optimal_powers:
        if row.monte_carlo and row.monte_carlo.power_interval:
            low, high = row.monte_carlo.power_interval
            assert low <= row.exact.power <= high


def test_the_committed_results_name_no_place_of_a_machine():
    for file in (*(RESULTS / kind.file for kind in KINDS), ROOT / "paper_repro.md"):
        text = file.read_text(encoding="utf-8")
        assert str(ROOT) not in text
        assert str(Path.home()) not in text or str(Path.home()) == "/"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_result_file_is_what_is_read_from_it(kind):
    """To the bit: nothing in it is left unread, and nothing is added."""
    text = (RESULTS / kind.file).read_text(encoding="utf-8")
    content = msgspec.to_builtins(kind.read(RESULTS))
    assert kind.dump(content.pop("provenance"), **content) == text


@pytest.mark.parametrize("text", [None, "{", "[]", "{}", '{"schema": {"name": "other", "version": 1}}'])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "theory.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"^results: .*theory\.json") as error:
        THEORY.read(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda content: content["optimal_powers"][2]["limit"].pop("power"), "optimal_powers[2].limit"),
        (lambda content: content["claims"][0].update(verdict="perhaps"), "claims[0].verdict"),
        (lambda content: content["provenance"]["config"].update(mean=-1.0), "provenance.config"),
        (lambda content: content.pop("claims"), "claims"),
    ],
)
def test_the_field_of_a_damaged_file_is_named(tmp_path, change, place):
    content = json.loads((RESULTS / "theory.json").read_text(encoding="utf-8"))
    change(content)
    (tmp_path / "theory.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError) as error:
        THEORY.read(tmp_path)
    assert place in str(error.value)
    assert "\n" not in str(error.value)


def test_committed_claims_are_those_of_the_registry(found):
    """A claim that was added, dropped, reworded or re-judged since makes the committed page stale."""
    fields = ("id", "statement", "place", "source", "kind", "expected", "paper_value")
    assert [[getattr(record, name) for name in fields] for record in found.theory.claims] == [
        [getattr(claim, name) for name in fields] for claim in CLAIMS
    ]
    assert all(record.verdict == record.expected for record in found.theory.claims)


def test_the_report_tells_a_failing_claim():
    text = render("claims", claims=[CLAIM], failing=[CLAIM])
    assert "| [`4.3-unique`](#43-unique) | Proposition 4.3 | paper | ✓ | ✗ | – | fails |" in text
    assert "holds 0, holds with a condition 0, fails 1." in text
    assert "Those that fail, of either: `4.3-unique`." in text
    assert "- numeric ✗ two maxima at a | b" in text
    assert "- condition: ε·ln(1/σ) < 1" in text
    assert "- verdict: **fails** (expected: holds)" in text
    kept = dataclasses.replace(CLAIM, verdict="holds", region="")
    text = render("claims", claims=[kept], failing=[])
    assert "holds 1, holds with a condition 0, fails 0." in text
    assert "None fails." in text
    assert "- verdict: **holds**\n" in text


def test_every_label_of_figure_7_has_a_branch(found):
    setting = found.theory.provenance.config
    text = adam_section(POWERS, setting)
    assert "| p* at the left edge (low noise) | 2 | 0.1 |" in text
    assert "| p* between | 1 | 2 |" in text
    assert "but not with the same counts" in text
    assert "not all kinds of curve appear" in adam_section(POWERS[:2], setting)
    papers = powers((0.1, 0.0), (0.2, 0.0), (2.0, 0.9), (3.0, 1.1), (4.0, 1.2), (5.0, 1.3), (6.0, 1.4))
    assert "with the same counts." in adam_section(papers, setting).replace("but not with", "")


def test_numbers_are_rounded_to_what_they_are_worth():
    columns = power_columns(POWERS)
    assert columns["exact"] == ["→ 0", "0.9180", "1.2158"]
    assert columns["Monte Carlo"][2] == "1.2158 ± 0.0012"
    assert columns["bounds"][2] == "1.12 to 1.42"


def test_without_results_a_section_says_how_to_make_them():
    assert "gradpower convergence" in convergence_section(None)
    assert "gradpower step-time" in step_time_section(None)


def changed(results, study, number=0, **fields):
    """Convergence results with one row of a study changed."""
    rows = list(getattr(results.studies, study))
    rows[number] = dataclasses.replace(rows[number], **fields)
    studies = dataclasses.replace(results.studies, **{study: rows})
    return dataclasses.replace(results, studies=studies)


def test_there_is_an_answer_to_each_question(found):
    text = convergence_section(found.convergence)
    parts = text.split("\n### ")[1:]
    assert [part[:2] for part in parts] == [f"{number}." for number in range(1, 7)]
    for part in parts:
        tables = [line.count("|") - line.count("\\|") for line in part.splitlines() if line.startswith("|")]
        assert len(tables) > 4
        assert len(set(tables)) == 1
    shown = headlines(text)
    assert shown.count("###") == 6
    assert shown.count("**") == 12
    assert "\n|" not in shown


def test_a_violated_bound_is_the_headline(found):
    text = convergence_section(changed(found.convergence, "bounds", violated=True))
    assert "**1 of the bounds are violated in 480 arms" in text
    text = convergence_section(changed(found.convergence, "unbounded", violated=True))
    assert "is violated in 1 of 216 arms.**" in text


def test_other_answers_have_their_branches(found):
    results = found.convergence
    rates = [row.noise for row in results.studies.rates]
    slow = changed(results, "rates", rates.index("fixed, sparse"), exponent=0.1)
    assert "**The exponents follow neither picture throughout.**" in convergence_section(slow)
    fast = changed(results, "rates", square_exponent=1.2)
    assert "That is faster in places than Adagrad." in convergence_section(fast)
    noisy = [(row.law, row.noise_to_signal, row.power) for row in results.studies.gains]
    place = noisy.index(("uniform", 10.0, 1.2))
    reversed_ = changed(results, "gains", place, shared=1.5, shared_low=1.4, shared_high=1.6)
    text = convergence_section(reversed_)
    assert "uniform 1.500" in text.split("loss")[1]
    assert "Theorem 4.11's ρ does not exist for unbounded noise." in text
    assert "**Part of it.**" in text
    nothing = dataclasses.replace(
        results.studies,
        bounds=[dataclasses.replace(row, bound=1e9) for row in results.studies.bounds],
        unbounded=[dataclasses.replace(row, bound_is_proved=False) for row in results.studies.unbounded],
    )
    text = convergence_section(dataclasses.replace(results, studies=nothing))
    assert "0 of the arms say something" in text
    assert "Over these" not in text
    assert "that have moved" not in text


def test_a_label_without_a_branch_is_an_error():
    with pytest.raises(UndefinedError):
        render("convergence/1_bounds", label="perhaps")


def test_the_verdict_on_the_cost_follows_from_the_rows(found):
    cost = found.step_time
    fused = [number for number, row in enumerate(cost.steps) if row.implementation == "fused"]

    def section(training=cost.training, **fields):
        steps = [
            dataclasses.replace(row, **fields) if number in fused else row
            for number, row in enumerate(cost.steps)
        ]
        return step_time_section(dataclasses.replace(cost, steps=steps, training=training))

    assert "is met at every size.\n" in section(ratio=1.1, ratio_margin=0.01)
    assert "by the medians; the intervals at\n1.0M, 10.5M, 66.4M, 200.3M reach beyond it" in section(
        ratio=1.1, ratio_margin=0.2
    )
    assert "is missed at 4 of 4 sizes, by up to 100%" in section(ratio=2.3)
    dear = dataclasses.replace(cost.training, share=0.05)
    assert "above the paper's. Our target of at most 0.1% is missed." in section(dear)
    vague = dataclasses.replace(cost.training, share=0.001, ratio_margin=5.0)
    text = section(vague)
    assert "not distinguishable from the paper's. Our target of at most 0.1% is not decided." in text
    assert "below the paper's. Our target of at most 0.1% is met." in section()
