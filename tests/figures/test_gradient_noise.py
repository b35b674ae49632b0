"""The command `gradpower noise`, its tables and its figure."""

from __future__ import annotations

import json

import pytest

from experiments.noise.tables import module_power_table, module_table, power_table
from figures.training.gradient_noise import draw, rows
from gradpower.__main__ import main

pytestmark = pytest.mark.slow

QUANTILES = {
    "probability": [0.1, 0.25, 0.5, 0.75, 0.9],
    "debiased": [1.0, 2.0, 4.0, 8.0, 16.0],
    "standard_error": [0.1, 0.2, 0.4, 0.8, 1.6],
    "naive": [1.0, 2.0, 3.0, 6.0, 12.0],
}


def module(name, **changed):
    return {
        "module": name,
        "noise_to_signal": 3.0,
        "noise_to_signal_error": 0.1,
        "ratio_quantiles": QUANTILES,
        "shape": {"shape": 1.5, "error": 0.1, "at_edge": False},
        "excess_kurtosis": {"pooled": 1.0, "standard_error": 0.2},
        "zero_entries": 0.25,
        "second_size": {"ratio": 1.01, "standard_error": 0.02},
        **changed,
    }


def prediction(law, module="all", **changed):
    row = {"batch_size": 8, "law": law, "module": module, "objective": "equal learning rate"}
    row |= {"power": 0.9, "low": 0.8, "high": 1.0, "standard_error": 0.05, "at_edge": None}
    return row | {"resolved": True, "reason": None} | changed


def content():
    silent = QUANTILES | {key: [None] * 5 for key in ("debiased", "standard_error", "naive")}
    both = [
        row | {"objective": objective}
        for objective in ("equal learning rate", "equal RMS")
        for row in (
            prediction("uniform", power=2.0, low=2.0, high=2.0, at_edge="high"),
            prediction("generalized-normal"),
            prediction("generalized-normal", "qk", resolved=False),
            {**prediction("direct"), "power": None, "reason": "needs 256 micro-batches or more"},
        )
    ]
    return {
        "step": 3,
        "settings": {"micro_batch_size": 8},
        "modules": [
            module("qk"),
            module(
                "router",
                noise_to_signal=None,
                ratio_quantiles=silent,
                shape={"shape": None, "error": None, "at_edge": True},
            ),
        ],
        "predictions": both,
    }


def cells(table):
    return [list(column.cells) for column in table.columns]


def test_what_is_drawn():
    data = rows(content())
    assert [row["panel"] for row in data] == ["module"] * 2 + ["power"] * 4
    assert data[0]["ratio_50"] == 4.0
    figure = draw(content())
    assert [axis.get_title(loc="left")[:3] for axis in figure.axes] == ["(a)", "(b)", "(c)", "(d)"]
    ratios, shapes, powers, _ = figure.axes
    at_edge = module("qk", shape={"shape": 1.5, "error": 0.1, "at_edge": True})
    assert len(draw(content() | {"modules": [at_edge]}).axes[1].containers) == 0
    assert len(ratios.containers) == len(shapes.containers) == 1  # the silent module has no marks
    assert len(powers.containers) == 2


def test_tables_say_edges_and_reasons():
    size, law, rate, rms = cells(power_table(content()))
    assert law == ["uniform", "generalized-normal", "direct"]
    assert rate == rms == ["≥ 2.00", "0.90 [0.80, 1.00]", "needs 256 micro-batches or more"]
    assert size == ["8"] * 3
    assert cells(module_power_table(content())) == [
        ["all", "qk"],
        ["0.90 [0.80, 1.00]", "no signal resolved"],
    ]
    by_module = cells(module_table(content()))
    assert by_module[1] == ["3±0.1", "–"]
    assert by_module[2] == ["4±0.4", "–"]


def test_command(tmp_path, capsys):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from dataclasses import asdict

    from experiments.training.records import RECIPE_SCHEMA
    from tests.experiments.corpora import small_recipe, write_text

    made = small_recipe(write_text(tmp_path / "text"))
    source = tmp_path / "recipe.json"
    source.write_text(json.dumps({"schema": RECIPE_SCHEMA._asdict(), "recipe": asdict(made)}))
    flags = ["--micro-batches", "8", "--micro-batch-size", "2", "--batch-sizes", "16", "--coordinates", "50"]
    places = ["--threads", "1", "--cache", str(tmp_path / "cache"), "--output", str(tmp_path / "out")]
    assert main(["noise", str(source), "--device", "cpu", *flags, *places, "--samples", "--json"]) == 0
    out, said = capsys.readouterr()
    assert json.loads(out) == json.loads((tmp_path / "out" / "noise.json").read_text())
    lines = said.splitlines()
    assert [line.rpartition("/")[2] for line in lines if line.startswith("wrote")] == [
        "noise.json",
        "samples.npz",
    ]
    assert lines[-1] == f"to draw it: gradpower figure gradient-noise {tmp_path / 'out'}"
    drawn = tmp_path / "drawn"
    assert main(["figure", "gradient-noise", str(tmp_path / "out"), "--output", str(drawn)]) == 0
    assert {path.name for path in drawn.iterdir()} == {
        f"gradient_noise.{end}" for end in ("pdf", "png", "csv")
    }


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["noise", "poket"], "source: poket is not allowed"),
        (["noise", "pocket", "--micro-batches", "4"], "micro_batches: 4 is not allowed"),
        (["noise", "pocket", "--batch-sizes", "0"], "batch_sizes: 0"),
        (["figure", "gradient-noise", "nowhere.json"], "measurement: nowhere.json is not allowed"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, words, named):
    assert main([*words, "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert named in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
