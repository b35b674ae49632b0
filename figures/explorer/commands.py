"""The command `gradpower explore`."""

from __future__ import annotations

import sys
import webbrowser
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import Annotated

import tyro

from figures.explorer.grids import GRIDS, Axes, compute_grids
from gradpower.tools.errors import InputError, require
from gradpower.tools.files import require_folder, write_file
from gradpower.tools.provenance import checkout, provenance
from gradpower.tools.terminal import jsonable, progress_bar, tell

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]

_COMMAND = "gradpower explore"


def explore(
    output: Path = Path("reproduction/explorer.html"),
    no_open: Flag = False,
    recompute: Flag = False,
    json: Flag = False,
) -> None:
    """Write one page to play with the noise model and to look at the studies, and open it in the browser.

    The page needs no server and no network.

    Parameters
    ----------
    output
        The page, an .html file.
    no_open
        Write the page only.
    recompute
        Compute the exact curves anew and leave them beside the page, as explorer.json: ten minutes on one core.
    json
        Print one JSON object: the page, its size, and the errors of its interpolation.
    """
    _require_bokeh()
    require(output.suffix == ".html", "output", output, "a file that ends in .html")
    require_folder(output.parent)
    require(not output.is_dir(), "output", output, "a file, not a folder")
    from figures.explorer.page import explorer_page

    root = checkout()
    if root is None:
        raise InputError(_COMMAND, "outside a checkout", "a git checkout, whose results the page shows")
    written = [_recompute(output.parent)] if recompute else []
    grids = GRIDS.find(output.parent)
    if grids is None:
        raise InputError("explorer.json", "missing", "the flag --recompute")
    page = explorer_page(grids, root / "results")
    written.append(write_file(output, page))
    if json:
        size = len(page.encode())
        content = {"page": str(output), "bytes": size, "errors": grids.errors, **provenance(_COMMAND, {})}
        print(dumps(jsonable(content), ensure_ascii=False, allow_nan=False))
    tell(written, file=sys.stderr if json else sys.stdout)
    if not no_open:
        webbrowser.open(output.resolve().as_uri())


def _recompute(folder: Path) -> Path:
    """Compute the curves and write them into a folder."""
    axes = Axes()
    with progress_bar("computing the exact curves") as report:
        errors, curves = compute_grids(axes, report)
    origin = provenance(f"{_COMMAND} --recompute", asdict(axes))
    return write_file(folder / GRIDS.file, GRIDS.dump(origin, errors=errors, curves=curves))


def _require_bokeh() -> None:
    """Raise InputError unless what draws the page is installed."""
    try:
        import bokeh  # noqa: F401
    except ImportError:
        raise InputError("bokeh", "missing", "an installation: pip install -e '.[docs]'") from None
