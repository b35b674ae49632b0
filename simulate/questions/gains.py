"""Questions 3 and 4: the gain over Adagrad at high noise by law, at Adagrad's learning rate and at each power's own."""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from simulate.adagrad.descent import Descent, build_descent
from simulate.adagrad.monte_carlo import simulate_adagrad
from simulate.problems import parse_problem
from simulate.questions.planning import Size, best_rates, learning_rates, paired_ratio, reported
from theory.adagrad.assumptions import contraction
from theory.adagrad.powered_noise import high_noise_quality
from theory.laws import NoiseLaw, parse_law
from theory.numerics.inputs import Array

LAWS = ("binary", "uniform", "gaussian", "laplace", "student-t:7")
POWERS = (0.5, 0.75, 1.0, 1.2, 1.5, 2.0, 3.0)
# Objectives that grow without bound: where F flattens out far away, flying off makes gradients small, too.
PROBLEMS = {"pseudo-huber": (0.3, 1.0, 3.0, 10.0, 30.0), "river-valley": (3.0, 10.0)}
_ADAGRAD = POWERS.index(1.0)


@dataclass(frozen=True)
class Gain:
    """One problem, law, ratio r and power: the average of ‖∇F‖² over Adagrad's, below 1 where the power gains.

    `tuned` and `shared` are the ratios at each power's best learning rate and at Adagrad's, with their intervals;
    `at_edge` says whether either rate lies at an end of the grid; `rho` is what Theorem 4.11 predicts (None or infinite
    where the noise has no bound), `quality` Q(1)/Q(p); `speed_up` says how many times fewer steps the power takes to
    Adagrad's final average (above 1), or Adagrad to the power's (below 1).
    """

    problem: str
    law: str
    noise_to_signal: float
    power: float
    steps: int
    tuned: float
    tuned_low: float
    tuned_high: float
    shared: float
    shared_low: float
    shared_high: float
    learning_rate: float
    adagrad_rate: float
    at_edge: bool
    adagrad_average: float
    rho: float | None
    quality: float
    speed_up: float

    @property
    def rho_is_wrong(self) -> bool:
        """Whether ρ says loss where Adagrad's learning rate shows a gain beyond chance, or the reverse."""
        rho = self.rho or 1.0
        return (rho > 1 and self.shared_high < 1) or (rho < 1 and self.shared_low > 1)


def run(size: Size) -> list[Gain]:
    """Return the gains of every power over Adagrad."""
    settings = product(PROBLEMS.items(), LAWS)
    plans = [(name, law, ratio) for (name, ratios), law in settings for ratio in ratios]
    rows: list[Gain] = []
    for name, law, ratio in reported(plans, "gains"):
        rates = _grid(float(np.abs(parse_problem(name).start).max()), ratio, size)
        powers = [p for p in POWERS if 2 * p < parse_law(law).moment_limit]
        descent = build_descent(name, powers, rates, ratio, law, steps=size.steps, seeds=2 * size.seeds)
        rows += _rows(descent, ratio, simulate_adagrad(descent).mean_square[0])
    return rows


def _grid(distance: float, ratio: float, size: Size) -> Array:
    """Learning rates around those that reach the minimum in time; noise asks for longer steps."""
    noise = max(1.0, ratio)
    return learning_rates(distance / 800 * noise**0.5, 0.64 * distance * noise**0.75, size.rates_per_octave)


def _rows(descent: Descent, ratio: float, averages: Array) -> list[Gain]:
    """The rows of one simulation: averages of shape (powers, learning rates, seeds, checkpoints)."""
    index, judged = best_rates(averages[..., -1])
    shared = averages[:, index[_ADAGRAD], descent.seeds // 2 :, -1]
    curves = averages[np.arange(len(index)), index, descent.seeds // 2 :].mean(axis=1)
    rates = descent.learning_rates[index].tolist()
    at_edge = np.isin(index, (0, descent.learning_rates.size - 1))
    steps, law = np.array(descent.checkpoints), descent.law
    return [
        Gain(
            descent.problem.name,
            law.name,
            ratio,
            power,
            descent.steps,
            *paired_ratio(judged[j], judged[_ADAGRAD]),
            *paired_ratio(shared[j], shared[_ADAGRAD]),
            learning_rate=rates[j],
            adagrad_rate=rates[_ADAGRAD],
            at_edge=bool(at_edge[j] or at_edge[_ADAGRAD]),
            adagrad_average=float(judged[_ADAGRAD].mean()),
            rho=float(rho(power, ratio, law)),
            quality=float(quality_ratio(power, law)),
            speed_up=speed_up(steps, curves[j], curves[_ADAGRAD]),
        )
        for j, power in enumerate(descent.powers.tolist())
    ]


def rho(power: ArrayLike, ratio: float, law: NoiseLaw) -> Array:
    """R^{p−1}/s of Assumption 4.9, where |∇_iF| <= σ/r: what multiplies Adagrad's R in Theorem 4.11."""
    return contraction(power, law.reach + 1 / ratio, law) if math.isfinite(law.reach) else np.array(math.inf)


def quality_ratio(power: ArrayLike, law: NoiseLaw) -> Array:
    """`Q(1)/Q(p)`: the inverse gain in drift over RMS of Section 4.1 at high noise."""
    return high_noise_quality(1.0, law) / high_noise_quality(power, law)


def speed_up(steps: Array, curve: Array, reference: Array) -> float:
    """How many times sooner `curve` reaches the last value of `reference`, or the inverse where it ends above it.

    >>> T = np.array([1.0, 10.0, 100.0, 1000.0])
    >>> round(speed_up(T, 0.5 * T**-0.5, T**-0.5), 6), round(speed_up(T, 2 * T**-0.5, T**-0.5), 6)
    (4.0, 0.25)
    """
    if curve[-1] > reference[-1]:
        return 1 / speed_up(steps, reference, curve)
    above = np.flatnonzero(curve > reference[-1])
    if above.size == 0:
        return float(steps[-1] / steps[0])
    k = int(above[-1])  # the last checkpoint above; the level is crossed before the next
    log_low, log_high = np.log(curve[[k + 1, k]])
    share = (log_high - np.log(reference[-1])) / (log_high - log_low)
    return float(steps[-1] / np.exp(np.log(steps[k]) + share * np.log(steps[k + 1] / steps[k])))
