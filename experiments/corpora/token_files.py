"""Tokenized text on disk: made once for a text, a tokenizer and a split, then memory-mapped by every run.

A folder in the cache, named by the digest of all that decides its content:

| file | what |
|---|---|
| tokenizer.json | the tokenizer |
| train.bin, validation.bin | tokens of all documents, one after the other, each with the token of its end |
| train.starts.npy, validation.starts.npy | where each document begins, and where the last one ends |
| about.json | type of the tokens, counts, digests; SHA-256 of the other files, checked whenever they are opened |
"""

import contextlib
import hashlib
import json
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.corpora.batches import Progress
from experiments.corpora.documents import documents, stat_key, text_files
from experiments.corpora.tokenization import Tokenizer, first_bytes, from_file, named_tokenizer, train_bpe
from experiments.recipes.settings import DataSettings
from gradpower.tools.errors import InputError, require
from gradpower.tools.files import write_file
from gradpower.tools.reading import DAMAGED, one_line
from theory.numerics.inputs import read_npy

VERSION = 1
_DOCUMENTS_AT_ONCE = 512
_ABANDONED = 86400.0  # seconds after which a folder of a killed tokenization is removed


@dataclass(frozen=True)
class Tokens:
    """The memory-mapped tokens of some documents; document i is values[starts[i]:starts[i + 1]], its end included."""

    values: NDArray[Any]
    starts: NDArray[np.int64]

    def document(self, index: int) -> NDArray[np.int64]:
        """Return the tokens of one document, without that of its end."""
        begin, end = self.starts[index], self.starts[index + 1]
        return self.values[begin : end - 1].astype(np.int64)


@dataclass(frozen=True)
class TokenFiles:
    """Tokenized text, split into documents to train on and documents held out, with its counts and digests."""

    train: Tokens
    validation: Tokens
    tokenizer: Tokenizer
    about: dict[str, Any]
    name: str
    """Of its folder."""


def token_files(
    settings: DataSettings, cache: Path, progress: Progress, tokens: str | None = None
) -> TokenFiles:
    """Return the tokenized text of local files, from the cache or made now; other processes wait meanwhile.

    The text counts as unchanged while names, sizes and times of its files are; else its content decides. Where `tokens`
    names a folder that is in the cache, it is that one's, whatever has become of the files.
    """
    from filelock import FileLock

    if tokens and (cache / "tokens" / tokens / "about.json").exists():
        return _opened(cache / "tokens" / tokens)
    cache.mkdir(parents=True, exist_ok=True)
    key = _key(settings)
    known = cache / "texts" / f"{key}.json"
    with FileLock(cache / f"{key[:16]}.lock"):
        folder = None
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):  # a damaged entry is made anew
            folder = cache / json.loads(known.read_text(encoding="utf-8"))["folder"]
        if folder is None or not (folder / "about.json").exists():
            for abandoned in cache.glob(".unfinished-*"):
                if time.time() - abandoned.stat().st_mtime > _ABANDONED:
                    shutil.rmtree(abandoned, ignore_errors=True)
            folder = _made(settings, cache, progress)
            write_file(known, json.dumps({"folder": str(folder.relative_to(cache))}))
    return _opened(folder)


def _key(settings: DataSettings) -> str:
    files = text_files(settings.source, megabytes=settings.megabytes)
    parts = [stat_key(files)]
    if settings.validation_source:
        parts.append(stat_key(text_files(settings.validation_source, "data.validation_source")))
    kind, _, rest = settings.tokenizer.partition(":")
    if kind == "file":
        allowed = "the path of a tokenizer.json that exists"
        require(Path(rest).is_file(), "data.tokenizer", f"file:{rest}", allowed)
        parts.append(stat_key([Path(rest)]))
    shown = (VERSION, settings.tokenizer, settings.documents, settings.megabytes, settings.validation_share)
    return hashlib.sha256(json.dumps([*parts, *map(str, shown)]).encode()).hexdigest()


def _made(settings: DataSettings, cache: Path, progress: Progress) -> Path:
    """Read, split and tokenize the text, and return the folder."""
    train, validation = _split(settings, progress)
    content = _digest([*train, "\0", *validation])
    work = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=cache))
    try:
        tokenizer = _tokenizer(settings, train, work / "tokenizer.json")
        final = cache / "tokens" / _folder_name(content, tokenizer)
        if (final / "about.json").exists():  # the same text at another place or time
            return final
        kind = np.uint16 if tokenizer.size <= 2**16 else np.uint32
        about: dict[str, Any] = {"version": VERSION, "dtype": np.dtype(kind).name, "text_sha256": content}
        total = len(train) + len(validation)
        for part, texts, before in (("train", train, 0), ("validation", validation, len(train))):
            about |= {f"{part}_documents": len(texts), f"{part}_bytes": sum(len(t.encode()) for t in texts)}
            starts = [0]
            with (work / f"{part}.bin").open("wb") as file:
                for begin in range(0, len(texts), _DOCUMENTS_AT_ONCE):
                    progress("tokenizing", before + begin, total)
                    for ids in tokenizer.encode(texts[begin : begin + _DOCUMENTS_AT_ONCE]):
                        np.asarray([*ids, tokenizer.end], dtype=kind).tofile(file)
                        starts.append(starts[-1] + len(ids) + 1)
            np.save(work / f"{part}.starts.npy", np.asarray(starts, dtype=np.int64))
            about[f"{part}_tokens"] = starts[-1]
        about["files"] = {path.name: _file_digest(path) for path in sorted(work.iterdir())}
        write_file(work / "about.json", json.dumps(about, indent=1))
        final.parent.mkdir(exist_ok=True)
        if final.exists() and not (final / "about.json").exists():
            shutil.rmtree(final, ignore_errors=True)
        # Another process may have made the same tokens meanwhile, from the text at another place: those are kept.
        with contextlib.suppress(OSError):
            work.rename(final)
        require((final / "about.json").exists(), "cache", cache, "a folder in which folders can be renamed")
        return final
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _split(settings: DataSettings, progress: Progress) -> tuple[list[str], list[str]]:
    """Return the documents to train on, in their order, and those held out, in the order of their hashes.

    A document is held out if the hash of its text, as a number in [0, 1), is below `validation_share`: copies of a
    document so fall on the same side. Where validation has a source of its own, whatever is in it is not trained on.
    """
    limit = math.inf if settings.megabytes is None else 1e6 * settings.megabytes
    texts = list(first_bytes(_read(settings, "source", progress), limit))
    if settings.validation_source:
        apart = list(_read(settings, "validation_source", progress))
    else:
        apart = [text for text in texts if is_held_out(text, settings.validation_share)]
    held = {hash_of(text): text for text in apart}
    train = [text for text in texts if hash_of(text) not in held]
    allowed = f"documents on both sides of the split; there are {len(texts)} in all"
    require(train, "data.source", settings.source, allowed)
    require(held, "data.validation_share", settings.validation_share, allowed)
    return train, [held[key] for key in sorted(held)]


def hash_of(text: str) -> bytes:
    """Return the SHA-256 of a document, by which copies of it are recognised."""
    return hashlib.sha256(text.encode()).digest()


def is_held_out(text: str, share: float) -> bool:
    """Whether a document is for validation.

    >>> is_held_out("some text", 1.0)
    True
    """
    return int.from_bytes(hash_of(text)[:8], "big") < share * 2**64


def _read(settings: DataSettings, field: str, progress: Progress) -> Iterator[str]:
    name = f"data.{field}"
    files = text_files(getattr(settings, field), name, settings.megabytes)
    for index, path in enumerate(files):
        progress("reading text", index, len(files))
        yield from documents([path], settings.documents, name)


def _tokenizer(settings: DataSettings, texts: list[str], path: Path) -> Tokenizer:
    kind, _, rest = settings.tokenizer.partition(":")
    if kind == "bpe":
        return train_bpe(int(rest), texts, path)
    tokenizer = named_tokenizer(settings.tokenizer)
    write_file(path, tokenizer.backend.to_str())
    return tokenizer


def _opened(folder: Path) -> TokenFiles:
    allowed = "whole files; remove this folder to have it made again"
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        digests = about.get("files", {})  # none in folders of older versions
        whole = all(_file_digest(folder / name) == digest for name, digest in digests.items())
        tokenizer = from_file(folder / "tokenizer.json")
        whole &= folder.name == _folder_name(about["text_sha256"], tokenizer)
        whole &= about["dtype"] in ("uint16", "uint32")
        parts = {}
        for part in ("train", "validation"):
            values = np.memmap(folder / f"{part}.bin", dtype=about["dtype"], mode="r")
            starts = read_npy(folder / f"{part}.starts.npy")
            whole &= len(values) == about[f"{part}_tokens"] and len(starts) == about[f"{part}_documents"] + 1
            parts[part] = Tokens(values, starts)
    except (OSError, EOFError, LookupError, AttributeError, *DAMAGED) as error:
        raise InputError("cache", folder, f"{allowed} ({type(error).__name__}: {one_line(error)})") from None
    require(whole, "cache", folder, allowed)
    return TokenFiles(parts["train"], parts["validation"], tokenizer, about, folder.name)


def _folder_name(text: str, tokenizer: Tokenizer) -> str:
    return _digest([text, tokenizer.digest, str(VERSION)])[:24]


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(parts: list[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()
