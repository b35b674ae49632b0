"""How large an optimizer's updates really are, to compare powers at matched update sizes.

A power p ≠ 1 changes the size of an update as well as its shape: a comparison at equal learning rates mixes the two.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gradpower.meters.module_snr import Rows

_CHUNKS = 16  # of the steps, whose means give the standard errors
_FEWEST_BATCHES = 4  # for the drift and its jackknife


@dataclass(frozen=True)
class Estimate:
    """A measured number and its standard error; NaN where there were too few steps."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class UpdateSize:
    """The update u_t = (θ_{t−1} − θ_t)/η of the groups of one name, without decoupled weight decay.

    Attributes
    ----------
    rms, mean_absolute : Estimate
        `√(mean of u²)` and the mean of |u|, over coordinates and steps.
    drift_squared : Estimate
        Mean over coordinates of (E u_i)², unbiased and so negative at times.
    cosine : Estimate
        Mean over steps of ⟨g, u⟩/(‖g‖‖u‖) with the raw gradient g: first-order progress for the movement.

    Examples
    --------
    >>> one = Estimate(1.0, 0.0)
    >>> UpdateSize("0", 10, 5, rms=one, mean_absolute=one, drift_squared=Estimate(0.25, 0.1), cosine=one).drift
    0.5
    """

    name: str
    steps: int  # measured
    coordinates: int  # looked at
    rms: Estimate
    mean_absolute: Estimate
    drift_squared: Estimate
    cosine: Estimate

    @property
    def drift(self) -> float:
        """`√max(0, drift_squared)`: the RMS over coordinates of the mean update."""
        return math.sqrt(max(self.drift_squared.value, 0.0))


class UpdateLog:
    """What was seen of the groups of one name: a row of numbers for each step, and sums of updates in batches.

    Only the device knows which steps count: 1 or 0 at the end of a row, and their number at the end of a batch.
    """

    def __init__(self, block: int) -> None:
        self.block, self.coordinates = block, 0
        self.rows = Rows(4)
        self.batches: list[Tensor] = []
        self.running_steps = 0

    def add(self, parts: list[tuple[Tensor, Tensor, float]], found_inf: Tensor | None) -> None:
        """Take in one step: the update and gradient of every tensor, and the weight of its coordinates."""
        device = parts[0][0].device
        sizes = [u.numel() for u, _, _ in parts]
        total = sum(weight * size for (_, _, weight), size in zip(parts, sizes, strict=True))
        roots = [math.sqrt(weight / total) for _, _, weight in parts]
        u = torch.cat([u.to(device) * root for (u, _, _), root in zip(parts, roots, strict=True)])
        g = torch.cat([g.to(device) * root for (_, g, _), root in zip(parts, roots, strict=True)])
        absolutes = [root * part.abs().sum() for root, part in zip(roots, torch.split(u, sizes), strict=True)]
        square, norms = u.dot(u), u.norm() * g.norm()
        cosine = torch.where(norms > 0, u.dot(g) / norms, 0.0)
        measured = torch.isfinite(square + norms)
        if found_inf is not None:
            measured &= found_inf.to(device) == 0
        self.rows.append(torch.stack([square, torch.stack(absolutes).sum(), cosine, measured]))
        if len(u) != self.coordinates:  # a group of this name was added: its drift begins anew
            self.coordinates, self.batches, self.running_steps = len(u), [], 0
        self._add_to_batch(torch.where(measured, torch.cat([u, u.new_ones(1)]), 0.0))

    def _add_to_batch(self, u: Tensor) -> None:
        if self.running_steps == 0:
            self.batches.append(u)
        else:
            self.batches[-1] += u
        self.running_steps = (self.running_steps + 1) % self.block
        if self.running_steps == 0 and len(self.batches) == _CHUNKS:
            self.batches = [a + b for a, b in zip(self.batches[::2], self.batches[1::2], strict=True)]
            self.block *= 2

    def size(self, name: str) -> UpdateSize:
        """Return what was seen, under a name."""
        rows = self.rows.table()
        squares, absolutes, cosines, _ = rows[rows[:, 3] > 0].T
        square = _mean(squares)
        rms = math.sqrt(square.value)
        error = square.standard_error / (2 * rms) if rms else square.standard_error
        return UpdateSize(
            name,
            len(squares),
            self.coordinates,
            rms=Estimate(rms, error),
            mean_absolute=_mean(absolutes),
            drift_squared=_drift(self.batches[:-1] if self.running_steps else self.batches),
            cosine=_mean(cosines),
        )


def _mean(values: Tensor) -> Estimate:
    """The mean over steps, and its error from the means over stretches of them."""
    chunks = min(_CHUNKS, len(values))
    if chunks < 2:
        return Estimate(float(values.mean()), math.nan)
    means = torch.stack([part.mean() for part in torch.tensor_split(values, chunks)])
    return Estimate(float(values.mean()), float(means.std()) / math.sqrt(chunks))


def _drift(batches: list[Tensor]) -> Estimate:
    """The mean of ⟨b_j, b_k⟩ over pairs of batches that are no neighbours, and its jackknife error."""
    n = len(batches)
    if n < _FEWEST_BATCHES:
        return Estimate(math.nan, math.nan)
    counts = torch.tensor([float(batch[-1]) for batch in batches], dtype=torch.float64, device="cpu")
    pairs = counts.outer(counts).triu(2)
    products = torch.zeros_like(pairs)
    for j, k in pairs.nonzero().tolist():
        products[j, k] = float(batches[j][:-1].dot(batches[k][:-1]))
    kept = 1 - torch.eye(n, dtype=torch.float64, device=pairs.device)  # row j: all but batch j
    left_out = ((kept @ products) * kept).sum(1) / ((kept @ pairs) * kept).sum(1)
    error = math.sqrt((n - 1) * float(left_out.var(correction=0)))
    return Estimate(float(products.sum() / pairs.sum()), error)
