"""Appendix B.1: a linear map g → c·g, c > 0, leaves adaptive and sign methods unchanged as ε → 0; its words on signs.

Each method is written once, for any arithmetic: sympy symbols, NumPy arrays and balls run through the same lines.
With ε > 0 the scale does not cancel but moves into ε, exactly: `u(c·g; ε) = u(g; ε/c)` where ε is added to √v, and
`u(c·g; ε) = u(g; ε/c²)` where it is added to v, under the root.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import sympy as sp
from flint import arb
from scipy.optimize import brentq

from gradpower.tools.labels import Label
from theory.claims.claim import BEYOND, Findings, boxed, claim, numeric, symbolic, vanish
from theory.numerics.balls import proved

EPSILON = 1e-8
TOLERANCE = 0.01


@dataclass(frozen=True)
class Arithmetic:
    """The numbers a method runs on: the two functions it needs, and its decay rates."""

    root: Callable[[Any], Any]
    sign: Callable[[Any], Any]
    beta1: Any
    beta2: Any


_BETAS = sp.symbols("beta1 beta2", positive=True)
SYMBOLS = Arithmetic(lambda v: sp.sqrt(sp.factor(v)), lambda m: sp.sign(sp.factor(m)), *_BETAS)
FLOATS = Arithmetic(np.sqrt, np.sign, 0.9, 0.95)
BALLS = Arithmetic(lambda v: v.sqrt(), lambda m: m.sgn(), arb("0.9"), arb("0.95"))


@dataclass(frozen=True)
class Adaptive:
    """A method with `u = numerator/(√v + ε)`, or `numerator/√(v + ε)` if `inside`."""

    moments: Callable[[Sequence[Any], Arithmetic], tuple[Any, Any]]
    inside: bool = False

    def update(self, gradients: Sequence[Any], epsilon: Any, numbers: Arithmetic) -> Any:
        """The last update of a run."""
        numerator, v = self.moments(gradients, numbers)
        return numerator / (numbers.root(v + epsilon) if self.inside else numbers.root(v) + epsilon)


def average(values: Sequence[Any], beta: Any) -> Any:
    """The exponential moving average from 0."""
    total = 0 * values[0]
    for value in values:
        total = beta * total + (1 - beta) * value
    return total


def _rmsprop(gradients: Sequence[Any], numbers: Arithmetic) -> tuple[Any, Any]:
    return gradients[-1], average([g * g for g in gradients], numbers.beta2)


def _adam(gradients: Sequence[Any], numbers: Arithmetic) -> tuple[Any, Any]:
    m, v, steps = average(gradients, numbers.beta1), _rmsprop(gradients, numbers)[1], len(gradients)
    return m / (1 - numbers.beta1**steps), v / (1 - numbers.beta2**steps)


def _lion(numbers: Arithmetic, gradients: Sequence[Any]) -> Any:
    before = average(gradients[:-1], numbers.beta2)
    return numbers.sign(numbers.beta1 * before + (1 - numbers.beta1) * gradients[-1])


ADAM, RMSPROP = Adaptive(_adam), Adaptive(_rmsprop)
ADAGRAD = Adaptive(lambda gradients, _: (gradients[-1], sum(g * g for g in gradients)), inside=True)
SIGN_METHODS: dict[str, Callable[[Arithmetic, Sequence[Any]], Any]] = {
    "signSGD": lambda numbers, gradients: numbers.sign(gradients[-1]),
    "signed momentum": lambda numbers, gradients: numbers.sign(average(gradients, numbers.beta1)),
    "Lion": _lion,
}


def scale_cancels(update: Callable[[Sequence[Any]], Any]) -> bool:
    """Whether `update(c·g) − update(g)` is identically 0 over three symbolic gradients."""
    gradients, c = sp.symbols("g1:4", real=True), sp.Symbol("c", positive=True)
    return vanish(update([c * g for g in gradients]) - update(gradients))


def scale_moves_into_epsilon(method: Adaptive, power: int) -> bool:
    """Whether `u(c·g; ε) − u(g; ε/c^power)` is identically 0 over three symbolic gradients."""
    gradients, (c, epsilon) = sp.symbols("g1:4", real=True), sp.symbols("c epsilon", positive=True)
    scaled = method.update([c * g for g in gradients], epsilon, SYMBOLS)
    return vanish(scaled - method.update(gradients, epsilon / c**power, SYMBOLS))


def _runs() -> dict[str, list[Any]]:
    """Two runs of 200 steps on 500 coordinates: light and very heavy tails."""
    generator = np.random.default_rng(0)
    size = (200, 500)
    return {"normal": list(generator.standard_normal(size)), "Cauchy": list(generator.standard_cauchy(size))}


FACTORS = (1e-6, 3e-4, 0.7, 1.1, 3e3, 1e6)


def largest_change(update: Callable[[Sequence[Any]], Any]) -> float:
    """The largest `|u(c·g) − u(g)|` over runs and factors, relative to the largest |u| of the run."""
    worst = 0.0
    for gradients in _runs().values():
        base = update(gradients)
        for c in FACTORS:
            change = np.abs(update([c * g for g in gradients]) - base).max() / np.abs(base).max()
            worst = max(worst, float(change))
    return worst


def threshold(method: Adaptive) -> float:
    """The smallest c·√v at which ε = 1e-8 changes the update by at most 1 %, over a run."""
    gradients = _runs()["normal"]
    numerator, v = method.moments(gradients, FLOATS)
    coordinate = int(np.argmax(np.abs(numerator)))
    bare = method.update(gradients, 0.0, FLOATS)[coordinate]

    def excess(log_scale: float) -> float:
        changed = method.update([10**log_scale * g for g in gradients], EPSILON, FLOATS)[coordinate]
        return float(abs(changed / bare - 1)) - TOLERANCE

    return float(10 ** brentq(excess, -12.0, 6.0, xtol=1e-12) * np.sqrt(v[coordinate]))


def shrinks_by_one_percent_at_most(method: Adaptive, limit: float) -> tuple[bool, int]:
    """Prove `u(c·g; ε)/u(g; 0) >= 0.99` for every g1, g2, g3 with `limit/√v(1,1,1)` <= c·|g_t| <= 1."""
    # v is homogeneous: c·|g_t| >= limit/unit is enough
    unit = float(method.moments([arb(1)] * 3, BALLS)[1].sqrt())

    def statement(*logs: arb) -> bool:
        _, v = method.moments([log.exp() for log in logs], BALLS)
        denominator = (v + EPSILON).sqrt() if method.inside else v.sqrt() + EPSILON
        shrunk = 1 - EPSILON / (denominator * (v.sqrt() + denominator) if method.inside else denominator)
        return bool(shrunk >= 1 - TOLERANCE)

    return proved(statement, [(math.log(limit / unit), 0.0)] * 3)


def _adaptive(method: Adaptive) -> Findings:
    power = 2 if method.inside else 1  # the k of u(c·g; ε) = u(g; ε/c^k)
    cancels = scale_cancels(lambda g: method.update(g, 0, SYMBOLS))
    detail = f"3 steps: u(c·g) − u(g) = 0 at ε = 0; u(c·g; ε) = u(g; ε/{'c²' if power == 2 else 'c'}) for ε >"
    yield symbolic(f"{detail} 0", cancels, scale_moves_into_epsilon(method, power))
    small = largest_change(lambda g: method.update(g, 0.0, FLOATS)) < 1e-12
    detail = f"c from 1e-6 to 1e6, ε = 0: relative change {'<' if small else '>='} 1e-12"
    yield numeric(f"200 normal and Cauchy steps, {detail}", small)
    limit = float(f"{1.001 * threshold(method):.3g}")
    detail = f"c·√v >= {limit:.3g} keeps 99 % of u at ε = 1e-8, for all g1, g2, g3 ({{boxes}} boxes)"
    what = "c·√(Σg²)" if method is ADAGRAD else "c·√v"
    detail = f"{detail}; what ε → 0 means: √v and {what} >= {threshold(method):.3g}"
    yield boxed(detail, shrinks_by_one_percent_at_most(method, limit))


@claim("linear-adam", "Appendix B.1", "equality")
def adam() -> Findings:
    """A linear map g → c·g, c > 0, leaves the update of Adam unchanged as ε → 0."""
    yield from _adaptive(ADAM)


@claim("linear-adagrad", "Appendix B.1", "equality")
def adagrad() -> Findings:
    """A linear map g → c·g, c > 0, leaves the update of Adagrad unchanged as ε → 0."""
    yield from _adaptive(ADAGRAD)


@claim("linear-rmsprop", "Appendix B.1", "equality")
def rmsprop() -> Findings:
    """A linear map g → c·g, c > 0, leaves the update of RMSprop unchanged as ε → 0."""
    yield from _adaptive(RMSPROP)


@claim("linear-sign", "Appendix B.1", "equality")
def sign() -> Findings:
    """A linear map g → c·g, c > 0, leaves sign methods (signSGD, signed momentum, Lion) unchanged."""
    passed = all(scale_cancels(partial(update, SYMBOLS)) for update in SIGN_METHODS.values())
    yield symbolic(f"3 steps: u(c·g) − u(g) = 0 for {', '.join(SIGN_METHODS)}; no ε", passed)
    change = max(largest_change(partial(update, FLOATS)) for update in SIGN_METHODS.values())
    yield numeric(f"200 normal and Cauchy steps, c from 1e-6 to 1e6: largest change {change:g}", change == 0)


def sign_power(gradient: Any, power: Any, numbers: Arithmetic) -> Any:
    """`φ_p(g)` in any arithmetic."""
    return numbers.sign(gradient) * abs(gradient) ** power


def powered(gradients: Sequence[Any], power: Any, numbers: Arithmetic, epsilon: Any = 0) -> Any:
    """AdamPower's update."""
    return ADAM.update([sign_power(g, power, numbers) for g in gradients], epsilon, numbers)


@claim("power-and-signs", "Appendix B.1", "equality", expected=Label.FAILS)
def signs() -> Findings:
    """The power alters the updates of Adam and of sign methods when the gradients are not all of the same sign."""
    p, x = sp.symbols("p x", positive=True)
    opposite = sp.diff(powered([x, -x], p, SYMBOLS), p)
    alike = sp.diff(powered([1, 2], p, SYMBOLS), p).subs(p, 1)
    sufficient, necessary = not vanish(opposite), vanish(alike)
    detail = "∂u/∂p of Adam is 0 at g = (x, −x), whose signs differ, and not 0 at g = (1, 2), whose do not"
    yield symbolic(f"neither sufficient nor necessary: {detail}", sufficient, necessary)
    gradients = _runs()["normal"]
    moved = float(np.abs(np.sign(sign_power(gradients[-1], 1.2, FLOATS)) - np.sign(gradients[-1])).max())
    yield numeric(
        f"signSGD on 200 normal steps of both signs: p = 1.2 changes the update by {moved:g}", moved > 0
    )


@claim("unit-free", BEYOND, "equality")
def unit() -> Findings:
    """φ_p(c·g) = c^p·φ_p(g): AdamPower as ε → 0 ignores the gradient's unit as Adam does, and p ≠ 1 changes the update
    unless all |g_t| are equal."""
    g, (c, p, epsilon) = sp.Symbol("g", real=True, nonzero=True), sp.symbols("c p epsilon", positive=True)
    homogeneous = sign_power(c * g, p, SYMBOLS) - c**p * sign_power(g, p, SYMBOLS)
    x, y = sp.symbols("x y", positive=True)
    pair = [x, -y]
    scaled = powered([c * x, -c * y], p, SYMBOLS, epsilon) - powered(pair, p, SYMBOLS, epsilon / c**p)
    slope = sp.diff(powered(pair, p, SYMBOLS), p).subs({p: 1, x: 1, y: 2})
    equal = sp.diff(powered([x, -x], p, SYMBOLS), p)
    detail = "φ_p(c·g) = c^p·φ_p(g), so u(c·g; ε) = u(g; ε/c^p); but ∂u/∂p ≠ 0 unless all |g_t| are equal"
    yield symbolic(detail, vanish(homogeneous, scaled, equal), not vanish(slope))
    changes = [largest_change(partial(powered, power=power, numbers=FLOATS)) for power in (0.5, 1.2, 2.0)]
    gradients = _runs()["normal"]
    plain = powered(gradients, 1.0, FLOATS)
    moved = float(np.abs(powered(gradients, 1.2, FLOATS) - plain).max() / np.abs(plain).max())
    detail = f"p = 0.5, 1.2, 2: relative change by c below 1e-12; by p = 1 → 1.2: up to {moved:.3g}"
    yield numeric(detail, max(changes) < 1e-12, moved > 0.01)

    def moves(ratio: arb) -> bool:
        both = [arb(1), -ratio]
        return bool(abs(powered(both, arb("1.2"), BALLS) - powered(both, arb(1), BALLS)) > 0.005)

    detail = "g = (1, −q), q in [1.1, 10]: |u(p = 1.2) − u(p = 1)| > 0.005 ({boxes} boxes)"
    yield boxed(detail, proved(moves, [(1.1, 10.0)]))
