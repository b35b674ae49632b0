"""Sequences cut from tokenized text, in an order that the seed decides; a position is one number."""

import hashlib
import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.corpora.batches import Batch, document_rows
from experiments.corpora.token_files import TokenFiles, Tokens
from experiments.recipes.settings import DataSettings
from gradpower.tools.errors import require


class SequenceData:
    """The data of a run on tokenized text, as one rank sees it.

    `validation` is the whole validation set, the same on every rank and in every arm of a study, and
    `validation_documents` the number of the document in which each of its sequences begins. `fingerprint` names
    the text, its tokens and how sequences are cut, not their order; `description` says where the text comes from.

    Sequence i of a run is number π_e(i mod n) of the n that there are, with e = ⌊i/n⌋ and a permutation π_e that the
    seed and e decide: the same in every arm of a seed, whatever its batch size, and on any number of ranks. Raises
    InputError if there are too few tokens for the `sequences` of the run or for validation.
    """

    def __init__(
        self, settings: DataSettings, files: TokenFiles, *, seed: int, sequences: int, rank: int, ranks: int
    ) -> None:
        self.settings, self.files, self.seed = settings, files, seed
        self.tokens = files.name
        self.rank, self.ranks, self.position = rank, ranks, 0
        self.available = self._count(files.train)
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)
        self._require_enough(sequences)
        self.validation, self.validation_documents = self._validation()
        kept = {
            "text_sha256": files.about["text_sha256"],
            "tokenizer_sha256": files.tokenizer.digest,
            "sequence_length": settings.sequence_length,
            "packed": settings.packed,
            "validation_sequences": len(self.validation.inputs),
        }
        self.fingerprint = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
        self.description: dict[str, Any] = {
            "source": settings.source,
            "tokenizer": settings.tokenizer,
            "vocabulary": files.tokenizer.size,
            "available_sequences": self.available,
            **kept,
            **{key: value for key, value in files.about.items() if key.startswith(("train_", "validation_"))},
        }

    def next_batch(self, batch_size: int) -> Batch:
        """Return this rank's share of the next `batch_size` sequences."""
        share = batch_size // self.ranks
        begin = self.position + self.rank * share
        self.position += batch_size
        return self._rows(self.files.train, [self._shuffled(i) for i in range(begin, begin + share)])

    def state(self) -> dict[str, Any]:
        """Return the number of sequences taken by all ranks."""
        return {"position": self.position}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on after so many sequences."""
        self.position = int(state["position"])

    def _shuffled(self, index: int) -> int:
        epoch, place = divmod(index, self.available)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self.seed, epoch]).permutation(self.available)
        return int(self._order[place])

    def _count(self, tokens: Tokens) -> int:
        if not self.settings.packed:
            return len(tokens.starts) - 1
        return max(0, (len(tokens.values) - 1) // self.settings.sequence_length)

    def _rows(self, tokens: Tokens, numbers: list[int] | NDArray[np.int64]) -> Batch:
        length = self.settings.sequence_length
        if self.settings.packed:
            begins = length * np.asarray(numbers, dtype=np.int64)
            windows = tokens.values[begins[:, None] + np.arange(length + 1)].astype(np.int64)
            rows = torch.from_numpy(windows)
            return Batch(rows[:, :-1].contiguous(), rows[:, 1:].contiguous())
        texts = [tokens.document(int(i)) for i in numbers]
        tokenizer = self.files.tokenizer
        return document_rows(texts, length, tokenizer.end, tokenizer.padding)

    def _validation(self) -> tuple[Batch, NDArray[np.int64]]:
        """Return sequences spread evenly over the documents held out, whose order is that of their hashes."""
        there = self._count(self.files.validation)
        count = min(there, self.settings.validation_sequences)
        allowed = "enough text for two sequences or more; hold out more, or shorten data.sequence_length"
        require(count >= 2, "data.validation_share", self.settings.validation_share, allowed)
        spread = np.linspace(0, there - 1, count).astype(np.int64)
        begins = self.settings.sequence_length * spread
        starts = self.files.validation.starts
        documents = np.searchsorted(starts, begins, side="right") - 1 if self.settings.packed else spread
        return self._rows(self.files.validation, spread), documents

    def _require_enough(self, sequences: int) -> None:
        settings, length = self.settings, self.settings.sequence_length
        name, unit = ("tokens", length) if settings.packed else ("documents", 1)
        most = int(settings.epochs * self.available)
        allowed = (
            f"{sequences * unit} {name} to train on; there are {self.available * unit} for data.epochs = "
            f"{settings.epochs:g}, {(sequences - most) * unit} too few: use more text, fewer steps or more epochs"
        )
        require(sequences <= most, "data.source", settings.source, allowed)
        longest = length if settings.packed else int(np.diff(self.files.train.starts).max())
        allowed = f"at most {longest}, the longest document with its end, when data.packed is false"
        require(length <= longest, "data.sequence_length", length, allowed)
