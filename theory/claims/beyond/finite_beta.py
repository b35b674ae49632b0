"""What finite β changes: the drift against its limit β → 1, to second order."""

from itertools import product

import sympy as sp

from theory.adam.update import exact_update, limit_update
from theory.claims.claim import BEYOND, Findings, claim, numeric, symbolic, vanish
from theory.laws import Uniform, parse_law

BETA1, BETA2 = sp.symbols("beta1 beta2", positive=True)
MIXED = (1 - BETA1) * (1 - BETA2) / (1 - BETA1 * BETA2)  # Σ w_k ω_k
SQUARED = (1 - BETA2) / (1 + BETA2)  # Σ ω_k²


def predicted_correction(power: float, ratio: float, beta1: float, beta2: float) -> float:
    """Second-order prediction of E u/u∞ − 1 at ε = 0 under uniform noise, μ = 1."""
    law = Uniform()
    unit = max(1.0, ratio)
    rule = law.folded_rule(1 / unit, ratio / unit, 4 * power)
    first, third = (rule.signed_moment(n * power) for n in (1, 3))
    second, fourth = (rule.absolute_moment(n * power) for n in (2, 4))
    mixed, squared = (float(e.subs({BETA1: beta1, BETA2: beta2})) for e in (MIXED, SQUARED))
    return -mixed * (third / (first * second) - 1) / 2 + 3 / 8 * squared * (fourth / second**2 - 1)


@claim("finite-beta", BEYOND, "asymptotic")
def correction() -> Findings:
    """At finite β the drift differs from u∞ by −½Cov(m,v)/(mv) + ⅜Var(v)/v² to second order."""
    k, q = sp.symbols("k", integer=True, nonnegative=True), sp.symbols("q", positive=True)
    geometric = sp.summation(q**k, (k, 0, sp.oo)).args[0][0]
    mixed = (1 - BETA1) * (1 - BETA2) * geometric.subs(q, BETA1 * BETA2)
    squared = (1 - BETA2) ** 2 * geometric.subs(q, BETA2**2)
    m, v, dm, dv, h = sp.symbols("m v dm dv h", positive=True)
    expansion = sp.series((m + h * dm) / sp.sqrt(v + h * dv), h, 0, 3).removeO().coeff(h, 2)
    expected = (-dm * dv / (2 * m * v) + sp.Rational(3, 8) * dv**2 / v**2) * m / sp.sqrt(v)
    detail = (
        "E u/u∞ − 1 = −½·Cov(m,v)/(mv) + ⅜·Var(v)/v² at ε = 0, with Cov(m,v) = Cov(x,x²)(1−β1)(1−β2)/(1−β1β2) "
        "and Var(v) = Var(x²)(1−β2)/(1+β2)"
    )
    differences = (mixed - MIXED, squared - SQUARED, expansion - expected)
    yield symbolic(detail, vanish(*differences))
    errors = []
    for power, ratio in product((0.5, 1.2, 2.0), (0.5, 10.0)):
        limit = limit_update(power, 1.0, ratio, Uniform(), epsilon=0.0)
        exact = exact_update(power, 1.0, ratio, Uniform(), beta1=0.9, beta2=0.9999, epsilon=0.0).drift
        predicted = predicted_correction(power, ratio, 0.9, 0.9999)
        errors.append(abs(float(exact / limit) - 1 - predicted) / abs(predicted))
    settings = [(1.2, 1e-6, 1e-5, parse_law(name)) for name in ("uniform", "gaussian", "laplace")]
    shifts = {s[3].name: float(exact_update(*s).drift / limit_update(*s) - 1) for s in settings}
    table = ", ".join(f"{shift:+.1%} ({name})" for name, shift in shifts.items())
    detail = f"at β2 = 0.9999 the prediction is off by < 1 %; at β = (0.9, 0.95), p = 1.2, r = 10, E u/u∞ − 1 = {table}"
    yield numeric(detail, max(errors) < 0.01)
