"""The site builds without a warning and without the network, and its reference has every public name."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PUBLIC = ("gradpower", "theory", "theory.laws", "simulate", "simulate.problems", "experiments.statistics")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, its notebooks as they are written: another test executes them."""
    folder = tmp_path_factory.mktemp("site")
    words = ["-W", "-q", "-b", "html", "-d", folder / "trees", ROOT / "docs", folder / "html"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *map(str, words)],
        env=os.environ | {"GRADPOWER_DOCS_EXECUTE": "off"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_in_the_reference(site, name):
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    documented = {full.rpartition(".")[2] for kind in inventory.data.values() for full in kind}
    assert set(importlib.import_module(name).__all__) <= documented


def test_nothing_is_loaded_from_the_network(site):
    for page in set(site.rglob("*.html")) - {site / "explorer.html"}:  # which has its own test
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'(?:src="|<link[^>]*href=")https?://[^"]*', text), page


def test_there_is_a_page_for_every_section_of_the_report(site):
    """With its verdict; links between them stay inside the site."""
    names = {path.stem for path in (site / "science").glob("*.html")}
    assert {"verdicts", "memory", "where", "head", "causes", "batch_size", "intervention"} <= names
    memory = (site / "science" / "memory.html").read_text(encoding="utf-8")
    assert 'href="../claims.html#memory-of-v"' in memory
    assert "A longer memory replaces the power" in memory
    guide = (site / "guide" / "choosing_p.html").read_text(encoding="utf-8")
    assert 'href="../science/memory.html"' in guide


def test_the_explorer_is_part_of_it(site):
    assert 'href="explorer.html"' in (site / "index.html").read_text(encoding="utf-8")
    assert (site / "explorer.html").stat().st_size < 3e6


def test_every_page_can_be_searched_for(site):
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    for page in ("guide/laws", "science/memory", "claims", "glossary", "api/gradpower"):
        assert f'"{page}"' in index
