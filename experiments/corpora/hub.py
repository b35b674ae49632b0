"""C4 and OpenWebText through Hugging Face datasets: from the hub, or from local copies of its files."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from experiments.corpora.token_files import is_held_out
from gradpower.tools.errors import InputError, require

HUBS = {"c4": ("allenai/c4", "en"), "openwebtext": ("Skylion007/openwebtext", None)}
# The hub's own names and formats. OpenWebText has no validation split.
LOCAL = {
    ("c4", "train"): "c4-train.*.json.gz",
    ("c4", "validation"): "c4-validation.*.json.gz",
    ("openwebtext", "train"): "*.parquet",
}

_ENDS = 65536  # bytes


def open_stream(source: str, split: str) -> Any:
    """Return a split of a source as a streaming dataset with the column "text"."""
    import datasets

    name, _, folder = source.partition(":")
    if folder:
        files = [str(path) for path in local_files(source, split)]
        kind = "json" if name == "c4" else "parquet"
        stream = datasets.load_dataset(kind, data_files=files, split="train", streaming=True)
    else:
        repository, config = HUBS[name]
        try:
            stream = datasets.load_dataset(repository, config, split=split, streaming=True)
        except Exception:  # every kind of network trouble, from several libraries
            allowed = (
                f"a network connection; without it: {name}:FOLDER of its files, text:PATH or python-source"
            )
            raise InputError("data.source", source, allowed) from None
    return stream.select_columns(["text"])


def local_files(source: str, split: str) -> list[Path]:
    """Return the files of a split in the folder of a source; none of a source on the hub."""
    name, _, folder = source.partition(":")
    if not folder:
        return []
    pattern = LOCAL[name, split]
    found = sorted(Path(folder).expanduser().rglob(pattern))
    require(found, "data.source", source, f"{name}:FOLDER with files {pattern}")
    return found


def ends_digest(files: list[Path]) -> str:
    """Return the SHA-256 of names, sizes, first and last bytes of files: too many and too large to be read whole.

    The last bytes of .gz hold the checksum of its text, those of parquet the index of its columns.
    """
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(_ENDS)
            file.seek(max(0, size - _ENDS))
            digest.update(f"{path.name}\0{size}\0".encode() + first + file.read())
    return digest.hexdigest()


class Reader:
    """One rank's documents of a split in an order that the seed decides, file by file; resumable at any document.

    In each epoch, the last one whole, the seed permutes the files, and rank r reads every ranks-th from the r-th on.
    Documents whose hash falls into the share `held_out` are skipped.
    """

    def __init__(
        self, stream: Any, *, seed: int, epochs: float, rank: int, ranks: int, held_out: float
    ) -> None:
        self.stream, self.seed, self.epochs = stream, seed, epochs
        self.rank, self.ranks, self.held_out = rank, ranks, held_out
        self.files = int(stream.num_shards)
        require(self.files >= ranks, "ranks", ranks, f"at most {self.files}, the files of data.source")
        self.epoch, self.place = 0, 0
        self._open(None)

    def state(self) -> dict[str, Any]:
        """Return the position before the next document."""
        # The library tells of the place it was sent to only after it has read on from there.
        inside = self._file.state_dict() if self._has_read else self._inside
        return {"epoch": self.epoch, "place": self.place, "inside": inside}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a position."""
        self.epoch, self.place = state["epoch"], state["place"]
        self._open(state["inside"])

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while True:
            row = next(self._rows, None)
            self._has_read = True
            if row is None:
                self._next_file()
            elif row["text"] and not is_held_out(row["text"], self.held_out):
                return str(row["text"])

    def _next_file(self) -> None:
        self.place += 1
        if self.place == len(self._mine()):
            self.epoch, self.place = self.epoch + 1, 0
        if self.epoch >= self.epochs:
            raise StopIteration
        self._open(None)

    def _mine(self) -> list[int]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.files)
        return [int(i) for i in order[self.rank :: self.ranks]]

    def _open(self, inside: dict[str, Any] | None) -> None:
        self._file = self.stream.shard(num_shards=self.files, index=self._mine()[self.place])
        self._inside: dict[str, Any] | None = inside
        self._has_read = False
        if inside is not None:
            self._file.load_state_dict(inside)
        self._rows: Iterator[dict[str, Any]] = iter(self._file)
