"""Which theorem speaks of an arm of the simulation, its bound, and whether measured averages keep to it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student_t

from simulate.adagrad.descent import Arm, Descent, NoiseKind
from simulate.adagrad.exponent import CONFIDENCE
from simulate.adagrad.monte_carlo import AdagradRuns
from simulate.adagrad.problem_assumptions import NoisyProblem
from theory.adagrad.assumptions import high_noise_alignment
from theory.adagrad.bounds import (
    Bound,
    BoundConstants,
    adagrad_bound,
    enlarged_gradient_bound,
    high_noise_bound,
    low_noise_bound,
    second_moment_bound,
)
from theory.adam.moments import power_moments
from theory.numerics.inputs import Array


@dataclass(frozen=True)
class ArmBound:
    """A theorem's bound on the averages of one arm, or the reason why there is none."""

    theorem: str
    """"4.5", "4.8", "4.11" or "none"."""
    note: str
    """Why none, or in which sense; may be empty."""
    alignment: float = np.nan
    """c of Assumption 4.6 or s of Assumption 4.9; 1 for Theorem 4.5, NaN without a theorem."""
    gradient_bound: float = np.nan
    """R, enlarged by ε as the proofs need it."""
    bound: Bound | None = None
    """Over the checkpoints."""

    @property
    def average(self) -> str:
        """Name of the curve that the theorem bounds."""
        return "mean_power" if self.theorem == "4.8" else "mean_square"


def arm_bound(descent: Descent, arm: Arm) -> ArmBound:
    """Return the bound that Section 4.2 proves for an arm.

    Theorem 4.5 for p = 1; 4.8 for p < 1 under multiplicative or sparse noise, or under none; 4.11 for p ≠ 1 under other
    additive noise (its proof holds for p < 1 as well).

    >>> from simulate.adagrad.descent import build_descent
    >>> descent = build_descent("plateau", 1.0, 0.1, 1.0, "gaussian", steps=100)
    >>> arm_bound(descent, Arm(1.0, 1.0, 0.1)).note
    'outside Assumption 4.4: gradients have no bound'
    """
    noisy, power = NoisyProblem(descent.problem, descent.law, descent.noise, arm.noise_to_signal), arm.power
    chosen, note = _choice(noisy, power, descent.epsilon)
    if chosen == "none":
        return ArmBound(chosen, note)
    largest = noisy.largest_gradient
    if not np.isfinite(largest):
        return ArmBound("none", "outside Assumption 4.4: gradients have no bound")
    enlarged = float(enlarged_gradient_bound(largest, power, descent.epsilon))
    constants = bound_constants(descent, arm, enlarged)
    steps = np.array(descent.checkpoints, dtype=np.float64)
    if chosen == "4.5":
        return ArmBound(chosen, note, 1.0, enlarged, adagrad_bound(steps, constants))
    if chosen == "4.8":
        assumption, name, constant, bound = "4.6", "c", noisy.low_noise_constant(power), low_noise_bound
    else:
        assumption, name, constant, bound = "4.9", "s", noisy.high_noise_constant(power), high_noise_bound
    if not constant > 0:
        fails = f"Assumption {assumption} fails: the best {name} is {constant:.3g}"
        return ArmBound("none", fails, constant)
    return ArmBound(chosen, note, constant, enlarged, bound(steps, constants, power, alignment=constant))


def bound_constants(descent: Descent, arm: Arm, gradient_bound: float = np.inf) -> BoundConstants:
    """What a bound on this arm depends on, where R is known and where it is not."""
    problem = descent.problem
    return BoundConstants(
        gap=problem.start_value - problem.minimum,
        learning_rate=arm.learning_rate,
        smoothness=problem.smoothness,
        gradient_bound=gradient_bound,
        epsilon=descent.epsilon,
        dimension=problem.dimension,
    )


def unbounded_arm_bound(descent: Descent, arm: Arm, largest: Array, steps: ArrayLike) -> Bound:
    """Bound `(1/T)·Σ_t Σ_i (E|∂_iF|)²` of an arm without R, see `theory.adagrad.bounds.second_moment_bound`.

    For additive symmetric unimodal noise, for which E|G + σξ|^{2p} grows with |G|. `largest` are the |∂_iF| up to which
    it is to hold, shape (d,); `steps` are T.

    >>> from simulate.adagrad.descent import build_descent
    >>> descent = build_descent("pseudo-huber", 1.0, 5.0, 10.0, "gaussian", steps=100)
    >>> bound = unbounded_arm_bound(descent, Arm(10.0, 1.0, 5.0), np.ones(1), [1e4, 1e6])
    >>> bound.total.round(1).tolist()
    [150.5, 17.1]
    """
    law, power = descent.law, arm.power
    sigma = arm.noise_to_signal * descent.problem.gradient_scale
    return second_moment_bound(
        steps,
        bound_constants(descent, arm),
        alignment=float(np.min(high_noise_alignment(power, sigma, largest, law))),
        second_moment=float(np.max(power_moments(power, largest, sigma, law).second)),
    )


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


def compared(
    descent: Descent, runs: AdagradRuns, place: tuple[int, ...], bound: ArmBound, *, tests: int
) -> BoundedArm:
    """Compare the average of one arm with its bound; `tests` comparisons share the level."""
    mean, error = runs.over_seeds(getattr(runs, bound.average)[place])
    where = descent.problem.name, descent.noise, descent.law.name
    measured = descent.steps, float(mean[-1]), float(error[-1])
    row = BoundedArm(*where, *descent.arms[place], bound.theorem, bound.note, *measured)
    if bound.bound is None:
        return row
    total = bound.bound.total
    return replace(
        row,
        bound=float(total[-1]),
        slack=float(total[-1] / mean[-1]),
        least_slack=float(np.min(total / mean)),
        violated=bool(np.any(least_mean(mean, error, descent.seeds, tests=tests) > total)),
    )


def least_mean(mean: Array, standard_error: Array, runs: int, *, tests: int) -> Array:
    """One-sided Student bounds below true means; with 95 % confidence `tests` of them hold together (Bonferroni).

    >>> least_mean(np.array([1.0]), np.array([0.1]), 16, tests=1).round(4).tolist()
    [0.8247]
    """
    return np.asarray(mean - student_t.isf((1 - CONFIDENCE) / tests, runs - 1) * standard_error)


def _choice(noisy: NoisyProblem, power: float, epsilon: float) -> tuple[str, str]:
    """The theorem, and a note on it."""
    if epsilon == 0:
        return "none", "the bounds are infinite for ε = 0"
    if power == 1:
        return "4.5", ""
    if power < 1 and (noisy.fades or noisy.low_noise_constant(power) > 0):
        return "4.8", ""
    if not noisy.fades:
        return "4.11", "" if power > 1 else "Theorem 4.11 is stated for p > 1, but its proof holds"
    kind = "multiplicative noise" if noisy.noise_to_signal else "no noise"
    return "none", f"Assumption 4.9 fails near a stationary point under {kind}"
