"""Batches of tokens."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Progress = Callable[[str, int, int], None]  # told of work before the first batch: what, done, total
IGNORED = -100  # the target where there is no loss, as PyTorch has it


class Batch(NamedTuple):
    """Rows of tokens, shape (rows, length), int64."""

    inputs: Tensor
    targets: Tensor
    """The token that follows each of them; `IGNORED` where there is none."""


def joined_rows(tokens: NDArray[np.int64], length: int) -> Batch:
    """Return the batch of sequences cut one after the other from joined documents: the last target begins the next.

    >>> joined_rows(np.array([5, 6, 7, 8, 9]), 2)
    Batch(inputs=tensor([[5, 6],
            [7, 8]]), targets=tensor([[6, 7],
            [8, 9]]))
    """
    joined = torch.from_numpy(tokens)
    return Batch(joined[:-1].reshape(-1, length).clone(), joined[1:].reshape(-1, length).clone())


def document_rows(documents: list[NDArray[np.int64]], length: int, end: int, padding: int) -> Batch:
    """Return the batch with one document a row: cut to `length` − 1 tokens, ended, and padded on the right.

    This is what T5's tokenizer does with truncation and padding to a greatest length, as in the authors' C4 loader: a
    document that is cut is ended all the same. Padding has no loss.

    >>> document_rows([np.array([5, 6]), np.array([5, 6, 7, 8])], 4, end=1, padding=0)
    Batch(inputs=tensor([[5, 6, 1, 0],
            [5, 6, 7, 1]]), targets=tensor([[   6,    1, -100, -100],
            [   6,    7,    1, -100]]))
    """
    inputs = torch.full((len(documents), length), padding, dtype=torch.long)
    targets = torch.full_like(inputs, IGNORED)
    for row, document in enumerate(documents):
        kept = torch.from_numpy(np.append(document[: length - 1], end))
        inputs[row, : len(kept)] = kept
        targets[row, : len(kept) - 1] = kept[1:]
    return Batch(inputs, targets)
