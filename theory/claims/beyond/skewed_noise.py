"""What skewed noise does to Adam: a bias where the mean gradient is 0, which one power takes away."""

import numpy as np
import sympy as sp

from theory.adam.noise_bias import noise_bias, unbiased_power
from theory.claims.beyond.finite_beta import BETA1, BETA2, MIXED
from theory.claims.claim import BEYOND, Findings, claim, numeric, symbolic, vanish
from theory.laws import NoiseLaw, TwoPoint
from theory.laws.from_quantiles import QuantileLaw

_CHANCES = (0.01, 0.03, 0.1, 0.3)


def _overlap(beta1: float, beta2: float) -> float:
    return float(MIXED.subs({BETA1: beta1, BETA2: beta2}))


def _gamma(shape: float) -> NoiseLaw:
    """Return the Gamma law of mean 0 and variance 1, whose skewness is 2/√shape."""
    from scipy.stats import gamma

    root = np.sqrt(shape)
    return QuantileLaw(
        "gamma",
        lambda chance: (gamma.ppf(chance, shape) - shape) / root,
        lambda value: gamma.cdf(shape + root * value, shape),
        symmetric=False,
    )


@claim("skewed-bias", BEYOND, "asymptotic")
def bias() -> Findings:
    """Where E g = 0 and g has skewness S, Adam's E u is −½·S·c to first order in 1 − β, c = (1−β1)(1−β2)/(1−β1β2)."""
    m, v, dm, dv, h = sp.symbols("m v dm dv h", positive=True)
    second = sp.series((m + h * dm) / sp.sqrt(v + h * dv), h, 0, 3).removeO().coeff(h, 2).subs(m, 0)
    age = sp.Symbol("k", integer=True, nonnegative=True)
    common = (1 - BETA1) * (1 - BETA2) * sp.summation((BETA1 * BETA2) ** age, (age, 0, sp.oo)).args[0][0]
    detail = "at E m = 0, m/√v is −½·Cov(m,v)/v^{3/2} in the mean to second order, and Cov(m,v) = E g³·c"
    yield symbolic(detail, vanish(second + dm * dv / (2 * v ** sp.Rational(3, 2)), common - MIXED))
    beta1, beta2 = 0.9, 0.9999
    errors = []
    for chance in _CHANCES:
        law = TwoPoint(chance)
        skewness = (1 - 2 * chance) / np.sqrt(chance * (1 - chance))
        errors.append(
            noise_bias(1.0, law, beta1=beta1, beta2=beta2) / (-skewness * _overlap(beta1, beta2) / 2) - 1
        )
    usual = {chance: noise_bias(1.0, TwoPoint(chance)) for chance in _CHANCES}
    shown = ", ".join(f"{value:.3f} at Q = {chance:g}" for chance, value in usual.items())
    detail = (
        f"two atoms, the rare one of probability Q: off by at most {max(map(abs, errors)):.1e} at β2 = 0.9999; at "
        f"β = (0.9, 0.95) E u = {shown}: away from the rare side, where a gradient that never changes has E u = 1"
    )
    yield numeric(detail, max(map(abs, errors)) < 0.01, all(value < 0 for value in usual.values()))


@claim("unbiased-power", BEYOND, "asymptotic")
def power() -> Findings:
    """A power takes this bias away: p0 = 1 + 3c to first order in 1 − β if g is nearly Gaussian, a mean of many."""
    p, skew = sp.symbols("p S", real=True)
    s = sp.Symbol("s", positive=True)
    absolute = 2 ** (s / 2) * sp.gamma((s + 1) / 2) / sp.sqrt(sp.pi)  # E|x|^s of a standard normal
    # The density of little skewness S is that of the normal times 1 + S·(x³ − 3x)/6.
    logarithm = sp.diff(absolute, s).subs(s, 4) - 3 * sp.diff(absolute, s).subs(s, 2)
    cube = absolute.subs(s, 6) - 3 * absolute.subs(s, 4)
    detail = (
        "with the density φ(x)·(1 + S(x³ − 3x)/6): d E φ_p/dp = E g·ln|g| = S/6 at p = 1 and E g³ = S, so "
        "(p − 1)·S/6 − ½·S·c = 0 at p = 1 + 3c"
    )
    mean, third = skew * sp.simplify(logarithm) / 6, skew * sp.simplify(cube) / 6
    root = sp.solve((p - 1) * mean - third * MIXED / 2, p)
    yield symbolic(detail, len(root) == 1, vanish(mean - skew / 6, third - skew, root[0] - (1 + 3 * MIXED)))
    c = _overlap(0.9, 0.999)
    exact, longer = (
        {chance: unbiased_power(TwoPoint(chance), beta2=beta2) or np.nan for chance in _CHANCES}
        for beta2 in (0.95, 0.99)
    )
    little = unbiased_power(_gamma(400.0), beta1=0.9, beta2=0.999) or np.nan
    shown = ", ".join(f"{exact[chance]:.3f} at Q = {chance:g}" for chance in _CHANCES)
    shorter = ", ".join(f"{longer[chance]:.3f}" for chance in _CHANCES)
    detail = (
        f"a Gamma law of skewness 0.1 at β = (0.9, 0.999): p0 − 1 = {little - 1:.5f}, 3c = {3 * c:.5f}; two atoms at "
        f"β2 = 0.95: p0 = {shown}; at 0.99: {shorter}"
    )
    ordered = all(1 < longer[chance] < exact[chance] for chance in _CHANCES)
    yield numeric(detail, abs((little - 1) / (3 * c) - 1) < 0.01, ordered)
