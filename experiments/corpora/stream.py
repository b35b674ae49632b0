"""Sequences from a stream, in an order that can be resumed exactly (a library's shuffle buffer cannot be).

Documents are read file by file, shuffled within windows, and tokenized a few at a time. The position is the place in
the files at which the window began, the number of its documents used since, and the tokens left over.
"""

import hashlib
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.corpora.batches import Batch, Progress, document_rows, joined_rows
from experiments.corpora.hub import Reader, ends_digest, local_files, open_stream
from experiments.corpora.token_files import is_held_out
from experiments.corpora.tokenization import named_tokenizer
from experiments.recipes.settings import DataSettings
from gradpower.tools.errors import InputError, require

_AT_ONCE = 64  # documents tokenized at a time


class StreamData:
    """The data of a run on a stream, with all that `experiments.corpora.sequences.SequenceData` has.

    `tokens`, the name of tokens in the cache, is none. C4 has a validation split. Of OpenWebText, documents are held
    out by the hash of their text, and not trained on.
    """

    tokens = None

    def __init__(
        self, settings: DataSettings, *, seed: int, rank: int = 0, ranks: int = 1, progress: Progress
    ) -> None:
        self.settings, self.seed, self.ranks = settings, seed, ranks
        allowed = "t5, gpt2 or file:PATH for a streamed source"
        require(settings.tokenizer[:4] != "bpe:", "data.tokenizer", settings.tokenizer, allowed)
        self.tokenizer = named_tokenizer(settings.tokenizer)
        self._splits = settings.source.startswith("c4")
        self.reader = Reader(
            open_stream(settings.source, "train"),
            seed=seed,
            epochs=settings.epochs,
            rank=rank,
            ranks=ranks,
            held_out=0.0 if self._splits else settings.validation_share,
        )
        self.validation, self.validation_documents = self._validation(progress)
        self._used, self._left = 0, np.empty(0, dtype=np.int64)
        self._open_window(number=0)
        held = hashlib.sha256(self.validation.inputs.numpy().tobytes()).hexdigest()
        kept = {
            "source": settings.source,
            "files": self.reader.files,
            "tokenizer_sha256": self.tokenizer.digest,
            "sequence_length": settings.sequence_length,
            "packed": settings.packed,
            "validation_sha256": held,
        }
        local = local_files(settings.source, "train")
        kept |= {"files_sha256": ends_digest(local)} if local else {}
        self.fingerprint = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
        self.description: dict[str, Any] = {
            "tokenizer": settings.tokenizer,
            "vocabulary": self.tokenizer.size,
            "validation_sequences": len(self.validation.inputs),
            **kept,
        }

    def next_batch(self, batch_size: int) -> Batch:
        """Return this rank's share of the next `batch_size` sequences; InputError at the end of the documents."""
        rows, length = batch_size // self.ranks, self.settings.sequence_length
        if not self.settings.packed:
            texts = [self._next_document() for _ in range(rows)]
            return document_rows(texts, length, self.tokenizer.end, self.tokenizer.padding)
        parts, there, needed = [self._left], len(self._left), rows * length + 1
        while there < needed:
            parts.append(np.append(self._next_document(), self.tokenizer.end))
            there += len(parts[-1])
        tokens = np.concatenate(parts)
        # The last target is the first input of the next batch.
        self._left = tokens[needed - 1 :]
        return joined_rows(tokens[:needed], length)

    def state(self) -> dict[str, Any]:
        """Return the position."""
        window = {"start": self._start, "number": self._number, "used": self._used}
        return {**window, "left": torch.from_numpy(self._left.copy())}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a position."""
        self.reader.restore(state["start"])
        self._open_window(state["number"])
        self._used, self._left = state["used"], state["left"].numpy()
        self._ready = self._tokenized(self._window[self._used :])

    def _open_window(self, number: int) -> None:
        """Read the next window of documents and shuffle it."""
        self._start, self._number, self._used = self.reader.state(), number, 0
        texts = list(islice(self.reader, self.settings.shuffle_window))
        order = np.random.default_rng([self.seed, 1, number]).permutation(len(texts))
        self._window = [texts[i] for i in order]
        self._ready = self._tokenized(self._window)

    def _tokenized(self, texts: list[str]) -> Iterator[NDArray[np.int64]]:
        for begin in range(0, len(texts), _AT_ONCE):
            for ids in self.tokenizer.encode(texts[begin : begin + _AT_ONCE]):
                yield np.asarray(ids, dtype=np.int64)

    def _next_document(self) -> NDArray[np.int64]:
        document = next(self._ready, None)
        if document is None:
            self._open_window(self._number + 1)
            document = next(self._ready, None)
        if document is None:
            allowed = f"more text: all its documents are used up after data.epochs = {self.settings.epochs:g}"
            raise InputError("data.source", self.settings.source, allowed)
        self._used += 1
        return document

    def _validation(self, progress: Progress) -> tuple[Batch, NDArray[np.int64]]:
        """Return the first sequences of the validation split, or of the documents held out, whatever the seed.

        And the number of the document in which each begins.
        """
        settings = self.settings
        length, wanted = settings.sequence_length, settings.validation_sequences
        tokens: list[int] = []
        starts: list[int] = []
        rows: list[NDArray[np.int64]] = []
        for row in open_stream(settings.source, "validation" if self._splits else "train"):
            if not self._splits and not is_held_out(row["text"], settings.validation_share):
                continue
            (ids,) = self.tokenizer.encode([row["text"]])
            if settings.packed:
                starts.append(len(tokens))
                tokens += [*ids, self.tokenizer.end]
            else:
                rows.append(np.asarray(ids, dtype=np.int64))
            done = len(rows) or (len(tokens) - 1) // length
            progress("reading the validation set", min(done, wanted), wanted)
            if done >= wanted:
                break
        count = min(wanted, len(rows) or max(0, (len(tokens) - 1) // length))
        require(count >= 2, "data.source", settings.source, "validation text for two sequences or more")
        if rows:
            batch = document_rows(rows[:count], length, self.tokenizer.end, self.tokenizer.padding)
            return batch, np.arange(count)
        batch = joined_rows(np.asarray(tokens[: count * length + 1], dtype=np.int64), length)
        return batch, np.searchsorted(starts, length * np.arange(count), side="right") - 1
