"""p* <= 1 at every noise level as ε → 0, for Gaussian noise and for heavier tails: proof, numbers, balls.

For g = δ + ξ (δ = μ/σ) fold the line to y = |g|. With f₊(y) = f(y−δ) + f(y+δ) and f₋(y) = f(y−δ) − f(y+δ),

    d ln u∞/dp = E_A ln y − E_B ln y,   A ∝ y^p·f₋,   B ∝ y^{2p}·f₊,   u∞ = E φ_p(g)/√(E|g|^{2p}).

B/A ∝ y^p·coth(D/2), with D = ln f(y−δ) − ln f(y+δ), and

    d ln(B/A)/d ln y = p − y·D'/sinh D.

Where this is positive B/A increases, so ln y is larger under B than under A (two increasing functions have a positive
covariance) and u∞ falls. For the Gaussian D = 2δy and y·D'/sinh D = t/sinh t < 1 with t = 2δy: u∞ falls strictly for
all p >= 1 at all δ > 0. The same holds where D is concave in y, for then y·D' <= D < sinh D: f ∝ e^{−|x|^b} with
1 <= b <= 2; and for Student-t noise with ν >= 1, where sinh D − y·D' is a positive rational function at ν = 1.

ε > 0 adds `E_B ln y·ε/(√(E|g|^{2p}) + ε)` to the slope: it lowers p* further while E|g|^{2p} falls with p.
"""

from functools import partial
from itertools import product

import numpy as np
import sympy as sp
from flint import arb

from gradpower.tools.labels import Label
from theory.adam.optimum import optimal_power
from theory.adam.update import limit_update
from theory.claims.claim import BEYOND, Findings, boxed, claim, condition, numeric, rigorous, symbolic, vanish
from theory.laws import Gaussian, parse_law
from theory.numerics.balls import precision, proved

P, Y, DELTA = sp.symbols("p y delta", positive=True)


def slope_is(claimed: sp.Expr, log_ratio: sp.Expr) -> bool:
    """Whether `d ln(B/A)/d ln y` is as claimed for D = `log_ratio`."""
    slope = Y * sp.diff(sp.log(Y**P * sp.coth(log_ratio / 2)), Y)
    return vanish((slope - claimed).rewrite(sp.exp))


def falls(law_name: str, ratios: tuple[float, ...], powers: np.ndarray) -> bool:
    """Whether u∞ at ε = 0 falls along `powers` for every σ/μ of `ratios`."""
    law = parse_law(law_name)
    values = limit_update(powers, 1.0, np.array(ratios)[:, None], law, epsilon=0)
    return bool(np.all(np.diff(values, axis=1) < 0))


def gaussian_slope(power: arb, delta: arb, terms: int = 400) -> arb:
    """`d ln u∞/dp` for Gaussian noise at ε = 0: E_A ln y − E_B ln y from two series of positive terms.

    `∫ y^q e^{−y²/2} sinh(δy)`, `∫ y^q e^{−y²/2} cosh(δy)` expanded in δ give gamma functions and, with ln y, digammas.
    """
    return _mean_log(power + 1, 1, delta, terms) - _mean_log(2 * power, 0, delta, terms)


def _mean_log(order: arb, odd: int, delta: arb, terms: int) -> arb:
    """E ln y under the weight `y^{order−odd}·e^{−y²/2}·(sinh if odd else cosh)(δy)`, the series' tail bounded."""
    weight, total, logs = arb(1), arb(0), arb(0)
    start = (order + 1) / 2
    for n in range(terms):
        total += weight
        logs += weight * (start + n).digamma()
        ratio = delta**2 * 2 * (start + n) / ((2 * n + 1 + odd) * (2 * n + 2 + odd))
        weight *= ratio
    if not ratio < arb(1) / 4:
        return arb("nan")
    rest = weight * 2 * (start + terms)  # ψ(x) < x and ratios below 1/4: both tails are below this
    return (arb(2).log() + (logs + rest.union(-rest)) / (total + rest.union(arb(0)))) / 2


@claim("gaussian-power", BEYOND, "upper")
def gaussian() -> Findings:
    """For Gaussian noise p* <= 1 at every noise level (β → 1, ε → 0): u∞ falls strictly with p for p >= 1."""
    log_ratio, t = 2 * DELTA * Y, sp.Symbol("t", positive=True)
    n = sp.Symbol("n", integer=True, positive=True)
    total = sp.summation(t ** (2 * n) / sp.factorial(2 * n + 1), (n, 1, sp.oo))
    yield symbolic(
        "d ln(B/A)/d ln y = p − t/sinh t, t = 2δy; sinh t/t − 1 = Σ t^(2n)/(2n+1)! > 0: u∞ falls for p >= 1, every δ",
        sp.expand((Y + DELTA) ** 2 / 2 - (Y - DELTA) ** 2 / 2) == log_ratio,
        slope_is(P - log_ratio / sp.sinh(log_ratio), log_ratio),
        vanish((total - sp.sinh(t) / t + 1).rewrite(sp.exp)),
    )
    falling = falls("gaussian", (0.03, 0.1, 0.3, 1.0, 2.0, 10.0, 100.0, 1e3), np.linspace(1.0, 8.0, 15))
    optimum = partial(optimal_power, 1.0, law=Gaussian(), epsilon=0, method="limit")
    best = {r: optimum(noise_scale=r).power for r in (0.3, 1.0, 2.0, 10.0, 100.0)}
    table = ", ".join(f"{power:.4f} at r = {r:g}" for r, power in best.items())
    detail = f"u∞ falls on [1, 8] for r from 0.03 to 1e3; p*: {table}"
    yield numeric(detail, falling, max(best.values()) <= 1)
    corners = [(p, d) for p in (1.0, 1.2, 2.0, 5.0) for d in (0.01, 0.1, 1.0, 3.0, 8.0)]
    with precision(160):
        slopes = [gaussian_slope(arb(p), arb(d)) for p, d in corners]
    largest = max(float(slope) for slope in slopes)
    yield boxed(
        "t/sinh t < 1 on [0.05, 600] ({boxes} boxes; below, by the series); d ln u∞/dp enclosed below 0 at 20 corners "
        f"of p in [1, 5], δ in [0.01, 8], the largest {largest:.3e}",
        proved(lambda t: t / t.sinh() < 1, [(0.05, 600.0)]),
        besides=all(slope < 0 for slope in slopes),
    )


@claim("heavy-tails-power", BEYOND, "upper")
def heavy() -> Findings:
    """The same at every noise level for density ∝ e^(−|x|^b) with 1 <= b <= 2 and for Student-t noise with ν > 2 (up
    to p = ν/2, where u∞ ends)."""
    b, up = sp.Symbol("b", positive=True), Y + DELTA
    bends = [
        sp.diff(up**b - near**b, Y, 2) - b * (b - 1) * (up**b / up**2 - near**b / near**2)
        for near in (Y - DELTA, DELTA - Y)
    ]
    log_ratio = sp.log(1 + up**2) - sp.log(1 + (Y - DELTA) ** 2)  # Student-t, ν = 1, unit width
    gap = sp.factor(sp.simplify(sp.sinh(log_ratio).rewrite(sp.exp)) - Y * sp.diff(log_ratio, Y))
    yield symbolic(
        "D'' = b(b−1)[(y+δ)^(b−2) − |y−δ|^(b−2)] <= 0 for 1 <= b <= 2, so yD' <= D < sinh D; Student-t, ν = 1: "
        "sinh D − yD' = 8y³δ/[(1+(y+δ)²)(1+(y−δ)²)], and sinh(kD) >= k·sinh D for ν = 2k − 1 >= 1",
        vanish(*bends, gap - 8 * Y**3 * DELTA / ((1 + up**2) * (1 + (Y - DELTA) ** 2))),
        slope_is(P - Y * sp.diff(log_ratio, Y) / sp.sinh(log_ratio), log_ratio),
    )
    ratios = (0.1, 1.0, 10.0, 1e3)
    names = ("laplace", "generalized-normal:1.5", "student-t:3", "student-t:10")
    falling = [falls(n, ratios, np.linspace(1.0, 1.45 if n == "student-t:3" else 4.0, 7)) for n in names]
    light = falls("generalized-normal:3", ratios, np.linspace(1.0, 4.0, 7))
    detail = f"u∞ falls from p = 1 on for r from 0.1 to 1e3: {', '.join(names)}; not so for b = 3"
    yield numeric(detail, *falling, not light)

    def concave(b: arb, z: arb) -> bool:
        """D > y·D' at y = zδ."""
        near, sign = abs(1 - z), 1 if z > 1 else -1
        return bool((1 + z) ** b - near**b - b * z * ((1 + z) ** (b - 1) - sign * near ** (b - 1)) > 0)

    inner, boxes = proved(concave, [(1.2, 1.8), (0.3, 0.9)])
    outer, more = proved(concave, [(1.2, 1.8), (1.1, 3.0)])
    student, rest = proved(lambda k, x: k * x.sinh() < (k * x).sinh(), [(1.2, 5.0), (0.3, 5.0)])
    detail = (
        f"D > yD' for b in [1.2, 1.8], y/δ in [0.3, 0.9] and [1.1, 3] ({boxes + more} boxes); k·sinh D < sinh(kD) for "
        f"k in [1.2, 5], D in [0.3, 5] ({rest}); up to the rims b = 1, 2, y = δ, k = 1 by the symbolic argument only"
    )
    yield rigorous(detail, inner, outer, student)


def moment_slope(power: arb, mean: arb, noise_scale: arb) -> arb:
    """`½·d ln E|g|^{2p}/dp` for g ~ N(μ, σ²)."""
    return noise_scale.log() + _mean_log(2 * power, 0, mean / noise_scale, 400)


@claim("gaussian-power-epsilon", BEYOND, "upper", expected=Label.HOLDS_WITH_CONDITION)
def epsilon() -> Findings:
    """For Gaussian noise ε > 0 lowers p* further, so that p* <= 1 stays true."""
    log_signal, log_square = sp.Function("a")(P), sp.Function("s")(P)
    eps = sp.Symbol("epsilon", positive=True)
    root = sp.exp(log_square / 2)
    slope = sp.diff(log_signal - sp.log(root + eps), P)
    bare = sp.diff(log_signal - log_square / 2, P)
    extra = sp.diff(log_square, P) / 2 * eps / (root + eps)
    a, x = sp.symbols("a x", positive=True)
    # The law of |g| tilted: ln(|x|^{2p}·cosh(μx/σ²)·e^{−x²/2σ²}).
    rises = sp.diff(sp.log(sp.cosh(a * x)), x, a) - sp.tanh(a * x) - a * x / sp.cosh(a * x) ** 2
    yield symbolic(
        "d ln u∞/dp = its value at ε = 0 + ½·d ln E|g|^(2p)/dp·ε/(√(E|g|^(2p))+ε): both < 0 while E|g|^(2p) falls. "
        "Its slope grows with p, as ln E|g|^q is convex in q; with σ at a fixed μ/σ, by ln σ; and with μ/σ, as "
        "cosh(a'x)/cosh(ax) increases in x for a' > a",
        vanish(slope - bare - extra, rises),
    )
    best = [
        optimal_power(1e-6, 1e-6 * r, Gaussian(), epsilon=epsilon, method="limit").power
        for r, epsilon in product((0.1, 1.0, 10.0, 1e4), (1e-12, 1e-8, 1e-4))
    ]
    exact = {r: optimal_power(1e-6, 1e-6 * r, Gaussian()).power for r in (1.0, 10.0)}
    table = ", ".join(f"{power:.4f} at r = {r:g}" for r, power in exact.items())
    yield numeric(
        f"μ = 1e-6, ε from 1e-12 to 1e-4, r to 1e4: p* <= 1; exact at β = 0.9, 0.95 and ε = 1e-8: p* = {table}",
        max(*best, *exact.values()) <= 1,
    )
    with precision(128):
        corners = [moment_slope(arb(5), arb(m), arb(s)) for m, s in ((0.1, 0.1), (0.3, 0.1), (1e-6, 0.2))]
    yield rigorous(
        "½·d ln E|g|^(2p)/dp, which grows with p, μ/σ and σ, is enclosed below 0 at p = 5 for (μ, σ) = (0.1, 0.1), "
        "(0.3, 0.1), (0, 0.2)",
        *(corner < 0 for corner in corners),
    )
    large = optimal_power(1.0, 3.0, Gaussian(), epsilon=100.0, method="limit").power
    yield condition(
        "powers up to the one where E|g|^(2p) begins to grow with p (σ < 0.69 at p = 1, σ < 0.3 up to p = 5, at high "
        f"noise); for larger g it fails: μ = 1, σ = 3, ε = 100 gives p* = {large:.3f}. At finite β: numbers only"
    )
