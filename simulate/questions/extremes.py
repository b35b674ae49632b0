"""Question 5: the instances in which a power p ≠ 1 helps most over Adagrad, and in which it hurts most.

A grid over problems, laws, noise ratios and powers, then `scipy.optimize.minimize` (Nelder–Mead over ln r and p) from
its best points, then the verdict on fresh runs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from simulate.adagrad.descent import build_descent
from simulate.adagrad.monte_carlo import simulate_adagrad
from simulate.questions.planning import Ratio, Size, best_rates, learning_rates, paired_ratio, reported
from theory.laws import parse_law

# Objectives that grow without bound: where F flattens out far away, flying off makes gradients small, too.
PROBLEMS = ("pseudo-huber", "river-valley", "logistic:4", "quadratic:4")
SYMMETRIC = ("binary", "uniform", "generalized-normal:4", "gaussian", "laplace", "student-t:7", "sparse:0.25")
LAWS = {"symmetric": SYMMETRIC, "any": (*SYMMETRIC, "two-point:0.2")}
POWERS = (0.25, 3.0)
RATIOS = (0.1, 30.0)
_POWER_GRID = (0.25, 0.5, 0.75, 1.2, 1.5, 2.0, 3.0)
_RATIO_GRID = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_RATES = (2.0**-10, 2.0**14)
_STARTS = 3  # pairs of problem and law from which the search goes on
_SEED = 11
_FRESH = 12  # another stream for the verdict on what the search found


class Instance(NamedTuple):
    """What the search varies."""

    problem: str
    law: str
    noise_to_signal: float
    power: float


def compare(
    problem: str, law: str, ratio: float, *powers: float, steps: int, seeds: int, seed: int
) -> tuple[list[Ratio], list[float]]:
    """Compare powers with Adagrad on `seeds` runs, their learning rates tuned on as many others.

    Returns averages of ‖∇F‖² over Adagrad's, and the learning rates, Adagrad's first.
    """
    grid, runs = learning_rates(*_RATES, 1), 2 * seeds
    descent = build_descent(
        problem, [1.0, *powers], grid, ratio, law, steps=steps, seeds=runs, seed=seed, checkpoints=steps
    )
    index, judged = best_rates(simulate_adagrad(descent).mean_square[0, :, :, :, -1])
    return [paired_ratio(row, judged[0]) for row in judged[1:]], grid[index].tolist()


@dataclass(frozen=True)
class Extreme:
    """What was found for a set of laws ("symmetric", "any") and a goal ("helps most", "hurts most"), judged at T.

    On fresh runs: the ratio of the averages of ‖∇F‖² with its interval, and both learning rates; `at_edge` names which
    of p, r and the rates lie at an end of what is searched.
    """

    laws: str
    goal: str
    problem: str
    law: str
    noise_to_signal: float
    power: float
    steps: int
    ratio: float
    ratio_low: float
    ratio_high: float
    learning_rate: float
    adagrad_rate: float
    at_edge: list[str]


def run(size: Size) -> list[Extreme]:
    """Search, and judge what is found on fresh runs."""
    search = partial(compare, steps=size.search_steps, seeds=size.seeds // 2, seed=_SEED)
    goals = product(LAWS.items(), {"helps most": 1, "hurts most": -1}.items())
    grid: list[tuple[float, Instance]] = []
    for problem, law in reported(product(PROBLEMS, LAWS["any"]), "extremes: grid"):
        powers = [p for p in _POWER_GRID if 2 * p < parse_law(law).moment_limit]
        for ratio in _RATIO_GRID:
            ratios, _ = search(problem, law, ratio, *powers)
            instances = [Instance(problem, law, ratio, power) for power in powers]
            grid += zip((entry.value for entry in ratios), instances, strict=True)
    rows: list[Extreme] = []
    for (name, laws), (goal, sign) in reported(goals, "extremes: search"):
        allowed = [(sign * math.log(value), point) for value, point in grid if point.law in laws]
        best = _best(allowed, sign, search, size.search_rounds)
        for steps in (size.search_steps, 10 * size.search_steps):
            rows.append(_judged(name, goal, best, steps, 2 * size.seeds))
    return rows


def _best(
    grid: Sequence[tuple[float, Instance]],
    sign: int,
    search: Callable[..., tuple[list[Ratio], list[float]]],
    rounds: int,
) -> Instance:
    """The best instance near the best grid points of the best pairs of problem and law; small values are good."""
    starts: dict[tuple[str, str], tuple[float, Instance]] = {}
    for value, point in sorted(grid, key=lambda entry: entry[0]):
        starts.setdefault((point.problem, point.law), (value, point))
    candidates = list(starts.values())[:_STARTS]
    for _, start in list(candidates):

        def instance(point: np.ndarray, start: Instance = start) -> Instance:
            return start._replace(noise_to_signal=float(np.exp(point[0])), power=float(point[1]))

        refined = minimize(
            lambda point, of=instance: sign * math.log(search(*of(point))[0][0].value),
            [math.log(start.noise_to_signal), start.power],
            method="Nelder-Mead",
            bounds=[(math.log(RATIOS[0]), math.log(RATIOS[1])), POWERS],
            options={"maxfev": rounds, "xatol": 0.01, "fatol": 0.005},
        )
        candidates.append((float(refined.fun), instance(refined.x)))
    return min(candidates, key=lambda entry: entry[0])[1]


def _judged(laws: str, goal: str, best: Instance, steps: int, seeds: int) -> Extreme:
    (ratio,), (adagrad_rate, rate) = compare(*best, steps=steps, seeds=seeds, seed=_FRESH)
    places = {
        "p": (best.power, POWERS),
        "r": (best.noise_to_signal, RATIOS),
        "η": (rate, _RATES),
        "Adagrad's η": (adagrad_rate, _RATES),
    }
    # within 2 % of an end of its range
    at_edge = [n for n, (x, (low, high)) in places.items() if x <= 1.02 * low or x >= high / 1.02]
    return Extreme(laws, goal, *best, steps, *ratio, rate, adagrad_rate, at_edge)
