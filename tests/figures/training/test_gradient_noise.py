"""The command `gradpower noise`, its tables and its figure."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from experiments.noise.measurement import NOISE
from experiments.noise.tables import module_table, power_table
from experiments.training.records import RECIPE_SCHEMA
from figures.training.gradient_noise import draw, rows
from gradpower.__main__ import main
from tests.experiments.texts import small_recipe, write_text

pytestmark = pytest.mark.slow
PLACES = ["--threads", "1", "--device", "cpu"]
SIZES = ["--micro-batches", "8", "--micro-batch-size", "2", "--batch-sizes", "16", "--coordinates", "50"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    made = small_recipe(write_text(folder / "text"))
    path = folder / "recipe.json"
    path.write_text(json.dumps({"schema": RECIPE_SCHEMA._asdict(), "recipe": asdict(made)}))
    return path


@pytest.fixture(scope="module")
def measured(source):
    out = source.parent / "out"
    words = [
        "noise",
        str(source),
        *SIZES,
        *PLACES,
        "--cache",
        str(source.parent / "cache"),
        "--output",
        str(out),
    ]
    assert main([*words, "--samples"]) == 0
    return out


def cells(table):
    return [list(column.cells) for column in table.columns]


def test_the_command_writes_what_it_prints(source, measured, capsys):
    out = source.parent / "json"
    words = [
        "noise",
        str(source),
        *SIZES,
        *PLACES,
        "--cache",
        str(source.parent / "cache"),
        "--output",
        str(out),
    ]
    assert main([*words, "--json"]) == 0
    printed, said = capsys.readouterr()
    first, second = json.loads(printed), json.loads((measured / "noise.json").read_text())
    assert first == json.loads((out / "noise.json").read_text())
    assert first["predictions"] == second["predictions"]
    assert said.splitlines()[-1] == f"to draw it: gradpower figure gradient-noise {out}"
    assert (measured / "samples.npz").exists()
    assert not (out / "samples.npz").exists()


def test_the_figure_has_a_mark_for_every_row(measured, tmp_path):
    assert main(["figure", "gradient-noise", str(measured), "--output", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        f"gradient_noise.{end}" for end in ("pdf", "png", "csv")
    }
    found = NOISE.read(measured)
    silent = replace(
        found.modules[0], noise_to_signal=None, ratios=(), ratio_errors=(), naive_ratios=(), shape=None
    )
    best = [
        replace(row, resolved=True, at_edge=False, low=0.4, power=0.5, high=0.6) for row in found.predictions
    ]
    edge = [replace(best[0], at_edge=True, power=0.3), *best[1:-1], replace(best[-1], resolved=False)]
    changed = replace(found, modules=(silent, *found.modules[1:]), predictions=tuple(edge))
    data = rows(changed)
    assert [row["panel"] for row in data] == ["module"] * len(found.modules) + ["power"] * (len(edge) - 1)
    ratios, shapes, powers = draw(changed).axes
    assert len(ratios.containers) == len(shapes.containers) == len(found.modules) - 1
    assert len(powers.containers) == len(edge) - 2


def test_tables_say_edges_and_what_is_not_resolved(measured):
    found = NOISE.read(measured)
    rows_ = [replace(row, resolved=False) for row in found.predictions]
    rows_[0] = replace(rows_[0], resolved=True, at_edge=True, power=2.0, low=2.0, high=2.0)
    rows_[1] = replace(rows_[1], resolved=True, at_edge=False, power=0.9, low=0.8, high=1.0)
    table = cells(power_table(replace(found, predictions=tuple(rows_))))
    assert table[0] == ["all", *(row.module for row in found.modules)]
    assert table[1][:3] == ["≥ 2.00", "0.90 [0.80, 1.00]", "no signal resolved"]
    assert len(cells(module_table(found))[0]) == len(found.modules)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["noise", "poket"], "source: poket is not allowed"),
        (["noise", "pocket", "--micro-batches", "4"], "micro_batches: 4 is not allowed"),
        (["noise", "pocket", "--batch-sizes", "4"], "batch_sizes: 4"),
        (["figure", "gradient-noise", "nowhere.json"], "results: nowhere.json is not allowed"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, words, named):
    assert main([*words, "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert named in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
