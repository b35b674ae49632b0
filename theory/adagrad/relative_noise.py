"""Beyond the paper: where noise fades with the gradient, Adagrad is fast already (a bound for every p <= 1).

Assumption 4.6 with a noise law of fixed shape means noise in proportion to the gradient: g = G(1 + rξ) with |1 +
rξ| <= κ, so that `G·E φ_p(g) = c·|G|^{p+1}`, c = a_p(r), positive for every symmetric ξ. Theorem 4.8 divides by
`R^p·√T`, its bound on the preconditioner √(v+ε). Here that is wasteful: v itself stays small. For each coordinate
let

    y = (Σ_{t<T} |G_t|^{p+1})^{1/(p+1)},    A = κ^p·T^{(1−p)/(2(p+1))}.

1. `v_T <= κ^{2p}·Σ|G_t|^{2p} <= A²·y^{2p}` (Hölder), and √(ṽ_t+ε) is at most √(A²y^{2p}+ε), too.
2. So `Σ_t |G_t|^{p+1}/√(ṽ_t+ε) >= y^{p+1}/(A·y^p + √ε) >= (y − y₀)/(2A)`, y₀ = (√ε/A)^{1/p}.
3. The sum on the left is bounded in the proof of Theorem 4.8: summed over coordinates its expectation is at most
   `(2/(cη))·[F₀−F* + (2ηR/c + η²L/2)·Σ_i E ln(1+v_T/ε)]`, where `ln(1+v_T/ε) <= 2·ln(1 + A·y^p/√ε)`, concave in y.
4. By Jensen the mean Y of E y over the d coordinates obeys
   `Y <= y₀ + (4A/(cη))·[(F₀−F*)/d + 2·(2ηR/c + η²L/2)·ln(1 + A·Y^p/√ε)]`, so Y is at most the fixed point.

As `A·T^{−1/(p+1)} = κ^p/√T`, the expected `(1/T·Σ|G|^{p+1})^{1/(p+1)}` falls at least like ln T/√T, its square like
ln²T/T: for p = 1, Adagrad, as for every smaller p. The gain 2/(p+1) in the exponent is one of bounds.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.adagrad.bounds import BoundConstants
from theory.numerics.inputs import Array, checked, positive

_ROUNDS = 1000


def relative_noise_bound(
    steps: ArrayLike,
    constants: BoundConstants,
    power: ArrayLike,
    *,
    alignment: ArrayLike,
    largest_factor: ArrayLike,
) -> Array:
    """Bound `(1/d)·Σ_i E[((1/T)·Σ_{t<T} |∇_iF(θ_t)|^{p+1})^{1/(p+1)}]` for AdagradPower, g_i = ∇_iF·(1 + rξ_i).

    0 < p <= 1, R >= |g_i|; `alignment` is c = E φ_p(1 + rξ) > 0, `largest_factor` κ >= |1 + rξ|.

    Ten thousand times more steps divide the bound by nearly a hundred:

    >>> constants = BoundConstants(gap=1, learning_rate=1, smoothness=1, gradient_bound=1.3, epsilon=1e-8)
    >>> bound = relative_noise_bound([1e4, 1e8, 1e12], constants, 1, alignment=1, largest_factor=1.3)
    >>> (bound[:-1] / bound[1:]).round(1).tolist()
    [100.0, 100.0]
    """
    p = checked("power", power, "0 < p <= 1", lambda a: (a > 0) & (a <= 1))
    t = positive("steps", steps)
    eta, c, root = constants.learning_rate, positive("alignment", alignment), np.sqrt(constants.epsilon)
    curvature = eta**2 * constants.smoothness / 2
    penalty = 2 * eta * positive("gradient_bound", constants.gradient_bound) / c + curvature
    scale = positive("largest_factor", largest_factor) ** p * t ** ((1 - p) / (2 * (p + 1)))
    floor = (root / scale) ** (1 / p)
    front = 4 * scale / (c * eta)
    start = constants.gap / constants.dimension
    return np.asarray(
        _fixed_point(floor + front * start, 2 * front * penalty, scale / root, p) * t ** (-1 / (p + 1))
    )


def _fixed_point(constant: Array, factor: Array, inside: Array, power: Array) -> Array:
    """The positive Y = constant + factor·ln(1 + inside·Y^p), one as the right-hand side is concave, by iteration."""
    y = np.asarray(constant + factor)  # not from 0, where the iteration would stay if the constant underflows
    for _ in range(_ROUNDS):
        y, before = constant + factor * np.log1p(inside * y**power), y
        if np.allclose(y, before, rtol=1e-14, atol=0):
            return y * (1 + 1e-12)
    raise ArithmeticError("the fixed point was not reached")
