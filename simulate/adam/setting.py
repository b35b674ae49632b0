"""What is simulated: the checked arguments that the fast path and its readable twin have in common."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradpower.tools.errors import require, whole
from simulate.adam.kernel import LANES
from theory.laws import NoiseLaw
from theory.numerics.inputs import Array, decay, nonnegative, positive, power_in_range

CHUNK = 128  # steps drawn at once: arrays of 64 KiB, a dozen of which fit into the second-level cache
_LARGEST_RESULT = 5e8  # updates: 4 GB
_VISIBLE = 2.0**-53  # a tail that weighs less is lost in the last bit of float64


@dataclass(frozen=True)
class Setting:
    """Adam on φ_p(g_t), g_t = μ + σξ_t, for all powers and noise scales at once.

    `powers` and `noise_scales` are 1-D here; `steps` None means stationarity. For the rest see
    `simulate.adam.monte_carlo.simulate_adam`.
    """

    powers: Array
    mean: float
    noise_scales: Array
    law: NoiseLaw
    beta1: float
    beta2: float
    epsilon: float
    trials: int
    steps: int | None
    seed: int

    def __post_init__(self) -> None:
        """Check every value, before any work."""
        for name, axis in (("powers", self.powers), ("noise_scale", self.noise_scales)):
            shape = f"an array of shape {axis.shape}"
            require(axis.ndim == 1 and axis.size, name, shape, "a number or a 1-D array")
        power_in_range("power", self.powers)
        grid = self.powers[0] + self.spacing * np.arange(self.powers.size)
        spaced = self.spacing > 0 and np.allclose(self.powers, grid, rtol=1e-12, atol=0)
        require(spaced, "powers", self.powers.tolist(), "one power, or equally spaced increasing powers")
        positive("mean", self.mean)
        nonnegative("noise_scale", self.noise_scales)
        nonnegative("epsilon", self.epsilon)
        decay("beta1", self.beta1)
        decay("beta2", self.beta2)
        whole("seed", self.seed, minimum=0)
        whole("trials", self.trials, minimum=2)
        most = int(_LARGEST_RESULT / (self.powers.size * self.noise_scales.size))
        allowed = f"at most {most}: every update is kept, 8 bytes each"
        require(self.trials <= most, "trials", self.trials, allowed)
        if self.law.symmetric:
            paired = self.trials % 2 == 0 and self.trials >= 4
            require(paired, "trials", self.trials, "an even number >= 4 for antithetic pairs")
        if self.steps is not None:
            whole("steps", self.steps)

    @property
    def window(self) -> int:
        """The number of steps simulated: at stationarity whole chunks, such that `β1^N` and `β2^N` are below 2^−53."""
        if self.steps is not None:
            return int(self.steps)
        largest = max(self.beta1, self.beta2)
        window = math.log(_VISIBLE) / math.log(largest) if largest > 0 else 1.0
        return math.ceil(window / CHUNK) * CHUNK

    @property
    def spacing(self) -> float:
        """The spacing Δ of the powers, all of which products of |g|^Δ reach; 1 for a single one."""
        gaps = self.powers.size - 1
        return float(self.powers[-1] - self.powers[0]) / gaps if gaps else 1.0

    @property
    def sources(self) -> list[np.random.SeedSequence]:
        """One source of randomness a block of LANES trials; more trials leave the first blocks alone."""
        return np.random.SeedSequence(self.seed).spawn(-(-self.trials // LANES))

    def noise_chunks(self, source: np.random.SeedSequence) -> Iterator[tuple[int, Array]]:
        """Yield ξ of one block in chunks (CHUNK, LANES), each with the number of its last rows that are steps.

        That is CHUNK but in the first chunk. Noise of symmetric laws comes in neighbours ξ, −ξ.
        """
        generator = np.random.default_rng(source)
        later_chunks = (self.window - 1) // CHUNK
        for index in range(later_chunks + 1):
            if self.law.symmetric:
                noise = np.repeat(self.law.sample(generator, (CHUNK, LANES // 2)), 2, axis=1)
                np.negative(noise[:, 1::2], out=noise[:, 1::2])
            else:
                noise = self.law.sample(generator, (CHUNK, LANES))
            yield (CHUNK if index else self.window - later_chunks * CHUNK), noise

    @property
    def units(self) -> Array:
        """max(μ, σ): measured in it, |g| neither under- nor overflows under any power."""
        return np.maximum(self.mean, self.noise_scales)

    def scaled_epsilon(self) -> Array:
        """`ε/unit^p`, shape (noise scales, powers)."""
        with np.errstate(divide="ignore", over="ignore"):
            log_epsilon = np.log(np.float64(self.epsilon))
            return np.asarray(np.exp(log_epsilon - np.log(self.units)[:, None] * self.powers))

    def correction(self, beta: float) -> float:
        """Adam's bias correction `1 − β^t`; 1 at stationarity."""
        return 1.0 if self.steps is None or beta == 0 else -math.expm1(self.steps * math.log(beta))
