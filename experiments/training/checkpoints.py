"""Checkpoints: tensors as safetensors, all else as JSON, checksummed, written whole or not at all, the last two kept.

A checkpoint is a folder `step-NNNNNNNN` with `model.safetensors`, `state.safetensors`, `state.json` and, written
last, `manifest.json` with the sizes and SHA-256 of the others. It is made under another name and then renamed.
"""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradpower.tools.files import write_file
from gradpower.tools.reading import DAMAGED, one_line

SCHEMA = {"name": "gradpower/checkpoint", "version": 1}
FILES = ("model.safetensors", "state.safetensors", "state.json")
KEPT = 2
_NAME = re.compile(r"step-(\d{8,})")


class CorruptCheckpoint(Exception):
    """A checkpoint that is not what was written."""


def checkpoint_name(step: int) -> str:
    """Return the name of the folder of a checkpoint.

    >>> checkpoint_name(120)
    'step-00000120'
    """
    return f"step-{step:08d}"


def step_of(checkpoint: Path) -> int:
    """Return the step of a checkpoint from the name of its folder."""
    return int(checkpoint.name.removeprefix("step-"))


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, oldest first; whether they are whole is not looked at."""
    found = [p for p in folder.glob("step-*") if _NAME.fullmatch(p.name)] if folder.is_dir() else []
    return sorted(found, key=step_of)


def save_checkpoint(
    folder: Path, step: int, model: Mapping[str, Tensor], state: Mapping[str, Any], *, keep_all: bool = False
) -> Path:
    """Write a checkpoint, then remove all but the last two unless `keep_all`, and return its folder.

    `state` is all but the weights: nested dicts, lists and tuples of tensors, numbers, strings, booleans and None.
    Where there is no room or no permission, an OSError leaves nothing of the new checkpoint, and all of the old ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for killed in folder.glob(".step-*"):  # what a killed process left half written
        shutil.rmtree(killed, ignore_errors=True)
    unfinished = folder / f".{checkpoint_name(step)}.{os.getpid()}"
    final = folder / checkpoint_name(step)
    try:
        unfinished.mkdir()
        tensors: dict[str, Tensor] = {}
        plain = _encode(state, "", tensors)
        _save_tensors(unfinished / "model.safetensors", model)
        _save_tensors(unfinished / "state.safetensors", tensors)
        write_file(unfinished / "state.json", json.dumps(plain))
        manifest = {"schema": SCHEMA, "step": step, "files": {n: _identity(unfinished / n) for n in FILES}}
        write_file(unfinished / "manifest.json", json.dumps(manifest, indent=1))
        _sync(unfinished)
        replaced = folder / f".{checkpoint_name(step)}.replaced"
        if final.exists():
            final.rename(replaced)
        unfinished.rename(final)
        _sync(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(replaced, ignore_errors=True)
    if keep_all:
        return final
    there = checkpoints(folder)
    now = there.index(final) + 1
    # Later ones are damaged: else the run would have gone on from them.
    for old in [*there[: max(0, now - KEPT)], *there[now:]]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def load_checkpoint(path: Path) -> tuple[int, dict[str, Tensor], dict[str, Any]]:
    """Return the step, the weights and the state of one checkpoint; CorruptCheckpoint if it is not as written."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        if manifest["schema"] != SCHEMA or manifest["step"] != step_of(path):
            raise CorruptCheckpoint(f"{path}: not the manifest of this step, in the schema {SCHEMA}")
        for name in FILES:
            if _identity(path / name) != manifest["files"][name]:
                raise CorruptCheckpoint(f"{path / name} is not what was written")
        plain = json.loads((path / "state.json").read_text(encoding="utf-8"))
        state = _decode(plain, load_file(path / "state.safetensors"))
        return step_of(path), load_file(path / "model.safetensors"), state
    except (OSError, LookupError, AttributeError, SafetensorError, *DAMAGED) as error:
        raise CorruptCheckpoint(f"{path}: {one_line(error)}") from None


def load_latest(folder: Path) -> tuple[tuple[int, dict[str, Tensor], dict[str, Any]] | None, list[str]]:
    """Return the newest checkpoint that is whole, None if there is none, and what was wrong with newer ones."""
    complaints: list[str] = []
    for path in reversed(checkpoints(folder)):
        try:
            return load_checkpoint(path), complaints
        except CorruptCheckpoint as error:
            complaints.append(str(error))
    return None, complaints


def _encode(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return `value` as JSON can hold it, its tensors moved to `tensors` under their place in it."""
    if isinstance(value, Tensor):
        tensors[name] = value
        return {"$tensor": name}
    if isinstance(value, Mapping):
        pairs = [[key, _encode(item, f"{name}/{key}", tensors)] for key, item in value.items()]
        return dict(pairs) if all(isinstance(key, str) for key in value) else {"$pairs": pairs}
    if isinstance(value, list | tuple):
        items = [_encode(item, f"{name}/{index}", tensors) for index, item in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name}: a {type(value).__name__} has no place in a checkpoint")


def _decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"$tensor"}:
        return tensors[value["$tensor"]]
    if set(value) == {"$tuple"}:
        return tuple(_decode(item, tensors) for item in value["$tuple"])
    if set(value) == {"$pairs"}:
        return {key: _decode(item, tensors) for key, item in value["$pairs"]}
    return {key: _decode(item, tensors) for key, item in value.items()}


def _save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # Tensors that share memory would be refused; copies of what is not contiguous are made one by one anyway.
    owned = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    try:
        save_file(owned, path)
    except SafetensorError as error:
        full = "No space" in str(error) or "too large" in str(error)
        raise OSError(
            errno.ENOSPC if full else errno.EIO, f"cannot be written ({error})", str(path)
        ) from None
    _sync(path)


def _identity(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _sync(path: Path) -> None:
    """Have the file system write `path` out: a rename must not overtake the data."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, dtypes, shapes and bits of tensors, in the order of their names.

    >>> tensors_digest({"a": torch.zeros(2)})[:12]
    'c8651ae8f65e'
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        t = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {t.dtype} {tuple(t.shape)}".encode())
        digest.update(t.flatten().view(torch.uint8).numpy().tobytes() if t.numel() else b"")
    return digest.hexdigest()
