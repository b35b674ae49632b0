"""The noise example behind every figure: which laws and ratios, and their exact curves, computed once a process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gradpower.tools.errors import InputError, require, whole
from theory.adam.example import AdamSettings
from theory.adam.optimum import OptimalPower, maximise, optimal_power
from theory.adam.propositions import high_noise_power
from theory.adam.update import Update, exact_update, limit_update
from theory.laws import NoiseLaw, parse_law
from theory.numerics.inputs import Array, decay, nonnegative, positive

INTERVAL = (0.0, 3.0)  # of the powers among which exact optima are sought; Figure 7's axis
_law = lru_cache(parse_law)  # one object a law: exact_update keeps its quadrature nodes by object


@dataclass(frozen=True)
class Setting:
    """The curves of a figure: a noise law and a noise-to-signal ratio each. The defaults are Figure 7's.

    >>> [point.noise_scale for point in Setting(mean=1.0, noise_to_signal=(0.5, 2.0)).points("gaussian")]
    [0.5, 2.0]
    """

    law: tuple[str, ...] = ()
    """Noise laws; the figure's own if not given."""
    noise_to_signal: tuple[float, ...] = (0.0, 0.1, 1.0, 2.0, 10.0, 50.0, 100.0)
    """Noise-to-signal ratios σ/μ >= 0, increasing."""
    mean: float = 1e-6
    """Full-batch gradient μ > 0."""
    beta1: float = 0.9
    """Decay rate of Adam's first average, in [0, 1)."""
    beta2: float = 0.95
    """Decay rate of Adam's second average, in [0, 1)."""
    epsilon: float = 1e-8
    """Adam's ε >= 0, on the powered scale."""
    trials: int = 8192
    """Simulated runs behind each Monte Carlo point (Figure 7 only); an even number >= 4."""
    seed: int = 0
    """Seed of the simulated noise (Figure 7 only)."""

    def __post_init__(self) -> None:
        """Check every value, before any work."""
        for law in self.law:
            _law(law)
        ratios = nonnegative("noise_to_signal", self.noise_to_signal)
        increasing = ratios.size and np.all(np.diff(ratios) > 0)
        require(increasing, "noise_to_signal", list(self.noise_to_signal), "one or more increasing numbers")
        positive("mean", self.mean)
        decay("beta1", self.beta1)
        decay("beta2", self.beta2)
        nonnegative("epsilon", self.epsilon)
        even = whole("trials", self.trials, minimum=4) % 2 == 0
        require(even, "trials", self.trials, "an even number: trials run in pairs of opposite noise")
        whole("seed", self.seed, minimum=0)

    def points(self, law: str) -> list[Point]:
        """Return the examples of one law, one for each ratio."""
        adam = (self.beta1, self.beta2, self.epsilon)
        return [Point(law, self.mean, self.mean * ratio, *adam) for ratio in self.noise_to_signal]


@dataclass(frozen=True)
class Point:
    """One noise example, g = μ + σξ under Adam; what it computes is kept for the next figure."""

    law: str
    mean: float
    noise_scale: float
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8

    @property
    def noise_to_signal(self) -> float:
        """σ/μ, cleared of the rounding of σ."""
        return float(f"{self.noise_scale / self.mean:.12g}")

    @property
    def noise(self) -> tuple[float, float, NoiseLaw]:
        """μ, σ and the law."""
        return self.mean, self.noise_scale, _law(self.law)

    @property
    def adam(self) -> AdamSettings:
        """Adam's settings."""
        return {"beta1": self.beta1, "beta2": self.beta2, "epsilon": self.epsilon}

    def exact(self, powers: Array) -> Update:
        """Exact stationary update at `powers`."""
        return _exact(self, tuple(powers.tolist()))

    def limit(self, powers: Array) -> Array:
        """Return u∞ at `powers`; NaN where the law has no moment of order 2p."""
        limit = _law(self.law).moment_limit / 2
        known = powers < limit if self.noise_scale > 0 else np.isfinite(powers)
        values = np.full(powers.shape, np.nan)
        values[known] = limit_update(powers[known], *self.noise, epsilon=self.epsilon)
        return values

    def optimum(self) -> OptimalPower:
        """Return the power with the largest exact update."""
        return maximise(lambda powers: self.exact(powers).drift, INTERVAL, "exact")

    def drift_to_rms_optimum(self) -> OptimalPower:
        """Return the power with the largest exact drift/RMS; it asks for mostly the same powers, which are kept."""
        return maximise(lambda powers: self.exact(powers).drift_to_rms, INTERVAL, "exact")

    def limit_optimum(self, interval: tuple[float, float] = INTERVAL) -> OptimalPower:
        """Return the power with the largest u∞."""
        return optimal_power(*self.noise, epsilon=self.epsilon, method="limit", interval=interval)

    def proposition_power(self) -> float | None:
        """Return Proposition 4.3's p*, for uniform noise with σ > μ where its condition holds; None elsewhere."""
        if self.law != "uniform" or self.noise_scale <= self.mean:
            return None
        try:
            return high_noise_power(self.noise_scale, epsilon=self.epsilon)
        except InputError:
            return None


@lru_cache(maxsize=4096)
def _exact(point: Point, powers: tuple[float, ...]) -> Update:
    return exact_update(powers, *point.noise, **point.adam)
