"""Does a power act like less noise? The noise's law, level and the power are set; everything else is held.

The replacement statement: under strong noise and at tuned rates, Adam on φ_p(g) with noise σ ends where p = 1 does
with noise σ/q, q of `theory.adam.noise_equivalent`. So `L(p, σ) − L(1, σ)`, measured, is `L(1, σ/q) − L(1, σ)`,
predicted by runs at p = 1 without a free parameter. Another memory of v is a change like a power, with a q of its own.
results/intervention/design.md has the rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradpower.tools.errors import real, require, whole
from gradpower.tools.results import Kind, Provenance
from simulate.intervention.descent import Arm, descend
from theory.adam.noise_equivalent import PURE_NOISE, LongRun, long_run_update, noise_equivalent
from theory.laws import NoiseLaw, parse_law
from theory.measured.calibration import Calibration, calibrate
from theory.numerics.inputs import Array, positive, power_in_range

_FINE, _COARSE = np.geomspace(0.4, 2.5, 5), np.geomspace(0.003, 0.2, 7)  # rates over a centre, and rates
_TUNING_SEED = 1000  # and following: of no comparison
STRONG = 10.0  # mean σ/RMS(∇F) from which noise counts as strong


@dataclass(frozen=True)
class Design:
    """What is run."""

    laws: tuple[str, ...] = (
        "uniform",
        "binary",
        "gaussian",
        "laplace",
        "generalized-normal:0.5",
        "student-t:4",
    )
    """Laws of the noise: symmetric ones, spelled as everywhere."""
    powers: tuple[float, ...] = (0.6, 0.8, 1.2, 1.5)
    """Powers that are compared with 1."""
    levels: tuple[float, ...] = (0.1, 0.5, 2.0, 8.0, 24.0)
    """σ over the root mean square of the gradient at the initial weights."""
    seeds: int = 16
    """Paired seeds; half as many others tune the rates."""
    steps: int = 1500
    """Steps of each run."""
    beta1: float = 0.9
    """Adam's β1."""
    beta2: float = 0.95
    """Adam's β2."""
    memories: tuple[float, ...] = ()
    """Other β2 that are compared with it, at p = 1 and at every power."""

    def __post_init__(self) -> None:
        """Check every value."""
        for law in self.laws:
            require(parse_law(law).symmetric, "laws", law, "symmetric laws")
        power_in_range("powers", self.powers)
        require(1.0 not in self.powers, "powers", 1.0, "other powers than 1, with which they are compared")
        positive("levels", self.levels)
        for beta2 in self.memories:
            real("memories", beta2, gt=0, lt=1)
        require(self.beta2 not in self.memories, "memories", self.beta2, "other β2 than beta2")
        whole("seeds", self.seeds, 4)
        whole("steps", self.steps, 50)

    @property
    def settings(self) -> list[tuple[float, float]]:
        """The pairs (p, β2) that are compared with p = 1 at `beta2`."""
        others = [(power, beta2) for beta2 in self.memories for power in (1.0, *self.powers)]
        return [*((power, self.beta2) for power in self.powers), *others]


@dataclass(frozen=True)
class Change:
    """The loss at a power and β2 less that at p = 1, in nats, at one law and level; errors are standard errors."""

    law: str
    level: float
    power: float
    ratio: float  # mean σ/RMS(∇F) of the run at p = 1
    equivalent: float  # q: this power and β2 are predicted to act like noise q times smaller
    measured: float  # ΔL at tuned rates
    measured_error: float
    predicted: float  # L(1, σ/q) − L(1, σ)
    predicted_error: float
    gap_error: float  # of measured less predicted, which share their seeds
    shared: float  # ΔL at the rate of p = 1
    shared_error: float
    rate: float  # the tuned rate
    at_edge: bool  # whether it lies at an end of its grid
    beta2: float = 0.95

    @property
    def strong(self) -> bool:
        """Whether the noise counts as strong."""
        return self.ratio >= STRONG


@dataclass(frozen=True)
class Cell:
    """The changes of one law and level, and ΔL and its prediction seed by seed, shape (changes, seeds)."""

    changes: tuple[Change, ...]
    measured: tuple[tuple[float, ...], ...]
    predicted: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class InterventionResults:
    """The content of intervention.json."""

    provenance: Provenance[Design]
    cells: list[Cell]


INTERVENTION = Kind("intervention", InterventionResults, digits=6, version=2)


def run_cell(law: str, level: float, design: Design) -> Cell:
    """Tune, run and compare at one law and level."""
    noise = parse_law(law)
    equivalents = [_equivalent(noise, power, beta2, design) for power, beta2 in design.settings]
    usual = Arm(1.0, level, 0.0, design.beta2)
    ours = [Arm(power, level, 0.0, beta2) for power, beta2 in design.settings]
    arms, edges = _tuned(
        noise, [usual, *(usual._replace(level=level / q) for q in equivalents), *ours], design
    )
    start = 1 + len(ours)
    shared = [arm._replace(rate=arms[0].rate) for arm in arms[start:]]
    loss, ratio = descend(noise, [*arms, *shared], range(design.seeds), design.steps, beta1=design.beta1)
    predicted, measured, at_shared = np.split(loss[1:] - loss[0], 3)
    changes = tuple(
        Change(
            law,
            level,
            arm.power,
            float(ratio[0]),
            q,
            *_mean_and_error(m),
            *_mean_and_error(p),
            _mean_and_error(m - p)[1],
            *_mean_and_error(s),
            arm.rate,
            edge,
            arm.beta2,
        )
        for q, m, p, s, arm, edge in zip(
            equivalents, measured, predicted, at_shared, arms[start:], edges[start:], strict=True
        )
    )
    return Cell(changes, *(tuple(map(tuple, part.tolist())) for part in (measured, predicted)))


def calibrated(cells: Sequence[Cell]) -> Calibration:
    """Regress the measured changes of one or more cells on the predicted ones."""
    parts = (
        np.concatenate([np.array(getattr(cell, part)) for cell in cells])
        for part in ("measured", "predicted")
    )
    return calibrate(*parts)


def _equivalent(law: NoiseLaw, power: float, beta2: float, design: Design) -> float:
    """Return q of a power and β2 against p = 1 and the design's β2."""
    own = noise_equivalent(power, law, beta1=design.beta1, beta2=beta2)
    ours, theirs = (_pure_noise(law, 1.0, each, design).progress for each in (beta2, design.beta2))
    return own * ours / theirs


def _pure_noise(law: NoiseLaw, power: float, beta2: float, design: Design) -> LongRun:
    return long_run_update(power, PURE_NOISE, 1.0, law, beta1=design.beta1, beta2=beta2)


def _mean_and_error(values: Array) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size))


def _tuned(law: NoiseLaw, settings: Sequence[Arm], design: Design) -> tuple[list[Arm], list[bool]]:
    """Return the arms at tuned rates, and which of them lie at an end of the grid.

    The first setting is p = 1; theory says where about the others' best rates are.
    """
    seeds = range(_TUNING_SEED, _TUNING_SEED + design.seeds // 2)
    usual = settings[0]

    def mean_losses(arms: Sequence[Arm]) -> Array:
        means: Array = descend(law, arms, seeds, design.steps, beta1=design.beta1)[0].mean(axis=1)
        return means

    first = mean_losses([usual._replace(rate=rate) for rate in _COARSE.tolist()])
    centre = float(_COARSE[np.nanargmin(first)])
    grids = [
        centre * _rate_shift(law, own, usual, design) * usual.level / own.level * _FINE for own in settings
    ]
    arms = [
        own._replace(rate=rate) for own, grid in zip(settings, grids, strict=True) for rate in grid.tolist()
    ]
    rows = mean_losses(arms).reshape(len(grids), -1)
    best, edges = zip(*(_best_rate(grid, row) for grid, row in zip(grids, rows, strict=True)), strict=True)
    return [own._replace(rate=rate) for own, rate in zip(settings, best, strict=True)], list(edges)


def _rate_shift(law: NoiseLaw, own: Arm, usual: Arm, design: Design) -> float:
    """How much larger the best rate is than the usual one by theory: E u/LRV over its value there."""
    ours, theirs = (_pure_noise(law, arm.power, arm.beta2, design) for arm in (own, usual))
    return ours.drift / ours.variance / (theirs.drift / theirs.variance)


def _best_rate(rates: Array, losses: Array) -> tuple[float, bool]:
    """The minimiser of the parabola in ln η through the three points around the best; or the end of the grid."""
    best = int(np.nanargmin(losses))
    if best in (0, len(rates) - 1):
        return float(rates[best]), True
    a, b, _ = np.polyfit(np.log(rates[best - 1 : best + 2]), losses[best - 1 : best + 2], 2)
    return float(np.exp(-b / (2 * a))), False
