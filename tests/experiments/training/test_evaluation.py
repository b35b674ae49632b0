"""The standard error of the validation loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from experiments.training.evaluation import summarise


def test_standard_error_is_that_of_resampled_sequences():
    rng = np.random.default_rng(0)
    counts = rng.integers(5, 50, size=300)
    sums = counts * rng.normal(3.0, 0.4, size=300)
    evaluation = summarise(torch.tensor(sums), torch.tensor(counts), torch.arange(300))
    assert evaluation.loss == pytest.approx(sums.sum() / counts.sum(), rel=1e-12)
    rows = rng.integers(300, size=(4000, 300))
    resampled = sums[rows].sum(1) / counts[rows].sum(1)
    # The bootstrap's own error is about 1/√(2·4000) = 1 %, and it divides by n instead of n − 1.
    assert evaluation.standard_error == pytest.approx(resampled.std(), rel=0.05)
    assert (evaluation.sequences, evaluation.targets) == (300, counts.sum())


def test_standard_error_counts_documents_not_their_sequences():
    """Copies of a sequence within its document tell nothing new."""
    sums, counts = torch.tensor([3.0, 5.0, 4.0, 9.0]), torch.tensor([1, 1, 2, 3])
    once = summarise(sums, counts, torch.arange(4))
    copies = summarise(sums.repeat(5), counts.repeat(5), torch.arange(4).repeat(5))
    assert copies.loss == pytest.approx(once.loss, rel=1e-14)
    assert copies.standard_error == pytest.approx(once.standard_error, rel=1e-14)
    assert (copies.sequences, copies.documents) == (20, 4)


def test_one_document_has_no_standard_error():
    assert math.isnan(
        summarise(torch.tensor([3.0, 4.0]), torch.tensor([2, 1]), torch.tensor([5, 5])).standard_error
    )
