"""The convergence bounds of Section 4.2, term by term, and the two lemmas they rest on (Appendix C).

AdagradPower moves each coordinate by `θ_t = θ_{t−1} − η·ψ_t/√(v_t + ε)`, `ψ_t = φ_p(g_t)`, `v_t = v_{t−1} + ψ_t²`.
F is L-smooth and at least F*; the unbiased gradients g of its d coordinates obey |g_i| <= R. Every bound is

    prefactor/√T · [ (F₀−F*)/η  +  (variance + ηL/2)·d·ln(1 + T·R^{2p}/ε) ],

because the three steps of the proof are: Lemma C.1 makes every step descend, up to a penalty ψ²/(v+ε); Lemma C.2 sums
the penalties to a logarithm; and `√(v+ε) <= R^p·√T` takes the preconditioner out. The last step needs
`|φ_p(g)|² + ε <= R^{2p}`, where the paper says |g| <= R: `enlarged_gradient_bound` is the R that serves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gradpower.tools.errors import InputError
from theory.numerics.inputs import Array, nonnegative, positive, power_in_range


@dataclass(frozen=True)
class Bound:
    """An upper bound on an average over the first T points, as the sum of its three terms.

    Attributes
    ----------
    start : ndarray
        What the distance to the minimum, F₀ − F*, contributes.
    variance : ndarray
        What the correlation of a gradient with its own preconditioner contributes (Lemma C.1).
    curvature : ndarray
        What the second-order term ηL/2 of each step contributes.
    """

    start: Array
    variance: Array
    curvature: Array

    @property
    def total(self) -> Array:
        """The bound itself."""
        return np.asarray(self.start + self.variance + self.curvature)


def adagrad_bound(
    steps: ArrayLike,
    *,
    gap: ArrayLike,
    learning_rate: ArrayLike,
    smoothness: ArrayLike,
    gradient_bound: ArrayLike,
    epsilon: ArrayLike,
    dimension: ArrayLike = 1,
) -> Bound:
    """Bound `(1/T)·Σ_{t<T} E‖∇F(θ_t)‖²` for Adagrad (Theorem 4.5, Theorem 1 of Défossez et al. 2022).

    `2R(F₀−F*)/(η√T) + (4dR² + ηdRL)·ln(1+TR²/ε)/√T`.

    Parameters
    ----------
    steps : array_like
        T >= 1.
    gap : array_like
        F(θ_0) − F* >= 0.
    learning_rate : array_like
        η > 0.
    smoothness : array_like
        L >= 0, the Lipschitz constant of ∇F in the Euclidean norm.
    gradient_bound : array_like
        R > 0 with |g_i|² + ε <= R², see `enlarged_gradient_bound`.
    epsilon : array_like
        ε > 0, under the root.
    dimension : array_like
        Number d >= 1 of coordinates.

    Returns
    -------
    Bound
        Terms of the broadcast shape.

    Raises
    ------
    InputError
        For arguments out of range.

    Examples
    --------
    >>> bound = adagrad_bound([1e2, 1e4], gap=1, learning_rate=0.1, smoothness=2, gradient_bound=1, epsilon=1e-2)
    >>> bound.start.round(3).tolist(), bound.total.round(3).tolist()
    ([2.0, 0.2], [5.868, 0.78])
    """
    scale = positive("gradient_bound", gradient_bound)
    return _bound(steps, scale, np.ones(()), 2 * scale, gap, learning_rate, smoothness, epsilon, dimension)


def low_noise_bound(
    steps: ArrayLike,
    power: ArrayLike,
    *,
    alignment: ArrayLike,
    gap: ArrayLike,
    learning_rate: ArrayLike,
    smoothness: ArrayLike,
    gradient_bound: ArrayLike,
    epsilon: ArrayLike,
    dimension: ArrayLike = 1,
) -> Bound:
    """Bound `(1/T)·Σ_{t<T} E‖∇F(θ_t)‖_{p+1}^{p+1}` for AdagradPower under Assumption 4.6 (Theorem 4.8).

    `2R^p(F₀−F*)/(cη√T) + (4R^{p+1}/c² + ηR^pL/c)·d·ln(1+TR^{2p}/ε)/√T`.

    Parameters
    ----------
    power : array_like
        0 < p <= 1; at p = 1, c = 1 it is Theorem 4.5.
    alignment : array_like
        c > 0 with `∇_iF·E φ_p(g_i) >= c·|∇_iF|^{p+1}`.
    steps, gap, learning_rate, smoothness, gradient_bound, epsilon, dimension : array_like
        As in `adagrad_bound`; R^{2p} >= |g_i|^{2p} + ε.

    Examples
    --------
    >>> bound = low_noise_bound(1e4, 0.5, alignment=1, gap=1, learning_rate=0.1, smoothness=2, gradient_bound=1,
    ...                         epsilon=1e-2)
    >>> float(bound.start.round(3)), float(bound.total.round(3))
    (0.2, 0.78)
    """
    p = power_in_range("power", power)
    if np.any(p > 1):
        raise InputError("power", float(np.max(p)), "0 < p <= 1 in Theorem 4.8")
    scale, c = _power_of("gradient_bound", gradient_bound, p), positive("alignment", alignment)
    variance = 2 * positive("gradient_bound", gradient_bound) / c
    return _bound(steps, scale, c, variance, gap, learning_rate, smoothness, epsilon, dimension)


def high_noise_bound(
    steps: ArrayLike,
    power: ArrayLike,
    *,
    alignment: ArrayLike,
    gap: ArrayLike,
    learning_rate: ArrayLike,
    smoothness: ArrayLike,
    gradient_bound: ArrayLike,
    epsilon: ArrayLike,
    dimension: ArrayLike = 1,
) -> Bound:
    """Bound `(1/T)·Σ_{t<T} E‖∇F(θ_t)‖²` for AdagradPower under Assumption 4.9 (Theorem 4.11).

    With ρ = R^{p−1}/s: `2Rρ(F₀−F*)/(η√T) + (4R²ρ² + ηRLρ)·d·ln(1+TR^{2p}/ε)/√T`.

    The paper takes p > 1; the proof uses (C1) only, so that any p > 0 is allowed here.

    Parameters
    ----------
    power : array_like
        0 < p <= 10.
    alignment : array_like
        s > 0 with `∇_iF·E φ_p(g_i) >= s·|∇_iF|²`.
    steps, gap, learning_rate, smoothness, gradient_bound, epsilon, dimension : array_like
        As in `adagrad_bound`; R^{2p} >= |g_i|^{2p} + ε.

    Examples
    --------
    Example 4.10 with a = 1, |∇F| <= 0.005: s = 3 and a bound a third of Adagrad's in the first term.

    >>> bound = high_noise_bound(1e4, 3, alignment=3, gap=1, learning_rate=0.1, smoothness=2, gradient_bound=1.005,
    ...                          epsilon=1e-8)
    >>> float(bound.start.round(4))
    0.0677
    """
    p = power_in_range("power", power)
    scale, s = _power_of("gradient_bound", gradient_bound, p), positive("alignment", alignment)
    return _bound(steps, scale, s, 2 * scale / s, gap, learning_rate, smoothness, epsilon, dimension)


def second_moment_bound(
    steps: ArrayLike,
    *,
    alignment: ArrayLike,
    second_moment: ArrayLike,
    gap: ArrayLike,
    learning_rate: ArrayLike,
    smoothness: ArrayLike,
    epsilon: ArrayLike,
    dimension: ArrayLike = 1,
) -> Bound:
    """Bound `(1/T)·Σ_t Σ_i (E|∇_iF(θ_t)|)²` for gradients that need not be bounded (beyond the paper).

    Theorem 4.11 with R^p replaced by `√(B² + ε/T)`, B² = sup E φ_p(g_i)², in front and by B elsewhere: Lemma C.1 uses
    R^p only through `√(E φ_p²) <= R^p`, Jensen's inequality serves in the logarithm, and Cauchy–Schwarz,
    `(E|G|)² <= E[G²/√(ṽ+ε)]·E√(ṽ+ε)`, takes the preconditioner out, at the price of the smaller norm.

    Parameters
    ----------
    alignment : array_like
        s > 0 with `∇_iF·E φ_p(g_i) >= s·|∇_iF|²`.
    second_moment : array_like
        B² >= E φ_p(g_i)², B > 0.
    steps, gap, learning_rate, smoothness, epsilon, dimension : array_like
        As in `adagrad_bound`.

    Examples
    --------
    >>> bound = second_moment_bound(1e4, alignment=1, second_moment=1, gap=1, learning_rate=0.1, smoothness=2,
    ...                             epsilon=1e-2)
    >>> float(bound.total.round(3))
    0.78
    """
    square, s = positive("second_moment", second_moment), positive("alignment", alignment)
    root, t = np.sqrt(square), nonnegative("steps", steps)
    outer = np.sqrt(square + nonnegative("epsilon", epsilon) / np.maximum(t, 1))
    return _bound(t, root, s, 2 * root / s, gap, learning_rate, smoothness, epsilon, dimension, outer)


def _power_of(name: str, value: ArrayLike, power: Array) -> Array:
    return np.asarray(positive(name, value) ** power)


def _bound(
    steps: ArrayLike,
    scale: Array,
    alignment: Array,
    variance: Array,
    gap: ArrayLike,
    learning_rate: ArrayLike,
    smoothness: ArrayLike,
    epsilon: ArrayLike,
    dimension: ArrayLike,
    outer: Array | None = None,
) -> Bound:
    """The bound that all theorems share: `scale` is R^p, `variance` the factor of the penalty in Lemma C.1 (2·…)."""
    t, d = nonnegative("steps", steps), nonnegative("dimension", dimension)
    for name, value in (("steps", t), ("dimension", d)):
        if np.any(value < 1):
            raise InputError(name, float(np.min(value)), "a number >= 1")
    eta, curvature = positive("learning_rate", learning_rate), nonnegative("smoothness", smoothness)
    if outer is None and np.any(scale**2 * (1 + 1e-9) < np.asarray(epsilon)):
        allowed = "R with |g_i|^{2p} + ε <= R^{2p}, so that R^{2p} exceeds ε"
        raise InputError("gradient_bound", f"R^p = {float(np.min(scale)):g}", allowed)
    logarithm = d * log_sum_bound(t * scale**2, positive("epsilon", epsilon))
    front = 2 * (scale if outer is None else outer) / (alignment * np.sqrt(t))
    terms = (
        front * nonnegative("gap", gap) / eta,
        front * variance * logarithm,
        front * eta * curvature / 2 * logarithm,
    )
    return Bound(*np.broadcast_arrays(*terms))


def log_sum_bound(total: ArrayLike, epsilon: ArrayLike) -> Array:
    """Bound `Σ_t a_t/(ε+b_t)`, b_t = a_1+…+a_t, a_t >= 0, by `ln(1 + b_T/ε)` (Lemma C.2, Défossez et al. 5.2).

    Parameters
    ----------
    total : array_like
        b_T >= 0.
    epsilon : array_like
        ε > 0.

    Examples
    --------
    >>> a = np.array([3.0, 1.0, 4.0])
    >>> float(np.sum(a / (1 + np.cumsum(a))).round(3)), float(log_sum_bound(a.sum(), 1.0).round(3))
    (1.394, 2.197)
    """
    return np.asarray(np.log1p(nonnegative("total", total) / positive("epsilon", epsilon)))


def enlarged_gradient_bound(largest: ArrayLike, power: ArrayLike, epsilon: ArrayLike) -> Array:
    """The smallest R that serves the theorems: `R = (|g|^{2p} + ε)^{1/(2p)}`.

    The proofs need `|φ_p(g)|² + ε <= R^{2p}`. With |g| <= R alone, as printed, the bounds can fail for an ε that is
    large against R^{2p}/T (Défossez et al. ask for |g| <= R − √ε).

    Parameters
    ----------
    largest : array_like
        Almost sure bound on |g_i|.
    power, epsilon : array_like
        p and ε.

    Examples
    --------
    >>> float(enlarged_gradient_bound(3.0, 1.0, 16.0).round(12))
    5.0
    """
    p, g = power_in_range("power", power), positive("largest", largest)
    with np.errstate(divide="ignore"):  # ε = 0 has the logarithm −∞
        log_epsilon = np.log(nonnegative("epsilon", epsilon))
    # In logarithms, as |g|^{2p} over- and underflows.
    return np.asarray(np.exp(np.logaddexp(2 * p * np.log(g), log_epsilon) / (2 * p)))
