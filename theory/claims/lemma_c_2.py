"""Lemma C.2 (Défossez et al., Lemma 5.2): the penalties of Lemma C.1 sum to a logarithm."""

from itertools import product

import numpy as np
import sympy as sp
from flint import arb

from theory.adagrad.bounds import log_sum_bound
from theory.claims.claim import Findings, boxed, claim, numeric, symbolic, vanish
from theory.numerics.balls import proved


def log_sum_ratio() -> float:
    """The largest `Σ a_t/(ε+b_t)` in units of ln(1+b_T/ε), over runs of 10⁴ terms."""
    generator = np.random.default_rng(0)
    worst = 0.0
    for epsilon, spread in product((1e-12, 1e-4, 1.0, 1e6), (0.0, 1.0, 5.0, 20.0)):
        terms = np.exp(generator.uniform(-spread, spread, 10_000))
        total = np.cumsum(terms)
        worst = max(worst, float(np.sum(terms / (epsilon + total)) / log_sum_bound(total[-1], epsilon)))
    return worst


@claim("c2-log-sum", "Lemma C.2", "upper")
def log_sum() -> Findings:
    """Σ_t a_t/(ε+b_t) <= ln(1 + b_T/ε) for a_t >= 0, b_t = a_1+…+a_t."""
    x, (a, b) = sp.Symbol("x", nonnegative=True), sp.symbols("a b", positive=True)  # a_t, ε + b_{t−1}
    excess = -sp.log(1 - x) - x
    term = sp.expand_log(sp.simplify(sp.log((a + b) / b) + sp.log(1 - a / (a + b))), force=True)
    yield symbolic(
        "with x = a_t/(ε+b_t): x <= −ln(1−x) = ln((ε+b_t)/(ε+b_{t−1})), as the difference is 0 at x = 0 and grows "
        "with slope x/(1−x); the logarithms telescope to ln(1 + b_T/ε)",
        excess.subs(x, 0) == 0,
        vanish(sp.diff(excess, x) - x / (1 - x), term),
    )
    worst = log_sum_ratio()
    yield numeric(f"16 runs of 10⁴ terms, ε from 1e-12 to 1e6: at most {worst:.4f} of the bound", worst <= 1)

    def statement(x: arb) -> bool:
        # −ln(1−x) − x = x²/2 + x³/3 + …: divided by x², certain also where x is small.
        head = sum(x**k / (k + 2) for k in range(30))
        return bool(head > 0) if x < 0.5 else bool(-(1 - x).log() - x > 0)

    yield boxed(
        "−ln(1−x) > x for all x in (0, 1 − 1e-12] ({boxes} boxes)", proved(statement, [(0.0, 1 - 1e-12)])
    )
