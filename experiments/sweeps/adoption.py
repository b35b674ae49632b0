"""Arms that another part of the same study has finished already: the same recipe on the same text is the same run.

Only the parts of the study of batch sizes, which are made to share runs, take arms from each other. Where an arm comes
from is written into its folder, `adopted.json`, and into the summary.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from experiments.records import read_result
from experiments.settings import DataSettings
from experiments.sweeps.arms import arm_folder
from experiments.sweeps.batch_size import parts_of
from experiments.sweeps.study import Study
from gradpower.tools.errors import InputError
from gradpower.tools.files import write_file

FILE = "adopted.json"
_FILES = ("recipe.json", "result.json")
_METRICS = "metrics.jsonl"
_SNAPSHOTS = "snapshots"


def adopt(
    folder: Path, study: Study, data: Mapping[DataSettings, str], *, snapshots: bool = False
) -> dict[str, int]:
    """Copy results of arms that have not begun from the other parts of the study, in folders beside this one.

    Parameters
    ----------
    folder : Path
        The part's.
    study : Study
        The part.
    data : mapping
        Fingerprint of the text by its settings; arms on other text, as on streams, are left to be run.
    snapshots : bool
        Whether snapshots are asked for: then only arms that have some are taken, with them.

    Returns
    -------
    dict
        How many came from which part, by its name.
    """
    taken: dict[str, int] = {}
    others = [name for name in parts_of(study) if name != study.name]
    for arm in study.arms():
        own, text = arm_folder(folder, arm.fingerprint), data.get(arm.recipe.data)
        if text is None or own.exists():
            continue
        for name in others:
            source = arm_folder(folder.parent / name, arm.fingerprint)
            lacks = snapshots and not (source / _SNAPSHOTS).is_dir()
            if not lacks and _is_same(source, text) and _copied(source, own, name):
                taken[name] = taken.get(name, 0) + 1
                break
    return taken


def read_origin(folder: Path) -> str | None:
    """Return which part an arm's folder was copied from; None if the arm was run there."""
    path = folder / FILE
    return str(json.loads(path.read_text(encoding="utf-8"))["from"]) if path.exists() else None


def _is_same(source: Path, text: str) -> bool:
    """Return whether there is a result on this text, by the versions of packages that are installed here."""
    found: dict[str, Any] = {}
    with suppress(InputError):
        found = read_result(source) or {}
    versions = found.get("provenance", {}).get("versions", {})
    known = {name: there for name, there in versions.items() if name not in ("gradpower", "python")}
    return found.get("data", {}).get("fingerprint") == text and all(
        _version(name) == there for name, there in known.items()
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _copied(source: Path, own: Path, name: str) -> bool:
    """Copy what tells of a run."""

    def fill(made: Path) -> None:
        for file in _FILES:
            shutil.copy2(source / file, made / file)
        # An arm that is known from a summary has none.
        if (source / _METRICS).exists():
            shutil.copy2(source / _METRICS, made / _METRICS)
        if (source / _SNAPSHOTS).is_dir():
            shutil.copytree(source / _SNAPSHOTS, made / _SNAPSHOTS)

    return place_arm(own, name, fill)


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
