from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from rich.console import Console

from experiments.recipes import recipe
from experiments.records import Final, RunResult, write_result
from experiments.sweeps.analysis import analyse, tables
from experiments.sweeps.early_reading import EarlyReading, losses_at_target, read_curves
from experiments.sweeps.folder import open_folder
from experiments.sweeps.groups import free_fields, tied_fields
from experiments.sweeps.results import SUMMARY_SCHEMA, read_outcome, write_summary
from experiments.sweeps.rule import Rule
from experiments.sweeps.statistics import adjusted_p_values, detectable_difference, paired_difference
from experiments.sweeps.studies import example
from experiments.sweeps.study import Study
from gradpower.tools.errors import InputError
from gradpower.tools.terminal import jsonable
from tests.experiments.synthetic_study import BATCHES, POWERS, best_power, synthetic_results, synthetic_study

POWER, BATCH, RATE = "optimizer.power", "training.batch_size", "optimizer.learning_rate"


def changed(results, power, batch, seed, **change):
    return [
        dataclasses.replace(r, **change)
        if (r.values[POWER], r.values[BATCH], r.seed) == (power, batch, seed)
        else r
        for r in results
    ]


def without(results, power, batch, seed):
    return [r for r in results if (r.values[POWER], r.values[BATCH], r.seed) != (power, batch, seed)]


def comparisons(view):
    return {(g["within"], c["value"]): c for g in view["groups"] for c in g["comparisons"]}


def test_every_comparison_is_the_paired_one_corrected_over_the_family():
    study = synthetic_study()
    results = synthetic_results(study)
    view = analyse(study, results)["views"][0]
    found = comparisons(view)
    assert view["family"] == len(found) == len(BATCHES) * (len(POWERS) - 1)
    losses = {(r.values[POWER], r.values[BATCH], r.seed): r.loss for r in results}
    expected = {}
    for batch, power in found:
        ours, base = ([losses[p, batch, s] for s in (0, 1, 2)] for p in (power, 1.0))
        expected[batch, power] = paired_difference(ours, base, rng=np.random.default_rng(0)).p_value
    assert {key: c["p_value"] for key, c in found.items()} == pytest.approx(expected)
    adjusted = adjusted_p_values(list(expected.values()), "holm")
    assert [c["adjusted"] for c in found.values()] == pytest.approx(adjusted)
    one = found[8, 1.2]
    assert one["detectable"] == pytest.approx(detectable_difference(3, 0.05 / 15) * one["statistics"]["sd"])
    assert one["detectable"] > one["statistics"]["detectable"]


def test_the_known_best_power_and_its_fall_are_found():
    study = synthetic_study()
    analysis = analyse(study, synthetic_results(study))
    (view,) = analysis["views"]
    for group in view["groups"]:
        parabola = group["best"]["parabola"]
        low, high = parabola["interval"]
        assert low < best_power(group["within"]) < high
        assert parabola["value"] == pytest.approx(best_power(group["within"]), abs=0.02)
        assert group["best"]["grid"]["value"] == min(
            POWERS, key=lambda p: abs(np.log(p / best_power(group["within"])))
        )
    (trend,) = view["trends"]
    assert (trend["predicted"], trend["field"]) == ("falls", BATCH)
    # Three seeds agree on the order of three batch sizes: 1 in 6³.
    assert trend["parabola"]["page"]["p_falling"] == pytest.approx(6.0**-3)
    low, high = trend["parabola"]["slope"]["t_interval"]
    assert low < (best_power(32) - best_power(8)) / math.log(4) < high
    assert "the best power falls as batch size grows" in analysis["verdict"]


def test_decisions_follow_the_rule():
    study = synthetic_study()
    quiet = comparisons(analyse(study, synthetic_results(study, noise=2e-5))["views"][0])
    assert quiet[8, 1.2]["decision"] == "lower"
    assert quiet[8, 0.8]["decision"] == "higher"
    # At batch 32 the best power is 1.016, so that 1.1 is higher by 0.0036 only: no effect by this rule.
    assert quiet[32, 1.1]["said"] == "equal within 0.004"
    loud = comparisons(analyse(study, synthetic_results(study, noise=0.1))["views"][0])
    assert {c["decision"] for c in loud.values()} == {"undecided"}


def test_divergence_is_never_dropped():
    study = synthetic_study()
    results = changed(synthetic_results(study, noise=2e-5), 1.2, 8, 1, status="diverged", loss=None)
    analysis = analyse(study, results)
    found = comparisons(analysis["views"][0])[8, 1.2]
    assert found["decision"] == "unstable"
    assert found["said"] == "unstable: diverged in 1 of 3 seeds, baseline in 0 of 3"
    assert found["statistics"] is None
    group = analysis["views"][0]["groups"][0]
    assert group["best"]["grid"]["value"] != 1.2
    assert 1.2 not in group["best"]["parabola"]["window"]
    assert group["arms"][POWERS.index(1.2)]["status"] == ["completed", "diverged", "completed"]
    assert analysis["arms"]["diverged"] == 1
    assert analysis["arms"]["missing"] == 0
    counts = "3 lower, 9 higher, 2 equal within 0.004 (α = 0.05, Holm correction)"
    assert f"{counts}; 1 unstable, without a test (the value diverged in 1)" in analysis["verdict"]


def test_a_diverged_baseline_and_both():
    study = synthetic_study()
    results = changed(synthetic_results(study), 1.0, 8, 1, status="diverged", loss=None)
    results = changed(results, 0.9, 8, 2, status="diverged", loss=None)
    analysis = analyse(study, results)
    found = comparisons(analysis["views"][0])
    assert found[8, 1.2]["said"] == "unstable: diverged in 0 of 3 seeds, baseline in 1 of 3"
    assert found[8, 0.9]["said"] == "unstable: diverged in 1 of 3 seeds, baseline in 1 of 3"
    assert "5 unstable, without a test (the value diverged in 1, the baseline in 5)" in analysis["verdict"]


@pytest.mark.parametrize("how", ["absent", "missing"])
def test_missing_arms_mark_the_analysis_and_cost_a_pair_its_seed(how):
    study = synthetic_study()
    results = synthetic_results(study)
    results = (
        without(results, 1.2, 8, 1)
        if how == "absent"
        else changed(results, 1.2, 8, 1, status="missing", loss=None)
    )
    analysis = analyse(study, results)
    assert analysis["missing"] == [{POWER: 1.2, BATCH: 8, "seed": 1}]
    assert analysis["verdict"].startswith("Incomplete, 1 of 54 arms are missing")
    found = comparisons(analysis["views"][0])
    assert found[8, 1.2]["seeds"] == [0, 2]
    assert found[8, 1.1]["seeds"] == [0, 1, 2]
    assert analysis["views"][0]["groups"][0]["best"]["seeds"] == [0, 2]
    assert analysis["views"][0]["trends"][0]["seeds"] == [0, 2]


def test_nothing_done_yet_and_one_seed():
    study = synthetic_study()
    empty = analyse(study, [])
    assert empty["arms"]["missing"] == empty["arms"]["planned"] == 54
    assert {c["said"] for c in comparisons(empty["views"][0]).values()} == {"undecided (no seed has both)"}
    single = synthetic_study(seeds=(0,))
    analysis = analyse(single, synthetic_results(single))
    assert {c["said"] for c in comparisons(analysis["views"][0]).values()} == {
        "undecided (one seed: no spread, hence no test)"
    }
    assert tables(empty)
    assert tables(analysis)


def test_a_study_without_within_has_one_group_and_no_trend():
    study = Study("plain", recipe("pocket"), [{POWER: (0.9, 1.0, 1.1)}], Rule(POWER, 1.0), seeds=(0, 1))
    results = [
        r
        for arm in study.arms()
        for r in [
            dataclasses.replace(
                synthetic_results(synthetic_study(seeds=(0,)))[0],
                values=arm.values,
                seed=arm.seed,
                loss=3 + abs(arm.values[POWER] - 1.0) + 0.001 * arm.seed * arm.values[POWER],
            )
        ]
    ]
    (view,) = analyse(study, results)["views"]
    assert len(view["groups"]) == 1
    assert view["trends"] == []


def test_another_within_field_has_no_predicted_direction():
    study = Study(
        "half-life",
        recipe("pocket"),
        [{POWER: POWERS}, {"optimizer.beta2": (0.9, 0.95, 0.99)}],
        Rule(POWER, 1.0, within="optimizer.beta2"),
    )
    rng = np.random.default_rng(0)
    best = {0.9: 0.9, 0.95: 1.0, 0.99: 1.15}
    pattern = synthetic_results(synthetic_study(seeds=(0,)))[0]
    results = [
        dataclasses.replace(
            pattern,
            values=arm.values,
            seed=arm.seed,
            loss=3
            + np.log(arm.values[POWER] / best[arm.values["optimizer.beta2"]]) ** 2
            + 1e-3 * rng.normal(),
        )
        for arm in study.arms()
    ]
    analysis = analyse(study, results)
    (trend,) = analysis["views"][0]["trends"]
    assert trend["predicted"] is None
    assert "the best power rises as beta2 grows" in analysis["verdict"]


def test_a_rate_tied_to_the_batch_size_is_no_free_field():
    arms = [
        {POWER: p, BATCH: b, RATE: r, "optimizer.beta1": 0.9}
        for p in (1.0, 1.2)
        for b, r in ((8, 1e-3), (16, 2e-3))
    ]
    rule = Rule(POWER, 1.0, within=BATCH)
    assert free_fields(rule, arms) == []
    assert tied_fields(rule, arms) == [RATE]
    assert free_fields(rule, [*arms, {**arms[0], RATE: 5e-3}]) == [RATE]


def test_the_verdict_names_what_was_tied():
    study = example()
    said = analyse(study, [])["verdict"]
    assert "varied together with these: steps, warmup steps, learning rate" in said


def test_powers_are_compared_at_their_own_tuned_rates():
    rates = (1e-3, 2e-3, 4e-3)
    study = synthetic_study(rates=rates, learning_rate="tuned")
    results = synthetic_results(study)
    analysis = analyse(study, results)
    assert tables(json.loads(json.dumps(jsonable(analysis))))
    assert [view["kind"] for view in analysis["views"]] == ["equal settings", "tuned learning rate"]
    assert analysis["primary"] == "tuned learning rate"
    equal, tuned = analysis["views"]
    assert len(equal["groups"]) == len(BATCHES) * len(rates)
    assert len(tuned["groups"]) == len(BATCHES)
    assert tuned["family"] == len(BATCHES) * (len(POWERS) - 1)
    losses = {(r.values[POWER], r.values[BATCH], r.values[RATE], r.seed): r.loss for r in results}
    for group in tuned["groups"]:
        for arm in group["arms"]:
            table = np.array(
                [[losses[arm["value"], group["within"], rate, s] for rate in rates] for s in (0, 1, 2)]
            )
            by_hand = [table[s, np.argmin(np.delete(table, s, 0).sum(0))] for s in range(3)]
            assert arm["tuning"]["held_out"] == pytest.approx(by_hand)
            assert arm["losses"] == pytest.approx(table[:, np.argmin(table.sum(0))])
            assert arm["tuning"]["quadratic"]["value"] == pytest.approx(2e-3 * arm["value"] ** 0.5, rel=0.05)
        low, high = group["best"]["parabola"]["interval"]
        assert low < best_power(group["within"]) < high
    assert len(equal["trends"]) == len(rates)


def test_an_axis_of_rates_alone_does_not_change_what_is_judged():
    study = synthetic_study(rates=(1e-3, 2e-3))
    analysis = analyse(study, synthetic_results(study))
    assert [view["kind"] for view in analysis["views"]] == ["equal settings", "tuned learning rate"]
    assert analysis["primary"] == "equal settings"
    assert analysis["verdict"].startswith("Equal settings")


def test_a_finer_grid_of_rates_is_estimated_but_not_tested():
    """The baseline has one rate, p = 1.2 five of equal worth: held-out losses show no difference, the lowest would."""
    axes = [
        {POWER: (1.0, 1.2, 1.2, 1.2, 1.2, 1.2), RATE: (2e-3, 1e-3, 1.5e-3, 2e-3, 3e-3, 4e-3)},
    ]
    study = Study("unequal", recipe("pocket"), axes, Rule(POWER, 1.0), seeds=(0, 1, 2))
    pattern = synthetic_results(synthetic_study(seeds=(0,)))[0]
    means, plain = [], []
    for trial in range(60):
        rng = np.random.default_rng(trial)
        results = [
            dataclasses.replace(pattern, values=arm.values, seed=arm.seed, loss=3 + 0.01 * rng.normal())
            for arm in study.arms()
        ]
        (group,) = analyse(study, results)["views"][1]["groups"]
        (comparison,) = group["comparisons"]
        means.append(comparison["held_out"])
        plain.append(comparison["held_out"] - group["arms"][1]["tuning"]["optimism"])
    assert comparison["said"] == "undecided (not tested: other learning rates than the baseline)"
    assert comparison["p_value"] is None
    assert group["best"] is None
    error = np.std(means, ddof=1) / math.sqrt(60)
    assert np.mean(means) == pytest.approx(0.0, abs=4 * error)
    assert np.mean(plain) < -4 * error


def test_values_over_unequal_rates_have_no_trend():
    study = synthetic_study(rates=(1e-3, 2e-3), learning_rate="tuned")
    results = synthetic_results(study)
    lost = [r for r in results if (r.values[POWER], r.values[BATCH], r.values[RATE]) != (1.2, 16, 2e-3)]
    analysis = analyse(study, lost)
    found = comparisons(analysis["views"][1])
    assert found[16, 1.2]["p_value"] is None
    assert found[16, 1.1]["p_value"] is not None
    (trend,) = analysis["views"][1]["trends"]
    assert trend["decision"] == "not tested"
    assert "the best power is not tested as batch size grows: not all values" in analysis["verdict"]


def test_additions_after_outcomes_are_in_the_verdict():
    study = synthetic_study()
    results = synthetic_results(study)
    history = [
        {"date": "2026-01-02", "added": "seed 1", "finished": 0},
        {"date": "2026-01-03", "added": "seeds 2, 3", "finished": 12},
    ]
    analysis = analyse(study, results, history=history)
    assert analysis["history"] == history
    assert (
        "added later: seeds 2, 3 (after 12 arms had finished), so that α no longer holds"
        in analysis["verdict"]
    )
    assert "seed 1 " not in analysis["verdict"]
    assert "α no longer" not in analyse(study, results, history=history[:1])["verdict"]


def one_best(study, best, noise=1e-4):
    """Return results with a best power that does or does not depend on the batch size."""
    pattern, rng = synthetic_results(synthetic_study(seeds=(0,)))[0], np.random.default_rng(0)
    return [
        dataclasses.replace(
            pattern,
            values=arm.values,
            seed=arm.seed,
            loss=3 + np.log(arm.values[POWER] / best(arm.values[BATCH])) ** 2 + noise * rng.normal(),
        )
        for arm in study.arms()
    ]


def test_a_trend_compares_over_the_same_values_only():
    """One optimum: without the large powers at large batches it would seem to fall."""
    study = synthetic_study()
    results = [
        r
        for r in one_best(study, lambda batch: 1.25)
        if r.values[POWER] < {8: 2.0, 16: 1.3, 32: 1.2}[r.values[BATCH]]
    ]
    analysis = analyse(study, results)
    (trend,) = analysis["views"][0]["trends"]
    assert trend["values"] == [0.8, 0.9, 1.0, 1.1]
    assert trend["left_out"] == [1.2, 1.3]
    assert (trend["decision"], trend["grid"]["data"]) == ("cannot be shown", "is flat")
    assert "only 0.8, 0.9, 1, 1.1 have results throughout" in analysis["verdict"]
    fewer = [r for r in results if r.values[BATCH] == 8 or r.values[POWER] == 1.0]
    assert "is not tested as batch size grows: fewer than two values" in analyse(study, fewer)["verdict"]


def test_what_few_seeds_cannot_show_and_what_the_data_do():
    study = synthetic_study(seeds=(0,))
    said = analyse(study, one_best(study, lambda batch: 0.8 * (batch / 8) ** 0.3))["verdict"]
    assert (
        "cannot be shown to fall as batch size grows with 1 seed (least p 0.17), in these data it rises"
        in said
    )
    three = synthetic_study()
    said = analyse(three, one_best(three, lambda batch: 0.8 * (batch / 8) ** 0.3))["verdict"]
    assert "the best power is not shown to fall as batch size grows, in these data it rises" in said


def test_trends_are_one_family():
    study = synthetic_study(rates=(1e-3, 1.5e-3, 2e-3, 3e-3))
    analysis = analyse(study, synthetic_results(study))
    trends = analysis["views"][0]["trends"]
    assert [trend["family"] for trend in trends] == [4] * 4
    for name in ("grid", "parabola"):
        raw = [trend[name]["p_value"] for trend in trends]
        assert [trend[name]["adjusted"] for trend in trends] == pytest.approx(adjusted_p_values(raw, "holm"))
    assert "as batch size grows, in 4 settings, the best power falls in 4" in analysis["verdict"]
    assert "Holm correction over these" in analysis["verdict"]
    (alone,) = analyse(synthetic_study(), synthetic_results(synthetic_study()))["views"][0]["trends"]
    assert alone["grid"]["adjusted"] == alone["grid"]["p_value"]


def test_compared_values_must_be_numbers():
    field = "optimizer.beta2_half_life"
    study = Study("none", recipe("pocket"), [{field: (None, 1e5)}], Rule(field, 1e5))
    with pytest.raises(InputError, match=r"rule\.compared"):
        analyse(study, [])


def test_analysis_is_plain_data_and_the_same_each_time():
    study = synthetic_study()
    results = synthetic_results(study)
    first, second = (json.dumps(jsonable(analyse(study, results)), allow_nan=False) for _ in range(2))
    assert first == second
    assert json.loads(first)["schema"] == {"name": "gradpower/analysis", "version": 1}
    console = Console(width=200, record=True, quiet=True)
    for table in tables(json.loads(first)):
        console.print(table)


def test_losses_at_target_by_hand():
    curves = {
        "best": ([10, 20, 40], [4.0, 3.6, 3.2]),
        "other": ([10, 20, 40], [4.2, 3.9, 3.1]),
        "short": ([10, 20], [4.5, 4.0]),
    }
    # The best reaches 3.5 a quarter of the way from 20 to 40.
    found = losses_at_target(curves, 3.5)
    assert found["best"] == pytest.approx(3.5)
    assert found["other"] == pytest.approx(3.9 - 0.8 / 4)
    assert math.isnan(found["short"])
    assert losses_at_target(curves, 3.0) is None
    assert losses_at_target({"a": ([10, 20], [3.0, 2.0])}, 3.5) == {"a": 3.0}
    with pytest.raises(InputError, match="curves"):
        losses_at_target({"a": ([10, 10], [3.0, 2.0])}, 3.5)
    with pytest.raises(InputError, match="target_loss"):
        EarlyReading(-1.0, {})


def test_early_reading_ranks_by_the_loss_at_the_target():
    """Curves that fall faster the nearer p is to the best: what is read keeps their order, seed by seed."""
    study = synthetic_study()
    results = synthetic_results(study)
    tokens = [0, 100, 200, 300]
    curves = {}
    for arm, result in zip(study.arms(), results, strict=True):
        curves[arm.fingerprint] = (tokens, [6.0, *(result.loss + extra for extra in (1.0, 0.4, 0.0))])
    analysis = analyse(study, results, early=EarlyReading(4.0, curves))
    equal, early = analysis["views"]
    assert early["kind"] == "read early, at loss 4"
    assert analysis["primary"] == "equal settings"
    for group, final in zip(early["groups"], equal["groups"], strict=True):
        assert group["best"]["grid"]["value"] == final["best"]["grid"]["value"]
        lowest = np.array([arm["losses"] for arm in group["arms"]]).min(0)
        assert lowest == pytest.approx([4.0] * 3)


def test_early_reading_of_lost_and_diverged_arms():
    study = synthetic_study()
    results = changed(synthetic_results(study), 1.2, 8, 0, status="diverged", loss=None)
    curves = {r.fingerprint: ([0, 10, 20], [6.0, 4.0, 3.0]) for r in results}
    diverged = next(r for r in results if r.status == "diverged")
    curves[diverged.fingerprint] = ([0], [6.0])
    lost = next(r for r in results if (r.values[POWER], r.values[BATCH], r.seed) == (1.1, 8, 0))
    del curves[lost.fingerprint]
    early = comparisons(analyse(study, results, early=EarlyReading(3.5, curves))["views"][1])
    assert early[8, 1.2]["said"] == "unstable: diverged in 1 of 3 seeds, baseline in 0 of 3"
    assert early[8, 1.1]["seeds"] == [1, 2]


def run_folder(folder, study, results):
    """Write a study's folder as its runs leave it."""
    open_folder(folder, study)
    for arm, result in zip(study.arms(), results, strict=True):
        run = folder / "arms" / arm.fingerprint
        run.mkdir(parents=True)
        final = Final(9, 9, result.loss, result.standard_error)
        write_result(run, RunResult(result.status, arm.fingerprint, arm.recipe, final, {}, {}, {}))
        lines = [
            {"step": 0, "loss": 8.0},
            {"step": 5, "validation_loss": 6.0},
            {"step": 9, "validation_loss": result.loss},
        ]
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_folder_and_summary_give_the_same_outcome(tmp_path):
    study = synthetic_study(seeds=(0, 1))
    results = synthetic_results(study)
    run_folder(tmp_path / "study", study, results)
    planned, found = read_outcome(tmp_path / "study")
    assert planned.fingerprint == study.fingerprint
    assert found == results
    summary = write_summary(tmp_path / "study", study)
    again, rows = read_outcome(summary)
    assert analyse(again, rows) == analyse(study, results)
    curves = read_curves(tmp_path / "study", study)
    arm = study.arms()[0]
    assert curves[arm.fingerprint][0] == [5 * arm.recipe.tokens_per_step, 9 * arm.recipe.tokens_per_step]


def test_what_is_no_study(tmp_path):
    (tmp_path / "other.json").write_text('{"schema": 1}')
    for path in (tmp_path, tmp_path / "other.json", tmp_path / "nothing"):
        with pytest.raises(InputError, match="gradpower/sweep"):
            read_outcome(path)
    content = json.dumps({"schema": SUMMARY_SCHEMA._asdict(), "arms": [{}]})
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(InputError, match="summary"):
        read_outcome(tmp_path)
