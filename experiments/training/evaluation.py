"""The loss on the validation set, with its standard error, and by the frequency of the target."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from experiments.corpora import IGNORED, Batch
from experiments.training.frequency import Tenths
from experiments.training.losses import batch_loss

if TYPE_CHECKING:
    from experiments.corpora import Data
    from experiments.training.devices import Devices


@dataclass(frozen=True)
class Evaluation:
    """Loss on the validation set, of `sequences` from `documents` with `targets` tokens in all."""

    loss: float
    """Mean cross-entropy of a token in nats: Σ s_j/Σ n_j over sequences j with n_j targets and summed loss s_j."""
    standard_error: float
    """Of that ratio, √(D/(D−1)·Σ_d r_d²)/Σ n_j with r_d = Σ(s_j − loss·n_j) over the sequences of document d.

    The D documents are taken as independent draws; the sequences of one are not."""
    sequences: int
    documents: int
    targets: int
    expert_load: list[list[float]] | None = None
    """Each expert's share of the routed tokens times the number of experts, by layer: 1 is balanced."""


def summarise(sums: Tensor, counts: Tensor, documents: Tensor, load: Tensor | None = None) -> Evaluation:
    """Return the evaluation of sequences with summed losses `sums`, `counts` targets and numbers of their documents.

    All of shape (sequences,).

    >>> evaluation = summarise(torch.tensor([2.0, 4.0]), torch.tensor([1, 1]), torch.tensor([0, 7]))
    >>> evaluation.loss, evaluation.standard_error, evaluation.documents
    (3.0, 1.0, 2)
    """
    s, n = sums.double(), counts.double()
    loss = float(s.sum() / n.sum())
    numbers, place = torch.unique(documents, return_inverse=True)
    apart = len(numbers)
    residuals = torch.zeros(apart, dtype=torch.float64).index_add_(0, place, s - loss * n)
    square = float(residuals.square().sum())
    error = math.sqrt(apart / (apart - 1) * square) / float(n.sum()) if apart > 1 else math.nan
    shares = None if load is None else (load.double() / load.double().mean(1, keepdim=True)).tolist()
    return Evaluation(loss, error, len(s), apart, int(n.sum()), shares)


@torch.no_grad()
def evaluate(
    model: nn.Module, data: Data, tenths: Tenths, devices: Devices, rows_at_a_time: int
) -> dict[str, Any]:
    """Return an `Evaluation` on the whole validation set as a line of metrics, with loss and calibration by tenth."""
    model.eval()
    validation, ranks, rank = data.validation, devices.ranks, devices.rank
    count, documents = len(validation.inputs), torch.from_numpy(data.validation_documents)
    # Every rank runs equally often, as FSDP needs; rows that are repeated for it are cut off again.
    share = -(-count // ranks)
    mine = torch.arange(rank * share, (rank + 1) * share).remainder(count)
    sums, counts, by_tenth, predicted, loads = [], [], [], [], []
    logits: list[Tensor] = []
    for rows in torch.split(mine, rows_at_a_time):
        batch = devices.moved(Batch(validation.inputs[rows], validation.targets[rows]))
        with devices.accelerator.autocast():
            out = batch_loss(model, batch, look=logits.append)
        sums.append(out.losses.double().sum(1))
        counts.append((validation.targets[rows] != IGNORED).sum(1).to(devices.device))
        by_tenth.append(tenths.sums(out.losses, batch.targets))
        predicted.append(tenths.predicted(logits.pop(), batch.targets))
        if out.expert_load is not None:
            loads.append(out.expert_load)
    model.train()
    gathered = [
        devices.gathered(torch.cat(parts)).cpu()[:count] for parts in (sums, counts, by_tenth, predicted)
    ]
    load = devices.summed(torch.stack(loads).sum(0)).cpu() if loads else None
    row = asdict(summarise(gathered[0], gathered[1], documents, load))
    row["validation_loss"] = row.pop("loss")
    row["loss_by_frequency"] = tenths.means(gathered[2])
    row["calibration_by_frequency"] = tenths.calibration(gathered[3])
    return row
