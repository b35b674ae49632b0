"""What all packages share: files that are never half written, and how commands show their results."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from gradpower.tools.errors import InputError
from gradpower.tools.files import write_file
from gradpower.tools.terminal import Output, jsonable, result_table


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
