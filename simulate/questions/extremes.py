"""Question 5: the instances in which a power p ≠ 1 helps most over Adagrad, and in which it hurts most.

A grid over problems, laws, noise ratios and powers, then `scipy.optimize.minimize` (Nelder–Mead over ln r and p) from
its best points, then the verdict on fresh runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from simulate.adagrad.descent import build_descent
from simulate.adagrad.monte_carlo import simulate_adagrad
from simulate.problems import parse_problem
from simulate.questions.size import Progress, Size
from simulate.questions.tuning import Ratio, best_rates, learning_rates, paired_ratio
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


@dataclass(frozen=True)
class Comparison:
    """Average of ‖∇F‖² at power p over Adagrad's, each at its best learning rate; and these, for several powers."""

    ratios: list[Ratio]
    rates: list[float]
    adagrad_rate: float


def compare(
    problem: str, law: str, ratio: float, *powers: float, steps: int, seeds: int, seed: int
) -> Comparison:
    """Compare powers with Adagrad on `seeds` runs, their learning rates tuned on as many others."""
    grid = learning_rates(*_RATES, 1)
    descent = build_descent(
        parse_problem(problem),
        [1.0, *powers],
        grid,
        ratio,
        parse_law(law),
        steps=steps,
        seeds=2 * seeds,
        seed=seed,
        checkpoints=[steps],
    )
    index, judged = best_rates(simulate_adagrad(descent).mean_square[0, :, :, :, -1])
    adagrad, *others = (float(grid[i]) for i in index)
    return Comparison([paired_ratio(row, judged[0]) for row in judged[1:]], others, adagrad)


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


def run(size: Size, progress: Progress) -> list[Extreme]:
    """Search, and judge what is found on fresh runs."""
    pairs = list(product(PROBLEMS, LAWS["any"]))
    search = {"steps": size.search_steps, "seeds": size.seeds // 2, "seed": _SEED}
    grid: list[tuple[float, Instance]] = []
    for done, (problem, law) in enumerate(pairs):
        powers = [p for p in _POWER_GRID if 2 * p < parse_law(law).moment_limit]
        for ratio in _RATIO_GRID:
            found = compare(problem, law, ratio, *powers, **search)
            grid += [
                (entry.value, Instance(problem, law, ratio, power))
                for power, entry in zip(powers, found.ratios, strict=True)
            ]
        progress(done + 1, len(pairs) + 4)
    rows: list[Extreme] = []
    for done, ((name, laws), (goal, sign)) in enumerate(
        product(LAWS.items(), (("helps most", 1), ("hurts most", -1)))
    ):
        best = _search(
            [(sign * math.log(value), point) for value, point in grid if point.law in laws], sign, size
        )
        for steps in (size.search_steps, 10 * size.search_steps):
            rows.append(_judged(name, goal, best, steps, 2 * size.seeds))
        progress(len(pairs) + done + 1, len(pairs) + 4)
    return rows


def _search(grid: Sequence[tuple[float, Instance]], sign: int, size: Size) -> Instance:
    """The best instance near the best grid points of the best pairs of problem and law; small values are good."""
    starts: dict[tuple[str, str], tuple[float, Instance]] = {}
    for value, point in sorted(grid, key=lambda entry: entry[0]):
        starts.setdefault((point.problem, point.law), (value, point))
    refined = [_refined(value, point, sign, size) for value, point in list(starts.values())[:_STARTS]]
    return min(refined, key=lambda entry: entry[0])[1]


def _refined(value: float, start: Instance, sign: int, size: Size) -> tuple[float, Instance]:
    """Nelder–Mead from a grid point, within the box."""

    def instance(point: np.ndarray) -> Instance:
        return Instance(start.problem, start.law, float(np.exp(point[0])), float(point[1]))

    @cache
    def objective(candidate: Instance) -> float:
        found = compare(*candidate, steps=size.search_steps, seeds=size.seeds // 2, seed=_SEED)
        return sign * math.log(found.ratios[0].value)

    found = minimize(
        lambda point: objective(instance(point)),
        [math.log(start.noise_to_signal), start.power],
        method="Nelder-Mead",
        bounds=[(math.log(RATIOS[0]), math.log(RATIOS[1])), POWERS],
        options={"maxfev": size.search_rounds, "xatol": 0.01, "fatol": 0.005},
    )
    return min((value, start), (float(found.fun), instance(found.x)), key=lambda entry: entry[0])


def _judged(laws: str, goal: str, best: Instance, steps: int, seeds: int) -> Extreme:
    found = compare(*best, steps=steps, seeds=seeds, seed=_FRESH)
    ratio, rate = found.ratios[0], found.rates[0]
    edges = {
        "p": _at_end(best.power, POWERS),
        "r": _at_end(best.noise_to_signal, RATIOS),
        "η": _at_end(rate, _RATES),
        "Adagrad's η": _at_end(found.adagrad_rate, _RATES),
    }
    at_edge = [name for name, edge in edges.items() if edge]
    interval = ratio.value, ratio.low, ratio.high
    return Extreme(laws, goal, *best, steps, *interval, rate, found.adagrad_rate, at_edge)


def _at_end(value: float, ends: tuple[float, float]) -> bool:
    """Whether a value lies within 2 % of an end of its range."""
    return value <= 1.02 * ends[0] or value >= ends[1] / 1.02
