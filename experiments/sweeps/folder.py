"""The folder of a study: study.json, written first, which says what the arms in it are.

| path | what |
|---|---|
| study.json | the resolved study, its fingerprint, and a dated history of what was added to it |
| arms/FINGERPRINT/ | a run's folder, with claims/ and, of failed attempts, attempts.jsonl |
| analysis.json, summary.json | the outcome, when all arms are done |
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.records import differences
from experiments.sweeps.arms import arm_folder
from experiments.sweeps.study import Study, study_from_dict, study_to_dict
from gradpower.tools.errors import InputError, require
from gradpower.tools.files import require_folder, write_file

SCHEMA = {"name": "gradpower/study", "version": 1}


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
    content = _read(folder / "study.json")
    return None if content is None else _study_of(folder, content)


def _study_of(folder: Path, content: Mapping[str, Any]) -> Study:
    try:
        return study_from_dict(content["study"])
    except InputError as error:
        raise InputError("output", folder / "study.json", f"a study that can be ({error})") from None


def read_additions(folder: Path) -> list[dict[str, Any]]:
    """Return what was added to the study in a folder after it was declared, oldest first.

    Returns
    -------
    list of dict
        `date`; `added`, in words such as "seeds 3, 4"; and `finished`, the number of arms that had a result before.

    Raises
    ------
    InputError
        If its study.json is none.
    """
    content = _read(folder / "study.json") or {"history": []}
    return [
        {"date": str(entry["time"])[:10], "added": str(entry["added"]), "finished": int(entry["finished"])}
        for entry in content["history"]
        if entry.get("added")
    ]


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError("output", path, "a file of schema gradpower/study, version 1")
    history = content.get("history")
    whole = "study" in content and isinstance(history, list) and all(isinstance(row, dict) for row in history)
    require(whole, "output", path, "a whole study.json, with `study` and `history`")
    return content


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
        content = _read(folder / "study.json")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        history: list[dict[str, Any]] = [] if content is None else content["history"]
        if content is not None:
            old = _study_of(folder, content)
            if old.fingerprint == study.fingerprint:
                return
            entry = {"time": now, "from": old.fingerprint, "changes": checked_changes(folder, old, study)}
            finished = sum(1 for _ in folder.glob("arms/*/result.json"))
            history = [*history, entry | {"added": additions(old, study), "finished": finished}]
        made = {
            "schema": SCHEMA,
            "fingerprint": study.fingerprint,
            "created": now if content is None else content.get("created", now),
            "study": study_to_dict(study),
            "history": history,
        }
        write_file(folder / "study.json", json.dumps(made, indent=1) + "\n")


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
    arms = [arm_folder(folder, arm.fingerprint) for arm in old.arms()]
    begun = any(path.exists() for path in arms)
    seen = any(_has_validation_loss(path) for path in arms)
    kept = {arm.fingerprint for arm in old.arms()} <= {arm.fingerprint for arm in new.arms()}
    if begun and (old.name != new.name or not kept):
        why = "the folder holds arms of another study, or of this one before it changed"
    elif seen and old.rule != new.rule:
        why = "arms have validation losses, and the rule was declared before"
    else:
        return changed
    raise InputError("study", new.name, f"the study of {folder / 'study.json'}: {why} ({'; '.join(changed)})")


def _has_validation_loss(arm: Path) -> bool:
    metrics = arm / "metrics.jsonl"
    # As text: a line that is being written by another process is no line yet.
    return (arm / "result.json").exists() or (
        metrics.exists() and '"validation_loss"' in metrics.read_text(encoding="utf-8", errors="replace")
    )


def additions(old: Study, new: Study) -> str:
    """Return in words which seeds and values of axes a study has that the old one had not.

    >>> from dataclasses import replace
    >>> from experiments.sweeps.studies import example
    >>> additions(example(), replace(example(), seeds=(0, 1, 2, 3)))
    'seeds 2, 3'
    """
    before, after = _flat(old), _flat(new)
    found = {"seeds": [seed for seed in new.seeds if seed not in old.seeds]}
    for axis in new.axes:
        name = next(iter(axis))
        known = before.get(name, [])
        found[name] = [value for value in after[name] if not isinstance(known, list) or value not in known]
    return "; ".join(f"{name} {', '.join(map(str, values))}" for name, values in found.items() if values)


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
