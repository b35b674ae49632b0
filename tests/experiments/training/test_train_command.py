"""The commands `recipes`, `train` and `curves`, from the command line to the files."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
from pathlib import Path

import pytest

from experiments.recipes.fields import with_fields
from experiments.recipes.named import RECIPES, command_of, recipe
from experiments.training.records import read_metrics, read_result, write_recipe
from figures.training.curves import draw, read
from gradpower.__main__ import main
from tests.experiments.texts import small_recipe, write_text


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a text, and a recipe of seconds on it."""
    place = tmp_path_factory.mktemp("place")
    text = write_text(place / "text", documents=100)
    steps = {"optimizer__warmup_steps": 2, "training__steps": 10, "training__evaluate_every": 0}
    write_recipe(place, small_recipe(text, **steps, training__batch_size=4))
    return place


def words(place: Path, folder: str, **changed: object) -> list[str]:
    flags = {
        "device": "cpu",
        "threads": 1,
        "log-every": 1,
        "cache": place / "cache",
        "output": place / folder,
    }
    flags |= {name.replace("__", "."): value for name, value in changed.items()}
    given = (word for name, value in flags.items() for word in (f"--{name}", str(value)))
    return ["train", str(place / "recipe.json"), *given]


@pytest.fixture(scope="module")
def run(place) -> Path:
    assert main(words(place, "run")) == 0
    return place / "run"


def test_a_run_from_the_command_line(run, place, capsys):
    assert [row["step"] for row in read_metrics(run) if "loss" in row] == list(range(1, 11))
    result = read_result(run)
    assert result.status == "completed"
    command = result.provenance["command"]
    assert command.startswith("gradpower train pocket --model.width 16")
    # Given again, it says so and does nothing.
    assert main([*words(place, "run"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads((run / "result.json").read_text())
    assert "finished already" in err


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"optimizer__power": "-1"}, "optimizer.power: -1.0 is not allowed; expected a number in (0, 100]"),
        ({"training__steps": "2"}, "expected less than training.steps = 2: a shorter run sets both"),
        ({"data__source": "text:nowhere"}, "data.source: nowhere is not allowed"),
        ({"micro-batch-size": "3"}, "training.batch_size: 4 is not allowed; expected a multiple of"),
        ({"optimizer__powr": "1"}, "--optimizer.power"),
        (
            {"optimizer__power-start": "0.3"},
            "optimizer.power_start: 0.3 is not allowed; expected 0 where every",
        ),
        ({"optimizer__power": "1.2", "power": "1.3"}, "power: given twice is not allowed"),
        (
            {"optimizer__final-power": "1.2"},
            "optimizer.final_power: 1.2 is not allowed; expected optimizer.po",
        ),
        ({"device": "cuda:7"}, "device: cuda:7 is not allowed"),
        ({"threads": "1000000000"}, "threads: 1000000000 is not allowed; expected at most 1024"),
        ({"optimizer__power": "1e308"}, "optimizer.power: 1e+308 is not allowed"),
        ({"model__width": "1000000000"}, "GB is not allowed; expected at most"),
        ({"model__layers": "1000000000"}, "GB is not allowed; expected at most"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(place, capsys, changed, message):
    assert main(words(place, "mistake", **changed)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in " ".join(err.split())  # it is wrapped to the terminal's width
    assert "Traceback" not in err
    assert not (place / "mistake" / "recipe.json").exists()


def test_a_folder_of_other_things_is_refused(place, capsys):
    (place / "papers").mkdir()
    (place / "papers" / "thesis.tex").touch()
    assert main(words(place, "papers")) == 2
    assert "output: " in capsys.readouterr().err
    assert [path.name for path in (place / "papers").iterdir()] == ["thesis.tex"]


def test_the_recipes_are_listed(capsys):
    assert main(["recipes", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in listed] == list(RECIPES)
    assert main(["recipes", "llama-66m"]) == 0
    assert json.loads(capsys.readouterr().out)["model"]["width"] == 512
    assert main(["recipes", "llama-66"]) == 2
    assert "did you mean llama-66m?" in capsys.readouterr().err


def test_curves_draw_every_run(run, place, tmp_path, capsys):
    assert main(words(place, "other", optimizer__power="1.2")) == 0
    folders = [run, place / "other", place / "text"]
    assert main(["figure", "curves", *map(str, folders), "--output", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert f"left out, as nothing was trained in it: {place / 'text'}" in err
    assert str(tmp_path / "training_curves.png") in out
    lines = [line for line in (tmp_path / "training_curves.csv").read_text().splitlines() if line[0] != "#"]
    read = list(csv.DictReader(lines))
    assert {row["run"] for row in read} == {"pocket, power 1.0", "pocket, power 1.2"}
    measured = [float(row["loss"]) for row in read if row["run"] == "pocket, power 1.0" and row["loss"]]
    expected = [row["loss"] for row in read_metrics(run) if "loss" in row]
    assert measured == pytest.approx(expected, rel=1e-9)


def test_runs_of_one_recipe_are_told_apart(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    figure = draw(read([run, copy]))
    assert figure.axes[1].get_legend_handles_labels()[1] == ["pocket (run)", "pocket (copy)"]
    assert len(figure.axes[0].lines) == 2


def test_the_command_of_a_recipe_makes_it_again(monkeypatch):
    made = with_fields(
        recipe("pocket"),
        {
            "data.packed": False,
            "data.source": "text:a folder,b",
            "optimizer.clip_norm": None,
            "optimizer.match_epsilon": True,
            "optimizer.power": 1.2,
        },
    )
    asked = []
    monkeypatch.setattr("experiments.training.commands._train", lambda *given: asked.append(given[0]) or 0)
    program, *rest = shlex.split(command_of(made))
    assert (program, main(rest)) == ("gradpower", 0)
    assert asked == [made]
    assert main(["train", "pocket", "--power", "1.2"]) == main(["train", "pocket", "--power=1.2"]) == 0
    assert [each.optimizer.power for each in asked[1:]] == [1.2, 1.2]
    assert main(["train", "pocket", "--optimizer.clip-norm", "none"]) == 0
    assert asked[-1].optimizer.clip_norm is None


def test_curves_of_nothing_are_refused(tmp_path, capsys):
    assert main(["figure", "curves", str(tmp_path), "--output", str(tmp_path)]) == 2
    assert "the folder of a run" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_one_document_of_validation_tells_no_error(place, tmp_path, capsys):
    (tmp_path / "validation.txt").write_text(
        write_text(tmp_path / "more", seed=1).read_text().replace("\n\n", " ")
    )
    source = f"text:{tmp_path / 'validation.txt'}"
    assert main(words(place, "one", data__validation_source=source, data__documents="file")) == 0
    out, err = capsys.readouterr()
    assert "±" not in out + err
    assert "nats a token" in out
    assert main(["figure", "curves", str(place / "one"), "--output", str(tmp_path)]) == 0


def test_curves_of_a_run_that_diverged(place, tmp_path):
    assert main(words(place, "far", optimizer__learning_rate="1e30", optimizer__clip_norm="none")) == 1
    assert main(["figure", "curves", str(place / "far"), "--output", str(tmp_path)]) == 0
    assert (tmp_path / "training_curves.png").exists()
