from __future__ import annotations

import dataclasses
import io
import json
import math

import numpy as np
import pytest
from rich.console import Console

from experiments.recipes.named import recipe
from experiments.statistics import adjusted_p_values, crossing_test, mean_over_seeds
from experiments.sweeps.analysis import SCHEMA
from experiments.sweeps.analysis_tables import tables, verdict_line
from experiments.sweeps.groups import free_fields
from experiments.sweeps.judge import judged
from experiments.sweeps.results import SUMMARY_SCHEMA, Summary
from experiments.sweeps.store import Store, read_outcome
from experiments.sweeps.study import Rule, Study
from experiments.training.records import Final, RunResult, write_result
from gradpower.tools.errors import InputError
from gradpower.tools.reading import write_json
from tests.experiments.synthetic_study import (
    BATCHES,
    POWERS,
    analyse,
    best_power,
    synthetic_results,
    synthetic_study,
)

POWER, BATCH, RATE = "optimizer.power", "training.batch_size", "optimizer.learning_rate"


def changed(results, power, batch, seed, **change):
    return [
        dataclasses.replace(r, **change)
        if (r.values[POWER], r.values[BATCH], r.seed) == (power, batch, seed)
        else r
        for r in results
    ]


def with_losses(study, loss):
    """Return results whose loss is a function of the arm."""
    pattern = synthetic_results(synthetic_study(seeds=(0,)))[0]
    return [
        dataclasses.replace(pattern, values=arm.values, seed=arm.seed, loss=float(loss(arm)))
        for arm in study.arms()
    ]


def losses(results, batch, rate=None):
    """Return a table of seeds × powers."""
    own = [r for r in results if r.values[BATCH] == batch and r.values.get(RATE) == rate]
    return np.array([[r.loss for r in own if r.seed == seed] for seed in (0, 1, 2)])


def comparisons(analysis):
    return {(g.within, c.value): c for g in analysis.groups for c in g.comparisons}


def decisions(analysis):
    return {comparison.decision for comparison in analysis.comparisons}


def shown(analysis):
    console = Console(width=200, file=io.StringIO())
    for table in tables(analysis):
        console.print(table)
    return console.file.getvalue()


def test_every_comparison_is_the_paired_one_corrected_over_the_family():
    study = synthetic_study()
    results = synthetic_results(study)
    found = comparisons(analyse(study, results))
    assert len(found) == len(BATCHES) * (len(POWERS) - 1)
    by_arm = {(r.values[POWER], r.values[BATCH], r.seed): r.loss for r in results}
    expected = {}
    for batch, power in found:
        ours, base = ([by_arm[p, batch, s] for s in (0, 1, 2)] for p in (power, 1.0))
        expected[batch, power] = mean_over_seeds(np.subtract(ours, base))
        assert found[batch, power].differences == pytest.approx(np.subtract(ours, base))
    assert {key: c.difference for key, c in found.items()} == expected
    adjusted = adjusted_p_values([difference.p_value for difference in expected.values()])
    assert [c.adjusted for c in found.values()] == pytest.approx(adjusted)


def test_the_known_best_power_its_slope_and_its_fall_are_found():
    study = synthetic_study()
    results = synthetic_results(study)
    analysis = analyse(study, results)
    for group in analysis.groups:
        best = best_power(group.within)
        # The losses are 0.6·ln(p/best)².
        assert group.slope.low < -1.2 * math.log(best) < group.slope.high
        assert group.best == min(POWERS, key=lambda p: abs(np.log(p / best)))
        assert not group.best_at_edge
    (trend,) = analysis.trends
    assert (trend.smallest, trend.largest, trend.values) == (8, 32, POWERS)
    assert trend.movement == "falls"
    small, large = (losses(results, batch) for batch in (8, 32))
    test = crossing_test(POWERS, small, large)
    assert (trend.falls, trend.rises) == pytest.approx(adjusted_p_values([test.falls, test.rises]))


def test_decisions_follow_the_rule():
    study = synthetic_study()
    analysis = analyse(study, synthetic_results(study, noise=2e-5))
    quiet = comparisons(analysis)
    assert quiet[8, 1.2].decision == "lower"
    assert quiet[8, 0.8].decision == "higher"
    # At batch 32 the best power is 1.016, so that 1.1 is higher by 0.0036 only: no effect by this rule.
    assert quiet[32, 1.1].decision == "equal"
    assert analysis.label == "difference shown"
    loud = analyse(study, synthetic_results(study, noise=0.1))
    assert (decisions(loud), loud.label) == ({"undecided"}, "undecided")
    same = with_losses(study, lambda arm: 3 + 1e-5 * arm.seed * arm.values[POWER])
    assert analyse(study, same).label == "equal"


def test_divergence_is_never_dropped():
    study = synthetic_study()
    results = changed(synthetic_results(study, noise=2e-5), 1.2, 8, 1, status="diverged", loss=None)
    analysis = analyse(study, results)
    found = comparisons(analysis)[8, 1.2]
    assert (found.decision, found.diverged, found.baseline_diverged) == ("unstable", 1, 0)
    assert found.difference is None
    group = analysis.groups[0]
    assert group.best != 1.2
    assert group.slope is not None
    value = group.values[POWERS.index(1.2)]
    assert (value.diverged, value.missing, value.mean) == (1, 0, None)
    assert (analysis.diverged, analysis.missing) == (1, 0)
    assert analysis.trends[0].values == tuple(p for p in POWERS if p != 1.2)
    assert "3 lower, 9 higher, 2 equal, 0 undecided, 1 unstable" in verdict_line(analysis)
    baseline = analyse(study, changed(results, 1.0, 8, 2, status="diverged", loss=None))
    assert {c.decision for (batch, _), c in comparisons(baseline).items() if batch == 8} == {"unstable"}


def test_missing_arms_mark_the_analysis_and_cost_a_pair_its_seed():
    study = synthetic_study()
    results = changed(synthetic_results(study), 1.2, 8, 1, status="missing", loss=None)
    analysis = analyse(study, results)
    assert (analysis.label, analysis.missing) == ("incomplete", 1)
    found = comparisons(analysis)
    assert found[8, 1.2].seeds == (0, 2)
    assert found[8, 1.1].seeds == (0, 1, 2)
    assert analysis.groups[0].slope.seeds == 2


def test_nothing_done_yet_and_one_seed():
    study = synthetic_study()
    empty = analyse(study, [])
    assert empty.missing == empty.planned == 54
    assert (decisions(empty), empty.label) == ({"undecided"}, "incomplete")
    assert (empty.groups[0].best, empty.groups[0].slope) == (None, None)
    single = synthetic_study(seeds=(0,))
    analysis = analyse(single, synthetic_results(single))
    assert (decisions(analysis), analysis.trends[0].movement) == ({"undecided"}, "not tested")
    assert {c.adjusted for c in analysis.comparisons} == {None}
    assert shown(empty)
    assert shown(analysis)


def test_a_study_without_within_has_one_group_and_no_trend():
    study = Study("plain", recipe("pocket"), [{POWER: (0.9, 1.0, 1.1)}], Rule(POWER, 1.0), seeds=(0, 1))
    results = with_losses(
        study, lambda arm: 3 + abs(arm.values[POWER] - 1) + 0.001 * arm.seed * arm.values[POWER]
    )
    analysis = analyse(study, results)
    assert (len(analysis.groups), analysis.trends) == (1, ())


def test_another_within_field_may_rise():
    field, best = "optimizer.beta2", {0.9: 0.9, 0.95: 1.0, 0.99: 1.15}
    axes = [{POWER: POWERS}, {field: tuple(best)}]
    study, rng = (
        Study("half-life", recipe("pocket"), axes, Rule(POWER, 1.0, within=field)),
        np.random.default_rng(0),
    )
    results = with_losses(
        study,
        lambda arm: 3 + np.log(arm.values[POWER] / best[arm.values[field]]) ** 2 + 1e-3 * rng.normal(),
    )
    (trend,) = analyse(study, results).trends
    assert trend.movement == "rises"
    # Two values have no parabola.
    two = dataclasses.replace(study, axes=[{POWER: (1.0, 1.2)}, axes[1]])
    analysis = analyse(two, [r for r in results if r.values[POWER] in (1.0, 1.2)])
    assert (analysis.trends[0].movement, analysis.groups[0].slope) == ("not tested", None)


def test_a_rate_tied_to_the_batch_size_is_no_free_field():
    arms = [
        {POWER: p, BATCH: b, RATE: r, "optimizer.beta1": 0.9}
        for p in (1.0, 1.2)
        for b, r in ((8, 1e-3), (16, 2e-3))
    ]
    rule = Rule(POWER, 1.0, within=BATCH)
    assert free_fields(rule, arms) == []
    assert free_fields(rule, [*arms, {**arms[0], RATE: 5e-3}]) == [RATE]


def test_powers_are_compared_at_their_own_tuned_rates():
    rates = (1e-3, 2e-3, 4e-3)
    study = synthetic_study(rates=rates, learning_rate="tuned")
    results = synthetic_results(study)
    analysis = analyse(study, results)
    assert len(analysis.groups) == len(BATCHES)
    by_arm = {(r.values[POWER], r.values[BATCH], r.values[RATE], r.seed): r.loss for r in results}
    for group in analysis.groups:
        for value in group.values:
            table = np.array(
                [[by_arm[value.value, group.within, rate, s] for rate in rates] for s in (0, 1, 2)]
            )
            assert value.losses == pytest.approx(table[:, np.argmin(table.sum(0))])
            assert value.tuned.rate == min(rates, key=lambda r: abs(np.log(r / (2e-3 * value.value**0.5))))
            assert value.tuned.at_edge == (value.tuned.rate != 2e-3)
    assert "2e-03" in shown(analysis) or "0.002" in shown(analysis)


def test_an_axis_of_rates_alone_does_not_change_what_is_judged():
    study = synthetic_study(rates=(1e-3, 2e-3))
    analysis = analyse(study, synthetic_results(study))
    assert len(analysis.groups) == 2 * len(BATCHES)
    assert [trend.others for trend in analysis.trends] == [{RATE: 1e-3}, {RATE: 2e-3}]
    assert all(value.tuned is None for group in analysis.groups for value in group.values)


def test_a_value_without_all_of_its_rates_is_not_compared():
    study = synthetic_study(rates=(1e-3, 2e-3), learning_rate="tuned")
    results = [
        r
        for r in synthetic_results(study)
        if (r.values[POWER], r.values[BATCH], r.values[RATE]) != (1.2, 32, 2e-3)
    ]
    analysis = analyse(study, results)
    found = comparisons(analysis)
    assert (found[32, 1.2].seeds, found[32, 1.2].difference) == ((), None)
    assert found[32, 1.1].difference is not None
    assert analysis.trends[0].values == tuple(p for p in POWERS if p != 1.2)


def test_additions_after_outcomes_are_in_the_verdict():
    study = synthetic_study()
    history = [
        {"date": "", "added": part, "finished": done} for done, part in enumerate(["seeds 2", "seeds 3"])
    ]
    analysis = judged(Summary(study, history, {}, synthetic_results(study)))
    assert verdict_line(analysis).endswith("added late: seeds 3")


def test_a_trend_compares_over_the_same_values_only():
    study = synthetic_study()
    rng = np.random.default_rng(0)
    whole = with_losses(study, lambda arm: 3 + np.log(arm.values[POWER] / 1.25) ** 2 + 1e-4 * rng.normal())
    results = [r for r in whole if r.values[POWER] < {8: 2.0, 16: 1.3, 32: 1.2}[r.values[BATCH]]]
    (trend,) = analyse(study, results).trends
    assert (trend.values, trend.movement) == ((0.8, 0.9, 1.0, 1.1), "not shown")
    fewer = [r for r in results if r.values[BATCH] == 8 or r.values[POWER] in (0.9, 1.0)]
    assert analyse(study, fewer).trends[0].movement == "not tested"


def test_trends_are_one_family():
    rates = (1e-3, 2e-3)
    study = synthetic_study(rates=rates)
    results = synthetic_results(study)
    trends = analyse(study, results).trends
    raw = []
    for rate in rates:
        small, large = (losses(results, batch, rate) for batch in (8, 32))
        test = crossing_test(POWERS, small, large)
        raw += [test.falls, test.rises]
    adjusted = adjusted_p_values(raw)
    assert [p for trend in trends for p in (trend.falls, trend.rises)] == pytest.approx(adjusted)
    assert [trend.movement for trend in trends] == ["falls"] * 2


def test_compared_values_must_be_numbers():
    field = "optimizer.beta2_half_life"
    with pytest.raises(InputError, match=r"rule\.compared"):
        Study("none", recipe("pocket"), [{field: (None, 1e5)}], Rule(field, 1e5))


def test_an_analysis_is_written_as_plain_data(tmp_path):
    study = synthetic_study()
    results = changed(synthetic_results(study), 1.2, 8, 1, status="diverged", loss=None)
    analysis = analyse(study, results)
    assert analysis == analyse(study, results)
    content = json.loads(write_json(tmp_path / "analysis.json", analysis, SCHEMA).read_text())
    assert content["schema"] == {"name": "gradpower/analysis", "version": 3}
    group = content["groups"][0]
    assert group["slope"]["mean"] == analysis.groups[0].slope.mean
    assert group["values"][POWERS.index(1.2)]["losses"][1] is None
    assert "+0." in shown(analysis)


def run_folder(folder, study, results):
    """Write a study's folder as its runs leave it."""
    Store(folder, study).declare()
    for arm, result in zip(study.arms(), results, strict=True):
        run = folder / "arms" / arm.fingerprint
        run.mkdir(parents=True)
        final = Final(9, 9, result.loss, result.standard_error)
        write_result(run, RunResult(result.status, arm.fingerprint, arm.recipe, final, {}, {}, {}))


def test_folder_and_summary_give_the_same_outcome(tmp_path):
    study = synthetic_study(seeds=(0, 1))
    results = synthetic_results(study)
    run_folder(tmp_path / "study", study, results)
    outcome = read_outcome(tmp_path / "study")
    assert outcome.study.fingerprint == study.fingerprint
    assert [dataclasses.replace(row, origin=None) for row in outcome.arms] == results
    summary = read_outcome(Store(tmp_path / "study").write_summary(outcome))
    assert judged(summary) == analyse(study, results)


def test_what_is_no_study(tmp_path):
    (tmp_path / "other.json").write_text('{"schema": 1}')
    for path in (tmp_path, tmp_path / "other.json", tmp_path / "nothing"):
        with pytest.raises(InputError, match="gradpower/sweep"):
            read_outcome(path)
    content = json.dumps({"schema": SUMMARY_SCHEMA._asdict(), "arms": [{}]})
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(InputError, match="summary"):
        read_outcome(tmp_path)
