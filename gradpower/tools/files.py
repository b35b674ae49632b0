"""Files written whole or not at all, into folders that are checked before any work."""

import os
import secrets
from pathlib import Path

from gradpower.tools.errors import InputError


def require_folder(path: Path) -> None:
    """Raise InputError unless `path` is, or can become, a folder that can be written."""
    existing = path
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(
            "output", path, "a folder that can be written, or the name of a new one in such a folder"
        )


def require_writable(path: Path) -> None:
    """Raise InputError unless `path` can be a file in a writable folder, and replaces no file but a .json one."""
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError("output", path, "a file in an existing folder that can be written")
    if path.exists() and path.suffix != ".json":
        raise InputError("output", path, "a new file, or a .json file: this one is not replaced")


def write_file(path: Path, content: str | bytes) -> Path:
    """Write `content` to `path`, whole or not at all, making its folder if need be; return `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Containers that share a file system may have one process id.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with unfinished.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path
