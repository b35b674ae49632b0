"""The site: `make docs` builds it into docs/_build/html, without the network."""

from __future__ import annotations

import os
import re
from pathlib import Path

from figures.explorer.grids import GRIDS
from figures.explorer.page import explorer_page
from figures.report.page import read_findings, sections

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
EXTRA = HERE / "_build" / "extra"  # files that are no pages of Sphinx
EXTRA.mkdir(parents=True, exist_ok=True)  # Sphinx asks for it before anything is built
SCIENCE = HERE / "science"  # one page a section of paper_repro.md, written here by the build

project = "gradpower"
author = "gradpower contributors"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx-mathjax-offline",
]
exclude_patterns = ["_build", "conf.py", "recipes/*.py", "**/.ipynb_checkpoints"]
html_theme = "furo"
html_title = "gradpower"
html_show_sourcelink = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_build/extra"]
html_theme_options = {"navigation_with_keys": True}
templates_path: list[str] = []
source_suffix = {".md": "myst-nb", ".py": "myst-nb", ".rst": "restructuredtext"}

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type"]

nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = os.environ.get("GRADPOWER_DOCS_EXECUTE", "cache")
nb_execution_cache_path = str(HERE / "_build" / "notebooks")
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # nothing from the network

default_role = "code"
autodoc_member_order = "groupwise"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = True
napoleon_google_docstring = False


def slug(heading: str) -> str:
    """Return the anchor that a heading has in a Markdown file on GitHub."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.replace(" ", "-")


def write_science(app) -> None:
    """Write the sections of paper_repro.md as pages, but for those that have not changed."""
    found = sections(read_findings(RESULTS))
    app.science = {}
    for name, text in found.items():
        headings = [slug(line.lstrip("# ")) for line in text.splitlines() if line.startswith("##")]
        # The first heading is the title of the page, and links to it need no anchor.
        app.science |= {heading: (name, heading if place else "") for place, heading in enumerate(headings)}
    for name, text in found.items():
        first, *rest = text.splitlines()
        body = [line[1:] if line.startswith("##") else line for line in rest]
        # A second heading of the first rank would be a page of its own.
        body = [f"#{line}" if line.startswith("# ") else line for line in body]
        title = first.lstrip("# ").removeprefix("Beyond the paper: ")
        page = "\n".join([f"# {title[0].upper()}{title[1:]}", *body]).replace("](docs/", "](../") + "\n"
        page = page.replace("](results/", "](../../results/")
        path = SCIENCE / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != page:
            path.write_text(page, encoding="utf-8")


def write_explorer(app) -> None:
    """Write the explorer's page."""
    (EXTRA / "explorer.html").write_text(explorer_page(GRIDS.read(RESULTS), RESULTS), encoding="utf-8")


def within_the_site(app, name: str, source: list[str]) -> None:
    """Turn links that leave docs/ into links to pages of the site, or into downloads."""
    folder = (HERE / name).parent

    def link(match: re.Match[str]) -> str:
        text, target, anchor = match.groups()
        if target == "" and anchor in app.science:
            page, inside = app.science[anchor]
            return f"[{text}](/science/{page}.md{'#' + inside if inside else ''})"
        path = (folder / target).resolve()
        if target and (path / "README.md").exists() and path.is_relative_to(HERE):
            return f"[{text}](/{path.relative_to(HERE)}/README.md)"
        if path == HERE.parent / "paper_repro.md":
            page, inside = app.science.get(anchor or "", ("index", ""))
            return f"[{text}](/science/{page}.md{'#' + inside if inside else ''})"
        if target and path.exists() and not path.is_relative_to(HERE):
            return (
                f"{{download}}`{text} <{target}>`"
                if path.is_file()
                else f"{text} (`{path.relative_to(HERE.parent)}`)"
            )
        if path.suffix == ".py" and path.is_file() and path.parent.name != "tutorials":
            return f"{{download}}`{text} <{target}>`"
        return match.group()

    source[0] = re.sub(r"(?<!!)\[([^\]]+)\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", link, source[0])


def readable(app, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Keep what our docstrings mean literally from being read as reStructuredText."""
    for number, line in enumerate(lines):
        if line.lstrip().startswith(">>>"):
            continue
        # Outside backticks, bars are absolute values, stars products, and a last underscore is part of a name.
        parts = re.split(r"(`+[^`]*`+)", line)
        parts[::2] = [
            re.sub(r"([|*])", r"\\\1", re.sub(r"(\w)_(?!\w)", r"\1\\_", part)) for part in parts[::2]
        ]
        lines[number] = "".join(parts)


def setup(app) -> None:
    """Connect the above."""
    app.connect("builder-inited", write_science)
    app.connect("builder-inited", write_explorer)
    app.connect("source-read", within_the_site)
    app.connect("autodoc-process-docstring", readable, priority=100)
