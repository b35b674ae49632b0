"""The validation loss by the frequency of the target, and whether the model expects rare tokens often enough."""

import torch
from torch import Tensor

from experiments.corpora import IGNORED


class Tenths:
    """Tenths of the targets of a validation set, from those of the rarest tokens to those of the most frequent.

    Tokens are put in order of their frequency; one that reaches into two tenths belongs to that of its middle.

    Examples
    --------
    >>> tenths = Tenths(torch.tensor([[0, 1, 1, 1], [2, 2, 2, 2]]), vocabulary=4)
    >>> tenths.of_token.tolist()
    [0, 3, 7, 0]
    >>> tenths.counts.tolist()
    [1, 0, 0, 3, 0, 0, 0, 4, 0, 0]
    """

    def __init__(self, targets: Tensor, vocabulary: int) -> None:
        counts = torch.bincount(targets[targets != IGNORED], minlength=vocabulary)
        order = counts.argsort(stable=True)
        middle = counts[order].cumsum(0) - counts[order] / 2
        self.of_token = torch.empty_like(order)
        self.of_token[order] = (10 * middle / counts.sum()).long().clamp(max=9)
        self.counts = torch.zeros(10, dtype=counts.dtype).index_add_(0, self.of_token, counts)

    def sums(self, losses: Tensor, targets: Tensor) -> Tensor:
        """Return the sums of losses, 0 where there is no target, by row and tenth: shape (rows, 10)."""
        tenth = self.of_token.to(targets.device)[targets.clamp(min=0)]
        sums = torch.zeros(len(losses), 10, dtype=torch.float64, device=losses.device)
        return sums.scatter_add_(1, tenth, losses.double())

    def predicted(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the probability of each tenth's tokens, summed over the places with a target: shape (rows, 10)."""
        counted = (targets != IGNORED).to(logits.dtype)
        of_tokens = torch.einsum("rlv,rl->rv", logits.softmax(-1), counted).double()
        sums = torch.zeros(len(logits), 10, dtype=torch.float64, device=logits.device)
        return sums.index_add_(1, self.of_token.to(logits.device), of_tokens)

    def calibration(self, predicted: Tensor) -> list[float]:
        """Return ln(predicted/actual number of targets) of each tenth: below 0, its tokens are expected too rarely.

        Examples
        --------
        >>> targets = torch.tensor([[0, 1, 1, 1]])
        >>> tenths = Tenths(targets, vocabulary=2)
        >>> logits = torch.tensor([0.5, 0.5]).log().expand(1, 4, 2)
        >>> [round(x, 3) for x in tenths.calibration(tenths.predicted(logits, targets)) if x > -9]
        [0.693, -0.405]
        """
        logarithms: list[float] = (predicted.sum(0).cpu() / self.counts).log().tolist()
        return logarithms

    def means(self, sums: Tensor) -> list[float]:
        """Return the mean loss of each tenth from the sums of all rows; NaN in one that no token belongs to."""
        means: list[float] = (sums.sum(0).cpu() / self.counts).tolist()
        return means
