"""Question 1: the bounds of Theorems 4.5, 4.8 and 4.11 against simulations, over problems, noise and powers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np

from gradpower.tools.terminal import Progress
from simulate.adagrad.bounds import arm_bound, least_mean
from simulate.adagrad.descent import Descent, NoiseKind, build_descent
from simulate.adagrad.monte_carlo import AdagradRuns, simulate_adagrad
from simulate.problems import parse_problem
from simulate.questions.planning import CONFIDENCE, Size, reported

PROBLEMS = ("pseudo-huber", "geman-mcclure", "plateau", "river-valley", "separable:16", "logistic:10")
RATES = (0.1, 1.0)


class Regime(NamedTuple):
    """One kind of noise, and the powers for which a theorem speaks of it."""

    noise: NoiseKind
    law: str
    ratios: tuple[float, ...]
    powers: tuple[float, ...]


REGIMES = (
    Regime("multiplicative", "uniform", (0.0, 0.3, 0.9), (0.25, 0.5, 0.75, 1.0)),
    Regime("additive", "sparse:0.25", (1.0,), (0.25, 0.5, 0.75, 1.0)),
    Regime("additive", "uniform", (0.1, 1.0, 10.0), (0.5, 1.0, 1.2, 2.0)),
    Regime("additive", "binary", (1.0, 10.0, 100.0), (1.0, 1.2, 2.0, 3.0)),
)
_ARMS = len(PROBLEMS) * len(RATES) * sum(len(regime.ratios) * len(regime.powers) for regime in REGIMES)
_TESTS = 50 * _ARMS  # at most so many checkpoints each


@dataclass(frozen=True)
class BoundedArm:
    """One arm: the mean at T with its standard error, and the bound, where a theorem speaks.

    `slack` is bound/measured at T, `least_slack` the least over T; `violated` says whether at some T the mean exceeds
    the bound by more than chance, all comparisons of the study taken together.
    """

    problem: str
    noise: NoiseKind
    law: str
    noise_to_signal: float
    power: float
    learning_rate: float
    theorem: str
    note: str
    steps: int
    measured: float
    standard_error: float
    bound: float | None = None
    slack: float | None = None
    least_slack: float | None = None
    violated: bool = False


def run(size: Size, progress: Progress) -> list[BoundedArm]:
    """Return measured averages against their bounds."""
    rows: list[BoundedArm] = []
    for name, regime in reported(product(PROBLEMS, REGIMES), progress):
        descent = build_descent(
            name,
            regime.powers,
            RATES,
            regime.ratios,
            regime.law,
            noise=regime.noise,
            steps=max(2, size.steps // max(1, parse_problem(name).dimension // 2)),
            seeds=size.seeds,
        )
        rows += compared(descent, simulate_adagrad(descent), _TESTS)
    return rows


def compared(descent: Descent, runs: AdagradRuns, tests: int) -> list[BoundedArm]:
    """The rows of one simulation; `tests` comparisons share the level."""
    rows = []
    for place, arm in descent.arms.items():
        found = arm_bound(descent, arm)
        mean, error = runs.over_seeds(getattr(runs, found.average)[place])
        where = descent.problem.name, descent.noise, descent.law.name
        measured = descent.steps, float(mean[-1]), float(error[-1])
        row = BoundedArm(*where, *arm, found.theorem, found.note, *measured)
        if found.bound is not None:
            total = found.bound.total
            least = least_mean(mean, error, descent.seeds, tests=tests, confidence=CONFIDENCE)
            row = replace(
                row,
                bound=float(total[-1]),
                slack=float(total[-1] / mean[-1]),
                least_slack=float(np.min(total / mean)),
                violated=bool(np.any(least > total)),
            )
        rows.append(row)
    return rows
