"""The page is one file that needs nothing else, small, and the same each time; the command writes it."""

from __future__ import annotations

import json
import re
import sys
import webbrowser
from html.parser import HTMLParser
from pathlib import Path

import pytest

from figures.explorer.page import explorer_page
from gradpower.__main__ import main

pytestmark = pytest.mark.slow
RESULTS = Path(__file__).parents[3] / "results"


class Loads(HTMLParser):
    """What the tags of a page load."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]


def test_page_needs_no_network(page):
    assert Loads(page).found == ["data:,"]  # an empty icon
    assert not re.search(r"(?:@import|url\()\s*[\"']?https?:", page)


def test_page_is_small(page):
    assert len(page.encode()) < 3e6


def test_the_same_content_gives_the_same_page(page, grids):
    assert explorer_page(grids, RESULTS) == page


def test_command_writes_the_page_and_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda url: pytest.fail("opened"))
    output = tmp_path / "new" / "look.html"
    assert main(["explore", "--output", str(output), "--no-open", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["bytes"] == output.stat().st_size
    assert shown["errors"]["drift"] < 5e-3


def test_command_opens_the_page(tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    output = tmp_path / "explorer.html"
    assert main(["explore", "--output", str(output)]) == 0
    assert opened == [output.resolve().as_uri()]


@pytest.mark.parametrize("name", ["page.pdf", "folder.html"])
def test_place_that_is_no_page_is_an_error(name, tmp_path, capsys):
    (tmp_path / "folder.html").mkdir()
    assert main(["explore", "--output", str(tmp_path / name), "--no-open"]) == 2
    assert "output: " in capsys.readouterr().err


def test_missing_bokeh_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "bokeh", None)
    assert main(["explore", "--output", str(tmp_path / "explorer.html"), "--no-open"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "gradpower: error: bokeh: missing is not allowed; expected an installation: pip install -e '.[docs]'"
    ]


def test_damaged_grids_are_an_error(tmp_path, capsys):
    (tmp_path / "explorer.json").write_text("{}", encoding="utf-8")
    assert main(["explore", "--output", str(tmp_path / "explorer.html"), "--no-open"]) == 2
    assert "explorer.json" in capsys.readouterr().err
