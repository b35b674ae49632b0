"""Figures 1 and 3: what p = 1.2 changes, by size, schedule and text. See results/paper/design.md.

The two small sizes have eight seeds and the two large ones four, in a study each; a third has another text.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.recipes.model_size import model_size
from experiments.statistics import Contrasts
from experiments.studies.completed import arms_at, losses_at, read_ended, tried
from experiments.studies.memory import POWER
from experiments.sweeps.results import Summary
from gradpower.tools.labels import Label
from theory.numerics.inputs import Array

SCHEDULES = ("cos", "wsd")
_MARGIN = 0.02  # of the change of the gap, in nats a token
_DRAWS = 1000

Cell = tuple[int, str]
"""(parameters, schedule)."""


@dataclass(frozen=True)
class ScalingLaw:
    """L = E + A·N^(−α), fitted to mean losses at N parameters, with 95 % bootstrap intervals over seeds."""

    floor: float
    """E."""
    exponent: float
    """α."""
    floor_interval: tuple[float, float]
    exponent_interval: tuple[float, float]


@dataclass(frozen=True)
class Sizes:
    """What the studies say."""

    gaps: Contrasts
    """Loss at p = 1.2 less that at p = 1, by "parameters schedule"."""
    cells: tuple[Cell, ...]
    """In increasing order."""
    change: tuple[float, float, float]
    """Gap at the largest size less that at the smallest, averaged over schedules, with a 90 % Welch interval."""
    laws: dict[float, ScalingLaw]
    """By power, averaged over schedules."""
    web: Contrasts
    """The gaps on the other text, by parameters."""

    @property
    def label(self) -> Label:
        """That p = 1.2 ends lower at every size and with both schedules."""
        return self.gaps.all_lower()

    @property
    def steady_label(self) -> Label:
        """That the gap is steady in size."""
        smallest, largest = self.cells[0][0], self.cells[-1][0]
        ends = [f"{size} {schedule}" for size in (smallest, largest) for schedule in SCHEDULES]
        _, low, high = self.change
        if all(self.gaps.shown(name, -1) for name in ends) and -_MARGIN <= low <= high <= _MARGIN:
            return Label.REPRODUCED
        half = np.mean([abs(self.gaps.means[name].mean) for name in ends[:2]]) / 2
        return Label.NOT_REPRODUCED if low > half or high < -half else Label.INCONCLUSIVE


def read_sizes(small: Path, large: Path, web: Path) -> Sizes:
    """Read the studies from their summaries; InputError if one is another's, or arms are missing."""
    losses, diverged = {}, 0
    for path, name in ((small, "paper-sizes-small"), (large, "paper-sizes-large")):
        summary, lost = read_ended(path, name)
        diverged += lost
        for width in tried(summary, "model.width"):
            for schedule in SCHEDULES:
                losses[_parameters(summary, width), schedule] = _by_power(
                    summary, width=width, schedule=schedule
                )
    cells = tuple(sorted(losses))
    gaps = {cell: losses[cell][POWER] - losses[cell][1.0] for cell in cells}
    means = {
        size: {
            p: np.mean([losses[size, schedule][p] for schedule in SCHEDULES], axis=0) for p in (1.0, POWER)
        }
        for size in dict.fromkeys(size for size, _ in cells)
    }
    by_size = [of_p[POWER] - of_p[1.0] for of_p in means.values()]
    return Sizes(
        Contrasts.of(
            {f"{size} {schedule}": gap for (size, schedule), gap in gaps.items()}, diverged=diverged
        ),
        cells,
        _welch(by_size[-1], by_size[0]),
        {p: _scaling_law({size: of_p[p] for size, of_p in means.items()}) for p in (1.0, POWER)},
        _on_web(web),
    )


def _parameters(summary: Summary, width: float) -> int:
    fingerprint = arms_at(summary, width=width)[0].fingerprint
    recipe = next(arm.recipe for arm in summary.study.arms() if arm.fingerprint == fingerprint)
    return model_size(recipe.model).total


def _by_power(summary: Summary, **values: float | str) -> dict[float, Array]:
    return {p: losses_at(summary, power=p, **values) for p in (1.0, POWER)}


def _on_web(path: Path) -> Contrasts:
    summary, diverged = read_ended(path, "paper-sizes-web")
    losses = {
        _parameters(summary, width): _by_power(summary, width=width)
        for width in tried(summary, "model.width")
    }
    return Contrasts.of(
        {str(size): of_p[POWER] - of_p[1.0] for size, of_p in losses.items()}, diverged=diverged
    )


def _welch(these: Array, those: Array) -> tuple[float, float, float]:
    """Return the difference of two means, with its 90 % interval for unequal variances."""
    from scipy.stats import ttest_ind

    found = ttest_ind(these, those, equal_var=False).confidence_interval(0.9)
    return float(these.mean() - those.mean()), float(found.low), float(found.high)


def _scaling_law(losses: dict[int, Array]) -> ScalingLaw:
    """Fit E + A·N^(−α) to the mean losses, and to those of seeds that are drawn again at each size."""
    rng = np.random.default_rng(0)
    sizes = np.array(list(losses), dtype=np.float64)
    drawn = [own[rng.integers(own.size, size=(own.size, _DRAWS))].mean(axis=0) for own in losses.values()]
    means = [own.mean(keepdims=True) for own in losses.values()]
    floors, exponents = _fit(sizes, np.concatenate([means, drawn], axis=1))
    intervals = (tuple(np.quantile(values[1:], [0.025, 0.975]).tolist()) for values in (floors, exponents))
    return ScalingLaw(float(floors[0]), float(exponents[0]), *intervals)


def _fit(sizes: Array, losses: Array) -> tuple[Array, Array]:
    """Return E and α of least squares for each column of losses: given α, of a grid, E and A are linear."""
    grid = np.geomspace(0.01, 2, 400)
    designs = [np.stack([np.ones_like(sizes), sizes**-exponent], axis=1) for exponent in grid]
    coefficients = np.array([np.linalg.pinv(design) @ losses for design in designs])
    errors = ((np.array(designs) @ coefficients - losses) ** 2).sum(axis=1)
    best = errors.argmin(axis=0)
    floors: Array = coefficients[best, 0, np.arange(best.size)]
    return floors, grid[best]
