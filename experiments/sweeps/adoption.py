"""The folder of a finished arm that comes from elsewhere; `adopted.json` in it says from where."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from gradpower.tools.files import write_file

FILE = "adopted.json"


def read_origin(folder: Path) -> str | None:
    """Return which part an arm's folder was copied from; None if the arm was run there."""
    path = folder / FILE
    return str(json.loads(path.read_text(encoding="utf-8"))["from"]) if path.exists() else None


def place_arm(own: Path, origin: str, fill: Callable[[Path], None]) -> bool:
    """Make the folder of a finished arm that comes from elsewhere, whole or not at all.

    Parameters
    ----------
    own : Path
        The folder.
    origin : str
        Where it comes from, for `read_origin`.
    fill : callable
        Called as fill(folder) with a folder that becomes this one.

    Returns
    -------
    bool
        False if another sweep was faster.
    """
    made = own.parent / f".{own.name}.{os.getpid()}"
    try:
        made.mkdir(parents=True)
        fill(made)
        write_file(made / FILE, json.dumps({"from": origin}) + "\n")
        made.rename(own)
    except OSError:
        return False
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return True
