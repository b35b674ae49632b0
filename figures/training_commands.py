"""The command `gradpower curves`: the losses of training runs, side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from figures import training_curves as picture
from figures.commands import tell
from figures.style import save
from gradpower.tools.files import require_folder
from gradpower.tools.provenance import provenance

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


def curves(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    output: Path = Path("reproduction"),
    json: Flag = False,
) -> None:
    """Draw training and validation loss against tokens, of one run or of several.

    Parameters
    ----------
    runs
        Folders of runs, finished or not.
    output
        Folder for the picture and its data.
    json
        Print the data as one JSON object.

    Examples
    --------
    $ gradpower curves runs/pocket-*
    """
    from json import dumps

    require_folder(output)
    begun = [run for run in runs if (run / "metrics.jsonl").exists()]
    for run in [run for run in runs if run not in begun and begun]:
        print(f"left out, as nothing was trained in it: {run}", file=sys.stderr)
    rows = picture.rows(begun or runs)
    origin = provenance("gradpower curves", {"runs": [run.name for run in runs]})
    written = save(picture.draw(rows), rows, origin, output, picture.FILE)
    if json:
        print(dumps({"rows": rows}))
    tell(written, file=sys.stderr if json else sys.stdout)
