"""Assumptions 4.6 and 4.9 (C1) decided: a proof in ball arithmetic, or a gradient at which they fail.

Balls need closed forms: uniform, binary, sparse, two-point and Gaussian noise have them here. For other laws the answer
rests on the numbers of `theory.adagrad.assumptions` and says so.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from flint import arb

from gradpower.tools.errors import real
from theory.adagrad.assumptions import high_noise_alignment, low_noise_alignment
from theory.laws import Binary, Gaussian, NoiseLaw, Sparse, TwoPoint, Uniform
from theory.numerics.balls import precision, proved
from theory.numerics.inputs import LARGEST_POWER, nonnegative, positive

Verdict = Literal["proved", "refuted", "numbers only"]
_BITS = 96
_MOST_BOXES = 20_000
_SMALL = 1 / 64  # of |∇F|/σ: below, the slope at every smaller gradient is bounded instead of the mean


@dataclass(frozen=True)
class Certificate:
    """Whether an assumption holds with a constant."""

    verdict: Verdict
    """"proved" or "refuted" in ball arithmetic; "numbers only" where the law has no closed form, or the constant is
    too near the best one."""
    holds: bool
    """Whether it holds, proved or by the numbers."""
    best: float
    """The best constant by `theory.adagrad.assumptions`; s in units of σ^{p−1}."""
    gradient_to_noise: float | None
    """If it fails: an |∇_iF|/σ where it does."""
    detail: str
    """The proof or the counterexample in a line."""


def nonnegative_power(base: arb, exponent: arb) -> arb:
    """`|base|^exponent` for exponent > 0, also on balls around 0."""
    size = abs(base)
    if size > 0:
        return size**exponent
    top = arb(size.upper())
    return arb(0).union(top**exponent if top > 0 else arb(0))


def _signed(base: arb, exponent: arb) -> arb:
    """`sign(base)·|base|^exponent`."""
    size = nonnegative_power(base, exponent)
    return size if base >= 0 else -size if base <= 0 else size.union(-size)


Mean = Callable[[arb, arb], arb]


def _atoms(law: NoiseLaw) -> list[tuple[arb, arb]]:
    """Values and weights of a discrete law."""
    if isinstance(law, TwoPoint):
        q = arb(law.probability)
        return [(((1 - q) / q).sqrt(), q), (-(q / (1 - q)).sqrt(), 1 - q)]
    q = arb(law.probability) if isinstance(law, Sparse) else arb(1)
    jump = 1 / q.sqrt()
    return [(jump, q / 2), (-jump, q / 2), (arb(0), 1 - q)]


def mean_and_slope(law: NoiseLaw) -> tuple[Mean, Mean] | None:
    """`(p, x) ↦ E φ_p(x + ξ)` and its slope `p·E|x + ξ|^{p−1}`, p > 1, in balls; None without closed forms."""
    if isinstance(law, Uniform):
        return (
            lambda p, x: (nonnegative_power(x + 1, p + 1) - nonnegative_power(x - 1, p + 1)) / (2 * (p + 1)),
            lambda p, x: (_signed(x + 1, p) - _signed(x - 1, p)) / 2,
        )
    if isinstance(law, Binary | Sparse | TwoPoint):
        atoms = _atoms(law)
        return (
            lambda p, x: sum((weight * _signed(x + value, p) for value, weight in atoms), arb(0)),
            lambda p, x: p * sum((w * nonnegative_power(x + value, p - 1) for value, w in atoms), arb(0)),
        )
    if isinstance(law, Gaussian):

        def front(p: arb) -> arb:
            """`p·E|ξ|^{p−1}`."""
            return arb(2) ** (p / 2) * (2 / arb.pi()).sqrt() * (1 + p / 2).gamma()

        return (
            lambda p, x: front(p) * x * (-x * x / 2).hypgeom_1f1((1 - p) / 2, arb(3) / 2),
            lambda p, x: front(p) * (-x * x / 2).hypgeom_1f1((1 - p) / 2, arb(1) / 2),
        )
    return None


def low_noise_certificate(
    power: float, noise_to_signal: float, constant: float, law: NoiseLaw
) -> Certificate:
    """Decide Assumption 4.6 with c = `constant` > 0 where σ_i <= r·|∇_iF| everywhere, 0 < p < 1.

    For a symmetric law the noise ratio r is the worst (claim `4.6-monotone`), so that one ball decides; for two-point
    noise every ratio up to r and both signs of the gradient are covered by boxes.

    >>> from theory.laws import Uniform
    >>> low_noise_certificate(0.5, 0.47, 0.99, Uniform()).verdict
    'proved'
    >>> failing = low_noise_certificate(0.5, 0.49, 0.99, Uniform())
    >>> failing.verdict, round(failing.gradient_to_noise, 3)
    ('refuted', 2.041)
    """
    p, c = real("power", power, gt=0, lt=1), float(positive("constant", constant))
    r = float(nonnegative("noise_to_signal", noise_to_signal))
    best = float(low_noise_alignment(p, r, law))
    known = mean_and_slope(law)
    if known is None or r == 0:
        return _by_numbers(c, best, r)

    def aligned(ratio: arb, reflect: int) -> arb:
        """a_p(r): `r^p·E φ_p(1/r + ξ)`, without dividing by a ball around 0."""
        if isinstance(law, TwoPoint):
            return sum((w * _signed(1 + reflect * ratio * value, arb(p)) for value, w in _atoms(law)), arb(0))
        return ratio ** arb(p) * known[0](arb(p), 1 / ratio)

    with precision(_BITS):
        if not law.symmetric:
            return _both_signs(aligned, c, best, r)
        value = aligned(arb(r), 1)
        shown = value.mid().str(8, radius=False)
        if value >= c:
            return _proved(best, f"a_p({r:g}) = {shown} >= {c:g}, and a_p decreases")
        return _refuted(best, 1 / r, f"a_p = {shown} < {c:g}") if value < c else _by_numbers(c, best, r)


def _both_signs(aligned: Callable[[arb, int], arb], c: float, best: float, r: float) -> Certificate:
    """Cover all ratios up to r for both signs of the gradient, or find a certain failure on a grid."""
    boxes = 0
    for sign in (1, -1):
        passed, examined = proved(lambda ratio, s=sign: bool(aligned(ratio, s) >= c), [(0.0, r)], _MOST_BOXES)
        boxes += examined
        if not passed:
            for k in range(1, 201):
                ratio = r * k / 200
                if aligned(arb(ratio), sign) < c:
                    side = "positive" if sign == 1 else "negative"
                    return _refuted(best, 1 / ratio, f"a_p < {c:g} for a {side} gradient")
            return _by_numbers(c, best, r)
    return _proved(best, f"every ratio up to {r:g} and both signs (boxes: {boxes})")


def high_noise_certificate(
    power: float, gradient_to_noise: float, constant: float, law: NoiseLaw
) -> Certificate:
    """Decide Assumption 4.9 (C1) with s = `constant`·σ^{p−1} > 0 where |∇_iF| <= `gradient_to_noise`·σ, 1 < p <= 10.

    >>> from theory.laws import Binary, TwoPoint
    >>> high_noise_certificate(3, 0.5, 2.99, Binary()).verdict
    'proved'
    >>> high_noise_certificate(3, 0.5, 0.01, TwoPoint(0.2)).verdict
    'refuted'
    """
    p, s = real("power", power, gt=1, le=LARGEST_POWER), float(positive("constant", constant))
    reach = float(positive("gradient_to_noise", gradient_to_noise))
    best = float(high_noise_alignment(p, 1.0, reach, law))
    known = mean_and_slope(law)
    if known is None:
        return _by_numbers(s, best, None)
    mean, slope = known
    low = min(_SMALL, reach)
    with precision(_BITS):
        for x in (reach * 2.0**-k for k in range(60)):
            for sign in (1, -1) if not law.symmetric else (1,):
                if sign * mean(arb(p), sign * arb(x)) < s * arb(x):
                    return _refuted(best, x, f"E φ_p·∇F < {s:g}·σ^(p−1)·(∇F)²")
        if not law.symmetric:
            return _by_numbers(s, best, None)
        near, boxes = proved(lambda x: bool(slope(arb(p), x) >= s), [(0.0, low)], _MOST_BOXES)
        far, more = True, 0
        if reach > low:
            far, more = proved(lambda x: bool(mean(arb(p), x) >= s * x), [(low, reach)], _MOST_BOXES)
    if near and far:
        return _proved(best, f"every |∇F| up to {reach:g}σ (boxes: {boxes + more})")
    return _by_numbers(s, best, None)


def _proved(best: float, detail: str) -> Certificate:
    return Certificate("proved", True, best, None, detail)


def _refuted(best: float, gradient: float, detail: str) -> Certificate:
    return Certificate("refuted", False, best, gradient, f"at |∇F| = {gradient:.4g}σ: {detail}")


def _by_numbers(constant: float, best: float, ratio: float | None) -> Certificate:
    holds = best >= constant
    gradient = None if holds or not ratio else 1 / ratio
    shown = f"{best:.6g}" if math.isfinite(best) else "none"
    detail = f"best constant {shown}, by quadrature"
    return Certificate("numbers only", holds, best, gradient, detail)
