"""Arms that another study beside this one has finished already: the same recipe on the same text is the same run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from experiments.records import read_result
from experiments.settings import DataSettings
from experiments.sweeps.arms import arm_folder
from experiments.sweeps.study import Arm
from theory.inputs import InputError

FILES = ("recipe.json", "metrics.jsonl", "result.json")


def adopt(folder: Path, arms: Sequence[Arm], data: Mapping[DataSettings, str]) -> dict[str, int]:
    """Copy results of arms that have not begun from the other studies in the folder that `folder` lies in.

    Parameters
    ----------
    folder : Path
        The study's.
    arms : sequence of Arm
        Its arms.
    data : mapping
        Fingerprint of the text by its settings; arms on other text, as on streams, are left to be run.

    Returns
    -------
    dict
        How many came from which study, by the name of its folder.
    """
    taken: dict[str, int] = {}
    for arm in arms:
        own, text = arm_folder(folder, arm.fingerprint), data.get(arm.recipe.data)
        if text is None or own.exists():
            continue
        for found in sorted(folder.parent.glob(f"*/arms/{arm.fingerprint}/result.json")):
            if _is_on(found.parent, text) and _copied(found.parent, own):
                name = found.parents[2].name
                taken[name] = taken.get(name, 0) + 1
                break
    return taken


def _is_on(source: Path, text: str) -> bool:
    with suppress(InputError):
        return ((read_result(source) or {}).get("data") or {}).get("fingerprint") == text
    return False


def _copied(source: Path, own: Path) -> bool:
    """Copy what tells of a run, whole or not at all; False if another sweep was faster."""
    made = own.parent / f".{own.name}.{os.getpid()}"
    try:
        made.mkdir(parents=True)
        for name in FILES:
            shutil.copy2(source / name, made / name)
        made.rename(own)
    except OSError:
        return False
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return True
