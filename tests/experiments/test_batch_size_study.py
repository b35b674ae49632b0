"""The study of Figures 2 and 6: what its parts hold fixed, and what they take from each other."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from experiments.fields import FIELDS, get_field
from experiments.sweeps.batch_size import PARTS, POWER, batch_size_study, parts_of, scales
from experiments.sweeps.studies import chosen_study
from gradpower.__main__ import main
from gradpower.tools.errors import InputError

SCALES = tuple(scales())
EVERY = [(scale, part) for scale in SCALES for part in PARTS]


@pytest.mark.parametrize(("scale", "part"), EVERY)
def test_all_runs_see_the_same_tokens_in_500_steps_or_more(scale, part):
    recipes = [arm.recipe for arm in batch_size_study(scale, part).arms()]
    tokens = [made.tokens for made in recipes]
    # The steps of some batch sizes are rounded down.
    assert max(tokens) / min(tokens) < 1.001
    assert min(made.training.steps for made in recipes) >= 500
    for made in recipes:
        share = made.optimizer.warmup_steps / made.training.steps
        assert share == pytest.approx(scales()[scale].warmup, abs=0.5 / made.training.steps)


@pytest.mark.parametrize("scale", SCALES)
def test_batches_span_a_factor_of_16_and_powers_both_sides_of_1(scale):
    study = batch_size_study(scale)
    batches = {arm.recipe.training.batch_size for arm in study.arms()}
    powers = {arm.recipe.optimizer.power for arm in study.arms()}
    assert max(batches) >= 16 * min(batches)
    assert len(powers) >= 7
    assert min(powers) <= 0.7
    assert max(powers) >= 1.5
    assert len(study.seeds) >= 3


@pytest.mark.parametrize("scale", SCALES)
def test_rates_are_tuned_on_seeds_of_their_own(scale):
    rates, main = batch_size_study(scale, "rates"), batch_size_study(scale)
    assert not set(rates.seeds) & set(main.seeds)
    assert {arm.recipe.optimizer.power for arm in rates.arms()} == {1.0}
    tried = set(scales()[scale].rate_grid)
    assert set(scales()[scale].rates) <= tried


@pytest.mark.parametrize("part", [part for part in PARTS if part not in ("main", "rates")])
def test_a_control_changes_one_thing(part):
    key = ("training.batch_size", POWER, "training.seed")
    arms = batch_size_study("pocket").arms()
    main = {arm.fingerprint for arm in arms}
    twins = {tuple(get_field(arm.recipe, name) for name in key): arm.recipe for arm in arms}
    study = batch_size_study("pocket", part)
    allowed = {
        "one-rate": {"optimizer.learning_rate"},
        "tuned": {"optimizer.learning_rate"},
        "damping": {"optimizer.learning_rate"},
        "half-life": {"optimizer.beta2_half_life"},
        "epsilon": {"optimizer.match_epsilon"},
        "clip": {"optimizer.clip_order"},
        "offset": {"optimizer.offset"},
    }[part]
    for arm in study.arms():
        twin = twins[tuple(get_field(arm.recipe, name) for name in key)]
        changed = {name for name in FIELDS if get_field(arm.recipe, name) != get_field(twin, name)}
        assert changed == (set() if arm.fingerprint in main else allowed)
    everywhere = part == "one-rate"
    assert {arm.recipe.training.batch_size for arm in study.arms()} == ({2, 8, 32} if everywhere else {2, 32})
    assert {name: word for name, word in parts_of(study).items() if name == study.name} == {
        study.name: f"batch-size-{part}"
    }
    shared = sum(arm.fingerprint in main for arm in study.arms())
    # What only varies the rate has the arms at the tuned rate in common with the main part.
    assert shared == {"one-rate": 80, "tuned": 18, "damping": 12}.get(part, 0)


@pytest.mark.parametrize("scale", SCALES)
def test_one_rate_is_the_comparison_at_one_rate(scale):
    study, main = batch_size_study(scale, "one-rate"), batch_size_study(scale)
    assert len(study.arms()) == len(main.arms())
    assert len({arm.recipe.optimizer.learning_rate for arm in study.arms()}) == 1
    assert {(a.seed, a.values[POWER], a.values["training.batch_size"]) for a in study.arms()} == {
        (a.seed, a.values[POWER], a.values["training.batch_size"]) for a in main.arms()
    }


def test_rates_around_the_tuned_one_are_no_farther_apart_than_the_root_of_two():
    study = batch_size_study("pocket", "tuned")
    for batch, number in ((2, 7), (32, 5)):
        rates = sorted(
            {
                arm.recipe.optimizer.learning_rate
                for arm in study.arms()
                if arm.recipe.training.batch_size == batch
            }
        )
        ratios = [high / low for low, high in pairwise(rates)]
        assert ratios == pytest.approx([math.sqrt(2)] * (number - 1))
    assert study.rule.learning_rate == "tuned"


def test_the_half_life_is_that_of_the_batch_in_the_middle():
    made = {
        arm.recipe.training.batch_size: arm.recipe for arm in batch_size_study("pocket", "half-life").arms()
    }
    # 256 and 4096 tokens a step around 1024: four times as long in steps, and a quarter.
    assert made[2].beta2 == pytest.approx(0.95**0.25, abs=1e-5)
    assert made[32].beta2 == pytest.approx(0.95**4, abs=1e-5)


def test_the_paper_scale_is_the_paper():
    made = [arm.recipe for arm in batch_size_study("paper").arms()]
    assert {r.training.batch_size for r in made} == {512, 2048, 4096, 8192}
    assert {r.optimizer.learning_rate for r in made} == {1e-3}
    assert made[0].model.width == 768
    assert made[0].data.source == "c4"
    assert made[0].optimizer.warmup_steps == pytest.approx(1000, abs=1)


def test_by_name():
    assert chosen_study("batch-size").name == "batch-size-pocket"
    study = chosen_study("batch-size-half-life", "gpu", "text:a.txt")
    assert study.name == "batch-size-half-life-gpu"
    assert study.recipe.data.source == "text:a.txt"
    assert get_field(study.arms()[0].recipe, POWER) == 1.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("batch-size", "huge"), "scale: huge is not allowed; expected one of pocket, gpu"),
        (("example", "gpu"), "scale: gpu is not allowed; expected none, which example does not have"),
        (("example", None, "c4"), "source: c4 is not allowed; expected none, which example does not have"),
        (("batch-sice",), "did you mean batch-size?"),
        (("batch-size-rate", "gpu"), "did you mean batch-size-rates?"),
        (
            ("mine.toml", "gpu"),
            "scale: gpu is not allowed; expected none with a .toml file, which says it itself",
        ),
    ],
)
def test_names_that_cannot_be(words, message):
    with pytest.raises(InputError) as error:
        chosen_study(*words)
    assert message in str(error.value)


def test_guessed_settings_are_told_before_they_are_used(capsys):
    assert main(["sweep", "batch-size", "--scale", "gpu", "--dry-run"]) == 0
    assert "learning rates and the damping ratio are guesses" in capsys.readouterr().err
    assert main(["sweep", "batch-size-rates", "--scale", "gpu", "--dry-run"]) == 0
    assert "guesses" not in capsys.readouterr().err
