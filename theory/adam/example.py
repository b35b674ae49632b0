"""The noise example (Example 4.1) as the flags that commands share."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, TypedDict

import tyro

from gradpower.tools.errors import InputError
from theory.laws import NoiseLaw, parse_law
from theory.numerics.inputs import decay, nonnegative, positive

_NOISE_TO_SIGNAL = 10.0  # where the best power is 1.22, the paper's working value


class AdamSettings(TypedDict):
    """What the functions of this package call Adam's settings."""

    beta1: float
    beta2: float
    epsilon: float


@dataclass(frozen=True)
class NoiseAndDecays:
    """A noise law and Adam's decay rates."""

    law: str = "uniform"
    """Law of ξ: uniform, binary, triangular, arcsine, gaussian, laplace, generalized-normal:B, student-t:DF,
    two-point:Q, sparse:Q, empirical:FILE or empirical-symmetric:FILE."""
    beta1: float = 0.9
    """Decay rate of Adam's first average, in [0, 0.999999]."""
    beta2: float = 0.95
    """Decay rate of Adam's second average, in [0, 0.999999]."""

    def __post_init__(self) -> None:
        """Check every value, before any work."""
        decay("beta1", self.beta1)
        decay("beta2", self.beta2)
        self.noise_law  # noqa: B018  (reads and checks the law)

    @cached_property
    def noise_law(self) -> NoiseLaw:
        """The law that `law` spells."""
        return parse_law(self.law)


@dataclass(frozen=True)
class Example(NoiseAndDecays):
    """Adam on powered noisy gradients, g = μ + σξ (Example 4.1); the defaults are Figure 7's.

    >>> Example(mean=1e-3).sigma
    0.01
    """

    mean: float = 1e-6
    """Full-batch gradient μ > 0."""
    noise_to_signal: float | None = None
    """Noise-to-signal ratio σ/μ >= 0; 10 unless --noise-scale is given."""
    noise_scale: float | None = None
    """Noise level σ >= 0, instead of --noise-to-signal."""
    epsilon: float = 1e-8
    """Adam's ε >= 0, on the powered scale."""

    def __post_init__(self) -> None:
        """Check every value, before any work."""
        super().__post_init__()
        positive("mean", self.mean)
        if self.noise_to_signal is not None:
            nonnegative("noise_to_signal", self.noise_to_signal)
            if self.noise_scale is not None:
                raise InputError("noise_scale", self.noise_scale, "either it or noise_to_signal, not both")
        nonnegative("noise_scale", self.sigma)
        nonnegative("epsilon", self.epsilon)

    @property
    def sigma(self) -> float:
        """Noise level σ."""
        if self.noise_scale is not None:
            return self.noise_scale
        return self.mean * (_NOISE_TO_SIGNAL if self.noise_to_signal is None else self.noise_to_signal)

    @property
    def settings(self) -> AdamSettings:
        """Adam's settings, as keywords."""
        return {"beta1": self.beta1, "beta2": self.beta2, "epsilon": self.epsilon}

    def inputs(self) -> dict[str, Any]:
        """Return all inputs, for the JSON result."""
        return {
            "mean": self.mean,
            "noise_to_signal": self.sigma / self.mean,
            "noise_scale": self.sigma,
            "law": self.law,
            **self.settings,
        }


NoiseAndDecaysFlags = Annotated[NoiseAndDecays, tyro.conf.arg(name="")]
ExampleFlags = Annotated[Example, tyro.conf.arg(name="")]
