"""Studies: what they are, what is refused, and what may change once they have begun."""

from __future__ import annotations

import dataclasses
import json

import pytest

from experiments.recipes.fields import get_field
from experiments.recipes.named import recipe
from experiments.sweeps.store import Store, read_declared
from experiments.sweeps.studies import STUDIES, chosen_study, read_study
from experiments.sweeps.study import Rule, Study
from gradpower.tools.errors import InputError
from gradpower.tools.reading import convert

TOML = """
name = "example"
recipe = "pocket"
seeds = [0, 1, 2]
[fields]
"training.steps" = 400
"optimizer.clip_norm" = "none"
[[axes]]
"optimizer.power" = [1, 1.2]
[[axes]]
"training.batch_size" = [8, 16]
"optimizer.learning_rate" = [3e-3, 4.2e-3]
[rule]
compared = "optimizer.power"
baseline = 1.0
within = "training.batch_size"
correction = "holm"
smallest_effect = 0.01
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(TOML)
    return path


def test_a_file_is_read(file):
    study = chosen_study(str(file))
    assert study.rule == Rule("optimizer.power", 1.0, within="training.batch_size", smallest_effect=0.01)
    arms = study.arms()
    assert len(arms) == 2 * 2 * 3
    assert len({arm.fingerprint for arm in arms}) == 12
    for arm in arms:
        assert arm.recipe.training.steps == 400
        assert arm.recipe.optimizer.clip_norm is None
        assert arm.recipe.training.seed == arm.seed
        assert arm.recipe.optimizer.learning_rate == {8: 3e-3, 16: 4.2e-3}[arm.recipe.training.batch_size]
        assert all(get_field(arm.recipe, name) == value for name, value in arm.values.items())
    assert [arm.seed for arm in arms] == [0] * 4 + [1] * 4 + [2] * 4
    assert type(arms[0].values["optimizer.power"]) is float


def test_the_recipe_may_lie_beside_the_file(file):
    from experiments.training.records import RECIPE_SCHEMA

    base = recipe("pocket-moe")
    (file.parent / "mine.json").write_text(
        json.dumps({"schema": RECIPE_SCHEMA._asdict(), "recipe": dataclasses.asdict(base)})
    )
    file.write_text(TOML.replace('"pocket"', '"mine.json"'))
    assert read_study(file).arms()[0].recipe.model == base.model


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "example"', 'name = "../up"', r"name: \.\./up"),
        ('name = "example"', "", "missing required field `name`"),
        ("seeds =", "seds =", r"unknown key `seds`; expected name, .*seeds"),
        ('recipe = "pocket"', 'recipe = "poket"', r"did you mean pocket\?"),
        ('recipe = "pocket"', 'recipe = "no.json"', "recipe: .*no.json"),
        ('recipe = "pocket"', "recipe = 3", r"Expected `str`, got `int` - at `\$\.recipe`"),
        ("[0, 1, 2]", "[0, 1, 1]", "seeds: .*different"),
        ("[0, 1, 2]", "[]", "seeds: .*one seed or more"),
        ("[0, 1, 2]", str([*range(10**5)]), "axes: .* arms is not allowed; expected at most 10000"),
        ("[0, 1, 2]", "[0.5]", r"Expected `int`, got `float` - at `\$\.seeds\[0\]`"),
        ("[0, 1, 2]", "3", r"Expected `array`, got `int` - at `\$\.seeds`"),
        ('"training.steps" = 400', '"training.stps" = 400', r"did you mean training\.steps\?"),
        ('"training.steps" = 400', '"training.steps" = "many"', "training.steps: many"),
        ('"training.steps" = 400', '"training.seed" = 4', "axes: training.seed"),
        ('"training.steps" = 400', '"optimizer.power" = 1.1', "each field once"),
        (
            '"optimizer.power" = [1, 1.2]',
            '"optimizer.power" = 1.2',
            r"Expected `array`, got `float` - at `\$\.axes\[0\]",
        ),
        ('"optimizer.power" = [1, 1.2]', '"optimizer.power" = [1, 1.0]', "axes: .*every combination once"),
        ('"optimizer.power" = [1, 1.2]', '"optimizer.power" = [1, -1]', "optimizer.power: -1"),
        ('"optimizer.power" = [1, 1.2]', '"optimizer.pwr" = [1, 1.2]', r"did you mean optimizer\.power\?"),
        ("[3e-3, 4.2e-3]", "[3e-3]", "axes: .*equally many"),
        ("[3e-3, 4.2e-3]", "3e-3", r"Expected `array`, got `float` - at `\$\.axes\[1\]"),
        ('compared = "optimizer.power"', 'compared = "optimizer.beta1"', "rule.compared: optimizer.beta1"),
        ('compared = "optimizer.power"', "", "missing required field `compared`"),
        ("baseline = 1.0", "baseline = 1.1", "rule.baseline: 1.1 .*1, 1.2"),
        (
            "baseline = 1.0",
            "baseline = 1.0\nalpa = 0.1",
            r"unknown key `alpa`; expected compared, .*alpha.* at `\$\.rule`",
        ),
        ("baseline = 1.0", "baseline = 1.0\nalpha = 1.0", r"rule\.alpha: 1\.0"),
        ("baseline = 1.0", "baseline = true", r"got `bool` - at `\$\.rule\.baseline`"),
        ('"holm"', '"fdr"', r"'fdr'; expected holm - at `\$\.rule\.correction`"),
        ("smallest_effect = 0.01", "smallest_effect = -1", "rule.smallest_effect: -1"),
        ('within = "training.batch_size"', 'within = "training.steps"', "rule.within: training.steps"),
        ('within = "training.batch_size"', 'within = "optimizer.power"', "rule.within: optimizer.power"),
        (
            'compared = "optimizer.power"\nbaseline = 1.0',
            'compared = "optimizer.learning_rate"\nbaseline = 3e-3',
            "cross",
        ),
        ("[rule]", "[rule", "study: .*TOML file"),
        ('compared = "optimizer.power"', "compared = 5", r"got `int` - at `\$\.rule\.compared`"),
        ('compared = "optimizer.power"', "compared = []", r"got `array` - at `\$\.rule\.compared`"),
        ('compared = "optimizer.power"', "compared = optimizer.power", "names in quotes"),
        ('within = "training.batch_size"', "within = 3", r"got `int` - at `\$\.rule\.within`"),
        ('"holm"', '["holm"]', r"got `array` - at `\$\.rule\.correction`"),
        ("baseline = 1.0", "baseline = 1.0\nalpha = 0.5", r"rule\.alpha: 0\.5"),
        (
            "baseline = 1.0",
            'baseline = 1.0\nlearning_rate = "best"',
            r"'best'; expected equal or tuned or averaged - at `\$\.rule\.learning_rate`",
        ),
        ("baseline = 1.0", 'baseline = 1.0\nlearning_rate = "tuned"', r"rule\.learning_rate: tuned"),
        ("[0, 1, 2]", "[9223372036854775808]", "seeds: 9223372036854775808"),
        ('"training.steps" = 400', "training.steps = 400", "dotted names in quotes .*field: training is not"),
        (
            '"optimizer.power" = [1, 1.2]',
            "optimizer.power = [1, 1.2]",
            r"dotted names in quotes .*got `object` - at `\$\.axes\[0\]",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(file, old, new, message):
    assert old in TOML
    file.write_text(TOML.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as caught:
        read_study(file)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"study: .*No such file"):
        chosen_study(str(tmp_path / "nothing.toml"))


def test_a_rule_that_one_seed_cannot_decide_is_refused(file):
    file.write_text(TOML.replace("[0, 1, 2]", "[0]"))
    with pytest.raises(InputError, match=r"seeds: \[0\] .*two seeds or more"):
        chosen_study(str(file))
    # A rate is chosen, not tested.
    rate = "optimizer.learning_rate"
    file.write_text(
        f'name = "r"\nrecipe = "pocket"\nseeds = [7]\n[[axes]]\n"{rate}" = [1e-3, 2e-3]\n'
        f'[rule]\ncompared = "{rate}"\nbaseline = 1e-3\n'
    )
    assert len(chosen_study(str(file)).arms()) == 2


@pytest.mark.parametrize("name", STUDIES)
def test_known_studies(name):
    study = chosen_study(name)
    assert study.name == name
    tokens = {arm.recipe.tokens for arm in study.arms()}
    assert len(tokens) == 1
    assert convert(json.loads(json.dumps(dataclasses.asdict(study))), Study).fingerprint == study.fingerprint


def make(powers=(1.0, 1.2), seeds=(0, 1), **rule) -> Study:
    return Study(
        "mine",
        recipe("pocket"),
        [{"optimizer.power": powers}],
        Rule("optimizer.power", 1.0, **rule),
        seeds=seeds,
    )


def open_folder(folder, study):
    Store(folder, study).declare()


def begin(folder, study, *, evaluate=False, finish=False):
    """Leave what an arm leaves."""
    own = folder / "arms" / study.arms()[0].fingerprint
    own.mkdir(parents=True)
    if evaluate:
        (own / "metrics.jsonl").write_text('{"step": 1, "loss": 3.0}\n{"step": 2, "validation_loss": 3.0}\n')
    if finish:
        (own / "result.json").write_text("{}")


def test_a_folder_keeps_its_study(tmp_path):
    open_folder(tmp_path / "new", make())
    content = json.loads((tmp_path / "new" / "study.json").read_text())
    assert content["schema"] == {"name": "gradpower/study", "version": 1}
    assert content["fingerprint"] == make().fingerprint
    assert content["history"] == []
    assert read_declared(tmp_path / "new").study.arms() == make().arms()


@pytest.mark.parametrize("more", [{"seeds": (0, 1, 2)}, {"powers": (0.8, 1.0, 1.2)}])
def test_arms_may_be_added_at_any_time(tmp_path, more):
    open_folder(tmp_path, make())
    begin(tmp_path, make(), finish=True)
    open_folder(tmp_path, make(**more))
    content = json.loads((tmp_path / "study.json").read_text())
    assert content["fingerprint"] == make(**more).fingerprint
    (entry,) = content["history"]
    assert entry["from"] == make().fingerprint
    assert len(entry["changes"]) == 1
    words = entry["added"]
    assert [words] == entry["changes"]
    assert entry["finished"] == 1
    assert read_declared(tmp_path).additions == [{"date": entry["time"][:10], "added": words, "finished": 1}]
    assert entry["time"].startswith("20")
    open_folder(tmp_path, make(**more))
    assert json.loads((tmp_path / "study.json").read_text()) == content


@pytest.mark.parametrize(
    ("new", "finish", "message"),
    [
        (make(powers=(1.0, 1.3)), False, r"optimizer\.power: \[1\.0, 1\.2\] → \[1\.0, 1\.3\]"),
        (make(seeds=(0,)), False, r"seeds: \[0, 1\] → \[0\]"),
        (make(alpha=0.1), True, r"rule was declared before \(rule\.alpha: 0\.05 → 0\.1\)"),
        (make(smallest_effect=0.1, seeds=(0, 1, 2)), True, r"rule\.smallest_effect: 0\.0 → 0\.1"),
        (dataclasses.replace(make(), name="other"), False, "name: mine → other"),
        (
            dataclasses.replace(make(), fields={"training.steps": 900}),
            False,
            "training.steps: not given → 900",
        ),
        (
            dataclasses.replace(make(), recipe=recipe("pocket-moe")),
            False,
            "recipe model.family: llama → qwen2-moe",
        ),
    ],
)
def test_another_study_is_refused_and_nothing_written(tmp_path, new, finish, message):
    open_folder(tmp_path, make())
    begin(tmp_path, make(), finish=finish)
    before = (tmp_path / "study.json").read_bytes()
    with pytest.raises(InputError, match=message) as caught:
        open_folder(tmp_path, new)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "study.json").read_bytes() == before


def test_before_an_arm_has_begun_anything_may_change(tmp_path):
    open_folder(tmp_path, make())
    open_folder(tmp_path, make(powers=(1.0, 1.3), alpha=0.1))
    assert read_declared(tmp_path).study.rule.alpha == 0.1


def test_before_a_validation_loss_the_rule_may_change(tmp_path):
    open_folder(tmp_path, make())
    begin(tmp_path, make())
    (tmp_path / "arms" / make().arms()[0].fingerprint / "metrics.jsonl").write_text(
        '{"step": 1, "loss": 3.0}\n'
    )
    open_folder(tmp_path, make(alpha=0.1))
    content = json.loads((tmp_path / "study.json").read_text())
    assert content["history"][0]["changes"] == ["rule.alpha: 0.05 → 0.1"]
    assert read_declared(tmp_path).additions == []


def test_after_the_first_validation_loss_the_rule_is_declared(tmp_path):
    open_folder(tmp_path, make())
    begin(tmp_path, make(), evaluate=True)
    with pytest.raises(InputError, match=r"rule was declared before \(rule\.alpha: 0\.05 → 0\.1\)"):
        open_folder(tmp_path, make(alpha=0.1))
    open_folder(tmp_path, make(seeds=(0, 1, 2)))
    assert [(row["added"], row["finished"]) for row in read_declared(tmp_path).additions] == [
        ("seeds: [0, 1] → [0, 1, 2]", 0)
    ]


def test_a_study_written_before_a_field_of_the_rule_was_there_is_the_same(tmp_path):
    open_folder(tmp_path, make())
    content = json.loads((tmp_path / "study.json").read_text())
    del content["study"]["rule"]["learning_rate"]
    text = json.dumps(content | {"fingerprint": "another"})
    (tmp_path / "study.json").write_text(text)
    open_folder(tmp_path, make())
    assert (tmp_path / "study.json").read_text() == text


RATES = {"optimizer.learning_rate": (1e-3, 2e-3)}
POWERS = {"optimizer.power": (1.0, 1.2)}


@pytest.mark.parametrize(
    ("axes", "within"),
    [
        ((POWERS,), None),
        ((POWERS | RATES,), None),
        (({"optimizer.power": (1.0, 1.2, 1.2)} | dict.fromkeys(RATES, (0.001, 0.001, 0.002)),), None),
        ((POWERS, {"training.batch_size": (8, 16)} | RATES), "training.batch_size"),
    ],
)
def test_rates_that_do_not_cross_cannot_be_tuned(axes, within):
    rule = Rule("optimizer.power", 1.0, within=within, learning_rate="tuned")
    with pytest.raises(InputError, match=r"rule\.learning_rate: tuned .* no axis varies"):
        Study("mine", recipe("pocket"), axes, rule)
    assert Study(
        "mine", recipe("pocket"), [POWERS, RATES], Rule("optimizer.power", 1.0, learning_rate="tuned")
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "missing required field `recipe`"),
        ({"recipe": []}, r"at `\$\.recipe`"),
        ({"recipe": {"name": "x", "model": 3}}, r"at `\$\.recipe\.model`"),
        ({"recipe": {"name": "x", "modle": {}}}, "unknown key `modle`; expected name, model"),
        ({"recipe": {"name": "x", "model": {"width": "wide"}}}, r"got `str` - at `\$\.recipe\.model\.width`"),
    ],
)
def test_a_recipe_that_is_none_is_refused(file, content, message):
    from experiments.training.records import RECIPE_SCHEMA

    (file.parent / "mine.json").write_text(json.dumps({"schema": RECIPE_SCHEMA._asdict(), **content}))
    file.write_text(TOML.replace('"pocket"', '"mine.json"'))
    with pytest.raises(InputError, match=rf"mine\.json.*{message}") as caught:
        read_study(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("study"), "missing required field `study`"),
        (lambda content: content.update(history=3), r"at `\$\.history`"),
        (lambda content: content.update(study=[]), r"at `\$\.study`"),
        (lambda content: content["study"].pop("seeds"), r"missing key `seeds` - at `\$\.study`"),
        (lambda content: content["study"].update(axes=3), r"at `\$\.study\.axes`"),
        (lambda content: content["study"]["rule"].update(newer=1), "unknown key `newer`"),
    ],
)
def test_a_study_that_cannot_be_is_refused_with_its_place(tmp_path, change, message):
    open_folder(tmp_path, make())
    content = json.loads((tmp_path / "study.json").read_text())
    change(content)
    (tmp_path / "study.json").write_text(json.dumps(content))
    for call in (read_declared, lambda folder: open_folder(folder, make())):
        with pytest.raises(InputError, match=rf"study\.json.*{message}") as caught:
            call(tmp_path)
        assert "\n" not in str(caught.value)


def test_nobody_elses_file_is_taken_for_a_study(tmp_path):
    (tmp_path / "study.json").write_text("[]")
    with pytest.raises(InputError, match="gradpower/study"):
        open_folder(tmp_path, make())
    assert (tmp_path / "study.json").read_text() == "[]"
