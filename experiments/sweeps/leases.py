"""Which worker trains a run: leases in the run's folder, for any number of processes and machines on one file system.

The leases of a run are files `leases/000001`, `leases/000002`, …; the highest one counts. Who has seen that lease n is
free takes the run by creating n + 1 with O_CREAT|O_EXCL. Exactly one of several contenders can, on local disks and on
NFS, however long ago it looked. Nothing is renamed or removed, so that no contender can mistake a new lease for the
stale one it wanted to take over. A holder proves that it lives by a counter in its file, and learns that it has been
taken for dead by the next number being there.

A lease is free when it was released, or when its holder is dead:

- a holder that ran under this very kernel had locked the file: its process is dead exactly if the lock is gone.
- of any other, the counter stood still for `LIMIT` seconds by the observer's own clock. Machines disagree on what time
  it is, and the times of files are stamped by whichever of them a file system prefers; that a counter moves needs no
  common clock. (Between machines, locks are not to be relied on.)
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gradpower.tools.reading import DAMAGED, convert

BEAT = 2.0
LIMIT = 30.0
RELEASED = b"released"
_DIGITS = 12


class LeaseLost(Exception):
    """The lease is another worker's now."""


def kernel() -> str | None:
    """Return what tells this boot of this machine from every other; None where that is not known."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text(encoding="ascii").strip() if path.exists() else None


@dataclass(frozen=True)
class Holder:
    """Who took a lease; nothing is known of one that was being written just now, or is damaged."""

    host: str = ""
    kernel: str | None = None
    pid: int = 0
    token: str = ""
    started: str = ""
    sweep: str = ""


@dataclass(frozen=True)
class Lease:
    """A lease as anybody can read it: its file, whose name is its number, all of its content, and who took it."""

    path: Path
    content: bytes
    holder: Holder

    @property
    def released(self) -> bool:
        """Whether the holder has let go."""
        return self.content.partition(b"\n")[2].startswith(RELEASED)

    @property
    def is_local(self) -> bool:
        """Whether the holder runs, or ran, under this kernel with a lock on the file."""
        return self.holder.kernel is not None and self.holder.kernel == kernel()

    @property
    def is_dead(self) -> bool:
        """Whether the holder is known to be dead."""
        if not self.is_local:
            return False
        with self.path.open("rb") as file:
            return _lock(file.fileno())


def leases(folder: Path) -> list[Lease]:
    """Return the leases in a run's folder, oldest first."""
    return [_read(path) for path in _files(folder)]


def newest(folder: Path) -> Lease | None:
    """Return the newest lease in a run's folder; None if there is none."""
    files = _files(folder)
    return _read(files[-1]) if files else None


def _files(folder: Path) -> list[Path]:
    place = folder / "leases"
    # Listing the folder asks the file server anew; looking for one name may be answered from a cache.
    names = [name for name in os.listdir(place) if name.isdecimal()] if place.is_dir() else []  # noqa: PTH208
    return [place / name for name in sorted(names, key=int)]


def _read(path: Path) -> Lease:
    content = path.read_bytes()
    try:
        holder = convert(msgspec.json.decode(content.partition(b"\n")[0]), Holder)
    except DAMAGED:
        holder = Holder()
    return Lease(path, content, holder)


def _lock(descriptor: int) -> bool:
    """Lock a file unless another process has; return whether it is. Some file systems know no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@dataclass
class Watch:
    """An observer's memory of how long counters have stood still, by its own clock."""

    limit: float = LIMIT
    _seen: dict[Path, tuple[bytes, float]] = field(default_factory=dict)

    def free_after(self, folder: Path) -> int | None:
        """Return the number of the newest lease, 0 if there is none, if the run may be taken; else None."""
        lease = newest(folder)
        if lease is None:
            return 0
        if lease.released or lease.is_dead:
            return int(lease.path.name)
        # A process of this machine that lives is suspended at most: it would lose steps that nobody else needs.
        if lease.is_local:
            return None
        now = time.monotonic()
        content, since = self._seen.get(lease.path, (None, now))
        if content != lease.content:
            self._seen[lease.path] = (lease.content, now)
            return None
        return int(lease.path.name) if now - since > self.limit else None


def acquire(folder: Path, after: int, sweep: str = "") -> HeldLease | None:
    """Take the run in this folder after the lease that `Watch.free_after` found free; None if another was faster."""
    path = folder / "leases" / f"{after + 1:06d}"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
    except FileExistsError:
        return None
    return HeldLease(path, descriptor, sweep)


class HeldLease:
    """A lease that this process holds, with the thread that keeps its counter moving; released in the end."""

    def __init__(self, path: Path, descriptor: int, sweep: str) -> None:
        self.path, self._descriptor = path, descriptor
        self.token = secrets.token_hex(8)
        holder = Holder(
            socket.gethostname(),
            kernel() if _lock(descriptor) else None,
            os.getpid(),
            self.token,
            datetime.now(UTC).isoformat(timespec="seconds"),
            sweep,
        )
        line = json.dumps(asdict(holder)).encode() + b"\n"
        self._offset = len(line)
        os.pwrite(descriptor, line, 0)
        self._write(b"%012d" % 0)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"heartbeat {path}", daemon=True)
        self._thread.start()

    def _write(self, text: bytes) -> None:
        os.pwrite(self._descriptor, text.ljust(_DIGITS) + b"\n", self._offset)
        os.fsync(self._descriptor)

    def _keep(self) -> None:
        beats = 0
        while not self._end.wait(BEAT):
            beats += 1
            # A file server may be away: if it stays away, the lease is lost, which `require` sees.
            with suppress(OSError):
                self._write(b"%012d" % beats)

    def require(self) -> None:
        """Raise LeaseLost if another worker has taken the run over."""
        if _files(self.path.parent.parent)[-1] != self.path:
            raise LeaseLost(f"{self.path} was taken over")

    def __enter__(self) -> HeldLease:
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        try:
            self._write(RELEASED)
        finally:
            os.close(self._descriptor)
