"""The study of batch size and power put together, on made-up results whose best powers are known."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from experiments.sweeps.ablation import ablation
from experiments.sweeps.batch_size import batch_size_study, scales
from experiments.sweeps.contrasts import contrasts, damping, interactions
from experiments.sweeps.course import course
from experiments.sweeps.results import ArmResult
from figures import batch_size_controls, batch_size_theory, sweep_losses
from figures.batch_size import collect, early_target, places
from figures.batch_size_best import best_power
from figures.batch_size_controls_report import control_table, interaction_table
from figures.batch_size_cost import cost_table, cost_text
from figures.batch_size_noise import noise_table, noise_text
from figures.batch_size_report import batch_size_parts, course_table
from figures.batch_size_theory_report import theory_text
from figures.batch_size_verdict import claims, verdict
from figures.results import dump, load
from gradpower.__main__ import main
from gradpower.tools.errors import InputError
from gradpower.tools.terminal import jsonable
from tests.experiments.synthetic_batch_size import (
    CURVATURE,
    RATES,
    falling,
    shrinking,
    summary,
    synthetic_noise,
    synthetic_part,
    write_parts,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = write_parts(tmp_path_factory.mktemp("parts"))
    (made / "noise.json").write_text(json.dumps(synthetic_noise(lambda batch: falling(batch) + 0.2)))
    return made


@pytest.fixture(scope="module")
def found(folder):
    return jsonable(collect("pocket", folder))


def loss(power, batch, factor=1.0, best=falling):
    """The made-up loss, but for seed and noise."""
    return CURVATURE * math.log(power / best(batch)) ** 2 + RATES * math.log(factor * shrinking(power)) ** 2


def contrast(found, control, batch, power):
    return next(
        row
        for row in found["contrasts"]
        if (row["control"], row["batch_size"], row["power"]) == (control, batch, power)
    )


@pytest.mark.parametrize("batch", [2, 32])
@pytest.mark.parametrize("power", [0.8, 1.2])
def test_contrasts_are_the_made_up_effects(found, batch, power):
    plain = loss(power, batch) - loss(1.0, batch)
    flat = loss(power, batch, best=lambda _: 1.0) - loss(1.0, batch, best=lambda _: 1.0)
    # At the best of the rates a factor √2 apart what is left of shrinking(p) is less than a factor 2^¼.
    left = RATES * (math.log(2) / 4) ** 2
    tuned = CURVATURE * (math.log(power / falling(batch)) ** 2 - math.log(1 / falling(batch)) ** 2)
    expected = {
        "as run": (plain, 0.0),
        "learning rate tuned on other seeds": (tuned, left),
        "β2 by half-life": (flat, 0.0),
        "ε^p": (plain, 0.0),
        "(|g| + 1e-8)^p": (plain, 0.0),
        "clip after the power": (plain + 0.01 * (power == 1.2), 0.0),
        "one learning rate": (at_one_rate(power, batch) - at_one_rate(1.0, batch), 0.0),
    }
    for control, (value, slack) in expected.items():
        row = contrast(found, control, batch, power)
        assert row["statistics"]["mean"] == pytest.approx(value, abs=slack + 4e-4)
        if control != "as run":
            seeds = row["differences"]
            assert len(seeds) == (5 if control == "one learning rate" else 3)
            assert row["change"]["mean"] == pytest.approx(
                row["statistics"]["mean"] - contrast_as_run(found, batch, power, seeds), abs=1e-9
            )


def contrast_as_run(found, batch, power, seeds):
    """The difference as run over the seeds of a control."""
    differences = contrast(found, "as run", batch, power)["differences"]
    return sum(differences[seed] for seed in seeds) / len(seeds)


def at_one_rate(power, batch):
    """The loss at the rate of batch 8."""
    rates = scales()["pocket"].rates
    return loss(power, batch, rates[1] / rates[scales()["pocket"].batches.index(batch)])


def test_damping_is_made_up_for_by_a_higher_rate(found):
    for batch, ratio in zip((2, 32), scales()["pocket"].damping, strict=True):
        higher = contrast(found, "equal RMS: p at a higher rate", batch, 1.2)["statistics"]["mean"]
        expected = loss(1.2, batch, 1 / ratio) - loss(1.0, batch)
        assert higher == pytest.approx(expected, abs=4e-4)
        lower = contrast(found, "equal RMS: p = 1 at a lower rate", batch, 1.2)["statistics"]["mean"]
        assert lower == pytest.approx(loss(1.2, batch) - loss(1.0, batch, ratio), abs=4e-4)
    assert not [r for r in found["contrasts"] if r["control"].startswith("equal RMS") and r["power"] == 0.8]


def test_the_papers_claims_and_what_is_found(found, tmp_path):
    """1.2 is made the best at batch 2, where p = 1 is 0.2·ln²1.2 worse; clipping after adds 0.01 to 1.2 alone."""
    falls, best, clipping = claims(found)
    assert falls[1] == "Reproduced at this size"
    assert "1.2, 1, 0.9 at batch 2, 8, 32" in falls[2]
    assert best[1] == "lower than p = 1; the best of the grid"
    assert float(best[2].split()[0]) == pytest.approx(
        -0.2 * math.log(1.2) ** 2 - RATES * math.log(1) ** 2, abs=2e-3
    )
    assert clipping[1].startswith("a difference in 2 of 4 cases")
    assert "p = 1.2, batch 2: +0.01" in clipping[2]
    unsure = claims(jsonable(collect("pocket", write_parts(tmp_path, parts=["main"], noise=0.05))))
    assert "undecided by the rule" in unsure[1][1]
    assert unsure[2][1:] == ("not run yet", "`gradpower sweep batch-size-clip --scale pocket`")


def test_a_side_of_one_that_is_not_shown_is_not_claimed(tmp_path):
    """The best powers fall from 1.2 to 0.86, but 0.2·ln²1.2 = 0.007 is too little to be seen with noise of 0.004."""
    made = collect("pocket", write_parts(tmp_path, parts=["main"], noise=4e-3))
    said = verdict(made)
    assert said.startswith(
        "Reproduced in part at this size: the best power falls as the batch grows; that it is above"
    )
    assert "1 at the smallest batch (best of the grid 1." in said
    assert "is not shown: no such p has a loss lower than p = 1 by the rule" in said


def interaction(found, control, power):
    return next(r for r in found["interactions"] if (r["control"], r["power"]) == (control, power))


@pytest.mark.parametrize("power", [1.2, 0.8])
def test_interactions_are_those_of_the_made_up_losses(found, power):
    row = interaction(found, "as run", power)
    ends = [loss(power, batch) - loss(1.0, batch) for batch in (2, 32)]
    assert row["differences"] == pytest.approx(ends, abs=5e-4)
    assert row["change"]["mean"] == pytest.approx(ends[1] - ends[0], abs=5e-4)
    assert (row["seeds"], row["change"]["seeds"], row["removed"]) == (5, 5, None)


def test_what_controls_leave_of_the_trend(found):
    """With β2 by half-life the best power is 1 everywhere; what clipping adds is the same at both ends."""
    for power in (1.2, 0.8):
        whole = interaction(found, "as run", power)["change"]["mean"]
        half_life = interaction(found, "β2 by half-life", power)
        assert half_life["removed"]["mean"] == pytest.approx(whole, abs=1e-3)
        assert half_life["change"]["mean"] == pytest.approx(0, abs=1e-3)
        assert interaction(found, "clip after the power", power)["removed"]["mean"] == pytest.approx(
            0, abs=1e-3
        )
        assert interaction(found, "learning rate tuned on other seeds", power)["seeds"] == 3
    text = "\n\n".join(batch_size_parts({"scales": {"pocket": found}}))
    assert "how much of the change as run" in text
    assert "lower in 5 of 5 seeds, median -0.0" in text
    said = verdict(found)
    taken, left = said.split("Of the change from batch 2 to 32 of the loss of p = 1.2 less")[1].split("; ")[
        :2
    ]
    assert "a part is taken away by" in taken
    assert "β2 by half-life" in taken
    assert left.startswith("it is left, for sure in part, by")
    assert "clip after the power" in left
    row = next(line for line in interaction_table(found).splitlines() if "| β2 by half-life | 1.2" in line)
    assert [cell.strip() for cell in row.split("|")][-2] == "3"


def test_interactions_that_are_not_there(tmp_path):
    rng = np.random.default_rng(0)
    results = synthetic_part("main")
    one = [result for result in results if result.values["training.batch_size"] == 2]
    assert interactions({"main": one}, rng=rng) == interactions({}, rng=rng) == []
    made = collect("pocket", write_parts(tmp_path, parts=["main"]))
    text = "\n\n".join(batch_size_parts({"scales": {"pocket": jsonable(made)}}))
    assert "how much of the change as run" not in text


def test_a_control_with_a_run_that_diverged_is_shown_without_a_number():
    results = synthetic_part("main")
    clipped = [
        dataclasses.replace(r, status="diverged", loss=None) if r.seed == 0 else r
        for r in synthetic_part("clip")
    ]
    rows = interactions({"main": results, "clip": clipped}, rng=np.random.default_rng(0))
    assert [(row["control"], row["power"], row["diverged"]) for row in rows] == [
        ("as run", 1.2, 0),
        ("clip after the power", 1.2, 1),
        ("as run", 0.8, 0),
        ("clip after the power", 0.8, 1),
    ]
    assert rows[1]["change"] is rows[1]["removed"] is rows[1]["differences"] is None
    assert "| – | – | unstable: 1 diverged | -0.0296 | – | 3 |" in interaction_table({"interactions": rows})


def test_the_verdict_tells_of_one_rate_and_of_better_rates(found):
    """Made-up losses are best at the comparison's rates, and fall at one rate, too."""
    said = verdict(found)
    assert (
        "At one learning rate for all batch sizes, as the paper's Figure 6 has it, the best power also falls"
        in said
    )
    assert "the best rate at p = 1 is" not in said
    half = scales()["pocket"].rates[0] / 2
    rows = [
        row | {"loss": row["loss"] - 0.1} if row["batch_size"] == 2 and row["rate"] == half else row
        for row in found["tuned_rates"]
    ]
    told = verdict(found | {"tuned_rates": rows})
    assert f"the best rate at p = 1 is {half:.2g} at batch 2, where the comparison has 0.0028." in told
    assert "At one learning rate" not in verdict(found | {"one_rate": None})


def test_rates_beside_the_comparison(found):
    text = "\n\n".join(batch_size_parts({"scales": {"pocket": found}}))
    assert "The comparison is made at the best of each batch size." in text
    rows = [
        row | {"loss": 1.0} if (row["batch_size"], row["rate"]) == (8, 0.001) else row
        for row in found["rates"]
    ]
    text = "\n\n".join(batch_size_parts({"scales": {"pocket": found | {"rates": rows}}}))
    assert "everywhere: 0.001 at batch 8, where the comparison has 0.0028." in text


def test_tuned_rates_are_chosen_on_other_seeds():
    """At one seed and rate p = 1.2 is lucky by 0.5: that seed's own choice must not know it, the others' do."""
    lucky = scales()["pocket"].rates[0] * 2**0.5
    results = [
        dataclasses.replace(r, loss=r.loss - 0.5)
        if (r.seed, r.values["optimizer.power"], r.values["training.batch_size"]) == (1, 1.2, 2)
        and r.values["optimizer.learning_rate"] == pytest.approx(lucky)
        else r
        for r in synthetic_part("tuned")
    ]
    parts = {"main": synthetic_part("main"), "tuned": results}
    rows = contrasts(parts, rng=np.random.default_rng(0))
    row = next(r for r in rows if "tuned" in r["control"] and (r["batch_size"], r["power"]) == (2, 1.2))
    assert all(abs(difference) < 0.1 for difference in row["differences"].values())


def test_the_course_of_the_differences(found):
    """In the made-up runs the differences are there from the first evaluation on."""
    rows = course(synthetic_part("main"))
    assert [row["batch_size"] for row in rows] == [2, 8, 32]
    for row in rows:
        assert row["shares"] == pytest.approx(np.arange(1, 11) / 10)
        assert row["correlations"] == pytest.approx(np.ones(10))
        for power in (1.2, 0.8):
            expected = loss(power, row["batch_size"]) - loss(1.0, row["batch_size"])
            assert row["differences"][f"{power:g}"] == pytest.approx([expected] * 10, abs=5e-4)
    lines = course_table(found).splitlines()
    assert lines[0] == "| batch size |  | at 10% | at 20% | at 50% | at 80% | at 100% |"
    assert "| 32 | correlation | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 |" in lines


def test_differences_that_vanish_on_the_way():
    """Losses that differ by 0.5 at the first of two evaluations only, with the power: no correlation with the final."""
    made = [
        ArmResult(
            {"training.batch_size": 8, "optimizer.power": power},
            seed,
            "completed",
            final := 3.0 + 0.1 * seed,
            0.01,
            f"{power} {seed}",
            1.0,
            [
                {"tokens": 5, "validation_loss": 4.0 + (0.5 if power == 1.2 else 0.0)},
                {"tokens": 10, "validation_loss": final},
            ],
        )
        for power in (1.0, 1.2)
        for seed in (0, 1)
    ]
    (row,) = course(made)
    assert row["differences"] == {"0.8": None, "1.2": pytest.approx([0.5, 0.0])}
    assert row["correlations"] == pytest.approx([0.0, 1.0])
    assert course(made[:2]) == []
    # A run without a loss on the way is left out.
    odd = dataclasses.replace(made[0], evaluations=[{"tokens": 5}, {"tokens": 10, "validation_loss": 3.0}])
    assert [row["runs"] for row in course([odd, *made[1:]])] == [3]
    diverged = [dataclasses.replace(r, status="diverged", loss=None) for r in made]
    assert course(diverged) == []


def test_damping_is_measured_in_the_runs():
    measured = damping(synthetic_part("main"))
    assert list(measured) == [2, 8, 32]
    for row in measured.values():
        assert row["ratio"] == pytest.approx(shrinking(1.2))
        assert row["standard_error"] == pytest.approx(0, abs=1e-9)
        assert row["seeds"] == 5


def test_contrasts_of_what_is_there():
    rng = np.random.default_rng(0)
    assert contrasts({}, rng=rng) == []
    alone = contrasts({"main": synthetic_part("main")}, rng=rng)
    assert {row["control"] for row in alone} == {"as run"}


def test_a_control_that_diverged_has_no_difference():
    results = [
        dataclasses.replace(r, status="diverged", loss=None)
        if (r.seed, r.values["optimizer.power"], r.values["training.batch_size"]) == (1, 1.2, 32)
        else r
        for r in synthetic_part("clip")
    ]
    rows = contrasts({"main": synthetic_part("main"), "clip": results}, rng=np.random.default_rng(0))
    (row,) = [
        r for r in rows if (r["control"], r["power"], r["batch_size"]) == ("clip after the power", 1.2, 32)
    ]
    assert (row["diverged"], row["statistics"], row["change"]) == (1, None, None)
    assert row["differences"]["1"] is None
    assert "unstable: 1 diverged" in control_table(rows)
    assert batch_size_controls.draw(rows)


def test_rates_that_were_not_tried_for_both_are_not_compared():
    kept = [
        r
        for r in synthetic_part("tuned")
        if r.values["optimizer.power"] == 1.0
        or r.values["optimizer.learning_rate"] in scales()["pocket"].rates
    ]
    rows = contrasts({"main": synthetic_part("main"), "tuned": kept}, rng=np.random.default_rng(0))
    assert {row["control"] for row in rows} == {"as run"}


def test_measured_powers_and_the_ablation(found):
    for row in found["measured"]:
        assert row["low"] < row["power"] < row["high"]
    powers = [row["power"] for row in found["measured"]]
    assert powers == sorted(powers, reverse=True)
    rows = {(row["law"], row["objective"]): row for row in found["ablation"]}
    uniform = rows["uniform", "equal learning rate"]
    assert [p["mean"] for p in uniform["predicted"]] == pytest.approx([falling(b) + 0.2 for b in (2, 8, 32)])
    assert uniform["predicted"][0]["high"] - uniform["predicted"][0]["low"] == pytest.approx(0.099)
    expected = math.sqrt(
        np.mean([(p["mean"] - m) ** 2 for p, m in zip(uniform["predicted"], powers, strict=True)])
    )
    assert uniform["root_mean_square_error"] == pytest.approx(expected)
    assert uniform["slope"] < 0
    assert rows["generalized-normal", "equal RMS"]["slope"] == pytest.approx(0, abs=1e-12)
    assert "2 of 4 predictions fall" in theory_text(found)
    assert rows["always p = 1", ""]["root_mean_square_error"] == pytest.approx(
        math.sqrt(np.mean([(1 - m) ** 2 for m in powers]))
    )
    assert ablation([], found["measured"]) == []


def test_predictions_that_mean_nothing_are_left_out():
    noise = synthetic_noise(falling)["measurements"]
    for row in noise:
        for prediction in row["predictions"]:
            prediction["resolved"] = prediction["law"] == "uniform" and row["share"] == 1.0
    measured = [
        {"batch_size": 2, "status": "interior", "power": 1.1, "low": None, "high": None},
        {"batch_size": 32, "status": "at the edge", "power": 1.5, "low": None, "high": None},
    ]
    first = ablation(noise, measured)[0]
    assert (first["law"], first["predicted"][0]["snapshots"]) == ("uniform", 1)
    assert (first["inside"], first["intervals"], first["compared"]) == (0, 0, 1)
    # What is not known to have a best power still has predictions.
    assert [p["batch_size"] for p in first["predicted"]] == [2, 32]


def test_the_early_target_is_reached_before_the_decay_everywhere():
    results = synthetic_part("main", noise=0.0)
    target = early_target(results)
    for batch in (2, 8, 32):
        for seed in range(5):
            own = [r for r in results if r.values["training.batch_size"] == batch and r.seed == seed]
            assert min(r.evaluations[7]["validation_loss"] for r in own) <= target
    assert early_target([]) is None


@pytest.mark.parametrize(
    ("best", "said"),
    [
        (
            falling,
            "Reproduced at this size: the best power falls as the batch grows, from above 1 to below 1",
        ),
        (lambda batch: 1.15 * falling(batch), "Reproduced in part at this size"),
        (lambda batch: 1 / falling(batch), "Reversed at this size: the best power rises"),
        (lambda _: 1.0, "is not shown"),
    ],
)
def test_verdicts(tmp_path, best, said):
    write_parts(tmp_path, best, ["main"])
    made = collect("pocket", tmp_path)
    assert said in verdict(made)
    (text,) = [part for part in batch_size_parts({"scales": {"pocket": made}}) if "Verdict" in part]
    assert said in text


def test_there_is_no_verdict_while_runs_are_missing(tmp_path):
    study, results = batch_size_study("pocket"), synthetic_part("main")
    (tmp_path / "main.json").write_text(json.dumps(summary(study, [r for r in results if r.seed < 3])))
    made = collect("pocket", tmp_path)
    assert verdict(made) == "Not decided yet: 72 of 120 runs are done."
    (tmp_path / "main.json").write_text(json.dumps(summary(study, [])))
    none = collect("pocket", tmp_path)
    assert verdict(none) == "Not decided yet: 0 of 120 runs are done."
    assert batch_size_parts({"scales": {"pocket": jsonable(none)}})


def test_a_best_power_beyond_the_grid_is_no_number(tmp_path):
    made = collect("pocket", write_parts(tmp_path, lambda _: 1.9, ["main"]))
    for row in made["measured"]:
        assert (row["status"], row["low"], row["at_edge"]) == ("at the edge", None, True)
        assert best_power(row) == "at the end 1.50"


def test_parts_that_do_not_belong_together_are_refused(tmp_path):
    write_parts(tmp_path, parts=["main"])
    with pytest.raises(InputError, match="one with batch-size-gpu there, and this is batch-size-pocket"):
        collect("gpu", tmp_path)
    other = batch_size_study("pocket", "clip", "text:other.txt")
    (tmp_path / "clip.json").write_text(json.dumps(summary(other, [])))
    with pytest.raises(InputError, match=r"data\.source: python-source → text:other\.txt"):
        collect("pocket", tmp_path)
    (tmp_path / "clip.json").unlink()
    (tmp_path / "noise.json").write_text(json.dumps(synthetic_noise(falling) | {"study": "example"}))
    with pytest.raises(InputError, match="these are of example"):
        collect("pocket", tmp_path)


def test_the_report_and_its_tables(found):
    text = "\n\n".join(batch_size_parts({"scales": {"pocket": found}}))
    assert "120 of 120 runs are done" in " ".join(text.split())
    assert "says nothing certain about the paper's" in text
    assert "| 2 | 1.2 | β2 by half-life |" in text
    assert "| uniform | equal learning rate |" in text
    assert "would have seen with probability 0.8" in text
    assert "p = 0.8: from +0.0" in text
    # 0.3 would be the slope of ln B; the law falls by 0.1 for every factor e.
    assert "generalized-normal +0.000, -0.100 with same shape" in text
    assert "clip 18 of 18" in text
    assert "| learning rate | batch 2, p = 0.8 |" in text


def test_the_noise_in_words(found):
    """σ·√B is 1.001 or 1.1 at the MLP and 1 elsewhere; its shape drifts in all, that of the other is not known."""
    text = noise_text(found["noise"])
    assert "at 6 snapshots" in text
    assert "is 1.025 in the mean (1.00 to 1.10 over modules and snapshots)" in text
    assert "above 1 in 6 of 12 cases and within two standard errors of 1 in 9" in text
    assert "nearer in 6 of 6 cases; the fitted b goes from 1.00 to 1.50" in text
    assert "independent sequences would have 1.60" in text
    assert "batch 32: 1 at 1% of the training, 1 at 100%" in text
    rows = [[cell.strip() for cell in line.split(" | ")] for line in noise_table(found["noise"]).splitlines()]
    assert rows[2] == ["| mlp", "0.1", "10", "1", "1", "1.05", "1.5", "1.6 |"]
    assert rows[3] == ["| unresolved", "–", "–", "–", "–", "1", "–", "– |"]


def test_a_report_before_anything_is_there():
    assert "No verdict here yet" in batch_size_parts(None)[1]


def test_small_files_are_drawn_without_what_training_needs():
    code = (
        "import sys, figures.batch_size, figures.batch_size_commands, figures.batch_size_theory, figures.report\n"
        "print(*{'torch', 'transformers', 'filelock', 'safetensors', 'tokenizers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_cost_of_the_paper_is_that_of_its_operations():
    rows = {line.split(" | ")[0].strip("| "): line for line in cost_table({"scales": {}}).splitlines()}
    # 96 runs of 4e9 tokens at 6·175M + 6·16·256·768 operations a token, in hours of 0.4 × 989e12.
    flops = 96 * 4.0e9 * (6 * (200.3e6 - 24.7e6) + 6 * 16 * 256 * 768)
    hours = float(rows["paper"].rsplit(" | ", 1)[1].split()[0])
    assert hours == pytest.approx(flops / (0.4 * 989e12) / 3600, rel=0.01)
    assert "not measured" in rows["pocket"]
    assert "worker years" not in cost_text({"scales": {}})


def test_the_paper_at_the_speed_of_the_pocket(found):
    """120 runs at 1e4 tokens a second; operations of a token are those of the table."""
    rows = {line.split(" | ")[0].strip("| "): line for line in cost_table({"scales": {}}).splitlines()}
    paper, pocket = (float(rows[name].split(" | ")[5]) for name in ("paper", "pocket"))
    hours = found["about"]["worker_hours"]
    assert hours == pytest.approx(120 * found["about"]["tokens"] / 1e4 / 3600)
    said = cost_text({"scales": {"pocket": found}})
    years = float(said.split("would take ")[1].split()[0])
    assert years == pytest.approx(paper / pocket * hours / 8766, rel=0.06)


def test_figures_have_a_row_for_every_mark(found):
    assert batch_size_theory.draw(found)
    data = batch_size_theory.rows(found)
    assert [row["panel"] for row in data].count("measured") == 3
    ratio = next(row for row in data if row["panel"] == "noise to signal" and row["batch_size"] == 2)
    assert ratio["ratio"] == pytest.approx(4.0)
    assert {row["shape"] for row in data if row["panel"] == "shape"} == {1 + b / 32 for b in (2, 8, 32)}
    figure = batch_size_controls.draw(found["contrasts"])
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["(a) batch size 2", "(b) batch size 32"]
    means = [row for row in batch_size_controls.rows(found["contrasts"]) if "low" in row]
    assert len(means) == len(found["contrasts"])


def test_figures_of_little(tmp_path):
    made = collect("pocket", write_parts(tmp_path, parts=["main"]))
    assert batch_size_theory.draw(made)
    assert made["tuned"] is None
    assert made["rates"] == []


def test_a_picture_of_few_runs_says_so(tmp_path):
    write_parts(tmp_path, parts=["main"])
    content = json.loads((tmp_path / "main.json").read_text())
    content["arms"] = content["arms"][:30]
    (tmp_path / "main.json").write_text(json.dumps(content))
    figure = sweep_losses.draw(collect("pocket", tmp_path)["main"])
    said = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    assert said[:3] == [["1 to 2 of 5 seeds"], ["1 of 5 seeds"], ["1 of 5 seeds"]]
    write_parts(tmp_path, parts=["main"])
    figure = sweep_losses.draw(collect("pocket", tmp_path)["main"])
    assert not any(axis.texts for axis in figure.axes[:3])


def test_every_comparison_if_asked_for(folder, tmp_path, capsys):
    words = ["batch-size", "--folder", str(folder), "--output", str(tmp_path), "--all-tables"]
    assert main(words) == 0
    assert "how sure that is" in capsys.readouterr().out


def test_the_command(folder, tmp_path, capsys):
    words = ["batch-size", "--folder", str(folder), "--output", str(tmp_path)]
    assert main([*words, "--json"]) == 0
    out, err = capsys.readouterr()
    content = json.loads(out)
    assert content["scales"]["pocket"]["about"]["done"] == 120
    names = {"batch_size_losses", "batch_size_losses_early", "batch_size_theory", "batch_size_controls"}
    for name in names:
        for suffix in ("png", "pdf", "csv"):
            assert f"wrote {tmp_path / name}.{suffix}" in err
    assert json.loads((tmp_path / "batch_size.json").read_text()) == content


def test_update_keeps_the_parts_and_what_other_scales_had(
    folder, tmp_path, monkeypatch, capsys, blank_pictures
):
    root = tmp_path / "checkout"
    (root / "results").mkdir(parents=True)
    monkeypatch.setattr("figures.commands.checkout_to_refresh", lambda: root)
    words = ["batch-size", "--folder", str(folder), "--output", str(tmp_path / "out"), "--update"]
    assert main(words) == 0
    first = load(root / "results" / "batch_size.json", "batch_size")
    for path in folder.iterdir():
        assert (root / "results" / "batch_size" / "pocket" / path.name).read_text() == path.read_text()
    assert "Reproduced at this size" in (root / "paper_repro.md").read_text()
    drawn = {path.name for path in (root / "docs").iterdir()}
    assert {"batch_size_losses_pocket.png", "batch_size_theory_pocket.png"} <= drawn
    other = {**first, "scales": {"gpu": first["scales"]["pocket"] | {"scale": "gpu"}}}
    (root / "results" / "batch_size.json").write_text(dump(other))
    assert main(words) == 0
    assert set(load(root / "results" / "batch_size.json", "batch_size")["scales"]) == {"gpu", "pocket"}
    # A second text at the same scale has a name of its own.
    assert main([*words, "--name", "pocket-other"]) == 0
    kept = load(root / "results" / "batch_size.json", "batch_size")["scales"]
    assert kept["pocket-other"] == kept["pocket"]
    assert (root / "docs" / "batch_size_losses_pocket-other.png").exists()
    assert (root / "results" / "batch_size" / "pocket-other" / "main.json").exists()
    # The small files are enough to make the same results again.
    kept = root / "results" / "batch_size" / "pocket"
    assert main(["batch-size", "--folder", str(kept), "--output", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "batch_size.json").read_text() == dump(first)
    capsys.readouterr()


def test_the_last_word_of_the_command_is_the_verdict(tmp_path, capsys):
    write_parts(tmp_path / "parts", parts=["main"])
    content = json.loads((tmp_path / "parts" / "main.json").read_text())
    content["arms"] = content["arms"][:30]
    (tmp_path / "parts" / "main.json").write_text(json.dumps(content))
    assert main(["batch-size", "--folder", str(tmp_path / "parts"), "--output", str(tmp_path / "out")]) == 0
    said, _ = capsys.readouterr().out.split("wrote ", 1)
    assert "Scale pocket, 30 of 120 runs" in said
    assert "how sure that is" not in said
    assert said.rstrip().endswith("Not decided yet: 30 of 120 runs are done.")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--scale", "huge"), "scale: huge is not allowed; expected one of pocket, gpu"),
        (("--name", "../up"), "name: ../up is not allowed; expected letters, digits"),
        (("--folder", "nowhere"), "gradpower sweep batch-size --scale pocket makes it"),
        (("--seed", "-1"), "seed: -1 is not allowed; expected 0, 1, 2, …"),
    ],
)
def test_bad_input(tmp_path, words, message, capsys):
    assert main(["batch-size", "--output", str(tmp_path / "out"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_parts_own_folder_is_refused_with_the_right_one(tmp_path, capsys):
    (tmp_path / "batch-size-pocket").mkdir()
    (tmp_path / "batch-size-pocket" / "study.json").touch()
    assert main(["batch-size", "--folder", str(tmp_path / "batch-size-pocket")]) == 2
    assert f"the folder that it lies in, {tmp_path}\n" in capsys.readouterr().err


def test_places_prefer_the_studies_folders(folder):
    assert set(places("pocket", folder)) == {
        "main",
        "rates",
        "one-rate",
        "tuned",
        "damping",
        "half-life",
        "epsilon",
        "clip",
        "offset",
        "noise",
    }
    assert places("gpu", folder.parent / "none") == {}
