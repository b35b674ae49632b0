"""What is simulated: the checked arguments that Adagrad's fast path and its readable twin have in common."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from gradpower.tools.errors import InputError, require, whole
from simulate.adagrad.kernel import RUNS
from simulate.problems import Problem
from theory.laws import NoiseLaw
from theory.numerics.inputs import Array, nonnegative, positive, power_in_range

NoiseKind = Literal["additive", "multiplicative"]
_CHUNK = 2048  # coordinates × steps whose noise is drawn at once: 256 KiB
_LONGEST_CHUNK = 256  # steps
_A_DECADE = 8  # checkpoints
_LARGEST_STATE = 2.5e8  # numbers: 2 GB
_SMALLEST_POWER = 1e-4  # below, |g|^p of the smallest float64 would not be told from that of 0
_LARGEST_SCALE = 1e12  # beyond, squares leave float64 after some steps
_FORMAT = b"adagrad 1"  # to be changed with the numbers that a setting leads to


class Arm(NamedTuple):
    """One of the settings that a simulation runs side by side."""

    noise_to_signal: float
    power: float
    learning_rate: float


@dataclass(frozen=True)
class Descent:
    """AdagradPower on a problem, for all noise levels × powers × learning rates ("arms") and many runs.

    `powers`, `learning_rates` and `noise_to_signal` are 1-D here; for the rest see `build_descent`.
    """

    problem: Problem
    powers: Array
    learning_rates: Array
    noise_to_signal: Array
    law: NoiseLaw
    noise: NoiseKind
    epsilon: float
    steps: int
    seeds: int
    seed: int
    checkpoints: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check every value, before any work."""
        for name in ("powers", "learning_rates", "noise_to_signal"):
            axis = getattr(self, name)
            if axis.ndim != 1 or axis.size == 0:
                raise InputError(name, f"an array of shape {axis.shape}", "a number or a 1-D array")
        self._require_ranges()
        nonnegative("epsilon", self.epsilon)
        whole("steps", self.steps)
        whole("seeds", self.seeds, minimum=2)
        whole("seed", self.seed, minimum=0)
        if self.noise not in get_args(NoiseKind):
            raise InputError("noise", self.noise, " or ".join(get_args(NoiseKind)))
        if sorted(set(self.checkpoints)) != list(self.checkpoints) or not self.checkpoints:
            raise InputError("checkpoints", self.checkpoints, "increasing whole numbers")
        for step in (self.checkpoints[0], self.checkpoints[-1]):
            require(1 <= step <= self.steps, "checkpoints", step, f"whole numbers from 1 to {self.steps}")
        size = math.prod(self.shape) * self.blocks * RUNS * 2 * self.problem.dimension
        if size > _LARGEST_STATE:
            fewer = "fewer arms, seeds or coordinates: 2 GB of state at most"
            raise InputError("seeds", self.seeds, fewer)

    def _require_ranges(self) -> None:
        power_in_range("powers", self.powers)
        if np.any(self.powers < _SMALLEST_POWER):
            raise InputError("powers", float(self.powers.min()), f"numbers in [{_SMALLEST_POWER:g}, 10]")
        positive("learning_rates", self.learning_rates)
        nonnegative("noise_to_signal", self.noise_to_signal)
        for name in ("learning_rates", "noise_to_signal"):
            if (largest := float(getattr(self, name).max())) > _LARGEST_SCALE:
                raise InputError(name, largest, f"numbers up to {_LARGEST_SCALE:g}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of noise levels, powers and learning rates."""
        return self.noise_to_signal.size, self.powers.size, self.learning_rates.size

    @property
    def arms(self) -> dict[tuple[int, ...], Arm]:
        """All arms by their place in the results."""
        axes = (self.noise_to_signal, self.powers, self.learning_rates)
        arms = map(Arm._make, product(*(axis.tolist() for axis in axes)))
        return dict(zip(np.ndindex(self.shape), arms, strict=True))

    @property
    def blocks(self) -> int:
        """Number of blocks of RUNS runs with a common stream of noise."""
        return -(-self.seeds // RUNS)

    @property
    def chunk(self) -> int:
        """Number of steps whose noise is drawn at once."""
        return max(1, min(_LONGEST_CHUNK, _CHUNK // self.problem.dimension))

    def noise_chunk(self, block: int, index: int) -> Array:
        """ξ of the steps from index·chunk on, for a block of runs and all arms: (chunk, d, RUNS).

        A function of the seed, the block and the index alone: no generator lives from one chunk to the next.
        """
        source = np.random.SeedSequence(self.seed, spawn_key=(block, index))
        size = (self.chunk, self.problem.dimension, RUNS)
        return np.ascontiguousarray(self.law.sample(np.random.default_rng(source), size))

    def digest(self) -> str:
        """Short fingerprint of everything that the result depends on."""
        sample = self.law.sample(np.random.default_rng(0), 64)  # a law from a file is more than its name
        words = (
            self.problem.name,
            self.law.name,
            self.noise,
            self.steps,
            self.seeds,
            self.seed,
            self.checkpoints,
        )
        hashed = hashlib.sha256(_FORMAT + repr(words).encode())
        epsilon = np.array([self.epsilon])
        for array in (self.powers, self.learning_rates, self.noise_to_signal, epsilon, sample):
            hashed.update(repr(array.shape).encode() + array.tobytes())
        return hashed.hexdigest()[:16]


def build_descent(
    problem: Problem,
    powers: ArrayLike,
    learning_rates: ArrayLike,
    noise_to_signal: ArrayLike,
    law: NoiseLaw,
    *,
    noise: NoiseKind = "additive",
    epsilon: float = 1e-8,
    steps: int,
    seeds: int = 16,
    seed: int = 0,
    checkpoints: ArrayLike | None = None,
) -> Descent:
    """Return what `simulate.adagrad.monte_carlo.simulate_adagrad` is to simulate.

    The noisy gradient is `g_i = ∂_iF + σ_i·ξ_i` with fixed `σ_i = r·gradient_scale_i` (additive), or
    `g_i = ∂_iF·(1 + r·ξ_i)` (multiplicative), ξ independent over steps, coordinates and runs. All arms of a run see the
    same ξ.

    Parameters
    ----------
    problem : Problem
        F, from `simulate.problems.parse_problem`.
    powers, learning_rates, noise_to_signal : array_like
        p in (0, 10], η > 0 and r >= 0, each one or a 1-D array.
    law : NoiseLaw
        Law of ξ.
    noise : {"additive", "multiplicative"}
        How the noise enters.
    epsilon : float
        ε >= 0, under the root.
    steps : int
        T >= 1.
    seeds : int
        Number of independent runs, at least 2; more of them leave the first ones alone.
    seed : int
        Seed >= 0 of the noise.
    checkpoints : array_like of int, optional
        Increasing numbers of steps at which to look; about eight a decade if not given, 1 and T among them.

    Raises
    ------
    InputError
        For arguments out of range.
    """
    if checkpoints is None:
        looks = log_spaced(steps)
    else:
        looks = tuple(whole("checkpoints", step) for step in np.atleast_1d(checkpoints).tolist())
    return Descent(
        problem,
        np.atleast_1d(power_in_range("powers", powers)),
        np.atleast_1d(positive("learning_rates", learning_rates)),
        np.atleast_1d(nonnegative("noise_to_signal", noise_to_signal)),
        law,
        noise,
        epsilon,
        whole("steps", steps),
        whole("seeds", seeds),
        whole("seed", seed, minimum=0),
        looks,
    )


def log_spaced(steps: int) -> tuple[int, ...]:
    """Return about eight checkpoints a decade, 1 and `steps` among them.

    >>> log_spaced(20)
    (1, 2, 3, 4, 6, 7, 10, 13, 18, 20)
    """
    last = whole("steps", steps)
    grid = np.rint(10 ** np.arange(0, np.log10(last), 1 / _A_DECADE)).astype(int)
    return tuple(sorted({*grid.tolist(), last}))
