"""Figure 7: the maximum of u∞ itself, and for which noise it lies where the figure has it.

The two low-noise curves, whose best power is at the left edge, are claim `4.2-edge` of `proposition_4_2`.
"""

from itertools import chain

import numpy as np
import sympy as sp
from flint import arb, arb_series
from scipy.optimize import brentq

from gradpower.tools.labels import Label
from theory.adam.optimum import optimal_power
from theory.adam.propositions import high_noise_power
from theory.claims.claim import BEYOND, Findings, boxed, claim, condition, numeric, rigorous, symbolic, vanish
from theory.laws import Uniform
from theory.numerics.balls import enclosed_root, precision, proved

_MEAN, _EPSILON = 1e-6, 1e-8  # Figure 7's
_NOISY = (10, 50, 100)
_SPAN = (0.05, 5.0)


def update_series(power: arb, ratio: float) -> arb_series:
    """u∞ under uniform noise with σ = ratio·μ > μ as a power series in p around a ball, to second order."""
    p = arb_series([power, 1], prec=3)
    small, log = 1 / arb(ratio), -(arb(_MEAN) * ratio).log()
    up, down = small.log1p(), (-small).log1p()
    first = (((p + 1) * up).exp() - ((p + 1) * down).exp()) / (2 * (p + 1))  # both moments over powers of σ
    order = 2 * p + 1
    second = ((order * up).exp() + (order * down).exp()) / (2 * order)
    return first / (second.sqrt() + arb(_EPSILON) * (p * log).exp())


def enclosed_maximum(ratio: float) -> tuple[arb, list[tuple[bool, int]]]:
    """Enclose p*, and prove that u∞ rises before it, bends down around it and falls after it on the whole span."""
    with precision(128):
        root = enclosed_root(lambda p: update_series(p, ratio)[1], 0.8, 2.5)
        middle = float(root.mid())
        return root, [
            proved(lambda p: update_series(p, ratio)[1] > 0, [(_SPAN[0], middle - 0.05)]),
            proved(lambda p: update_series(p, ratio)[2] < 0, [(middle - 0.05, middle + 0.05)]),
            proved(lambda p: update_series(p, ratio)[1] < 0, [(middle + 0.05, _SPAN[1])]),
        ]


@claim("limit-unimodal", BEYOND, "tight")
def unimodal() -> Findings:
    """Under uniform noise u∞ itself, not only its leading order, has one maximum for r = 10, 50, 100."""
    p, up, down = sp.symbols("p a b", real=True)
    above, below = sp.exp((p + 1) * up), sp.exp((p + 1) * down)
    slope = sp.diff(sp.log((above - below) / (p + 1)), p)
    weight = (up * above - down * below) / (above - below)
    detail = "(ln E φ_p)′ = [a·e^((p+1)a) − b·e^((p+1)b)]/[e^((p+1)a) − e^((p+1)b)] − 1/(p+1), a, b = ln(σ±μ)"
    yield symbolic(detail, vanish(slope - (weight - 1 / (p + 1))))
    powers = {r: optimal_power(_MEAN, r * _MEAN, Uniform(), method="limit") for r in (*_NOISY, 1000)}
    gaps = {r: high_noise_power(r * _MEAN) - best.power for r, best in powers.items()}
    single = all(len(best.local_maxima) == 1 for best in powers.values())
    table = ", ".join(f"{best.power:.4f} at r={r} ({gaps[r]:+.1e})" for r, best in powers.items())
    falling = gaps[10] > gaps[100] > 0
    yield numeric(f"one maximum each, p* = {table}; in brackets Lambert's W minus it", single, falling)
    roots, proofs = zip(*map(enclosed_maximum, _NOISY), strict=True)
    middles = {r: float(root.mid()) for r, root in zip(_NOISY, roots, strict=True)}
    narrow = all(float(root.rad()) < 1e-12 for root in roots)
    close = all(abs(middle - powers[r].power) < 1e-8 for r, middle in middles.items())
    table = ", ".join(f"{middle:.12f} at r={r}" for r, middle in middles.items())
    detail = (
        f"proved on p in [{_SPAN[0]:g}, {_SPAN[1]:g}] with {{boxes}} boxes; p* enclosed to < 1e-12: {table}"
    )
    yield boxed(detail, *chain(*proofs), besides=narrow and close)


def ratio_with_power(power: float, method: str) -> float:
    """Noise-to-signal ratio at which p* equals `power`, at Figure 7's settings."""

    def gap(log_ratio: float) -> float:
        ratio = float(np.exp(log_ratio))
        best = optimal_power(_MEAN, ratio * _MEAN, Uniform(), method=method, interval=(0.5, 2.5))
        return best.power - power

    return float(np.exp(brentq(gap, np.log(1.5), np.log(2000.0), xtol=1e-4)))


@claim(
    "figure-7-range",
    "Figure 7",
    "tight",
    expected=Label.HOLDS_WITH_CONDITION,
    paper_value="1 < p* < 2 (four curves)",
)
def figure() -> Findings:
    """On the noise-dominated curves the best power lies strictly between 1 and 2."""
    epsilon, log, p = sp.symbols("epsilon L p", positive=True)
    sigma = sp.exp(-log)
    inverse_slope = sp.diff(1 / sp.sqrt(2 * p + 1) + epsilon * sigma**-p, p)  # of 1/f in Proposition 4.3
    at_one = 3 * sp.sqrt(3) * sigma * inverse_slope.subs(p, 1) - (3 * sp.sqrt(3) * epsilon * log - sigma)
    at_two = 5 * sp.sqrt(5) * sigma**2 * inverse_slope.subs(p, 2) - (
        5 * sp.sqrt(5) * epsilon * log - sigma**2
    )
    detail = "to leading order p* > 1 iff σ > 3√3·εL and p* < 2 iff σ² < 5√5·εL, L = ln(1/σ)"
    yield symbolic(detail, vanish(at_one, at_two))
    exact = {r: optimal_power(_MEAN, r * _MEAN, Uniform()) for r in (0, 0.1, 1, 2, *_NOISY)}
    inside = all(1 < exact[r].power < 2 for r in _NOISY)
    edge = all(exact[r].at_edge == "low" for r in (0, 0.1, 1))
    table = ", ".join("edge" if b.at_edge else f"{b.power:.4f}" for b in exact.values())
    yield numeric(f"exact p* at β = (0.9, 0.95) for r = 0, 0.1, 1, 2, 10, 50, 100: {table}", inside, edge)
    done = all(bool(update_series(arb(1), r)[1] > 0 and update_series(arb(2), r)[1] < 0) for r in _NOISY)
    yield rigorous("(u∞)′ > 0 at p = 1 and < 0 at p = 2, certified in balls for r = 10, 50, 100", done)
    low, high = (ratio_with_power(power, "exact") for power in (1.0, 2.0))
    limits = [ratio_with_power(power, "limit") for power in (1.0, 2.0)]
    yield condition(
        f"uniform noise (Gaussian noise has p* < 1 here), {low:.2f} < σ/μ < {high:.0f} at β = (0.9, 0.95) "
        f"({limits[0]:.2f} and {limits[1]:.0f} in the limit), μ = 1e-6, ε = 1e-8; at r = 2 it is below 1"
    )
