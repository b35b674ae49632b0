"""What the explorer shows of the theory: Adam's exact update at a few powers, between which the page interpolates.

The noise ratio, law, β and ε take listed values only, so that all else than the power is exact. Over the powers,
`ln[f(p)·(1 + ε/s^p)]` with s = max(μ, σ) is interpolated at Chebyshev points: the factor takes out most of the step
where ε begins to matter, and the logarithm keeps curves that span decades positive.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from scipy.interpolate import BarycentricInterpolator

from gradpower.tools.results import Kind, Provenance
from gradpower.tools.terminal import Progress
from simulate.intervention.study import Design
from theory import exact_update, parse_law
from theory.adam.noise_equivalent import long_run_update
from theory.laws import NoiseLaw
from theory.numerics.inputs import Array

_LEAST_RATIO = 1.0  # σ/μ below which the long-run variance loses digits
_HELD_OUT = 2  # powers a curve at which the interpolation is compared with the theory


@dataclass(frozen=True)
class Level:
    """One choice of ε, and the number of powers that its curves need."""

    name: str
    relative: float = 0.0
    """ε over max(μ, σ)^p …"""
    absolute: float = 0.0
    """… or ε itself, at the mean `MEAN`."""
    powers: int = 12

    def epsilon(self, powers: Array, scale: float) -> Array:
        """ε at each power, for max(μ, σ) = `scale`."""
        return self.absolute + self.relative * scale**powers


MEAN = 1e-6  # Figure 7's μ; matters for an absolute ε only
LEVELS = (
    Level("none"),
    Level("relative", relative=0.1),
    Level("figure-7", absolute=1e-8, powers=40),
)


@dataclass(frozen=True)
class Axes:
    """The values that the page offers."""

    laws: tuple[str, ...] = Design().laws
    betas: tuple[tuple[float, float], ...] = ((0.9, 0.95), (0.9, 0.99), (0.9, 0.999), (0.0, 0.95))
    ratios: tuple[float, ...] = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
    """σ/μ."""
    lowest: float = 0.2
    """Smallest power."""
    highest: float = 3.0
    """Largest power."""

    def powers(self, count: int) -> Array:
        """The Chebyshev points at which curves are computed, from the largest power to the smallest, shape (count,).

        >>> Axes().powers(3).round(6).tolist()
        [3.0, 1.6, 0.2]
        """
        angles = np.pi * np.arange(count) / (count - 1)
        return (self.highest + self.lowest) / 2 + (self.highest - self.lowest) / 2 * np.cos(angles)


@dataclass(frozen=True)
class Curve:
    """Adam's stationary update against the power, at the points of `Axes.powers`."""

    law: str
    beta1: float
    beta2: float
    noise_to_signal: float
    level: str
    drift: tuple[float, ...]
    """`E u`."""
    rms: tuple[float, ...]
    """`√(E u²)`."""
    progress: tuple[float, ...] | None
    """`E u/√LRV`; None with an ε, and for σ/μ < 1."""

    def at(self, name: str, powers: Array, axes: Axes) -> Array:
        """Interpolate one of the three at other powers, as the page does."""
        (level,) = (level for level in LEVELS if level.name == self.level)
        scale = MEAN * max(self.noise_to_signal, 1.0)
        nodes = axes.powers(level.powers)
        factors = [1 + level.epsilon(p, scale) / scale**p for p in (nodes, powers)]
        logs = np.log(np.array(getattr(self, name)) * factors[0])
        values: Array = np.exp(BarycentricInterpolator(nodes, logs)(powers)) / factors[1]
        return values


@dataclass(frozen=True)
class Errors:
    """Largest differences from the theory at powers between the points, over the maximum of each curve."""

    drift: float
    rms: float
    progress: float


@dataclass(frozen=True)
class Grids:
    """The content of explorer.json."""

    provenance: Provenance[Axes]
    errors: Errors
    curves: list[Curve] = field(default_factory=list)


GRIDS = Kind("explorer", Grids, digits=6)


def compute_grids(axes: Axes, report: Progress | None = None) -> tuple[Errors, list[Curve]]:
    """Compute all curves from the theory, and the error of their interpolation. This takes minutes."""
    settings = list(_settings(axes))
    generator = np.random.default_rng(0)
    curves, worst = [], {"drift": 0.0, "rms": 0.0, "progress": 0.0}
    laws = {name: parse_law(name) for name in axes.laws}
    for done, (name, betas, ratio, level) in enumerate(settings):
        curve = _curve(laws[name], betas, ratio, level, axes.powers(level.powers))
        held_out = generator.uniform(axes.lowest, axes.highest, _HELD_OUT)
        exact = _curve(laws[name], betas, ratio, level, held_out)
        for quantity in worst:
            if (truth := getattr(exact, quantity)) is not None:
                gap = np.abs(curve.at(quantity, held_out, axes) - truth).max()
                worst[quantity] = max(worst[quantity], float(gap / max(getattr(curve, quantity))))
        curves.append(curve)
        if report:
            report(done + 1, len(settings))
    return Errors(**worst), curves


def _settings(axes: Axes) -> Iterator[tuple[str, tuple[float, float], float, Level]]:
    return product(axes.laws, axes.betas, axes.ratios, LEVELS)


def _curve(law: NoiseLaw, betas: tuple[float, float], ratio: float, level: Level, powers: Array) -> Curve:
    beta1, beta2 = betas
    epsilon = level.epsilon(powers, MEAN * max(ratio, 1.0))
    update = exact_update(powers, MEAN, MEAN * ratio, law, beta1=beta1, beta2=beta2, epsilon=epsilon)
    progress = None
    if level.name == "none" and ratio >= _LEAST_RATIO:
        runs = [long_run_update(float(p), MEAN, MEAN * ratio, law, beta1=beta1, beta2=beta2) for p in powers]
        progress = tuple(run.progress for run in runs)
    drift, rms = (tuple(values.tolist()) for values in (update.drift, update.rms))
    return Curve(law.name, beta1, beta2, ratio, level.name, drift, rms, progress)
