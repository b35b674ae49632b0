"""The command `gradpower batch-size`: the study of batch size and power, judged and drawn."""

from __future__ import annotations

import json as json_module
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from experiments.studies.batch_size import BatchSizeStudy, read_batch_size
from figures.registry import save_figure
from figures.report.batch_size import batch_rows
from figures.report.page import PARTS
from figures.report.render import interval
from gradpower.tools.errors import require
from gradpower.tools.files import require_folder
from gradpower.tools.provenance import provenance
from gradpower.tools.results import find_result
from gradpower.tools.terminal import jsonable, result_table, tell

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


def batch_size(
    folder: Path | None = None,
    output: Path = Path("reproduction"),
    json: Flag = False,
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

    Examples
    --------
    $ gradpower batch-size --json
    """
    require_folder(output)
    parts = folder or find_result(PARTS, Path("results"))
    require(parts, "folder", "none", "that of the study's parts")
    study = read_batch_size(parts or Path())
    origin = provenance("gradpower batch-size", {"fingerprint": study.study.fingerprint})
    written = save_figure("batch-size", study, origin, output)
    if json:
        plain = asdict(study) | {"study": study.study.fingerprint, "provenance": origin}
        print(json_module.dumps(jsonable(plain), allow_nan=False))
    else:
        print(
            f"{study.label}: p-value of the crossing test {study.as_run.falls:.3f} as run, "
            f"{study.one_rate.falls:.3f} at one rate"
        )
        Console().print(_table(study))
    tell(written, file=sys.stderr if json else sys.stdout)


def _table(study: BatchSizeStudy) -> Table:
    made = batch_rows(study)
    return result_table(
        "Slope dL/d ln p at p = 1 (below 0: p > 1 is better), and loss less that of p = 1",
        {
            "batch size": [row.size for row in made],
            "slope as run": [interval(row.own.slope, 3) if row.own.slope else "–" for row in made],
            "at one rate": [interval(row.one.slope, 3) if row.one.slope else "–" for row in made],
            "p = 1.2": [interval(row.at[1.2]) for row in made],
        },
    )
