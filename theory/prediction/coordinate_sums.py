"""Sums of Adam's expected update over the measured coordinates of a module, by table, free of the means' own noise."""

from __future__ import annotations

from functools import lru_cache
from math import comb

import numpy as np

from gradpower.tools.errors import InputError
from theory.measured.micro_batch_gradients import MicroBatchGradients
from theory.numerics.inputs import Array, positive
from theory.prediction.predicted_power import AdamSettings, Sums
from theory.prediction.update_table import FINE, UpdateTable, at_epsilon, smoothing

_BIN = 0.2  # width in ln σ of a bin of coordinates
_ORDER = 4  # of the extrapolation that takes the error of the means out


class Coordinates:
    """The coordinates of a module, counted by σ and d = μ̂/σ for each jackknife group and either role of the halves.

    Parameters
    ----------
    data : MicroBatchGradients
        The measurement at micro-batches of size b.
    ratio : float
        B/b of the batch that is asked about: σ_B = σ·√(b/B).
    clip_factor : float
        What clipping multiplies the gradients of this batch by.

    Raises
    ------
    InputError
        If B exceeds the sequences of a half, N·b/2: then the means are less certain than a batch of B is noisy.
    """

    def __init__(self, data: MicroBatchGradients, ratio: float, clip_factor: float = 1.0) -> None:
        positive("ratio", ratio)
        if ratio > data.half:
            raise InputError("batch_sizes", f"{ratio:g} micro-batches", f"at most {data.half}, half of them")
        self.width = float(np.sqrt(ratio / data.half))
        self.weight = data.weight
        sigma = data.sigma / np.sqrt(ratio)
        varies = sigma[0] > 0
        log_sigma = np.log(sigma[0, varies]) if np.any(varies) else np.zeros(1)
        low = float(log_sigma.min()) - 2 * _BIN  # leaving a group out moves σ a little
        self.log_sigma = low + _BIN * np.arange(int((float(log_sigma.max()) - low) / _BIN) + 4)
        self.sigma_after_clipping = self.log_sigma + float(np.log(positive("clip_factor", clip_factor)))
        self.products = np.array([
            (self._deposit(a, b, s) + self._deposit(b, a, s)) / 2
            for a, b, s in zip(data.mean_a, data.mean_b, sigma, strict=True)
        ])  # fmt: skip
        self.counts = np.array([
            self._deposit(None, (a + b) / 2, s)
            for a, b, s in zip(data.mean_a, data.mean_b, sigma, strict=True)
        ])  # fmt: skip

    def _deposit(self, weight: Array | None, mean: Array, sigma: Array) -> Array:
        """Share each coordinate among the four nearest points of the grid of (ln σ, ln|d|)."""
        kept = sigma > 0
        d = np.abs(mean[kept]) / sigma[kept]
        log_d = np.clip(np.log(np.maximum(d, 1e-300)), FINE[0], FINE[-1])
        x = np.clip((np.log(sigma[kept]) - self.log_sigma[0]) / _BIN, 0, self.log_sigma.size - 1.001)
        y = np.clip((log_d - FINE[0]) / (FINE[1] - FINE[0]), 0, FINE.size - 1.001)
        mass = np.full(d.shape, self.weight)
        if weight is not None:
            # what is looked up is E u/d; beyond the table E u no longer grows with d
            mass = mass * weight[kept] * np.sign(mean[kept]) * np.minimum(d, np.exp(FINE[-1]))
        i, j = x.astype(np.int64), y.astype(np.int64)
        found = np.zeros(self.log_sigma.size * FINE.size)
        for across, part_x in ((0, 1 - (x - i)), (1, x - i)):
            for along, part_y in ((0, 1 - (y - j)), (1, y - j)):
                cell = (i + across) * FINE.size + j + along
                found += np.bincount(cell, mass * part_x * part_y, minlength=found.size)
        return found.reshape(self.log_sigma.size, FINE.size)

    def sums(self, table: UpdateTable, adam: AdamSettings, *, debias: bool = True) -> Sums:
        """Look the update up in a table and sum.

        With μ̂_B = μ + e in place of μ, `E μ̂_A·U(μ̂_B) = μ·(U∗γ)(μ)` with γ the Gaussian law of e. So the table is
        replaced by the value at −1 of the polynomial of degree 4 through the averages U∗γ_k with k = 0, …, 4 times the
        variance of e: `Σ_k (−1)^k·C(5, k+1)·U∗γ_k`, whose own average over e is U but for terms of fifth order in
        that variance. What remains is small while B is well below the sequences of the measurement.

        Parameters
        ----------
        table : UpdateTable
            Of the module's law at this batch.
        adam : AdamSettings
            For ε.
        debias : bool
            False: look U itself up.
        """
        d = np.exp(FINE)[:, None]
        drift, square = table.fine
        if debias:
            odd = _inverse_smoothing(self.width, True)
            even = _inverse_smoothing(self.width / float(np.sqrt(2)), False)
            drift, square = (np.einsum("ij,pje->pie", m, v) for m, v in ((odd, drift), (even, square)))
        log_epsilon = adam.log_epsilon(table.powers)
        products, counts = (grid.reshape(len(grid), -1) for grid in (self.products, self.counts))
        decrease, squares = [], []
        for index, p in enumerate(table.powers):
            x = log_epsilon[index] - p * self.sigma_after_clipping
            decrease.append(products @ at_epsilon(drift[index] / d, x, 1).T.ravel())
            squares.append(counts @ at_epsilon(square[index], x, 2).T.ravel())
        return Sums(np.array(decrease).T, np.array(squares).T)


@lru_cache(maxsize=32)
def _inverse_smoothing(width: float, odd: bool) -> Array:
    average = [np.eye(FINE.size), *(smoothing(width * np.sqrt(k), odd=odd) for k in range(1, _ORDER + 1))]
    shares = [(-1) ** k * comb(_ORDER + 1, k + 1) for k in range(_ORDER + 1)]
    return np.asarray(sum(share * matrix for share, matrix in zip(shares, average, strict=True)))
