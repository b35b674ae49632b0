"""Question 2: the measured exponents at low noise, against those of Theorem 4.8 and `adagrad.relative_noise`."""

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from simulate.adagrad.descent import NoiseKind, build_descent
from simulate.adagrad.exponent import fitted_exponent
from simulate.adagrad.monte_carlo import simulate_adagrad
from simulate.questions.planning import Size, reported

POWERS = (0.25, 0.5, 0.75, 1.0)
# With a learning rate that ends the transient early: the averages remember it.
PROBLEMS = {"geman-mcclure": 1.0, "pseudo-huber": 10.0, "river-valley": 1.0}


class LowNoise(NamedTuple):
    """A kind of noise; `assumption` says whether 4.6 holds with a c > 0 for every p < 1."""

    title: str
    law: str
    noise: NoiseKind
    ratio: float
    assumption: bool


NOISES = (
    LowNoise("none", "uniform", "multiplicative", 0.0, True),
    LowNoise("relative, uniform", "uniform", "multiplicative", 0.3, True),
    LowNoise("fixed, sparse", "sparse:0.25", "additive", 1.0, True),
    LowNoise("fixed, uniform", "uniform", "additive", 0.1, False),
    LowNoise("fixed, Gaussian", "gaussian", "additive", 0.1, False),
)


@dataclass(frozen=True)
class AverageCurve:
    """An average over T: its mean over the seeds, with the standard error."""

    steps: list[int]
    mean: list[float]
    standard_error: list[float]


@dataclass(frozen=True)
class Exponents:
    """One problem, noise and power: exponents with the half-widths of their intervals, and Theorem 4.8's 1/(p+1).

    `exponent` and `curve` are those of `((1/T)Σ‖∇F‖_{p+1}^{p+1})^{2/(p+1)}`, `square_exponent` that of `(1/T)Σ‖∇F‖²`.
    """

    problem: str
    noise: str
    law: str
    noise_kind: NoiseKind
    noise_to_signal: float
    assumption_4_6: bool
    power: float
    learning_rate: float
    steps: int
    exponent: float
    half_width: float
    square_exponent: float
    square_half_width: float
    theorem_exponent: float
    curve: AverageCurve


def run(size: Size) -> list[Exponents]:
    """Return both exponents over the last two decades of T, for every problem, noise and power."""
    rows, steps = [], size.long_steps
    for (name, rate), kind in reported(product(PROBLEMS.items(), NOISES), "rates"):
        descent = build_descent(
            name, POWERS, rate, kind.ratio, kind.law, noise=kind.noise, steps=steps, seeds=size.seeds
        )
        runs = simulate_adagrad(descent)
        for j, power in enumerate(POWERS):
            square, powered = runs.mean_square[0, j, 0], runs.mean_power[0, j, 0] ** (2 / (power + 1))
            exponent, half_width = fitted_exponent(runs.steps, powered)
            square_exponent, square_half_width = fitted_exponent(runs.steps, square)
            mean, error = runs.over_seeds(powered)
            rows.append(
                Exponents(
                    name,
                    *kind,
                    power,
                    rate,
                    steps,
                    float(exponent),
                    float(half_width),
                    float(square_exponent),
                    float(square_half_width),
                    1 / (power + 1),
                    AverageCurve(runs.steps.tolist(), mean.tolist(), error.tolist()),
                )
            )
    return rows
