"""The command `gradpower batch-size`: the study of batch size and power, judged, drawn and put into the report."""

from __future__ import annotations

import json as json_module
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gradpower.tools.errors import InputError
from gradpower.tools.files import require_folder, write_file
from gradpower.tools.provenance import checkout, provenance
from gradpower.tools.terminal import jsonable

if TYPE_CHECKING:
    from rich.table import Table

    from experiments.studies.batch_size import BatchSizeStudy

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


def batch_size(
    folder: Path | None = None,
    output: Path = Path("reproduction"),
    json: Flag = False,
    update: Flag = False,
) -> None:
    """Judge and draw the study of batch size and power (Figures 2 and 6) from its committed parts.

    Its parts are declared by the .toml files beside them, which `gradpower sweep` runs.

    Parameters
    ----------
    folder
        Where the summaries of the parts lie; results/batch_size/pocket of the checkout if not given.
    output
        Folder for the picture and its data.
    json
        Print what was found as one JSON object instead of a table.
    update
        Also refresh the checkout's paper_repro.md and docs, which show the committed parts.

    Examples
    --------
    $ gradpower batch-size --json
    """
    from rich.console import Console

    from experiments.studies.batch_size import read_batch_size
    from figures.batch_size import FILE, draw, rows
    from figures.commands import checkout_to_refresh, tell
    from figures.report import page
    from figures.report.page import PARTS
    from figures.style import save

    require_folder(output)
    root = checkout_to_refresh() if update else None
    committed = (checkout() or Path()) / "results" / PARTS
    source = folder or committed
    if update and source.resolve() != committed.resolve():
        raise InputError("folder", source, f"none but {committed} with --update: the report shows that")
    found = read_batch_size(source)
    origin = provenance("gradpower batch-size", {"fingerprint": found.study.fingerprint})
    written = [*save(draw(found), rows(found), origin, output, FILE)]
    if root is not None:
        text = page(root / "results")
        picture = (output / f"{FILE}.png").read_bytes()
        written.append(write_file(root / "docs" / f"{FILE}.png", picture))
        if text is not None:
            written.append(write_file(root / "paper_repro.md", text))
    if json:
        print(json_module.dumps(jsonable(_plain(found) | {"provenance": origin}), allow_nan=False))
    else:
        print(
            f"{found.label}: crossing test p = {found.as_run.falls:.3f} as run, {found.one_rate.falls:.3f} at one rate"
        )
        Console().print(_table(found))
    tell(written, file=sys.stderr if json else sys.stdout)


def _plain(found: BatchSizeStudy) -> dict[str, object]:
    """Return the study as plain data; the declaration by its fingerprint."""
    return asdict(found) | {"study": found.study.fingerprint}


def _table(found: BatchSizeStudy) -> Table:
    from figures.report.batch_size import batch_rows
    from figures.report.render import interval
    from gradpower.tools.terminal import result_table

    made = batch_rows(found)
    return result_table(
        "Slope dL/d ln p at p = 1 (below 0: p > 1 is better), and loss less that of p = 1",
        {
            "batch size": [row.size for row in made],
            "slope as run": [interval(row.own.slope, 3) if row.own.slope else "–" for row in made],
            "at one rate": [interval(row.one.slope, 3) if row.one.slope else "–" for row in made],
            "p = 1.2": [interval(row.at[1.2]) for row in made],
        },
    )
