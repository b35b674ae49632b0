"""Assumption 4.6 and Example 4.7: for which noise G·E φ_p(g) >= c·|G|^{p+1}, and with which c."""

import math
from typing import Any

import numpy as np
import sympy as sp
from flint import arb

from gradpower.tools.labels import Label
from theory.adagrad.assumptions import alignment, largest_noise_to_signal
from theory.claims.claim import BEYOND, Findings, boxed, claim, condition, numeric, rigorous, symbolic, vanish
from theory.laws import parse_law
from theory.numerics.balls import enclosed_root, precision, proved

P, RATIO, U = sp.symbols("p r u", positive=True)
EXAMPLE = 0.99
POWERS = np.linspace(0.02, 0.98, 49)
SHOWN = ("uniform", "binary", "gaussian", "laplace", "student-t:5", "sparse:0.25")


def uniform_alignment(power: Any, ratio: Any, gap: Any) -> Any:
    """`a_p(r) = [(1+r)^{p+1} − |1−r|^{p+1}]/(2r(p+1))` for uniform noise, `gap` = |1−r|; in sympy, or in balls."""
    order = power + 1
    return ((1 + ratio) ** order - gap**order) / (2 * ratio * order)


def ratio_of(power: float, law: str) -> float:
    """The largest σ/|∇_iF| that allows c = 0.99."""
    return largest_noise_to_signal(power, EXAMPLE, parse_law(law))


def smallest_ratio(law: str) -> tuple[float, float]:
    """The largest r that allows c = 0.99 for all p of a grid over (0, 1), and the power that limits it."""
    return min((ratio_of(float(p), law), float(p)) for p in POWERS)


@claim("4.7-example", "Example 4.7", "lower", expected=Label.HOLDS_WITH_CONDITION, paper_value="c = 0.99")
def example() -> Findings:
    """Uniform noise of small σ/|∇_iF| satisfies Assumption 4.6 with c = 0.99 for all p in (0, 1)."""
    series = sp.series(uniform_alignment(P, RATIO, 1 - RATIO), RATIO, 0, 4).removeO()
    worst = sp.solve(sp.diff(P * (1 - P), P), P)
    detail = "a_p = 1 − p(1−p)r²/6 + O(r⁴): c = 0.99 needs about r² <= 0.06/(p(1−p)), most at p = ½"
    second = series - (1 + P * (P - 1) * RATIO**2 / 6)
    yield symbolic(f"{detail}, r <= 0.49", vanish(second), worst == [sp.Rational(1, 2)])
    ratio, power = smallest_ratio("uniform")
    g = 1 + ratio * parse_law("uniform").sample(np.random.default_rng(0), 4_000_000)
    values = np.sign(g) * np.abs(g) ** power
    c, error = float(values.mean()), float(values.std() / math.sqrt(values.size))
    detail = f"r = {ratio:.4f}, p = {power:.2f}: simulated c = {c:.5f} ± {error:.5f}"
    yield numeric(detail, abs(c - EXAMPLE) < 4 * error)
    low, high = arb(0.4786), arb(0.4788)
    with precision(96):
        passed, boxes = proved(lambda p: uniform_alignment(p, low, 1 - low) >= EXAMPLE, [(0.0, 1.0)])
        too_much = uniform_alignment(arb("0.494"), high, 1 - high) < EXAMPLE
    detail = (
        f"r = 0.4786: c >= 0.99 for every p in (0, 1) ({boxes} boxes), and as a_p decreases, for every smaller r; "
        "r = 0.4788: fails at p = 0.494"
    )
    yield rigorous(detail, passed, too_much)
    edges = ", ".join(f"{ratio_of(p, 'uniform'):.3f} at p = {p:g}" for p in (0.1, 0.9))
    text = f"σ_i <= {ratio:.4f}·|∇_iF| at every coordinate and point serves all p in (0, 1)"
    yield condition(f"{text} (worst p = {power:.2f}; {edges})")


@claim("4.6-monotone", BEYOND, "equality")
def monotone() -> Findings:
    """For every symmetric law a_p(r) = E φ_p(1+rξ) decreases in r if p < 1 (increases if p > 1): c = a_p(max r)."""
    # Pair ξ with −ξ: for |ξ| = u the mean of φ_p(1 ± ru) has this slope in r, on either side of ru = 1.
    up, sides = 1 + RATIO * U, ((1 - RATIO * U, 1), (RATIO * U - 1, -1))
    slopes = [sp.diff((up**P + sign * far**P) / 2, RATIO) for far, sign in sides]
    claimed = [P * U / 2 * (up ** (P - 1) - far ** (P - 1)) for far, _ in sides]
    yield symbolic(
        "da_p/dr is the mean of (pu/2)·[(1+ru)^(p−1) − |1−ru|^(p−1)] over u = |ξ|: negative for p < 1, positive "
        "for p > 1, as 1+ru > |1−ru|",
        vanish(*(sp.expand(one - other) for one, other in zip(slopes, claimed, strict=True))),
    )
    powers, ratios = np.array([[0.2], [0.7], [1.5], [2.0]]), np.geomspace(1e-2, 1e3, 60)
    changes = [np.diff(alignment(powers, ratios, parse_law(law))) * np.sign(powers - 1) for law in SHOWN]
    table = ", ".join(f"{smallest_ratio(law)[0]:.3f} {law}" for law in SHOWN)
    detail = f"monotone for {len(SHOWN)} laws; the largest r with c = 0.99 for all p < 1: {table}"
    yield numeric(detail, np.min(changes) >= -1e-12)
    # The logarithm of the quotient of the two powers, over 1 − p.
    yield boxed(
        "(1+ru)^(p−1) < |1−ru|^(p−1) for every p < 1, ru from 0.001 to 1000, not within 0.001 of 1 ({boxes} boxes)",
        *(
            proved(lambda x: abs(1 - x).log() < (1 + x).log(), [box])
            for box in ((0.001, 0.999), (1.001, 1e3))
        ),
    )


@claim("4.6-additive", BEYOND, "upper")
def additive() -> Findings:
    """Symmetric noise of fixed scale without an atom at 0 violates Assumption 4.6 for every c > 0, as ∇_iF → 0; sparse
    noise satisfies it, however large."""
    # Uniform noise stands for a bounded density at 0; at r > 1 in closed form, and r → ∞ is |G| → 0.
    half = sp.Rational(1, 2)
    closed = {p: uniform_alignment(p, RATIO, RATIO - 1) for p in (half / 2, half, 3 * half / 2)}
    yield symbolic(
        "uniform noise: a_p(r) = r^(p−1)·(1+o(1)) → 0 as r = σ/|∇_iF| → ∞, p·E|ξ|^(p−1) times that for every law "
        "where it is finite: no c > 0 serves near a stationary point; under symmetric noise an atom of weight w "
        "at 0 keeps a_p >= w",
        *(sp.limit(value, RATIO, sp.oo) == 0 for value in closed.values()),
        sp.limit(closed[half] * RATIO**half, RATIO, sp.oo) == 1,
    )
    names = ("uniform", "gaussian", "laplace", "binary", "sparse:0.25")
    *dense, sparse = (float(alignment(0.5, 1e6, parse_law(law))) for law in names)
    table = ", ".join(f"{value:.1e} {law}" for value, law in zip(dense, names, strict=False))
    detail = f"p = ½, σ/|∇_iF| = 10⁶: c <= {table}; but {sparse:.4f} for noise absent three times in four"
    yield numeric(f"{detail} (sparse:0.25)", max(dense) < 2e-3, sparse > 0.75)
    with precision(256):
        power, ratio = arb("0.5"), arb(10) ** 8
        small = uniform_alignment(power, ratio, ratio - 1) < 2e-4
        root = enclosed_root(lambda r: uniform_alignment(power, r, r - 1) - arb("0.01"), 10.0, 1e6, 1e-6)
    detail = "uniform noise, p = ½: c < 2e-4 at σ/|∇_iF| = 10⁸; c falls below 0.01 at σ/|∇_iF| ="
    yield rigorous(f"{detail} {root.mid().str(6, radius=False)}", small)


@claim("4.6-skewed", BEYOND, "upper")
def skewed() -> Findings:
    """Unbiased but skewed noise can turn E φ_p(g) against the gradient: then no c > 0 (and no s > 0) exists."""
    # Two-point noise (atoms a, −1/a): at p → 0 the sign of g decides, and small G has the sign of the likelier atom.
    chance, upper, lower = sp.Rational(1, 5), sp.Integer(2), sp.Rational(1, 2)
    mean, powered = (chance * upper**p - (1 - chance) * lower**p for p in (1, sp.Rational(1, 2)))
    detail = "two-point noise, Q = 1/5, p = ½: E ξ = 0 but E φ_p(ξ) < 0, so that G·E φ_p(g) < 0 for small G >"
    yield symbolic(f"{detail} 0", vanish(mean), sp.simplify(powered) < 0)
    ratios = (0.1, 1.0, 10.0, 100.0)
    against, symmetric = (alignment(0.5, ratios, parse_law(law)) for law in ("two-point:0.2", "binary"))
    table = ", ".join(f"{value:.3f}" for value in against)
    detail = f"p = ½, two-point:0.2: a_p = {table} at r = 0.1, 1, 10, 100"
    yield numeric(detail, against[-1] < 0 < symmetric[-1])
    # Q = 1/5: atoms 2 and −1/2
    against_all = proved(lambda r: (1 + 2 * r).sqrt() / 5 - 4 * (r / 2 - 1).sqrt() / 5 < 0, [(3.0, 1000.0)])
    yield boxed("two-point:0.2, p = ½: a_p < 0 for every r in [3, 1000] ({boxes} boxes)", against_all)
