"""Documents from the user's own files: text, JSON lines and parquet, compressed or not, and Python's own source."""

import hashlib
import io
import json
import lzma
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from gradpower.tools.errors import InputError, require

KINDS = (".txt", ".jsonl", ".json", ".parquet")
PACKED = (".gz", ".xz", ".zst")
READABLE = "a .txt, .jsonl, .json (lines) or .parquet file, the first three also .gz, .xz or .zst"
_LARGEST_SOURCE = 1_000_000  # bytes of one Python file: longer ones are tables


def text_files(source: str, name: str = "data.source", megabytes: float | None = None) -> list[Path]:
    """Return the files of a source, python-source or text:PATH[,PATH…], in the order in which they are read.

    Of folders, all files that can be read; of python-source, only as many as hold so many megabytes. Raises InputError,
    with the name of the setting, if a path is not there or holds nothing that can be read.

    >>> text_files("text:nowhere.txt")
    Traceback (most recent call last):
    ...
    gradpower.tools.errors.InputError: data.source: nowhere.txt is not allowed; expected the path of ...
    """
    if source == "python-source":
        return _python_files(megabytes)
    found: list[Path] = []
    for word in source.partition(":")[2].split(","):
        path = Path(word).expanduser()
        # An empty word, as after a trailing comma, would be the working folder; a pipe or device would never end.
        there = bool(word.strip()) and (path.is_file() or path.is_dir())
        require(there, name, word or source, "the path of a file or folder that exists")
        inside = sorted(p for p in path.rglob("*") if p.is_file() and _kind(p)) if path.is_dir() else [path]
        if not inside or not _kind(inside[0]):
            raise InputError(name, word, READABLE if path.is_file() else f"a folder that holds {READABLE}")
        found += inside
    return found


def _kind(path: Path) -> str | None:
    """Return the kind of a file by its name without the compression's ending; None if it cannot be read."""
    plain = path.with_suffix("") if path.suffix in PACKED else path
    if plain.suffix == ".parquet" and plain != path:
        return None
    return plain.suffix if plain.suffix in KINDS else None


def _python_files(megabytes: float | None) -> list[Path]:
    """Return the .py files of the standard library and of the installed packages, in the order of their names' hashes.

    That order mixes packages, so that the first megabytes of it are a sample of all.
    """
    paths = sysconfig.get_paths()
    roots = dict.fromkeys(Path(paths[key]).resolve() for key in ("stdlib", "purelib", "platlib"))
    named: dict[str, Path] = {}
    for root in roots:
        for path in root.rglob("*.py"):
            parts = path.relative_to(root).parts
            if not {"site-packages", "dist-packages", "__pycache__"}.intersection(parts):
                named["/".join(parts)] = path
    ordered = [named[key] for key in sorted(named, key=lambda key: hashlib.sha256(key.encode()).digest())]
    chosen, size = [], 0
    for path in ordered:
        bytes_there = path.stat().st_size
        if 0 < bytes_there <= _LARGEST_SOURCE:
            chosen.append(path)
            size += bytes_there
        if megabytes is not None and size >= 1e6 * megabytes:
            break
    return chosen


def stat_key(files: Sequence[Path]) -> str:
    """Return a digest of the names, sizes and times of files: if it has not changed, neither has their content."""
    digest = hashlib.sha256()
    for path in files:
        about = path.stat()
        digest.update(f"{path.resolve()}\0{about.st_size}\0{about.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def documents(
    files: Sequence[Path],
    unit: Literal["blank-line", "file"] = "blank-line",
    name: str = "data.source",
) -> Iterator[str]:
    """Yield the documents in files, without those that hold only white space.

    `unit` says whether a .txt file is one document or holds one between any two blank lines. Python source is always
    one; of JSON lines and parquet, the field or column "text" is, and a row where it is null holds none. Raises
    InputError, with the name of the setting, if a file is damaged, no UTF-8, or has no "text" of characters.
    """
    readers: dict[str, Callable[[Path], Iterator[str]]] = {
        ".txt": _whole if unit == "file" else _blocks,
        ".jsonl": _json_lines,
        ".json": _json_lines,
        ".parquet": _parquet,
        ".py": _python,
    }
    for path in files:
        try:
            for text in readers[_kind(path) or path.suffix](path):
                if text and not text.isspace():
                    yield text
        except _NoText:
            allowed = 'a file in which every row has a field "text", of characters or null'
            raise InputError(name, path, allowed) from None
        except (ValueError, KeyError, TypeError, EOFError, OSError, lzma.LZMAError) as error:
            raise InputError(name, path, f"a readable file ({type(error).__name__}: {error})") from None


def _opened(path: Path) -> io.TextIOWrapper:
    import pyarrow

    # pyarrow knows the other compressions by their endings.
    file: Any = lzma.open(path) if path.suffix == ".xz" else pyarrow.input_stream(str(path))  # noqa: SIM115
    return io.TextIOWrapper(file, encoding="utf-8-sig")


def _whole(path: Path) -> Iterator[str]:
    with _opened(path) as file:
        yield file.read()


def _python(path: Path) -> Iterator[str]:
    # Some tests of installed packages are in other encodings on purpose; a replacement character does no harm.
    yield path.read_text(encoding="utf-8", errors="replace")


def _blocks(path: Path) -> Iterator[str]:
    with _opened(path) as file:
        for blank, lines in groupby(file, key=str.isspace):
            if not blank:
                yield "".join(lines).rstrip("\n")


def _json_lines(path: Path) -> Iterator[str]:
    with _opened(path) as file:
        for line in file:
            if line.strip():
                yield _text(json.loads(line))


class _NoText(Exception):
    """A row without a text."""


def _text(row: object) -> str:
    if not isinstance(row, dict) or not isinstance(row.get("text", 0), str | None):
        raise _NoText
    text = row["text"] or ""
    text.encode()  # raises where JSON's escapes spell half of a character
    return str(text)


def _parquet(path: Path) -> Iterator[str]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        kind = file.schema_arrow.field("text").type if "text" in file.schema_arrow.names else None
        if kind not in (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()):
            raise _NoText
        for batch in file.iter_batches(columns=["text"], batch_size=1024):
            yield from (text or "" for text in batch.column(0).to_pylist())
