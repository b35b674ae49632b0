"""Proposition 4.3: the update when the noise is far above the signal, under uniform noise, and its best power."""

import math
from functools import partial
from itertools import product

import numpy as np
import sympy as sp
from flint import arb
from scipy.optimize import brentq, minimize_scalar

from theory.adam.moments import power_moments
from theory.adam.propositions import high_noise_power, high_noise_power_bounds, high_noise_update
from theory.claims.claim import BEYOND, Findings, boxed, claim, numeric, rigorous, symbolic, vanish
from theory.claims.leading_order import WEIGHT, P, remainder_proved, series, worst_errors
from theory.laws import Uniform
from theory.numerics.balls import enclosed_root, precision, proved

_RATIOS = (3, 10, 30, 100, 1000)
_PAIRS = product((1e-200, 1e-12, 1e-5, 1e-2, 0.9), (1e-12, 1e-8, 1e-4, 0.4))
_CORNERS = [(sigma, epsilon) for sigma, epsilon in _PAIRS if -epsilon * math.log(sigma) < 1]
_BOX = [(1.0, 30.0), (5.0, 30.0)]  # L = ln(1/σ) and λ = −ln(εL)
_BOX_TEXT = "σ from 9e-14 to 0.37, ε·ln(1/σ) from 9e-14 to 0.0067"
_EPS, _L, _LAMBDA = sp.symbols("epsilon L lambda", positive=True)  # λ = −ln(εL)
_INVERSE_F = 1 / sp.sqrt(2 * P + 1) + _EPS * sp.exp(_L * P)  # 1/f with σ = e^{−L}


@claim("4.3-moments", "Proposition 4.3, proof", "asymptotic")
def moments() -> Findings:
    """For σ ≫ μ, E φ_p ≈ μσ^(p−1) and E φ_p² ≈ σ^(2p)/(2p+1)."""
    first, second = series(low_noise=False)
    detail = "E φ_p = μσ^(p−1)·(1 + p(p−1)/6/r² + …), E φ_p² = σ^(2p)/(2p+1)·(1 + p(2p+1)/r² + …)"
    next1, next2 = P * (P - 1) / 6, P * (2 * P + 1)
    yield symbolic(detail, vanish(first - next1, second - next2))
    powers, mean, ratio = np.linspace(0.05, 5, 100), 1e-6, 300.0
    exact = power_moments(powers, mean, ratio * mean, Uniform())
    off1 = exact.first / (mean * (ratio * mean) ** (powers - 1)) - 1
    off2 = exact.second * (2 * powers + 1) / (ratio * mean) ** (2 * powers) - 1
    errors = off1 * ratio**2 - powers * (powers - 1) / 6, off2 * ratio**2 - powers * (2 * powers + 1)
    ok = np.abs(errors[0]).max() < 1e-3, np.abs(errors[1]).max() < 2e-2  # the r⁻⁴ terms, at p = 5
    off = f"{np.abs(off1).max():.1e} and {np.abs(off2).max():.1e}"
    yield numeric(f"at r = 300, p <= 5 they are off by {off}, as the r⁻² terms say", *ok)


@claim("4.3-leading-order", "Proposition 4.3", "asymptotic")
def update() -> Findings:
    """For σ ≫ μ the update is u∞ ≈ (μ/σ)f(p) with f(p) = σ^p/(σ^p/√(2p+1)+ε)."""
    first, second = series(low_noise=False)
    ok = vanish(first - WEIGHT * second / 2 - (P * (P - 1) / 6 - WEIGHT * P * (2 * P + 1) / 2))
    yield symbolic("u∞ = (μ/σ)f·(1 + p·(p − 1 − 3w·(2p + 1))/6/r² + O(r⁻⁴)), w = f/√(2p+1)", ok)
    errors = worst_errors(False, tuple(1 / r for r in _RATIOS), 2.0)
    order = np.log(errors[-2] / errors[-1]) / np.log(_RATIOS[-1] / _RATIOS[-2])
    table = ", ".join(f"{e:.1e} at r={r}" for r, e in zip(_RATIOS, errors, strict=True))
    detail = f"largest relative error over p <= 2 and every σ, ε: {table}; it falls like r^−{order:.2f}"
    yield numeric(detail, abs(order - 2) < 0.02)
    yield remainder_proved(False, 2.5, 5.0, 0.1)


@claim("4.3-stationarity", "Proposition 4.3, proof", "equality")
def stationarity() -> Findings:
    """The maximiser of f satisfies σ^p = ε·ln(1/σ)·(2p+1)^(3/2)."""
    factor = (2 * P + 1) ** sp.Rational(3, 2)
    equation = _EPS * _L * sp.exp(_L * P) * factor - 1
    detail = "(1/f)′·(2p+1)^(3/2) = εL·σ^(−p)·(2p+1)^(3/2) − 1, which vanishes where σ^p = εL(2p+1)^(3/2)"
    yield symbolic(detail, vanish(sp.diff(_INVERSE_F, P) * factor - equation))
    worst = 0.0
    for sigma, epsilon in _CORNERS:
        low, high = high_noise_power_bounds(sigma, epsilon=epsilon)
        best = minimize_scalar(
            lambda p, s=sigma, e=epsilon: -high_noise_update(p, 1.0, s, epsilon=e) * s,
            bounds=(low * 0.9, high * 1.1),
            method="bounded",
            options={"xatol": 1e-12},
        ).x
        log = -math.log(sigma)
        gap = math.log(epsilon * log) + 1.5 * math.log(2 * best + 1) + best * log
        worst = max(worst, abs(gap) / (1 + log))
    detail = f"{len(_CORNERS)} pairs (σ, ε): minimising −f numerically meets the equation to < 1e-6"
    yield numeric(detail, worst < 1e-6)


def _slope(log: arb, lam: arb, p: arb) -> arb:
    """(1/f)′ with σ = e^{−L} and εL = e^{−λ}."""
    return (log * p - lam).exp() - (2 * p + 1) ** arb("-1.5")


@claim("4.3-unique", "Proposition 4.3", "tight")
def unique() -> Findings:
    """If ε·ln(1/σ) < 1, f has exactly one maximiser p*; it increases before and decreases after."""
    expected = 3 * (2 * P + 1) ** sp.Rational(-5, 2) + _EPS * _L**2 * sp.exp(_L * P)
    slope, curvature = sp.diff(_INVERSE_F, P), sp.diff(_INVERSE_F, P, 2)
    detail = "(1/f)″ = 3(2p+1)^(−5/2) + εL²σ^(−p) > 0 and (1/f)′(0) = εL − 1: one minimum iff εL < 1"
    zeros = curvature - expected, slope.subs(P, 0) - (_EPS * _L - 1)
    yield symbolic(detail, vanish(*zeros), expected.is_positive)
    signs = []
    for sigma, epsilon in _CORNERS:
        best = high_noise_power(sigma, epsilon=epsilon)
        values = high_noise_update(np.linspace(0.01, 2, 101) * best, 1.0, sigma, epsilon=epsilon)
        signs += [np.all(np.diff(values[:50]) > 0), np.all(np.diff(values[51:]) < 0)]
    none = np.all(np.diff(high_noise_update(np.linspace(0.01, 5, 100), 1.0, 1e-3, epsilon=0.2)) < 0)
    detail = f"f rises before and falls after p* for {len(_CORNERS)} pairs (σ, ε)"
    yield numeric(f"{detail}; with εL = 1.38 it only falls", *signs, none)
    what = "(1/f)′ < 0 at the lower and > 0 at the upper bound, so that its one root lies between them"
    yield boxed(
        f"proved on {{boxes}} boxes: {what}; {_BOX_TEXT}",
        proved(lambda log, lam: _slope(log, lam, lam / (log + 3)) < 0 < _slope(log, lam, lam / log), _BOX),
    )


def _lambert(log: arb, lam: arb) -> arb:
    argument = log / 3 * (log / 3 + 2 * lam / 3).exp()
    return (3 / log * argument.lambertw() - 1) / 2


def _bound(lower: bool) -> Findings:
    p = sp.symbols("p", positive=True)
    lam = _L * p + sp.Rational(3, 2) * sp.log(2 * p + 1)  # λ = −ln(εL) at the stationary point
    gap = (lam - (_L + 3) * p) if lower else (lam - _L * p)
    expected = sp.Rational(3, 2) * (sp.log(2 * p + 1) - (2 * p if lower else 0))
    why = "ln(2p+1) <= 2p gives (L+3)p* >= −ln(εL)" if lower else "ln(2p+1) >= 0 gives Lp* <= −ln(εL)"
    yield symbolic(f"from −ln(εL) = Lp* + (3/2)ln(2p*+1): {why}", vanish(gap - expected))
    margins = []
    for sigma, epsilon in _CORNERS:
        low, high = high_noise_power_bounds(sigma, epsilon=epsilon)
        best = high_noise_power(sigma, epsilon=epsilon)
        margins.append((best - low) / best if lower else (high - best) / best)
    example = high_noise_power_bounds(1e-5)[0 if lower else 1]
    detail = (
        f"holds in {len(_CORNERS)} pairs (σ, ε), by {min(margins):.1%} to {max(margins):.1%} of p*; "
        f"at σ=1e-5, ε=1e-8 it is {example:.4f} against p* = {high_noise_power(1e-5):.4f}"
    )
    yield numeric(detail, min(margins) > 0)

    def statement(log: arb, lam: arb) -> bool:
        best = _lambert(log, lam)
        return bool(best > lam / (log + 3) if lower else best < lam / log)

    yield boxed(f"proved on {{boxes}} boxes: {_BOX_TEXT}", proved(statement, _BOX))


@claim("4.3-lower-bound", "Proposition 4.3", "lower")
def lower_bound() -> Findings:
    """p* >= ln(ε·ln(1/σ))/ln(σ/e³)."""
    yield from _bound(lower=True)


@claim("4.3-upper-bound", "Proposition 4.3", "upper")
def upper_bound() -> Findings:
    """p* <= ln(ε·ln(1/σ))/ln σ."""
    yield from _bound(lower=False)


@claim("4.3-theta", "Proposition 4.3", "asymptotic")
def theta() -> Findings:
    """p* = Θ(ln(ε·ln(1/σ))/ln σ) where σ ≪ 1."""
    p = sp.symbols("p", positive=True)
    share = _L * p / (_L * p + sp.Rational(3, 2) * sp.log(2 * p + 1))  # p*/(ln(εL)/ln σ)
    detail = "p* over ln(εL)/ln σ lies in [L/(L+3), 1]: → 1 as σ → 0 (with ε < 1/L), but → 0 as σ → 1"
    yield symbolic(detail, sp.limit(share, _L, sp.oo) == 1, sp.limit(share, _L, 0) == 0)
    sigmas = np.array([1e-12, 1e-5, 1e-2, 0.1, 0.9, 0.999])
    shares = np.array([high_noise_power(s) / high_noise_power_bounds(s)[1] for s in sigmas])
    logs = -np.log(sigmas)
    within = np.all((logs / (logs + 3) <= shares) & (shares <= 1))
    table = ", ".join(f"{share:.3f} at σ={sigma:g}" for share, sigma in zip(shares, sigmas, strict=True))
    detail = "for σ <= σ₀ the lower constant is ln(1/σ₀)/(ln(1/σ₀)+3), 0.43 for σ₀ = 0.1, and 0 for σ₀ → 1"
    yield numeric(f"p*/(ln(εL)/ln σ) for ε=1e-8: {table}; {detail}", within, np.all(np.diff(shares) < 0))


@claim("4.3-lambert", BEYOND, "equality")
def lambert() -> Findings:
    """p* = ½[(3/L)·W₀((L/3)e^(L/3)(εL)^(−2/3)) − 1], L = ln(1/σ), W₀ Lambert's function."""
    y = sp.symbols("y", positive=True)  # y = (L/3)(2p+1)
    p = (3 * y / _L - 1) / 2
    log_equation = _L * p + sp.Rational(3, 2) * sp.log(2 * p + 1) - _LAMBDA  # ln of the stationarity equation
    claimed = sp.Rational(3, 2) * (y + sp.log(y) - sp.log(_L / 3) - _L / 3 - 2 * _LAMBDA / 3)
    detail = "with y = (L/3)(2p+1) stationarity reads y·e^y = (L/3)e^(L/3)(εL)^(−2/3), so y = W₀ of the right"
    yield symbolic(f"{detail} side", vanish(sp.expand_log(log_equation - claimed, force=True)))

    def stationary(p: float, sigma: float) -> float:
        return p * math.log(sigma) - math.log(-1e-8 * math.log(sigma)) - 1.5 * math.log(2 * p + 1)

    sigmas = (1e-5, 1e-4)
    roots = [brentq(stationary, 0.1, 5.0, args=(sigma,), xtol=1e-13) for sigma in sigmas]
    ok = all(abs(high_noise_power(s) - root) < 1e-10 for s, root in zip(sigmas, roots, strict=True))
    yield numeric(f"as by root-finding: p* = {roots[0]:.4f} at σ=1e-5, {roots[1]:.4f} at σ=1e-4 (ε=1e-8)", ok)
    enclosed = []
    with precision(128):
        for sigma, epsilon in _CORNERS:
            log = -arb(sigma).log()
            lam = -(arb(epsilon) * log).log()
            low, high = high_noise_power_bounds(sigma, epsilon=epsilon)
            slope = partial(_slope, log, lam)
            root = enclosed_root(slope, low * (1 - 1e-9), high * (1 + 1e-9), width=1e-13 * high)
            enclosed += [root.overlaps(_lambert(log, lam)), float(root.rad()) / high < 1e-12]
    detail = f"{len(_CORNERS)} pairs (σ, ε): the root is enclosed to < 1e-12 and contains Lambert's W"
    yield rigorous(detail, *enclosed)
