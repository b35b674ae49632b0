"""Opening the data of a run."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from experiments.corpora.batches import Progress
from experiments.recipes.settings import DataSettings
from gradpower.tools.errors import require

if TYPE_CHECKING:
    from experiments.corpora.sequences import SequenceData
    from experiments.corpora.stream import StreamData

Data: TypeAlias = "SequenceData | StreamData"


def require_text(settings: DataSettings) -> None:
    """Raise InputError unless local text is where the settings say; it is not read."""
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
    tokens: str | None = None,
    rank: int = 0,
    ranks: int = 1,
    progress: Progress = lambda what, done, total: None,
) -> Data:
    """Open the data of a run, tokenizing it first if it is local text that is not in the cache yet.

    Parameters
    ----------
    seed : int
        Of the order of sequences.
    sequences : int
        How many the run will take, on all ranks.
    vocabulary : int
        Rows of the model's embedding.
    cache : Path, optional
        Folder of tokenized text; $GRADPOWER_CACHE or ~/.cache/gradpower if not given.
    tokens : str, optional
        Those with which the run began: python-source is other text once a package is installed.

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

        cache = cache or Path(os.environ.get("GRADPOWER_CACHE") or Path("~/.cache/gradpower").expanduser())
        known = tokens if settings.source == "python-source" else None
        files = token_files(settings, cache, progress, known)
        data = SequenceData(settings, files, seed=seed, sequences=sequences, rank=rank, ranks=ranks)
    there = data.description["vocabulary"]
    allowed = f"at least {there}, the tokens of data.tokenizer = {settings.tokenizer}"
    require(there <= vocabulary, "model.vocabulary", vocabulary, allowed)
    return data
