"""Noise given by samples, for instance measured gradient noise."""

from __future__ import annotations

from copy import copy
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from gradpower.tools.errors import InputError, require
from gradpower.tools.reading import one_line
from theory.laws.base import NoiseLaw
from theory.numerics.inputs import Array, read_npy
from theory.numerics.quadrature import FoldedRule, atoms, compress, panel_width

_REFLECTED = "reflected "
_COMPRESS_ABOVE = 512  # atoms; below, the sums over the atoms themselves are cheaper


class Empirical(NoiseLaw):
    """ξ uniform over the given samples, centred and divided by their standard deviation.

    Centring and scaling leave the shape alone, so that μ and σ mean the same for every law. The samples are at least
    two different finite numbers.
    """

    symmetric = False

    def __init__(self, samples: ArrayLike, name: str = "empirical") -> None:
        given = np.asarray(samples)
        if given.size == 0 or given.dtype.kind not in "fiu" or not np.all(np.isfinite(given)):
            raise InputError("law", name, "samples that are finite real numbers, at least two")
        values = given.astype(np.float64).ravel()
        require(np.ptp(values / 2) != 0, "law", name, "samples that are not all equal")
        self.name = name
        scaled = values / np.abs(values).max()  # out of the way of under- and overflow
        self.samples = np.sort((scaled - scaled.mean()) / scaled.std())
        self.reach = float(np.abs(self.samples).max())

    @classmethod
    def from_file(cls, path: str) -> Empirical:
        """Read samples from a .npy file or from text (numbers separated by white space)."""
        name = f"empirical:{path}"
        require(Path(path).is_file(), "law", name, "a .npy or text file of numbers that exists")
        try:
            if Path(path).suffix == ".npy":
                return cls(read_npy(Path(path)), name)
            return cls(np.array(Path(path).read_text(encoding="utf-8").split(), dtype=np.float64), name)
        except InputError:
            raise
        except (OSError, ValueError) as error:
            allowed = f"a readable .npy or text file of numbers ({one_line(error)})"
            raise InputError("law", name, allowed) from None

    def symmetrised(self) -> Empirical:
        """The law of the samples and their negatives: for noise whose skewness is an accident of few samples."""
        name = self.name.replace("empirical", "empirical-symmetric", 1)
        both = Empirical(np.concatenate([self.samples, -self.samples]), name)
        both.symmetric = True
        return both

    def resampled(self, generator: np.random.Generator) -> Empirical:
        """The law of as many samples drawn with replacement: one draw of the bootstrap."""
        if not self.symmetric:
            return Empirical(generator.choice(self.samples, self.samples.size), self.name)
        # Half of the values are the other half negated: only so many were measured.
        return Empirical(generator.choice(self.samples, self.samples.size // 2), self.name).symmetrised()

    def reflected(self) -> Empirical:
        """The samples negated, under the name "reflected …"; twice reflected it is the first law again."""
        if self.symmetric:
            return self
        mirror = copy(self)
        back = self.name.startswith(_REFLECTED)
        mirror.name = self.name.removeprefix(_REFLECTED) if back else _REFLECTED + self.name
        mirror.samples = -self.samples[::-1]
        return mirror

    def sample(self, generator: np.random.Generator, size: int | tuple[int, ...]) -> Array:
        """Draw ξ with replacement."""
        return generator.choice(self.samples, size)

    def quantile(self, chance: Array) -> Array:
        """The sample of this rank."""
        return np.asarray(self.samples[(chance * self.samples.size).astype(np.int64)])

    def noisy_rule(self, location: float, scale: float, power: float) -> FoldedRule:
        """One atom a sample, condensed when there are many."""
        size = self.samples.size
        rule = atoms(location + scale * self.samples, np.full(size, 1 / size))
        return compress(rule, panel_width(power)) if size > _COMPRESS_ABOVE else rule

    def moment(self, order: float, location: float, scale: float, *, odd: bool) -> float:
        """The plain sample mean."""
        values = location + scale * self.samples
        size = np.abs(values) ** order
        return float(np.mean(np.sign(values) * size if odd else size))
