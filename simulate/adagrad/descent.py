"""What is simulated: the checked arguments that Adagrad's fast path and its readable twin have in common."""

import math
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from gradpower.tools.errors import require, whole
from simulate.adagrad.kernel import RUNS
from simulate.problems import Problem, parse_problem
from theory.laws import NoiseLaw, parse_law
from theory.numerics.inputs import Array, nonnegative, positive, power_in_range

NoiseKind = Literal["additive", "multiplicative"]
_CHUNK = 2048  # coordinates × steps whose noise is drawn at once: 256 KiB
_LONGEST_CHUNK = 256  # steps
_A_DECADE = 8  # checkpoints
_LARGEST_STATE = 2.5e8  # numbers: 2 GB
_SMALLEST_POWER = 1e-4  # below, |g|^p of the smallest float64 would not be told from that of 0
_LARGEST_SCALE = 1e12  # beyond, squares leave float64 after some steps


class Arm(NamedTuple):
    """One of the settings that a simulation runs side by side."""

    noise_to_signal: float
    power: float
    learning_rate: float


@dataclass(frozen=True)
class Descent:
    """AdagradPower on a problem, for all noise levels × powers × learning rates ("arms") and many runs.

    `build_descent` makes it, and checks every value.
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


def build_descent(
    problem: str | Problem,
    powers: ArrayLike,
    learning_rates: ArrayLike,
    noise_to_signal: ArrayLike,
    law: str | NoiseLaw,
    *,
    noise: NoiseKind = "additive",
    epsilon: float = 1e-8,
    steps: int,
    seeds: int = 16,
    seed: int = 0,
    checkpoints: ArrayLike | None = None,
) -> Descent:
    """Return what `simulate.adagrad.monte_carlo.simulate_adagrad` is to simulate; InputError for what it cannot.

    The noisy gradient is `g_i = ∂_iF + σ_i·ξ_i` with fixed `σ_i = r·gradient_scale_i` (additive), or
    `g_i = ∂_iF·(1 + r·ξ_i)` (multiplicative), ξ independent over steps, coordinates and runs. All arms of a run see the
    same ξ.

    Parameters
    ----------
    problem, law : str or Problem, str or NoiseLaw
        F and the law of ξ, or what `parse_problem` and `parse_law` call them.
    powers, learning_rates, noise_to_signal : array_like
        p in [1e-4, 10], η > 0 and r >= 0, each one or a 1-D array.
    epsilon : float
        ε >= 0, under the root.
    steps, seeds, seed : int
        T >= 1; number of runs, at least 2, more of which leave the first ones alone; seed of the noise.
    checkpoints : array_like of int, optional
        Increasing numbers of steps at which to look; about eight a decade if not given, 1 and T among them.
    """
    require(noise in get_args(NoiseKind), "noise", noise, " or ".join(get_args(NoiseKind)))
    last = whole("steps", steps)
    descent = Descent(
        parse_problem(problem),
        _axis("powers", power_in_range("powers", powers)),
        _axis("learning_rates", positive("learning_rates", learning_rates)),
        _axis("noise_to_signal", nonnegative("noise_to_signal", noise_to_signal)),
        parse_law(law),
        noise,
        float(nonnegative("epsilon", epsilon)),
        last,
        whole("seeds", seeds, minimum=2),
        whole("seed", seed, minimum=0),
        log_spaced(last) if checkpoints is None else _looks(checkpoints, last),
    )
    least = float(descent.powers.min())
    require(least >= _SMALLEST_POWER, "powers", least, f"numbers in [{_SMALLEST_POWER:g}, 10]")
    size = math.prod(descent.shape) * descent.blocks * RUNS * 2 * descent.problem.dimension
    require(size <= _LARGEST_STATE, "seeds", seeds, "fewer arms, seeds or coordinates: 2 GB of state at most")
    return descent


def _axis(name: str, values: Array) -> Array:
    axis = np.atleast_1d(values)
    shape = f"an array of shape {axis.shape}"
    require(axis.ndim == 1 and axis.size, name, shape, "a number or a 1-D array")
    require(axis.max() <= _LARGEST_SCALE, name, float(axis.max()), f"numbers up to {_LARGEST_SCALE:g}")
    return axis


def _looks(checkpoints: ArrayLike, last: int) -> tuple[int, ...]:
    looks = tuple(whole("checkpoints", step) for step in np.atleast_1d(checkpoints).tolist())
    require(looks and sorted(set(looks)) == [*looks], "checkpoints", looks, "increasing whole numbers")
    require(looks[-1] <= last, "checkpoints", looks[-1], f"whole numbers from 1 to {last}")
    return looks


def log_spaced(steps: int) -> tuple[int, ...]:
    """Return about eight checkpoints a decade, 1 and `steps` among them.

    >>> log_spaced(20)
    (1, 2, 3, 4, 6, 7, 10, 13, 18, 20)
    """
    grid = np.rint(10 ** np.arange(0, np.log10(steps), 1 / _A_DECADE)).astype(int)
    return tuple(sorted({*grid.tolist(), steps}))
