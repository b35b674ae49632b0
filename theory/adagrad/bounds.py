"""The convergence bounds of Section 4.2, term by term, and the two lemmas they rest on (Appendix C).

AdagradPower moves each coordinate by `θ_t = θ_{t−1} − η·ψ_t/√(v_t + ε)`, `ψ_t = φ_p(g_t)`, `v_t = v_{t−1} + ψ_t²`.
F is L-smooth and at least F*; the unbiased gradients g of its d coordinates obey |g_i| <= R. Every bound is

    prefactor/√T · [ (F₀−F*)/η  +  (variance + ηL/2)·d·ln(1 + T·R^{2p}/ε) ],

because the three steps of the proof are: Lemma C.1 makes every step descend, up to a penalty ψ²/(v+ε); Lemma C.2 sums
the penalties to a logarithm; and `√(v+ε) <= R^p·√T` takes the preconditioner out. The last step needs
`|φ_p(g)|² + ε <= R^{2p}`, where the paper says |g| <= R: `enlarged_gradient_bound` is the R that serves.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gradpower.tools.errors import InputError
from theory.numerics.inputs import Array, at_least_one, checked, nonnegative, positive, power_in_range


@dataclass(frozen=True)
class Bound:
    """An upper bound on an average over the first T points, as the sum of its three terms."""

    start: Array
    """What the distance to the minimum, F₀ − F*, contributes."""
    variance: Array
    """What the correlation of a gradient with its own preconditioner contributes (Lemma C.1)."""
    curvature: Array
    """What the second-order term ηL/2 of each step contributes."""

    @property
    def total(self) -> Array:
        """The bound itself."""
        return np.asarray(self.start + self.variance + self.curvature)


@dataclass(frozen=True, kw_only=True)
class BoundConstants:
    """What every bound of Section 4.2 depends on besides T, p and the constant of its assumption.

    Numbers, or arrays that are broadcast against each other and T.

    >>> BoundConstants(gap=1.0, learning_rate=0.0, smoothness=2.0, epsilon=1e-8)
    Traceback (most recent call last):
    ...
    gradpower.tools.errors.InputError: learning_rate: 0.0 is not allowed; expected a finite number > 0
    """

    gap: float | Array
    """F(θ_0) − F* >= 0."""
    learning_rate: float | Array
    """η > 0."""
    smoothness: float | Array
    """L >= 0, the Lipschitz constant of ∇F in the Euclidean norm."""
    gradient_bound: float | Array = np.inf
    """R > 0 with |g_i|^{2p} + ε <= R^{2p}, see `enlarged_gradient_bound`; infinite where gradients have no bound."""
    epsilon: float | Array
    """ε > 0, under the root."""
    dimension: float | Array = 1
    """Number d >= 1 of coordinates."""

    def __post_init__(self) -> None:
        for name in ("gap", "smoothness"):
            nonnegative(name, getattr(self, name))
        for name in ("learning_rate", "epsilon"):
            positive(name, getattr(self, name))
        if not np.all(np.isposinf(self.gradient_bound)):
            positive("gradient_bound", self.gradient_bound)
        at_least_one("dimension", self.dimension)


def adagrad_bound(steps: ArrayLike, constants: BoundConstants) -> Bound:
    """Bound `(1/T)·Σ_{t<T} E‖∇F(θ_t)‖²` for Adagrad (Theorem 4.5, Theorem 1 of Défossez et al. 2022).

    `2R(F₀−F*)/(η√T) + (4dR² + ηdRL)·ln(1+TR²/ε)/√T`, T >= 1: Theorem 4.8 at p = 1, c = 1. R must be finite.

    >>> constants = BoundConstants(gap=1, learning_rate=0.1, smoothness=2, gradient_bound=1, epsilon=1e-2)
    >>> bound = adagrad_bound([1e2, 1e4], constants)
    >>> bound.start.round(3).tolist(), bound.total.round(3).tolist()
    ([2.0, 0.2], [5.868, 0.78])
    """
    return low_noise_bound(steps, constants, 1.0, alignment=1.0)


def low_noise_bound(
    steps: ArrayLike, constants: BoundConstants, power: ArrayLike, *, alignment: ArrayLike
) -> Bound:
    """Bound `(1/T)·Σ_{t<T} E‖∇F(θ_t)‖_{p+1}^{p+1}` for AdagradPower under Assumption 4.6 (Theorem 4.8).

    `2R^p(F₀−F*)/(cη√T) + (4R^{p+1}/c² + ηR^pL/c)·d·ln(1+TR^{2p}/ε)/√T`, with 0 < p <= 1 and `alignment` the c > 0 of
    `∇_iF·E φ_p(g_i) >= c·|∇_iF|^{p+1}`.

    >>> constants = BoundConstants(gap=1, learning_rate=0.1, smoothness=2, gradient_bound=1, epsilon=1e-2)
    >>> bound = low_noise_bound(1e4, constants, 0.5, alignment=1)
    >>> float(bound.start.round(3)), float(bound.total.round(3))
    (0.2, 0.78)
    """
    p = checked("power", power, "0 < p <= 1 in Theorem 4.8", lambda a: (a > 0) & (a <= 1))
    scale, c = _power_of_bound(constants, p), positive("alignment", alignment)
    return _bound(steps, constants, scale, c, 2 * np.asarray(constants.gradient_bound, np.float64) / c)


def high_noise_bound(
    steps: ArrayLike, constants: BoundConstants, power: ArrayLike, *, alignment: ArrayLike
) -> Bound:
    """Bound `(1/T)·Σ_{t<T} E‖∇F(θ_t)‖²` for AdagradPower under Assumption 4.9 (Theorem 4.11).

    With ρ = R^{p−1}/s: `2Rρ(F₀−F*)/(η√T) + (4R²ρ² + ηRLρ)·d·ln(1+TR^{2p}/ε)/√T`, `alignment` the s > 0 of
    `∇_iF·E φ_p(g_i) >= s·|∇_iF|²`. The paper takes p > 1; the proof uses (C1) only, so that any p > 0 is allowed here.

    Example 4.10 with a = 1, |∇F| <= 0.005: s = 3 and a bound a third of Adagrad's in the first term.

    >>> constants = BoundConstants(gap=1, learning_rate=0.1, smoothness=2, gradient_bound=1.005, epsilon=1e-8)
    >>> float(high_noise_bound(1e4, constants, 3, alignment=3).start.round(4))
    0.0677
    """
    p = power_in_range("power", power)
    scale, s = _power_of_bound(constants, p), positive("alignment", alignment)
    return _bound(steps, constants, scale, s, 2 * scale / s)


def second_moment_bound(
    steps: ArrayLike, constants: BoundConstants, *, alignment: ArrayLike, second_moment: ArrayLike
) -> Bound:
    """Bound `(1/T)·Σ_t Σ_i (E|∇_iF(θ_t)|)²` for gradients that need not be bounded (beyond the paper).

    Theorem 4.11 with R^p replaced by `√(B² + ε/T)`, B² = sup E φ_p(g_i)², in front and by B elsewhere: Lemma C.1 uses
    R^p only through `√(E φ_p²) <= R^p`, Jensen's inequality serves in the logarithm, and Cauchy–Schwarz,
    `(E|G|)² <= E[G²/√(ṽ+ε)]·E√(ṽ+ε)`, takes the preconditioner out, at the price of the smaller norm. `alignment`
    is the s of Theorem 4.11, `second_moment` B² > 0; R plays no part.

    >>> constants = BoundConstants(gap=1, learning_rate=0.1, smoothness=2, epsilon=1e-2)
    >>> float(second_moment_bound(1e4, constants, alignment=1, second_moment=1).total.round(3))
    0.78
    """
    square, s = positive("second_moment", second_moment), positive("alignment", alignment)
    root, t = np.sqrt(square), at_least_one("steps", steps)
    return _bound(t, constants, root, s, 2 * root / s, outer=np.sqrt(square + constants.epsilon / t))


def _power_of_bound(constants: BoundConstants, power: Array) -> Array:
    return np.asarray(positive("gradient_bound", constants.gradient_bound) ** power)


def _bound(
    steps: ArrayLike,
    constants: BoundConstants,
    scale: Array,
    alignment: Array,
    variance: Array,
    outer: Array | None = None,
) -> Bound:
    """The bound that all theorems share: `scale` is R^p, `variance` the factor of the penalty in Lemma C.1 (2·…)."""
    t, eta, epsilon = at_least_one("steps", steps), constants.learning_rate, constants.epsilon
    if outer is None and np.any(scale**2 * (1 + 1e-9) < epsilon):
        allowed = "R with |g_i|^{2p} + ε <= R^{2p}, so that R^{2p} exceeds ε"
        raise InputError("gradient_bound", f"R^p = {float(np.min(scale)):g}", allowed)
    logarithm = constants.dimension * log_sum_bound(t * scale**2, epsilon)
    front = 2 * (scale if outer is None else outer) / (alignment * np.sqrt(t))
    terms = (
        front * constants.gap / eta,
        front * variance * logarithm,
        front * eta * constants.smoothness / 2 * logarithm,
    )
    return Bound(*np.broadcast_arrays(*terms))


def log_sum_bound(total: ArrayLike, epsilon: ArrayLike) -> Array:
    """Bound `Σ_t a_t/(ε+b_t)`, b_t = a_1+…+a_t, a_t >= 0, by `ln(1 + b_T/ε)` (Lemma C.2, Défossez et al. 5.2).

    >>> a = np.array([3.0, 1.0, 4.0])
    >>> float(np.sum(a / (1 + np.cumsum(a))).round(3)), float(log_sum_bound(a.sum(), 1.0).round(3))
    (1.394, 2.197)
    """
    return np.asarray(np.log1p(nonnegative("total", total) / positive("epsilon", epsilon)))


def enlarged_gradient_bound(largest: ArrayLike, power: ArrayLike, epsilon: ArrayLike) -> Array:
    """The smallest R that serves the theorems: `R = (|g|^{2p} + ε)^{1/(2p)}`, |g_i| <= `largest` almost surely.

    The proofs need `|φ_p(g)|² + ε <= R^{2p}`. With |g| <= R alone, as printed, the bounds can fail for an ε that is
    large against R^{2p}/T (Défossez et al. ask for |g| <= R − √ε).

    >>> float(enlarged_gradient_bound(3.0, 1.0, 16.0).round(12))
    5.0
    """
    p, g = power_in_range("power", power), positive("largest", largest)
    with np.errstate(divide="ignore"):  # ε = 0 has the logarithm −∞
        log_epsilon = np.log(nonnegative("epsilon", epsilon))
    # In logarithms, as |g|^{2p} over- and underflows.
    return np.asarray(np.exp(np.logaddexp(2 * p * np.log(g), log_epsilon) / (2 * p)))
