"""The flags that commands share, and the writing of their results."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from gradpower.tools.errors import InputError
from gradpower.tools.files import write_file
from gradpower.tools.terminal import Output, jsonable, result_table
from theory.adam.example import Example


def test_the_noise_level_has_two_spellings():
    assert Example().sigma == pytest.approx(1e-5)
    assert Example(mean=2.0, noise_to_signal=3.0).sigma == 6.0
    assert Example(mean=2.0, noise_scale=5.0).inputs()["noise_to_signal"] == 2.5
    assert Example(law="student-t:4").noise_law.name == "student-t:4"


@pytest.mark.parametrize(
    ("argument", "changes"),
    [
        ("mean", {"mean": -1.0}),
        ("noise_to_signal", {"noise_to_signal": -1.0}),
        ("noise_scale", {"noise_scale": float("nan")}),
        ("noise_scale", {"noise_scale": 1.0, "noise_to_signal": 1.0}),
        ("noise_scale", {"mean": 1e200, "noise_to_signal": 1e200}),
        ("beta1", {"beta1": 1.0}),
        ("beta2", {"beta2": -0.5}),
        ("epsilon", {"epsilon": -1.0}),
        ("law", {"law": "cauchy"}),
        ("law", {"law": "empirical:/no/such/file"}),
    ],
)
def test_bad_flags_are_named(argument, changes):
    with pytest.raises(InputError, match=rf"^{argument}: "):
        Example(**changes)


def test_output_needs_a_folder_that_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("kept")
    for bad in (tmp_path, tmp_path / "none" / "x.json", tmp_path / "file" / "x.json"):
        with pytest.raises(InputError, match=r"^output: "):
            Output(output=bad)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(InputError, match=r"^output: "):
        Output(output=tmp_path / "x.json")


def test_a_file_is_never_half_written(tmp_path, monkeypatch):
    target = tmp_path / "x.json"
    write_file(target, "first")

    def fail(self, other):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_file(target, "second")
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_json_is_valid_whatever_the_numbers():
    value = {1: np.array([[1.0, np.inf]]), "b": (np.float64("nan"), np.bool_(True), None, "x", np.int64(3))}
    assert json.loads(json.dumps(jsonable(value), allow_nan=False)) == {
        "1": [[1.0, None]],
        "b": [None, True, None, "x", 3],
    }


def test_table_columns_must_be_of_one_length():
    assert result_table("t", {"a": [1.0, None], "b": [(1.0, 2.0), ()]}).row_count == 2
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(result_table("t", {"a": ["1.36 [unbounded]"]}))
    assert "1.36 [unbounded]" in console.export_text()
    with pytest.raises(ValueError, match="zip"):
        result_table("t", {"a": [1.0], "b": []})
