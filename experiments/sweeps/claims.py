"""Which worker runs an arm: claims in the arm's folder, by any number of processes and machines on one file system.

The claims of an arm are files `claims/000001`, `claims/000002`, …; the highest one counts. A worker claims an arm by
creating the next number with O_CREAT|O_EXCL, which exactly one of several contenders can, on local disks and on NFS.
Nothing is ever renamed or removed, so that no contender can mistake a new claim for the stale one it wanted to take
over. A holder proves that it lives by a counter in its file, and learns that it has been taken for dead by the
next number being there.

A claim may be taken over when it was released, or is stale:

- its counter stood still for `LIMIT` seconds by the observer's own clock. Machines disagree on what time it is, and the
  times of files are stamped by whichever of them a file system prefers; that a counter moves needs no common clock.
- or the holder ran under this very kernel, and its lock on the file is gone: then the process is, too. This spares the
  wait after a kill on the same machine. (Between machines, such locks are not to be relied on.)
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

BEAT = 2.0
LIMIT = 30.0
RELEASED = b"released"
_DIGITS = 12


class ClaimLost(Exception):
    """The claim is another worker's now."""


def kernel() -> str | None:
    """Return what tells this boot of this machine from every other; None where that is not known."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text(encoding="ascii").strip() if path.exists() else None


def claim_files(folder: Path) -> list[Path]:
    """Return the claims in an arm's folder, oldest first."""
    claims = folder / "claims"
    names = [name for name in os.listdir(claims) if name.isdecimal()] if claims.is_dir() else []  # noqa: PTH208
    return [claims / name for name in sorted(names, key=int)]


@dataclass(frozen=True)
class Holder:
    """What a claim says of who made it; nothing yet, if it was being written just now.

    Attributes
    ----------
    path : Path
        The claim.
    content : bytes
        All of it.
    identity : dict
        host, kernel, pid, token, started, sweep, worker.
    released : bool
        Whether the holder has let go.
    """

    path: Path
    content: bytes
    identity: Mapping[str, Any]
    released: bool

    @property
    def is_gone(self) -> bool:
        """Whether the holder is known to be dead: it ran under this kernel, and its lock is gone."""
        mine = kernel()
        if mine is None or self.identity.get("kernel") != mine:
            return False
        with self.path.open("rb") as file:
            return _lock(file.fileno())


def _lock(descriptor: int) -> bool:
    """Lock a file unless another process has; return whether it is. Some file systems know no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def holder(folder: Path) -> Holder | None:
    """Return who made the newest claim in an arm's folder; None if there is none."""
    files = claim_files(folder)
    return read_claim(files[-1]) if files else None


def read_claim(path: Path) -> Holder:
    """Return who made a claim."""
    content = path.read_bytes()
    line, _, beat = content.partition(b"\n")
    try:
        identity = json.loads(line)
    except ValueError:
        identity = {}
    return Holder(path, content, identity, beat.startswith(RELEASED))


@dataclass
class Watch:
    """An observer's memory of how long counters have stood still, by its own clock."""

    limit: float = LIMIT
    _seen: dict[Path, tuple[bytes, float]] = field(default_factory=dict)

    def is_free(self, folder: Path) -> bool:
        """Return whether the arm in this folder may be claimed."""
        found = holder(folder)
        if found is None or found.released or found.is_gone:
            return True
        now = time.monotonic()
        content, since = self._seen.get(found.path, (None, now))
        if content != found.content:
            self._seen[found.path] = (found.content, now)
            return False
        return now - since > self.limit


def claim(
    folder: Path, watch: Watch, is_abandoned: Callable[[Path], bool] | None = None, **told: Any
) -> Claim | None:
    """Claim the arm in this folder; None if another worker has it.

    Parameters
    ----------
    folder : Path
        The arm's folder, made if need be.
    watch : Watch
        The caller's memory of this and other claims.
    is_abandoned : callable, optional
        Asked of the folder before a stale claim, which nobody released, is taken over: whether it may be.
    **told
        Further plain data to be written into the claim.
    """
    # Listed before the newest is looked at: the other way round, a claim made in between would be taken over alive.
    files = claim_files(folder)
    if not watch.is_free(folder):
        return None
    if is_abandoned is not None and files and not read_claim(files[-1]).released and not is_abandoned(folder):
        return None
    number = int(files[-1].name) + 1 if files else 1
    path = folder / "claims" / f"{number:06d}"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
    except FileExistsError:
        return None
    return Claim(path, descriptor, told)


class Claim:
    """A claim that this process holds, with the thread that keeps its counter moving.

    Parameters
    ----------
    path : Path
        The claim's file.
    descriptor : int
        Of that file, just created.
    told : mapping
        Further plain data to be written into it.
    """

    def __init__(self, path: Path, descriptor: int, told: Mapping[str, Any]) -> None:
        self.path, self._descriptor = path, descriptor
        self._next = path.with_name(f"{int(path.name) + 1:06d}")
        self.token = secrets.token_hex(8)
        identity = {
            "host": socket.gethostname(),
            "kernel": kernel() if _lock(descriptor) else None,
            "pid": os.getpid(),
            "token": self.token,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            **told,
        }
        line = json.dumps(identity).encode() + b"\n"
        self._offset, self._beats = len(line), 0
        os.pwrite(descriptor, line + self._counter(), 0)
        os.fsync(descriptor)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"heartbeat {path}", daemon=True)
        self._thread.start()

    def _counter(self) -> bytes:
        return f"{self._beats:0{_DIGITS}d}\n".encode()

    def _keep(self) -> None:
        while not self._end.wait(BEAT):
            self._beats += 1
            try:
                os.pwrite(self._descriptor, self._counter(), self._offset)
                os.fsync(self._descriptor)
            except (
                OSError
            ):  # a file server that is away: if it stays away, the claim will be lost, and that be seen
                continue

    @property
    def is_mine(self) -> bool:
        """Whether no other worker has taken the arm over."""
        # Listing the folder asks the file server anew; looking for one name may be answered from a cache.
        return self._next.name not in os.listdir(self.path.parent)  # noqa: PTH208

    def require(self) -> None:
        """Raise ClaimLost unless the claim still holds."""
        if not self.is_mine:
            raise ClaimLost(f"{self.path} was taken over")

    def release(self) -> None:
        """Let go: stop the heartbeat and say so."""
        self._end.set()
        self._thread.join()
        try:
            os.pwrite(self._descriptor, RELEASED.ljust(_DIGITS) + b"\n", self._offset)
            os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
