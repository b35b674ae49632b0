"""Question 5: the instance in which a power p ≠ 1 helps most over Adagrad, and the one in which it hurts most."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import count

import numpy as np
from scipy.optimize import differential_evolution

from simulate.adagrad import simulate_adagrad
from simulate.problems import parse_problem
from simulate.studies.size import Progress, Row, Size
from simulate.studies.tuning import Ratio, best_rates, learning_rates, paired_ratio
from theory.laws import parse_law

# Objectives that grow without bound: where F flattens out far away, flying off makes gradients small, too.
PROBLEMS = ("pseudo-huber", "river-valley", "logistic:4", "quadratic:4")
SYMMETRIC = ("binary", "uniform", "generalized-normal:4", "gaussian", "laplace", "student-t:7", "sparse:0.25")
LAWS = {"symmetric": SYMMETRIC, "any": (*SYMMETRIC, "two-point:0.2")}
POWERS = (0.25, 3.0)
RATIOS = (0.1, 30.0)
_RATES = (0.03, 1000.0)
_SEED = 11
_FRESH = 12  # another stream for the verdict on what the search found


@dataclass(frozen=True)
class Instance:
    """What the search varies."""

    problem: str
    law: str
    noise_to_signal: float
    power: float


def decoded(point: np.ndarray, laws: tuple[str, ...]) -> Instance:
    """The instance at a point of the search: indices of problem and law, ln r, p."""
    problem, law, log_ratio, power = point.tolist()
    return Instance(PROBLEMS[round(problem)], laws[round(law)], float(np.exp(log_ratio)), power)


def compare(instance: Instance, steps: int, seeds: int, seed: int) -> tuple[Ratio, float, float]:
    """Average of ‖∇F‖² at power p over Adagrad's, both at their best learning rates; and these."""
    rates = learning_rates(*_RATES, 1)
    runs = simulate_adagrad(
        parse_problem(instance.problem),
        [instance.power, 1.0],
        rates,
        instance.noise_to_signal,
        parse_law(instance.law),
        steps=steps,
        seeds=2 * seeds,
        seed=seed,
        checkpoints=[steps],
    )
    index, judged = best_rates(runs.mean_square[0, :, :, :, -1])
    return paired_ratio(*judged), float(rates[index[0]]), float(rates[index[1]])


def run(size: Size, progress: Progress) -> list[Row]:
    """Search by differential evolution, and judge what it finds on fresh runs.

    Returns
    -------
    list of dict
        A row a set of laws ("symmetric", "any") and goal ("helps most", "hurts most"): problem, law, noise_to_signal,
        power, how many instances were tried, and on fresh runs of T and of 10·T steps the ratio of the averages of
        ‖∇F‖² with its interval, and both learning rates.
    """
    rows: list[Row] = []
    known: dict[int, Instance] = {}
    generations = size.search_rounds + 1
    for name, laws in LAWS.items():
        for goal, sign in (("helps most", 1), ("hurts most", -1)):
            start = len(rows) // 2 * generations
            report = partial(_report, progress, count(start + 1), 4 * generations)
            # Every instance of the smaller set of laws is one of the larger: the search goes on from the best.
            best, tried = _search(laws, sign, size, report, known.get(sign))
            known[sign] = best
            for steps in (size.search_steps, 10 * size.search_steps):
                ratio, rate, adagrad_rate = compare(best, steps, 2 * size.seeds, _FRESH)
                rows.append(
                    {
                        "laws": name,
                        "goal": goal,
                        **asdict(best),
                        "steps": steps,
                        "ratio": ratio.value,
                        "ratio_low": ratio.low,
                        "ratio_high": ratio.high,
                        "learning_rate": rate,
                        "adagrad_rate": adagrad_rate,
                        "tried": tried,
                    }
                )
    return rows


def _report(progress: Progress, counter: count[int], total: int, *_: object, **__: object) -> None:
    progress(min(next(counter), total), total)


def _encoded(instance: Instance, laws: tuple[str, ...]) -> list[float]:
    """The inverse of `decoded`."""
    indices = [PROBLEMS.index(instance.problem), laws.index(instance.law)]
    return [*indices, math.log(instance.noise_to_signal), instance.power]


def _search(
    laws: tuple[str, ...], sign: int, size: Size, report: Callable[..., None], known: Instance | None
) -> tuple[Instance, int]:
    """The instance with the smallest ratio (sign 1) or the largest (−1), and how many were tried."""

    @cache
    def objective(instance: Instance) -> float:
        return sign * math.log(compare(instance, size.search_steps, size.seeds // 2, _SEED)[0].value)

    found = differential_evolution(
        lambda point: objective(decoded(point, laws)),
        [(0, len(PROBLEMS) - 1), (0, len(laws) - 1), tuple(np.log(RATIOS)), POWERS],
        integrality=[True, True, False, False],
        popsize=size.search_crowd,
        maxiter=size.search_rounds,
        seed=_SEED,
        polish=False,
        tol=0.0,
        callback=report,
        x0=None if known is None else _encoded(known, laws),
    )
    return decoded(found.x, laws), objective.cache_info().misses
