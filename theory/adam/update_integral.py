"""The Laplace-transform formula for the mean and mean square of Adam's update, evaluated along a grid.

For independent g_t let x = φ_p(g), `m = Σ_k w_k x_k`, `v = Σ_k ω_k x_k²`, u = m/(√v+ε), where k counts steps
backwards, w_k ∝ β1^k and ω_k ∝ β2^k. Because

    1/(√v+ε)  = ∫₀^∞ e^{−sv} h₁(s) ds,   h₁(s) = 1/√(πs) − ε·erfcx(ε√s),
    1/(√v+ε)² = ∫₀^∞ e^{−sv} h₂(s) ds,   h₂(s) = (1+2ε²s)·erfcx(ε√s) − 2ε√(s/π),

the expectation factorises over the independent terms. With

    a(s) = E e^{−sx²},   B(s) = E[x e^{−sx²}]/a(s),   C(s) = E[x² e^{−sx²}]/a(s) − B(s)²,

    E u  = ∫ h₁(s)·N(s)·e^{G(s)} ds,            G(s) = Σ_k ln a(sω_k),
    E u² = ∫ h₂(s)·[V(s) + N(s)²]·e^{G(s)} ds,  N(s) = Σ_k w_k B(sω_k),  V(s) = Σ_k w_k² C(sω_k).

On the axis t = ln s with a spacing that divides ln(1/β2), stepping one term back in time is a shift of the grid, so
G, N and V are exponential moving averages *along the grid*, and the trapezoidal rule in t converges geometrically,
because F(s) = E[m e^{−sv}] is analytic and bounded for Re s > 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import erfcx

from theory.numerics.inputs import Array
from theory.numerics.quadrature import FoldedRule

_STEP = 0.2  # trapezoid spacing in ln s: error about e^{−π²/0.2} = e^{−49}
_INTERPOLATE_BELOW = 0.03  # grid spacing under which ln a, B and C are interpolated onto the grid
_NODES = 16
_FEW = 32  # up to this step the terms are summed one by one
_GONE = -60.0  # e^{G} below this cannot be seen


@dataclass(frozen=True)
class Memory:
    """Adam's averaging: decay rates, and the step t (infinite at stationarity)."""

    beta1: float
    beta2: float
    step: float

    def newest(self, beta: float) -> float:
        """The weight of the newest term, w_0 or ω_0, bias correction included."""
        return (1 - beta) / float(-np.expm1(self.step * np.log(beta))) if beta > 0 else 1.0


def _curves(rule: FoldedRule, power: float, t: Array) -> Array:
    """Evaluate ln a, B, C at s = e^t by the rule, shape (3, points): accurate also where a is close to 1 or to 0."""
    x = np.exp(power * rule.log_magnitude)
    exponent = -np.exp(t)[:, None] * (x * x)
    less_one = np.expm1(exponent)
    log_a = np.log1p(np.maximum(less_one @ rule.even, -1 + 1e-16))
    # where an atom has decayed, 1 + expm1 would leave a rounding error that heavy tails multiply by a huge x²
    decayed = np.exp(exponent) if exponent.min() < -5 else np.add(less_one, 1, out=less_one)
    weights = np.stack([rule.even, rule.odd * x, rule.even * x * x], axis=1)
    a, b, c = (decayed @ weights).T
    a = np.maximum(a, 1e-300)
    log_a = np.where(a < 0.1, np.log(a), log_a)
    b = b / a
    return np.stack([log_a, b, c / a - b * b])


def _interpolated(rule: FoldedRule, power: float, size: int) -> Callable[[Array], Array]:
    """Evaluate at Chebyshev points of a block of `size` grid points and interpolate onto the grid."""
    nodes = np.cos((np.arange(_NODES) + 0.5) * np.pi / _NODES)[::-1]
    basis = np.polynomial.chebyshev.chebvander
    onto_grid = np.linalg.solve(basis(nodes, _NODES - 1).T, basis(np.linspace(-1, 1, size), _NODES - 1).T).T

    def curves(t: Array) -> Array:
        coarse = _curves(rule, power, (t[0] + t[-1]) / 2 + (t[-1] - t[0]) / 2 * nodes)
        return np.stack([onto_grid @ part for part in coarse])

    return curves


def _grid(beta2: float) -> tuple[float, int]:
    """Spacing of t and the number of grid points by which one step back in time shifts it."""
    if beta2 == 0:
        return _STEP, 1 << 40
    lag = -np.log(beta2)
    stride = int(np.ceil(lag / _STEP))
    return float(lag / stride), stride


def _sum_back(values: Array, stride: int, rate: float, step: float, left: float) -> Array:
    """`Σ_{k<step} rate^k·values_{i−k·stride}` at every grid point i, with values = `left` left of the grid."""
    if np.isinf(step):
        return _all_back(values, stride, rate, left)
    return _window(values, stride, rate, int(step), left)


def _all_back(values: Array, stride: int, rate: float, left: float) -> Array:
    """The sum over infinitely many terms, by its recursion `y_i = values_i + rate·y_{i−stride}`."""
    from scipy.signal import lfilter  # here, because it takes a second to import

    head = min(stride, values.size)
    rows = -(-values.size // head)
    padded = np.concatenate([values, np.zeros(rows * head - values.size)]).reshape(rows, head)
    before = rate * left / (1 - rate) if rate < 1 else 0.0
    summed, _ = lfilter([1.0], [1.0, -rate], padded, axis=0, zi=np.full((1, head), before))
    return np.asarray(summed).ravel()[: values.size]


def _window(values: Array, stride: int, rate: float, step: int, left: float) -> Array:
    """The sum over `step` terms, by doubling: differences of infinite sums would cancel under heavy tails."""
    total, taken = np.zeros_like(values), 0
    block, size = values, 1  # the sum over `size` terms, and its value left of the grid
    while True:
        if step & size:
            total = total + rate**taken * _shifted(block, taken * stride, left)
            taken += size
        if taken == step:
            return total
        block = block + rate**size * _shifted(block, size * stride, left)
        left *= 1 + rate**size
        size *= 2


def _shifted(values: Array, count: int, left: float) -> Array:
    shift = min(count, values.size)
    return np.concatenate([np.full(shift, left), values[: values.size - shift]])


@dataclass(frozen=True)
class Sums:
    """G, N and V on the grid t = ln(sω_0)."""

    t: Array
    log_product: Array
    first: Array
    variance: Array


def _range(rule: FoldedRule, power: float, log_epsilon: float, memory: Memory) -> tuple[float, float]:
    """From where neither ε nor any term is felt, to where every term has lost all its mass."""
    finite = rule.log_magnitude[np.isfinite(rule.log_magnitude)]
    # the integrand left of the grid is taken as exponential: its error there is √s·s at the terms, √s·√s at ε
    start = min(
        -2 * power * finite.max() - 22.0, -2 * log_epsilon + np.log(memory.newest(memory.beta2)) - 34.0
    )
    return start, -2 * power * finite.min() + 6.0 - np.log(max(memory.beta2, 1e-300)) * memory.step


def _few_sums(rule: FoldedRule, power: float, span: tuple[float, float], memory: Memory) -> Sums:
    """The sums term by term, for a step t <= `_FEW`."""
    age = np.arange(int(memory.step))
    with np.errstate(divide="ignore"):
        shift = np.log(memory.beta2**age)
    w = memory.newest(memory.beta1) * memory.beta1**age
    blocks: list[Array] = []
    t = span[0] + _STEP * np.arange(64)
    while t[0] < span[1] and not (blocks and blocks[-1][1, -1] < _GONE):
        log_a, b, c = _curves(rule, power, (t[:, None] + shift).ravel()).reshape(3, t.size, age.size)
        blocks.append(np.stack([t, log_a.sum(axis=1), b @ w, c @ w**2]))
        t = t + _STEP * t.size
    return Sums(*np.concatenate(blocks, axis=1))


def _many_sums(rule: FoldedRule, power: float, span: tuple[float, float], memory: Memory) -> Sums:
    """The sums as moving averages along the grid, for many or infinitely many terms."""
    spacing, stride = _grid(memory.beta2)
    if spacing < _INTERPOLATE_BELOW:
        size = int(np.ceil(0.5 / spacing))
        evaluate = _interpolated(rule, power, size)
    else:
        size, evaluate = 128, partial(_curves, rule, power)
    t = np.asarray(span[0] + spacing * np.arange(size), dtype=np.float64)
    blocks: list[Array] = []
    total = 0.0
    while t[0] < span[1] and total > _GONE:
        blocks.append(np.vstack([t, evaluate(t)]))
        window = np.concatenate([b[1] for b in blocks])[-int(min(memory.step * stride, 1e9)) :]
        total = min(float(window.sum()) / stride, float(window[-1]))
        t = t + spacing * size
    t, log_a, b, c = _continued(np.concatenate(blocks, axis=1), spacing)
    beta1, w = memory.beta1, memory.newest(memory.beta1)
    return Sums(
        t,
        _sum_back(log_a, stride, 1.0, memory.step, 0.0),
        _sum_back(w * b, stride, beta1, memory.step, w * b[0]),
        _sum_back(w**2 * c, stride, beta1**2, memory.step, w**2 * c[0]),
    )


def _continued(curves: Array, spacing: float) -> Array:
    """Continue t, ln a, B, C by 24 to the left, where ln a falls off geometrically and B and C are constant."""
    t, log_a = curves[0], curves[1]
    steps = np.arange(int(24 / spacing), 0, -1)
    ratio = log_a[0] / log_a[1] if log_a[1] < 0 else 0.0
    left = np.repeat(curves[:, :1], steps.size, axis=1)
    left[0], left[1] = t[0] - spacing * steps, log_a[0] * ratio**steps
    return np.concatenate([left, curves], axis=1)


def sums_along_grid(rule: FoldedRule, power: float, log_epsilon: float, memory: Memory) -> Sums:
    """G, N and V from where neither ε nor any term is felt to where every term has decayed."""
    gather = _few_sums if memory.step <= _FEW else _many_sums
    return gather(rule, power, _range(rule, power, log_epsilon, memory), memory)


def integrate(rule: FoldedRule, power: float, log_epsilon: float, memory: Memory) -> tuple[float, float]:
    """(E u, √(E u²)) in units where max(μ, σ) = 1."""
    sums = sums_along_grid(rule, power, log_epsilon, memory)
    log_s = sums.t - np.log(memory.newest(memory.beta2))
    z = np.exp(np.minimum(log_epsilon + log_s / 2, 345.0))
    drift = sums.first * kernel1(z) * np.exp(log_s / 2 + sums.log_product)
    square = (sums.variance + sums.first**2) * _kernel2(z) * np.exp(log_s + sums.log_product)
    spacing = sums.t[1] - sums.t[0]
    return spacing * _trapezoid(drift, spacing / 2), float(np.sqrt(spacing * _trapezoid(square, spacing)))


def _trapezoid(values: Array, growth: float) -> float:
    """Sum over the grid and its infinite continuation to the left, where `values` falls off like e^{growth·i}."""
    return float(values.sum() + values[0] / np.expm1(growth))


def kernel1(z: Array) -> Array:
    """`√s·h₁(s)` at z = ε√s: `1/√π − z·erfcx(z)`, by its asymptotic series for large z."""
    near, far = np.minimum(z, 10.0), np.maximum(z, 10.0) ** -2.0
    series = np.ones_like(far)
    for n in range(14, 1, -1):
        series = 1 - far * (n - 0.5) * series
    exact = 1 / np.sqrt(np.pi) - near * erfcx(near)
    return np.asarray(np.where(z < 10, exact, far / 2 * series / np.sqrt(np.pi)))


def _kernel2(z: Array) -> Array:
    """`h₂(s)` at z = ε√s: `(1+2z²)erfcx(z) − 2z/√π`, by its asymptotic series for large z."""
    near, far = np.minimum(z, 10.0), np.maximum(z, 10.0) ** -2.0
    series = np.ones_like(far)
    for n in range(14, 1, -1):
        series = 1 - far * n * (n - 0.5) / (n - 1) * series
    exact = (1 + 2 * near**2) * erfcx(near) - 2 * near / np.sqrt(np.pi)
    return np.asarray(np.where(z < 10, exact, far**1.5 * series / np.sqrt(np.pi)))
