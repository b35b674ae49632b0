"""Question 6: noise and gradients without a bound, where Assumption 4.4 fails and no theorem of the paper speaks."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.stats import t as student_t

from simulate.adagrad import AdagradRuns, run_descent
from simulate.descent import Descent, build_descent
from simulate.problems import parse_problem
from simulate.rates import fitted_exponent
from simulate.studies.size import Progress, Row, Size
from simulate.studies.tuning import CONFIDENCE
from theory.alignment import high_noise_alignment
from theory.convergence import Bound, second_moment_bound
from theory.laws import parse_law
from theory.moments import power_moments

LAWS = ("gaussian", "laplace", "student-t:7")
POWERS = (0.5, 1.0, 1.2, 2.0)
RATIOS = (1.0, 10.0)
PROBLEMS = ("pseudo-huber", "geman-mcclure", "quadratic:4")
RATES = (0.1, 1.0, 10.0)


def run(size: Size, progress: Progress) -> list[Row]:
    """Measured averages, the bound without R where there is one, and how the largest gradient grows.

    Returns
    -------
    list of dict
        A row an arm: `measured`, the mean of (1/T)Σ‖∇F‖² with its standard error and exponent; `absolute`, the square
        of the mean of (1/T)Σ‖∇F‖_1 over d, which `bound` (`theory.convergence.second_moment_bound`) bounds, with
        `slack` and `violated`; `largest_gradient`, the largest |g_i| seen in all runs. For the noisy quadratic, whose
        ∇F has no bound, the largest |g_i| seen stands in for it (`bound_is_proved` is false).
    """
    plans, rows = list(product(PROBLEMS, LAWS)), []
    tests = len(plans) * len(POWERS) * len(RATIOS) * len(RATES)
    for done, (name, law) in enumerate(plans):
        problem = parse_problem(name)
        steps = max(2, size.steps // problem.dimension)
        descent = build_descent(problem, POWERS, RATES, RATIOS, parse_law(law), steps=steps, seeds=size.seeds)
        rows += _rows(descent, run_descent(descent), tests)
        progress(done + 1, len(plans))
    return rows


def _rows(descent: Descent, runs: AdagradRuns, tests: int) -> list[Row]:
    quantile = float(student_t.isf((1 - CONFIDENCE) / tests, descent.seeds - 1))
    grid = [
        list(enumerate(axis.tolist()))
        for axis in (descent.noise_to_signal, descent.powers, descent.learning_rates)
    ]
    rows = []
    for (i, ratio), (j, power), (k, rate) in product(*grid):
        mean, error = runs.over_seeds(runs.mean_square[i, j, k])
        exponent = fitted_exponent(runs.steps, runs.mean_square[i, j, k])
        absolute, spread = runs.over_seeds(runs.mean_absolute[i, j, k])
        seen = float(runs.largest_gradient[i, j, k].max())
        bound = _bound(descent, ratio, power, rate, seen)
        total = float(bound.total)
        lowest = max(float(absolute[-1] - quantile * spread[-1]), 0.0) ** 2 / descent.problem.dimension
        rows.append(
            {
                "problem": descent.problem.name,
                "law": descent.law.name,
                "noise_to_signal": ratio,
                "power": power,
                "learning_rate": rate,
                "steps": descent.steps,
                "measured": float(mean[-1]),
                "standard_error": float(error[-1]),
                "exponent": float(exponent.mean),
                "half_width": float(exponent.half_width),
                "largest_gradient": seen,
                "absolute": float(absolute[-1] ** 2 / descent.problem.dimension),
                "bound": total,
                "slack": total * descent.problem.dimension / float(absolute[-1]) ** 2,
                "violated": lowest > total,
                "bound_is_proved": bool(np.all(np.isfinite(descent.problem.largest_gradient))),
            }
        )
    return rows


def _bound(descent: Descent, ratio: float, power: float, rate: float, seen: float) -> Bound:
    """The bound without R: s and B² over all |∂_iF| up to their bound, or up to the largest |g_i| seen."""
    problem, law = descent.problem, descent.law
    largest = np.minimum(problem.largest_gradient, seen)
    sigma = ratio * problem.gradient_scale
    s = float(np.min(high_noise_alignment(power, sigma, largest, law)))
    # E|G+σξ|^{2p} grows with |G| and σ: the worst coordinate has both largest.
    second = float(np.max(power_moments(power, largest, sigma, law).second))
    return second_moment_bound(
        descent.steps,
        alignment=s,
        second_moment=second,
        gap=problem.start_value - problem.minimum,
        learning_rate=rate,
        smoothness=problem.smoothness,
        epsilon=descent.epsilon,
        dimension=problem.dimension,
    )
