"""The constants of Assumptions 4.6 and 4.9 from measured stochastic gradients, with simultaneous confidence."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradpower.tools.errors import require
from theory.measured.confidence import CoordinateBlock
from theory.measured.gradient_samples import GradientSamples
from theory.numerics.inputs import Array, positive, power_in_range


class Bounds(NamedTuple):
    """A plug-in value between bounds that hold with the confidence asked for."""

    lower: float
    estimate: float
    upper: float


@dataclass(frozen=True, eq=False)
class PowerEstimate:
    """The alignment of φ_p(g) with the gradient, `k_i = E[φ_p(g_i)]·sign(∇_iF)/|∇_iF|^q` with q = min(p, 1).

    For p < 1 this is c_i, the largest c for which coordinate i satisfies Assumption 4.6; for p > 1 it is s_i of
    Assumption 4.9, (C1). Each assumption's constant is the minimum over i, and must be positive. For p = 1 all are 1
    by definition, whatever the samples.
    """

    power: float
    """p."""
    estimate: Array
    """Shape (d,): the plug-in value, and bounds that hold for all coordinates at once. NaN, −∞ and ∞ where the sign
    of the gradient is not resolved."""
    lower: Array
    upper: Array

    @property
    def contradicting(self) -> list[int]:
        """Coordinates, counted from 0, on which E φ_p(g) points against the gradient, with confidence."""
        return [int(i) for i in np.flatnonzero(self.upper < 0)]

    @property
    def minimum(self) -> Bounds:
        """The least constant of the resolved coordinates; NaN if there are none.

        The plug-in value is the least of noisy numbers, on average below the least of the true ones. The upper bound
        also holds for the minimum over all coordinates.
        """
        known = ~np.isnan(self.estimate)
        if not np.any(known):
            return Bounds(math.nan, math.nan, math.nan)
        return Bounds(*(float(v[known].min()) for v in (self.lower, self.estimate, self.upper)))

    def rho(self, bound: float) -> Bounds:
        """`ρ = R^{p−1}/s` of (C2) for the least s of `minimum`; ∞ where that s is 0 or negative."""
        scale = bound ** (self.power - 1)
        return Bounds(*(math.inf if s <= 0 else scale / s for s in reversed(self.minimum)))


@dataclass(frozen=True, eq=False)
class AssumptionEstimates:
    """What measured gradients say about Assumptions 4.6 and 4.9."""

    powers: tuple[PowerEstimate, ...]
    """One for each power."""
    samples: int
    """n."""
    confidence: float
    """Of the bounds: they hold for all coordinates at once, and for each power on its own."""
    bound: float
    """R: the bound given, or else the largest |g| observed, which R can only exceed."""
    bound_given: bool
    mean: Array
    """∇_iF, shape (d,): the sample mean, unless it is known."""
    standard_deviation: Array
    """σ_i, shape (d,)."""
    half_width: Array
    """Of the bounds on ∇_iF, shape (d,)."""
    gradient_known: bool
    """Whether the full-batch gradient was given; then the half-widths are 0."""
    misplaced: int
    """Coordinates on which the given gradient is outside the bounds around the sample mean."""

    @property
    def resolved(self) -> NDArray[np.bool_]:
        """Where the sign of the gradient is certain; bool, shape (d,)."""
        return np.asarray(np.abs(self.mean) > self.half_width)

    @property
    def unresolved(self) -> NDArray[np.bool_]:
        """Where it is not. A known gradient of 0 is in neither: there both assumptions ask for nothing."""
        return np.zeros(self.mean.shape, bool) if self.gradient_known else ~self.resolved

    @property
    def samples_needed(self) -> Array:
        """About how many samples would resolve each coordinate, `n·(half-width/|∇_iF|)²`; n where resolved.

        From the sample mean, which the noise makes larger than a small gradient is: more an at-least.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(self.unresolved, self.half_width / np.abs(self.mean), 1.0)
        needed: Array = np.ceil(self.samples * np.where(np.isnan(factor), np.inf, factor) ** 2)
        return needed

    @property
    def noise_to_signal(self) -> Array:
        """`σ_i/|∇_iF|`, shape (d,).

        The noise adds σ²/n to the mean's square: |∇_iF|² is estimated as mean² − σ²/n. ∞ where that is not positive,
        NaN where neither noise nor signal was seen.
        """
        added = 0.0 if self.gradient_known else self.standard_deviation**2 / self.samples
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: Array = self.standard_deviation / np.sqrt(np.maximum(self.mean**2 - added, 0.0))
        return ratio


def estimate_assumptions(
    data: GradientSamples,
    powers: Sequence[float] = (0.5, 1.2),
    *,
    confidence: float = 0.95,
    gradient_bound: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AssumptionEstimates:
    """Estimate c of Assumption 4.6 (p < 1) and s and ρ of Assumption 4.9 (p > 1) at the point of the samples.

    Each of the d coordinates gets a rectangle that holds (∇_iF, E φ_p(g_i)) but for a probability of
    (1 − confidence)/d, so that all hold with the confidence asked for (Bonferroni), however the coordinates depend on
    each other. A constant's bounds are its range over the rectangle, valid also for the coordinates that the same
    samples pick as resolved.

    The rectangles come from Student's intervals, an approximation for large n; with many coordinates it reaches far
    into the tails, where skewed or heavy-tailed gradients need more samples. `gradient_bound` is an R with |g_i| <= R
    almost surely, for all i (Assumption 4.4). `progress(done, total)` is called after every block of coordinates.

    >>> noise = np.random.default_rng(0).uniform(-1, 1, (1000, 2))
    >>> estimates = estimate_assumptions(GradientSamples([1.0, -2.0] + [0.3, 0.6] * noise), [0.5])
    >>> [round(value, 4) for value in estimates.powers[0].minimum]
    [0.9825, 0.9961, 1.0101]
    """
    require_settings(powers, confidence, gradient_bound)
    largest = float(data.largest.max())
    bound = largest if gradient_bound is None else gradient_bound
    allowed = f"at least the largest |g| of the samples, {largest:.9g}"
    require(bound >= largest, "gradient_bound", bound, allowed)
    level = (1 - confidence) / data.coordinates
    blocks = data.blocks()
    gradient, constants = np.empty((3, data.coordinates)), np.empty((len(powers), 3, data.coordinates))
    misplaced = 0
    for done, columns in enumerate(blocks, start=1):
        block = CoordinateBlock(data, columns, powers, level)
        gradient[:, columns] = block.gradient()
        constants[:, :, columns] = [block.constant(index) for index in range(len(powers))]
        misplaced += block.misplaced()
        if progress is not None:
            progress(done, len(blocks))
    return AssumptionEstimates(
        tuple(PowerEstimate(float(p), *bounds) for p, bounds in zip(powers, constants, strict=True)),
        data.count,
        confidence,
        bound,
        gradient_bound is not None,
        gradient[0],
        gradient[1],
        gradient[2],
        data.gradient is not None,
        misplaced,
    )


def require_settings(powers: Sequence[float], confidence: float, gradient_bound: float | None) -> None:
    """Raise InputError unless `estimate_assumptions` can be asked for this, whatever the samples."""
    require(len(powers), "power", "none", "at least one number in (0, 10]")
    power_in_range("power", list(powers))
    require(0 < confidence < 1, "confidence", confidence, "a number in (0, 1)")
    if gradient_bound is not None:
        positive("gradient_bound", gradient_bound)
