"""Files that are read back: whatever befalls them, the same content or one line, and never a traceback."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.recipes.named import recipe
from experiments.recipes.settings import Recipe
from experiments.sweeps.arms import Attempt, read_failures
from experiments.sweeps.leases import Watch, acquire, newest
from experiments.sweeps.results import read_known, read_summary
from experiments.sweeps.store import Store, read_declared
from experiments.sweeps.studies import chosen_study, read_study
from experiments.training.records import (
    RECIPE_SCHEMA,
    Final,
    Metric,
    RunResult,
    read_recipe,
    read_result,
    write_recipe,
    write_result,
)
from gradpower.tools.errors import InputError
from gradpower.tools.reading import (
    Schema,
    append_line,
    convert,
    json_content,
    read_json,
    read_lines,
    write_json,
)
from tests.damage import damage, holds

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
COMMITTED = [
    path
    for path in sorted((ROOT / "results").rglob("*.json"))
    if '"gradpower/sweep"' in path.read_text()[:200]
]
TOML = (ROOT / "results/causes/tuning.toml").read_text()
METRICS = [
    {"step": 5, "tokens": 640, "loss": 3.5, "tokens_per_second": 1e4, "mfu": None},
    {"step": 9, "validation_loss": 3.25, "standard_error": 0.01, "sequences": 4, "expert_load": [[1.0]]},
]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_summaries_are_read_with_their_fingerprints(path):
    content, summary = json.loads(path.read_text()), read_summary(path)
    assert summary.study.fingerprint == content["provenance"]["config"]["fingerprint"]
    arms = summary.study.arms()
    assert [arm.fingerprint for arm in arms] == [row["fingerprint"] for row in content["arms"]]
    assert [arm.values for arm in arms] == [row["values"] for row in content["arms"]]
    assert [row.loss for row in summary.arms] == [row["loss"] for row in content["arms"]]
    done = [row for row in content["arms"] if row["status"] == "completed"]
    known = read_known(summary.study, path).results
    assert [result.fingerprint for _, result in known] == [row["fingerprint"] for row in done]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "results/pocket").glob("pocket-*.json")), ids=lambda p: p.stem
)
def test_committed_results_are_read_with_their_fingerprints(path, tmp_path):
    (tmp_path / "result.json").write_bytes(path.read_bytes())
    result = read_result(tmp_path)
    assert result.fingerprint == result.recipe.fingerprint
    assert result.final.validation_loss == json.loads(path.read_text())["final"]["validation_loss"]


FOLDERS = ("causes", "intervention", "paper", "rates")
DECLARED = [path for name in FOLDERS for path in (ROOT / "results" / name).glob("*.toml")]


@pytest.mark.parametrize("path", sorted(DECLARED), ids=lambda p: p.stem)
def test_a_committed_study_is_the_one_of_its_file(path):
    study, results = read_study(path), path.with_suffix(".json")
    assert study.name == f"{path.parent.name}-{path.stem}"
    if results.exists():
        # Not by the study's fingerprint: recipes have since got other rates, which all of its arms set themselves.
        summary = read_summary(results)
        assert [row.fingerprint for row in summary.arms] == [arm.fingerprint for arm in study.arms()]
        assert summary.study.rule == study.rule


@pytest.mark.parametrize("path", sorted((ROOT / "results/rates").glob("*.json")), ids=lambda p: p.stem)
def test_the_rates_that_are_shipped_are_the_tuned_ones(path):
    summary, by_setting = read_summary(path), {}
    for arm in summary.arms:
        batch = arm.values.get("training.batch_size")
        by_setting.setdefault(batch, {}).setdefault(arm.values["optimizer.learning_rate"], []).append(
            arm.loss
        )
    shipped = {
        arm.recipe.training.batch_size: arm.recipe.optimizer.learning_rate
        for arm in chosen_study("example").arms()
    }
    for batch, losses in by_setting.items():
        assert {len(of_seeds) for of_seeds in losses.values()} == {3}
        best = min(losses, key=lambda rate: sum(losses[rate]))
        assert min(losses) < best < max(losses)
        assert best == (shipped[batch] if batch else recipe(path.stem).optimizer.learning_rate)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """A whole file of each kind."""
    folder, made, study = tmp_path_factory.mktemp("whole"), recipe("pocket"), chosen_study("example")
    write_recipe(folder, made)
    result = RunResult(
        "completed",
        made.fingerprint,
        made,
        Final(800, 10, 3.5, 0.01),
        {"fingerprint": "text"},
        {"commit": None},
        {"threads": 1},
        tuple(METRICS),
    )
    write_result(folder, result)
    store = Store(folder, study)
    store.declare()
    run = folder / "arms" / study.arms()[0].fingerprint
    arm = study.arms()[0].recipe
    write_result(run, RunResult("completed", arm.fingerprint, arm, Final(1, 1, 3.0, 0.1), {}, {}, {}))
    store.write_summary(store.outcome())
    names = ("recipe.json", "result.json", "study.json", "summary.json")
    files = {name: (folder / name).read_bytes() for name in names}
    files["study.toml"] = TOML.encode()
    files["metrics.jsonl"] = "".join(json.dumps(row) + "\n" for row in METRICS).encode()
    attempts = [asdict(Attempt("token", f"error {number}", pid=number)) for number in range(3)]
    files["attempts.jsonl"] = "".join(json.dumps(row) + "\n" for row in attempts).encode()
    with acquire(folder, 0, "sweep"):
        files["leases/000001"] = newest(folder).path.read_bytes()
    return files


READERS = {
    "recipe.json": lambda folder: read_recipe(folder / "recipe.json"),
    "result.json": read_result,
    "study.json": lambda folder: read_declared(folder).study,
    "summary.json": read_summary,
    "study.toml": lambda folder: read_study(folder / "study.toml"),
}


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_read_as_it_is_or_refused_in_one_line(whole, tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(whole[name])
    READERS[name](tmp_path)
    path.write_bytes(data.draw(damage(whole[name])))
    content, message = None, ""
    try:
        content = READERS[name](tmp_path)
    except InputError as error:
        message = str(error)
    if content is None:
        assert str(path) in message
        assert len(message.splitlines()) == 1
    elif name != "study.toml":
        given = json.loads(path.read_bytes())
        written = {"recipe": asdict(content)} if name == "recipe.json" else asdict(content)
        written = {"study": written} if name == "study.json" else written
        assert all(
            holds(given[key], json.loads(json.dumps(written[key]))) for key in written.keys() & given.keys()
        )


@pytest.mark.parametrize("name", ["metrics.jsonl", "attempts.jsonl", "leases/000001"])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_lines_are_left_out_and_counted(whole, tmp_path, name, data):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data.draw(damage(whole[name])))
    if name == "leases/000001":
        assert Watch().free_after(tmp_path) in (None, 1)
        return
    kind = Metric if name == "metrics.jsonl" else Attempt
    rows, damaged = read_lines(path, kind)
    pieces = path.read_bytes().split(b"\n")
    assert len(rows) + damaged == len(pieces) - (not pieces[-1])
    before = [convert(json.loads(line), kind) for line in whole[name].splitlines()]
    assert len([row for row in rows if row in before]) >= len(before) - 4


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"schema": {"name": "gradpower/recipe", "version": 1}}',
        b'{"schema": {"name": "gradpower/recipe", "version": 2}, "recipe": {"name": "x"}}',
    ],
)
def test_what_is_no_file_of_ours(tmp_path, content):
    path = tmp_path / "recipe.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"recipe: .*recipe\.json .*gradpower/recipe, version 1") as caught:
        read_recipe(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="No such file"):
        read_recipe(tmp_path / "nothing.json")
    with pytest.raises(InputError, match="directory"):
        read_recipe(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": "many"}, r"Expected `int`, got `str` - at `\$\.recipe\.training\.steps`"),
        ({"steps": 1e3}, r"got `float` - at `\$\.recipe\.training\.steps`"),
        ({"steps": float("nan")}, "malformed"),
        (
            {"precision": "half"},
            r"'half'; expected float32 or bfloat16 - at `\$\.recipe\.training\.precision`",
        ),
        ({"step": 3}, r"unknown key `step`; expected steps, .* - at `\$\.recipe\.training`"),
        ({"batch_size": 0}, r"training\.batch_size: 0 .* >= 1 - at `\$\.recipe\.training`"),
        ({"seed": 7}, r"fingerprint: .* is not allowed; expected that of the recipe"),
    ],
)
def test_an_error_names_the_field_and_what_is_allowed(tmp_path, change, message):
    write_recipe(tmp_path, recipe("pocket"))
    content = json.loads((tmp_path / "recipe.json").read_text())
    content["recipe"]["training"] |= change
    (tmp_path / "recipe.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_recipe(tmp_path / "recipe.json")


def test_what_is_written_is_read(tmp_path):
    path = write_json(tmp_path / "final.json", Final(3, 4, float("nan"), 0.5), Schema("mine", 2))
    assert read_json(path, Final, Schema("mine", 2), "file") == Final(3, 4, None, 0.5)
    assert json.loads(path.read_text()) == json_content(Final(3, 4, None, 0.5), Schema("mine", 2))
    assert convert(asdict(recipe("pocket-moe")), Recipe) == recipe("pocket-moe")
    assert RECIPE_SCHEMA == ("gradpower/recipe", 1)
    assert read_failures(tmp_path) == []


def test_a_line_after_a_torn_one_is_a_line_of_its_own(tmp_path):
    file = tmp_path / "rows.jsonl"
    append_line(file, {"step": 1})
    with file.open("a") as torn:
        torn.write('{"step": 2')
    append_line(file, {"step": 3})
    assert read_lines(file, dict[str, int]) == ([{"step": 1}, {"step": 3}], 1)
