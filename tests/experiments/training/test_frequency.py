"""The loss by the frequency of the target: the tenths, and what a run says of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from experiments.corpora import IGNORED, open_data
from experiments.training.execution import Execution
from experiments.training.frequency import Tenths
from experiments.training.loop import train
from tests.experiments.texts import small_recipe, write_text


def test_tenths_are_equal_where_no_token_is_frequent():
    targets = torch.from_numpy(np.random.default_rng(0).integers(0, 200, (40, 50)))
    tenths = Tenths(targets, 300)
    assert int(tenths.counts.sum()) == targets.numel()
    assert tenths.counts.numpy() == pytest.approx(200, abs=20)
    frequency = torch.bincount(targets.flatten(), minlength=300)
    lowest = [int(frequency[tenths.of_token == k].max()) for k in range(10)]
    assert lowest == sorted(lowest)


def test_sums_leave_out_what_has_no_target():
    targets = torch.tensor([[0, 1, IGNORED], [1, 1, 2]])
    tenths = Tenths(targets, 3)
    losses = torch.tensor([[1.0, 2.0, 0.0], [3.0, 4.0, 5.0]])
    sums = tenths.sums(losses, targets)
    assert sums.shape == (2, 10)
    assert sums.sum(1).tolist() == [3.0, 12.0]
    assert sums[:, tenths.of_token[1]].tolist() == [2.0, 7.0]


def test_a_model_that_knows_the_frequencies_is_calibrated():
    targets = torch.from_numpy(np.random.default_rng(0).integers(0, 200, (40, 50)))
    targets[:, 40:] = IGNORED
    tenths = Tenths(targets, 200)
    counts = torch.bincount(targets[targets != IGNORED], minlength=200)
    logits = counts.log().expand(40, 50, 200)
    assert tenths.calibration(tenths.predicted(logits, targets)) == pytest.approx([0.0] * 10, abs=1e-6)
    rarest = logits + torch.where(tenths.of_token == 0, np.log(2.0), 0.0)
    assert tenths.calibration(tenths.predicted(rarest, targets))[0] == pytest.approx(
        np.log(2 / 1.1), abs=0.01
    )


@pytest.mark.slow
@pytest.mark.parametrize("packed", [True, False])
def test_a_runs_tenths_add_up_to_its_loss(tmp_path, packed):
    made = small_recipe(write_text(tmp_path), data__packed=packed, data__sequence_length=64)
    execution = Execution(device="cpu", threads=1, log_every=1, cache=tmp_path / "cache")
    last = train(made, tmp_path / "run", execution=execution).result.evaluations[-1]
    data = open_data(
        made.data, seed=0, sequences=1, vocabulary=made.model.vocabulary, cache=execution.cache
    ).validation
    counts = Tenths(data.targets, made.model.vocabulary).counts.tolist()
    total = sum(n * mean for n, mean in zip(counts, last["loss_by_frequency"], strict=True) if n)
    assert total / sum(counts) == pytest.approx(last["validation_loss"], rel=1e-9)
    predicted = [n * np.exp(x) for n, x in zip(counts, last["calibration_by_frequency"], strict=True) if n]
    assert sum(predicted) == pytest.approx(sum(counts), rel=0.01)  # what is left is of tenths without targets
