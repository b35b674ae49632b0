"""The folder of a study: study.json, written first, which says what the arms in it are.

| path | what |
|---|---|
| study.json | the resolved study, its fingerprint, and a dated history of what was added to it |
| arms/FINGERPRINT | a link to a run's folder in the store, see `arms` |
| analysis.json, summary.json | the outcome, when all arms are done |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

from experiments.recipes.fields import differences
from experiments.sweeps.arms import arm_folder
from experiments.sweeps.study import Study
from experiments.training.records import read_metrics
from gradpower.tools.errors import InputError
from gradpower.tools.files import require_folder
from gradpower.tools.reading import Schema, read_json, write_json

SCHEMA = Schema("gradpower/study")


class Addition(TypedDict):
    """What was added to a study after it was declared, in words such as "seeds 3, 4"; and how many arms were done."""

    date: str
    added: str
    finished: int


# An entry of the history in study.json: the fingerprint before, what changed, and what of it was added.
Change = TypedDict("Change", {"time": str, "from": str, "changes": list[str], "added": str, "finished": int})


@dataclasses.dataclass(frozen=True)
class _File:
    fingerprint: str
    created: str
    study: Study
    history: tuple[Change, ...]


def default_folder(study: Study) -> Path:
    """Return where a study goes if nothing else is said.

    >>> from experiments.sweeps.studies import example
    >>> default_folder(example()).as_posix()
    'runs/example'
    """
    return Path("runs") / study.name


def read_folder(folder: Path) -> Study | None:
    """Return the study whose folder this is; None if it is nobody's yet.

    Raises
    ------
    InputError
        If its study.json is none.
    """
    content = _read(folder)
    return None if content is None else content.study


def read_additions(folder: Path) -> list[Addition]:
    """Return what was added to the study in a folder after it was declared, oldest first.

    Raises
    ------
    InputError
        If its study.json is none.
    """
    content = _read(folder)
    history = () if content is None else content.history
    return [
        Addition(date=entry["time"][:10], added=entry["added"], finished=entry["finished"])
        for entry in history
        if entry["added"]
    ]


def _read(folder: Path) -> _File | None:
    path = folder / "study.json"
    return read_json(path, _File, SCHEMA, "output") if path.exists() else None


def open_folder(folder: Path, study: Study) -> None:
    """Write study.json, or bring it up to date with arms that were added.

    Raises
    ------
    InputError
        If the folder is another study's, or this one has changed otherwise; nothing is written then.
    """
    from filelock import FileLock

    require_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "study.lock"):
        content = _read(folder)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        if content is None:
            content = _File(study.fingerprint, now, study, ())
        elif content.study.fingerprint == study.fingerprint:
            return
        else:
            old = content.study
            change: Change = {
                "time": now,
                "from": old.fingerprint,
                "changes": checked_changes(folder, old, study),
                "added": additions(old, study),
                "finished": sum(1 for _ in folder.glob("arms/*/result.json")),
            }
            content = _File(study.fingerprint, content.created, study, (*content.history, change))
        write_json(folder / "study.json", content, SCHEMA)


def checked_changes(folder: Path, old: Study, new: Study) -> list[str]:
    """Return the changes from the study in a folder to a new one, as `name: old → new`, if they are allowed.

    Allowed is anything before an arm has begun; then, what leaves every old arm an arm; and another rule, as long as
    no arm has a validation loss: it is to be declared before anything of its outcome is known.

    Raises
    ------
    InputError
        If they are not allowed.
    """
    changed = changes(old, new)
    runs = [arm_folder(folder, arm.fingerprint) for arm in old.arms()]
    begun = any(run.exists() for run in runs)
    seen = any((run / "result.json").exists() or _has_validation_loss(run) for run in runs)
    kept = {arm.fingerprint for arm in old.arms()} <= {arm.fingerprint for arm in new.arms()}
    if begun and (old.name != new.name or not kept):
        why = "the folder holds arms of another study, or of this one before it changed"
    elif seen and old.rule != new.rule:
        why = "arms have validation losses, and the rule was declared before"
    else:
        return changed
    raise InputError("study", new.name, f"the study of {folder / 'study.json'}: {why} ({'; '.join(changed)})")


def _has_validation_loss(run: Path) -> bool:
    return any("validation_loss" in row for row in read_metrics(run))


def additions(old: Study, new: Study) -> str:
    """Return in words which seeds and values of axes a study has that the old one had not.

    >>> from dataclasses import replace
    >>> from experiments.sweeps.studies import example
    >>> additions(example(), replace(example(), seeds=(0, 1, 2, 3)))
    'seeds 2, 3'
    """
    added = {"seeds": [str(seed) for seed in new.seeds if seed not in old.seeds]}
    for axis in new.axes:
        same = next((each for each in old.axes if set(each) == set(axis)), dict.fromkeys(axis, ()))
        known = list(zip(*(same[name] for name in axis), strict=True))
        firsts = [point[0] for point in known]
        first, *others = axis
        # What varies together with a first value that was there already is named, too.
        added[first] = [
            str(point[0])
            + "".join(
                f" with {n} = {v}" for n, v in zip(others, point[1:], strict=True) if point[0] in firsts
            )
            for point in zip(*axis.values(), strict=True)
            if point not in known
        ]
    return "; ".join(f"{name} {', '.join(values)}" for name, values in added.items() if values)


def changes(old: Study, new: Study) -> list[str]:
    """Return what differs between two studies, as `name: old → new`."""
    before, after = _flat(old), _flat(new)
    names = [*before, *(name for name in after if name not in before)]
    parts = [
        f"{name}: {before.get(name, 'not given')} → {after.get(name, 'not given')}"
        for name in names
        if before.get(name) != after.get(name)
    ]
    return parts + [f"recipe {part}" for part in differences(old.recipe, new.recipe)]


def _flat(study: Study) -> Mapping[str, Any]:
    axes = {name: list(values) for axis in study.axes for name, values in axis.items()}
    return {
        "name": study.name,
        **study.fields,
        **axes,
        "seeds": list(study.seeds),
        **{f"rule.{name}": value for name, value in dataclasses.asdict(study.rule).items()},
    }
