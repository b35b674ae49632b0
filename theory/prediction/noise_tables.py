"""The laws under which the best power is predicted, as tables: uniform, generalized normal of any shape, empirical."""

from __future__ import annotations

import math

import numpy as np

from theory.laws import Uniform
from theory.numerics.inputs import Array
from theory.prediction.predicted_power import AdamSettings
from theory.prediction.update_table import SymmetricAtoms, UpdateTable, update_table

LOG_SHAPES = np.log(np.geomspace(0.25, 16.0, 13))  # where generalized-normal tables are made
_DRAWS = 2**20


class Tables:
    """The tables of one search, made when they are asked for and kept.

    Parameters
    ----------
    powers : ndarray
        From `search_powers`.
    adam : AdamSettings
        For the decay rates.
    """

    def __init__(self, powers: Array, adam: AdamSettings) -> None:
        self.powers, self.adam = powers, adam
        self._shaped: dict[int, UpdateTable] = {}
        self._uniform: UpdateTable | None = None

    def uniform(self) -> UpdateTable:
        """The paper's law, with σ its standard deviation as everywhere here."""
        self._uniform = self._uniform or self._made(Uniform(), math.sqrt(3))
        return self._uniform

    def generalized_normal(self, shape: float) -> UpdateTable:
        """Any shape, through the three nearest of `LOG_SHAPES`: quadratic in ln b."""
        x = float(np.clip(np.log(shape), LOG_SHAPES[0], LOG_SHAPES[-1]))
        middle = int(np.clip(np.argmin(np.abs(LOG_SHAPES - x)), 1, LOG_SHAPES.size - 2))
        near = [middle - 1, middle, middle + 1]
        nodes = LOG_SHAPES[near]
        shares = [np.prod([(x - o) / (n - o) for o in nodes if o != n]) for n in nodes]
        for index in near:
            if index not in self._shaped:
                law = SymmetricAtoms.of_shape(float(np.exp(LOG_SHAPES[index])))
                self._shaped[index] = self._made(law)
        tables = [self._shaped[index] for index in near]
        drift, size = (
            np.asarray(sum(s * getattr(t, name) for s, t in zip(shares, tables, strict=True)))
            for name in ("drift", "size")
        )
        return UpdateTable(self.powers, tables[0].log_signal, drift, size)

    def empirical(self, residuals: Array, ratio: int, seed: int) -> UpdateTable:
        """The law of means of `ratio` residuals of one coordinate, drawn with replacement; symmetrised."""
        return self._made(SymmetricAtoms.of_samples(averaged_residuals(residuals, ratio, seed)))

    def _made(self, law: Uniform | SymmetricAtoms, scale: float = 1.0) -> UpdateTable:
        betas = {"beta1": self.adam.beta1, "beta2": self.adam.beta2}
        return update_table(law, self.powers, **betas, scale=scale)


def averaged_residuals(residuals: Array, ratio: int, seed: int) -> Array:
    """Means of `ratio` residuals of one column, drawn with replacement and scaled back by √ratio; all, if ratio is 1.

    >>> averaged_residuals(np.ones((8, 3)), 4, seed=0).max()
    np.float64(2.0)
    """
    if ratio == 1:
        return residuals
    generator = np.random.default_rng(seed)
    count, columns = residuals.shape
    draws = int(np.clip(_DRAWS // columns, 1, count))
    total = np.zeros((draws, columns))
    everyone = np.arange(columns)
    for _ in range(ratio):
        total += residuals[generator.integers(0, count, (draws, columns)), everyone]
    return np.asarray(total / np.sqrt(ratio))
