"""What a power is worth at a tuned rate: the drift of the update against its long-run variance."""

from itertools import product

import numpy as np
import sympy as sp
from scipy.optimize import minimize_scalar

from theory.adam.noise_equivalent import long_run_update, noise_equivalent
from theory.claims.beyond.finite_beta import BETA2, MIXED, SQUARED
from theory.claims.claim import BEYOND, Findings, claim, numeric, symbolic, vanish
from theory.laws import parse_law

_STRONG = 1e4  # σ/μ


def _progress(power: float, law: str, ratio: float = _STRONG, **betas: float) -> float:
    return long_run_update(power, 1.0, ratio, parse_law(law), **betas).progress


@claim("noise-equivalent", BEYOND, "asymptotic")
def equivalent() -> Findings:
    """At strong noise and a tuned rate a power p makes the progress of p = 1 under noise q(p) times smaller."""
    rate, drift, variance = sp.symbols("eta kappa V", positive=True)
    gain = rate * drift - rate**2 * variance / 2
    best = sp.solve(sp.diff(gain, rate), rate)
    detail = "η·E u − ½η²h·LRV has its one maximum at η = E u/(h·LRV), where it is (E u)²/(2h·LRV)"
    yield symbolic(detail, len(best) == 1, vanish(gain.subs(rate, best[0]) - drift**2 / (2 * variance)))
    errors = []
    for law, power in product(("uniform", "gaussian", "laplace"), (0.8, 1.2, 1.5)):
        q = noise_equivalent(power, parse_law(law))
        errors.append(abs(_progress(power, law, 100.0) / _progress(1.0, law, 100.0 / q) - 1))
    worth = {law: noise_equivalent(1.2, parse_law(law)) for law in ("uniform", "gaussian", "laplace")}
    shown = ", ".join(f"{value:.3f} ({law})" for law, value in worth.items())
    detail = f"q(1.2) = {shown} at β = (0.9, 0.95); at σ/μ = 100 it is off by < {max(errors):.0e}"
    yield numeric(
        detail, max(errors) < 1e-3, worth["uniform"] > 1, worth["gaussian"] < 1, worth["laplace"] < 1
    )


@claim("gaussian-finite-beta", BEYOND, "equality")
def gaussian() -> Findings:
    """Under strong Gaussian noise the best power is 1 in the limit β2 → 1, and a little above 1 at β2 = 0.95."""
    p = sp.Symbol("p", positive=True)
    slope = sp.digamma(p / 2 + 1) - sp.digamma(p + sp.Rational(1, 2))
    detail = "d ln Q/dp = ½·[ψ(p/2 + 1) − ψ(p + ½)] for β → 1, which is 0 at p = 1 and falls there"
    falls = sp.diff(slope, p).subs(p, 1) < 0
    yield symbolic(detail, slope.subs(p, 1) == 0, falls)
    best = {}
    for beta2 in (0.95, 0.99, 0.9999):
        found = minimize_scalar(
            lambda p, b=beta2: -_progress(p, "gaussian", beta2=b), bounds=(0.8, 1.3), method="bounded"
        )
        best[beta2] = float(found.x)
    shown = ", ".join(f"{power:.3f} at β2 = {beta2}" for beta2, power in best.items())
    gains = {p: noise_equivalent(p, parse_law("gaussian")) for p in (0.8, 1.2)}
    detail = f"best p {shown}; little is at stake: q = {gains[0.8]:.3f} at p = 0.8, {gains[1.2]:.3f} at 1.2"
    ordered = best[0.95] > best[0.99] > best[0.9999] > 1
    yield numeric(detail, ordered, abs(best[0.9999] - 1) < 1e-3, abs(best[0.95] - 1.04) < 0.01)


@claim("memory-of-v", BEYOND, "asymptotic")
def memory() -> Findings:
    """To first order in 1 − β2, a longer memory of v helps p = 1 under strong independent noise with all moments if its
    excess kurtosis is < 2/7."""
    delta, kurtosis = sp.symbols("delta K", positive=True)
    per_step = [sp.limit(part.subs(BETA2, 1 - delta) / delta, delta, 0) for part in (MIXED, SQUARED)]
    v, w, h = sp.symbols("v w h")
    product_ = sp.series((1 + h * v) ** sp.Rational(-1, 2) * (1 + h * w) ** sp.Rational(-1, 2), h, 0, 3)
    second = sp.expand(product_.removeO().coeff(h, 2))
    # E u: Cov(m, v) with E x³/(E x·E x²) = 3. LRV: every pair of steps shares each gradient with both its v.
    drift = -per_step[0] * (3 - 1) / 2 + sp.Rational(3, 8) * per_step[1] * (kurtosis - 1)
    pairs = sum(second.coeff(v, a).coeff(w, 2 - a) for a in range(3))  # of Var v = Cov(v, v')
    variance = (-per_step[0] + pairs * per_step[1]) * (kurtosis - 1)
    slope = sp.expand(drift - variance / 2)
    detail = "d ln(E u/√LRV)/d(1 − β2) = 7/16·(K − 1) − 1 at β2 = 1, K the kurtosis: zero at K = 3 + 2/7"
    expected = sp.Rational(7, 16) * (kurtosis - 1) - 1
    yield symbolic(detail, vanish(slope - expected, expected.subs(kurtosis, sp.Rational(23, 7))))
    gains, errors = {}, []
    for law in ("uniform", "gaussian", "laplace", "generalized-normal:0.7"):
        own = parse_law(law)
        measured = np.log(_progress(1.0, law, beta2=0.9996) / _progress(1.0, law, beta2=0.9999)) / 3e-4
        kurt = own.absolute_moment(4, 0.0, 1.0) / own.absolute_moment(2, 0.0, 1.0) ** 2
        errors.append(abs(measured / float(expected.subs(kurtosis, kurt)) - 1))
        gains[law] = _progress(1.0, law, beta2=0.999) / _progress(1.0, law, beta2=0.95)
    shown = ", ".join(f"{gain:.3f} ({law})" for law, gain in gains.items())
    detail = f"at β2 = 0.9999 it is off by < {max(errors):.1%}; progress at 0.999 over that at 0.95: {shown}"
    signs = [gains["uniform"] > gains["gaussian"] > 1, 1 > gains["laplace"] > gains["generalized-normal:0.7"]]
    yield numeric(detail, max(errors) < 0.05, *signs)
