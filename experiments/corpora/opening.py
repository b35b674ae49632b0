"""Opening the data of a run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from experiments.corpora.batches import Data
from experiments.recipes.settings import DataSettings
from gradpower.tools.errors import InputError


def cache_folder(cache: Path | None = None) -> Path:
    """Return the folder of tokenized text: `cache`, $GRADPOWER_CACHE or ~/.cache/gradpower.

    >>> cache_folder(Path("here"))
    PosixPath('here')
    """
    if cache is not None:
        return cache
    return Path(os.environ.get("GRADPOWER_CACHE") or Path("~/.cache/gradpower").expanduser())


def require_text(settings: DataSettings) -> None:
    """Check that local text is where the settings say, without reading it.

    Raises
    ------
    InputError
        If a path is not there, or holds nothing that can be read.
    """
    from experiments.corpora.documents import text_files

    for name in ("source", "validation_source"):
        source = getattr(settings, name)
        if source is not None and source.startswith("text:"):
            text_files(source, f"data.{name}")


def open_data(
    settings: DataSettings,
    *,
    seed: int,
    sequences: int,
    vocabulary: int,
    cache: Path | None = None,
    rank: int = 0,
    ranks: int = 1,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Data:
    """Open the data of a run, tokenizing it first if it is local text that is not in the cache yet.

    Parameters
    ----------
    settings : DataSettings
        The text, its tokens, and how sequences are cut.
    seed : int
        Of their order.
    sequences : int
        How many the run will take, on all ranks.
    vocabulary : int
        Rows of the model's embedding.
    cache : Path, optional
        See `cache_folder`.
    rank, ranks : int
        Which share is this process's.
    progress : callable
        Told what is done before the first batch: work, done, total.

    Raises
    ------
    InputError
        If the text cannot be had, is too little for the run, or has more tokens than the model.
    """
    data: Data
    if settings.streamed:
        from experiments.corpora.stream import StreamData

        data = StreamData(settings, seed=seed, rank=rank, ranks=ranks, progress=progress)
    else:
        from experiments.corpora.sequences import SequenceData
        from experiments.corpora.token_files import token_files

        files = token_files(settings, cache_folder(cache), progress)
        data = SequenceData(settings, files, seed=seed, sequences=sequences, rank=rank, ranks=ranks)
    there = data.description["vocabulary"]
    if there > vocabulary:
        allowed = f"at least {there}, the tokens of data.tokenizer = {settings.tokenizer}"
        raise InputError("model.vocabulary", vocabulary, allowed)
    return data
