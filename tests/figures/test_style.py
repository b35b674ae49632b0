"""How a figure is saved: the same bytes for the same data, whole files, provenance first."""

from __future__ import annotations

import csv
import json
import subprocess

import numpy as np
import pytest
from PIL import Image

from figures.style import law_style, panels, ratio_style, save
from gradpower.tools import provenance as provenance_module
from gradpower.tools.errors import InputError
from gradpower.tools.files import require_folder, write_file
from gradpower.tools.provenance import checkout, provenance

ORIGIN = {"command": "gradpower figure 7", "config": {"law": ["uniform"], "seed": 0}}


def picture():
    with panels(1, 2, height=2.0) as (figure, axes):
        axes[0, 0].plot([0, 1], [0, 1], **ratio_style(2, 7))
        axes[0, 0].set_title("$p^*$ against σ/μ")
    return figure


def luminance(color):
    return np.dot(np.asarray(color)[:3], [0.2126, 0.7152, 0.0722])


def test_the_same_data_make_the_same_bytes(tmp_path):
    rows = [{"power": 0.5}, {"power": 1.0, "error": 0.25}]
    first = save(picture(), rows, ORIGIN, tmp_path / "a", "figure")
    second = save(picture(), rows, ORIGIN, tmp_path / "b", "figure")
    assert [path.name for path in first] == ["figure.pdf", "figure.png", "figure.csv"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert b"CreationDate" not in first[0].read_bytes()
    with Image.open(first[1]) as image:
        assert image.size == (1350, 400)
    assert not list((tmp_path / "a").glob(".*"))


def test_the_csv_starts_with_provenance(tmp_path):
    rows = [{"series": "exact", "power": 0.1 + 0.2}, {"series": "monte-carlo", "power": 1.0, "error": 0.25}]
    path = save(picture(), rows, ORIGIN, tmp_path, "figure")[2]
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines if line.startswith("# ")]
    assert json.loads(comments[1].removeprefix("# config: ")) == ORIGIN["config"]
    table = list(csv.DictReader(lines[len(comments) :]))
    assert table[0] == {"series": "exact", "power": "0.3", "error": ""}
    assert float(table[1]["error"]) == 0.25


def test_ratios_are_ordered_by_luminance():
    shades = [luminance(ratio_style(index, 7)["color"]) for index in range(7)]
    assert np.all(np.diff(shades) > 0.04)
    assert len({ratio_style(index, 7)["marker"] for index in range(7)}) == 7


def test_laws_differ_in_more_than_colour():
    styles = [law_style(index) for index in range(6)]
    assert len({(str(style["linestyle"]), style["marker"]) for style in styles}) == 6


def test_provenance_names_versions_and_the_commit():
    origin = provenance("gradpower figure 7", {"seed": 3})
    assert origin["config"] == {"seed": 3}
    assert {"gradpower", "python", "numpy", "scipy", "numba"} <= set(origin["versions"])
    if checkout() is None:
        assert origin["commit"] is None
    else:
        asked = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=checkout(), capture_output=True, text=True, check=True
        )
        assert origin["commit"] == asked.stdout.strip()
        assert isinstance(origin["dirty"], bool)


def test_provenance_without_a_checkout(monkeypatch):
    monkeypatch.setattr(provenance_module, "checkout", lambda: None)
    origin = provenance("gradpower figure 7", {})
    assert (origin["commit"], origin["dirty"]) == (None, None)


def test_provenance_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance("gradpower figure 7", {})["commit"] is None


def test_a_file_is_no_folder(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "below"):
        with pytest.raises(InputError, match=r"^output: .* expected a folder"):
            require_folder(path)
    require_folder(tmp_path / "new" / "newer")
    assert list(tmp_path.iterdir()) == [file]


def test_a_read_only_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(InputError, match=r"^output: "):
        require_folder(tmp_path / "new")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_file(tmp_path / "report.md", "old")

    def refuse(*_):
        raise OSError("no space")

    monkeypatch.setattr("pathlib.Path.replace", refuse)
    with pytest.raises(OSError, match="no space"):
        write_file(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
