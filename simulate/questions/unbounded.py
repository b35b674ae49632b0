"""Question 6: noise and gradients without a bound, where Assumption 4.4 fails and no theorem of the paper speaks."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from simulate.adagrad.bounds import least_mean, unbounded_arm_bound
from simulate.adagrad.descent import build_descent
from simulate.adagrad.exponent import fitted_exponent
from simulate.adagrad.monte_carlo import simulate_adagrad
from simulate.problems import parse_problem
from simulate.questions.planning import Size, reported

LAWS = ("gaussian", "laplace", "student-t:7")
POWERS = (0.5, 1.0, 1.2, 2.0)
RATIOS = (1.0, 10.0)
PROBLEMS = ("pseudo-huber", "geman-mcclure", "quadratic:4")
RATES = (0.1, 1.0, 10.0)
_TESTS = len(PROBLEMS) * len(LAWS) * len(POWERS) * len(RATIOS) * len(RATES)


@dataclass(frozen=True)
class UnboundedArm:
    """One arm: the mean of (1/T)Σ‖∇F‖² with its standard error and exponent, and the bound without R.

    `absolute` is the square of the mean of (1/T)Σ‖∇F‖_1 over d, which `bound` bounds
    (`adagrad.bounds.second_moment_bound`), with `slack` and `violated`; `largest_gradient` is the largest |g_i|
    seen in all runs. For the noisy quadratic, whose ∇F has no bound, it stands in for one (`bound_is_proved` is false).
    """

    problem: str
    law: str
    noise_to_signal: float
    power: float
    learning_rate: float
    steps: int
    measured: float
    standard_error: float
    exponent: float
    half_width: float
    largest_gradient: float
    absolute: float
    bound: float
    slack: float
    violated: bool
    bound_is_proved: bool


def run(size: Size) -> list[UnboundedArm]:
    """Return measured averages, the bound without R, and how the largest gradient grows."""
    rows: list[UnboundedArm] = []
    for name, law in reported(product(PROBLEMS, LAWS), "unbounded"):
        problem = parse_problem(name)
        steps = max(2, size.steps // problem.dimension)
        descent = build_descent(problem, POWERS, RATES, RATIOS, law, steps=steps, seeds=size.seeds)
        runs = simulate_adagrad(descent)
        for place, arm in descent.arms.items():
            mean, error = runs.over_seeds(runs.mean_square[place])
            exponent, half_width = fitted_exponent(runs.steps, runs.mean_square[place])
            absolute, spread = (curve[-1] for curve in runs.over_seeds(runs.mean_absolute[place]))
            seen = float(runs.largest_gradient[place].max())
            largest = np.minimum(problem.largest_gradient, seen)
            total = float(unbounded_arm_bound(descent, arm, largest, steps).total)
            least = least_mean(absolute, spread, descent.seeds, tests=_TESTS)
            rows.append(
                UnboundedArm(
                    name,
                    law,
                    *arm,
                    steps=steps,
                    measured=float(mean[-1]),
                    standard_error=float(error[-1]),
                    exponent=float(exponent),
                    half_width=float(half_width),
                    largest_gradient=seen,
                    absolute=float(absolute**2 / problem.dimension),
                    bound=total,
                    slack=total * problem.dimension / float(absolute) ** 2,
                    violated=max(float(least), 0.0) ** 2 / problem.dimension > total,
                    bound_is_proved=bool(np.all(np.isfinite(problem.largest_gradient))),
                )
            )
    return rows
