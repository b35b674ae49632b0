"""Question 1: the bounds of Theorems 4.5, 4.8 and 4.11 against simulations, over problems, noise and powers."""

from itertools import product
from typing import NamedTuple

from simulate.adagrad.bounds import BoundedArm, arm_bound, compared
from simulate.adagrad.descent import NoiseKind, build_descent
from simulate.adagrad.monte_carlo import simulate_adagrad
from simulate.problems import parse_problem
from simulate.questions.planning import Size, reported

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


def run(size: Size) -> list[BoundedArm]:
    """Return measured averages against their bounds."""
    rows: list[BoundedArm] = []
    for name, regime in reported(product(PROBLEMS, REGIMES), "bounds"):
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
        runs = simulate_adagrad(descent)
        for place, arm in descent.arms.items():
            rows.append(compared(descent, runs, place, arm_bound(descent, arm), tests=_TESTS))
    return rows
