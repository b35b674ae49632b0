"""The power p that maximises the update: by proposition, in the β → 1 limit, and exactly."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.polynomial import Chebyshev

from gradpower.tools.errors import InputError, require
from theory.adam.propositions import (
    high_noise_power,
    high_noise_power_bounds,
    high_noise_update,
    low_noise_update,
)
from theory.adam.update import exact_update, limit_update
from theory.laws import NoiseLaw, Uniform
from theory.numerics.inputs import Array, nonnegative, positive
from theory.numerics.inputs import interval as checked_interval

_DEGREE = 24
_RESOLVED = 1e-11  # relative size of the last coefficients at which a panel counts as resolved
_NOISE = 1e-12  # relative rounding of u: a maximum that stands out less is none
_DEEPEST = 24  # reached only at a singular end, where each level adds one panel


@dataclass(frozen=True)
class OptimalPower:
    """Where the update is largest, over an interval of powers."""

    power: float
    """The global maximiser; the end of the interval if the supremum sits there."""
    update: float
    """The update there (its limit, at an open end)."""
    at_edge: str | None
    """"low" if the supremum sits at the low end (p → 0 for an interval from 0), "high" if at the high end."""
    local_maxima: tuple[float, ...]
    """All local maximisers inside the interval, in increasing order."""
    interval: tuple[float, float]
    """The interval searched."""
    method: str
    """How it was computed."""
    bounds: tuple[float, float] | None = None
    """Proposition 4.3's lower and upper bound on p*, for the method "proposition"."""
    power_interval: tuple[float, float] | None = None
    """Confidence interval of p*, where it is estimated and not at an edge."""


def optimal_power(
    mean: float,
    noise_scale: float,
    law: NoiseLaw,
    *,
    beta1: float = 0.9,
    beta2: float = 0.95,
    epsilon: float = 1e-8,
    method: str = "exact",
    interval: tuple[float, float] = (0.0, 5.0),
) -> OptimalPower:
    """Maximise the update over p, to about 1e-9: roots of the derivative of its Chebyshev interpolant, and both ends.

    The method is "proposition" (uniform noise: Proposition 4.2 for σ <= μ, Lambert's W of Proposition 4.3 for σ > μ),
    "limit" (u∞, without the betas) or "exact" (finite β, stationary). In the interval, 0 <= low < high <= 10, low = 0
    stands for p → 0. In the limit, a law whose moments end at order ν is searched up to ν/2 only, where u∞ falls to 0.

    >>> from theory.laws import Uniform
    >>> best = optimal_power(1e-6, 1e-5, Uniform(), method="limit")
    >>> round(best.power, 6), best.at_edge
    (1.220458, None)
    """
    low, high = checked_interval("interval", interval)
    positive("mean", mean)
    nonnegative("noise_scale", noise_scale)
    if method == "proposition":
        return _by_proposition(mean, noise_scale, law, epsilon, (low, high))
    if method == "limit":
        if noise_scale > 0:
            high = min(high, 0.5 * law.moment_limit * (1 - 1e-6))
            if high - low < 1e-6:
                law.require_moment(2 * low)
        limit = partial(limit_update, mean=mean, noise_scale=noise_scale, law=law, epsilon=epsilon)
        return maximise(limit, (low, high), method)
    require(method == "exact", "method", method, "proposition, limit, exact or monte-carlo")
    exact = partial(exact_update, mean=mean, noise_scale=noise_scale, law=law, beta1=beta1, beta2=beta2)
    return maximise(lambda p: exact(p, epsilon=epsilon).drift, (low, high), method)


def _by_proposition(
    mean: float, noise_scale: float, law: NoiseLaw, epsilon: float, interval: tuple[float, float]
) -> OptimalPower:
    if not isinstance(law, Uniform):
        raise InputError("law", law.name, "uniform: the propositions are about uniform noise")
    if noise_scale <= mean:
        return maximise(lambda p: low_noise_update(p, mean, epsilon=epsilon), interval, "proposition")

    update = partial(high_noise_update, mean=mean, noise_scale=noise_scale, epsilon=epsilon)
    log = -math.log(noise_scale)
    if not 0 < epsilon * log < 1:  # no interior maximum: f is monotone
        return maximise(update, interval, "proposition")
    power = high_noise_power(noise_scale, epsilon=epsilon)
    bounds = high_noise_power_bounds(noise_scale, epsilon=epsilon)
    if not interval[0] < power < interval[1]:
        edge, end = ("low", interval[0]) if power <= interval[0] else ("high", interval[1])
        value = float(update(np.array(max(end, 1e-12))))
        return OptimalPower(end, value, edge, (), interval, "proposition", bounds)
    value = float(update(np.array(power)))
    return OptimalPower(power, value, None, (power,), interval, "proposition", bounds)


def maximise(update: Callable[[Array], Array], interval: tuple[float, float], method: str) -> OptimalPower:
    """All maxima of a smooth function of p on an interval, from its piecewise Chebyshev interpolant.

    Panels are bisected until the last coefficients vanish; the interpolant is of ln u where u > 0, so that panels
    over which u falls by many orders of magnitude stay accurate.
    """
    panels = _resolve(update, *interval)
    ends = [(end, _value(*panels[i], end)) for i, end in zip((0, -1), interval, strict=True)]
    inside = [
        (power, _value(panel, logarithmic, power))
        for panel, logarithmic in panels
        for power in _critical_points(panel, interval)
    ]
    points = _above_noise([ends[0], *inside, ends[1]])
    maxima = [b for a, b, c in zip(points, points[1:], points[2:], strict=False) if a[1] < b[1] > c[1]]
    best = max([*ends, *maxima], key=lambda point: point[1])  # the low end if all are equal
    edge = {ends[0]: "low", ends[1]: "high"}.get(best)
    return OptimalPower(*best, edge, tuple(power for power, _ in maxima), interval, method)


def _above_noise(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Remove neighbouring maxima and minima that differ by rounding only; the two ends stay."""
    points = list(points)
    while len(points) > 2:
        gaps = [abs(a[1] - b[1]) / (max(abs(a[1]), abs(b[1])) or 1.0) for a, b in pairwise(points)]
        closest = gaps.index(min(gaps))
        if gaps[closest] > _NOISE:
            break
        inner = {closest, closest + 1} - {0, len(points) - 1}
        points = [point for i, point in enumerate(points) if i not in inner]
    return points


_Panel = tuple[Chebyshev, bool]  # the interpolant, and whether it is of ln u rather than u


def _resolve(
    update: Callable[[Array], Array], low: float, high: float, depth: int = 0, parent_tail: float = math.inf
) -> list[_Panel]:
    """Bisect until the last coefficients are negligible, or stop falling at the rounding level of `update`."""
    nodes = (low + high) / 2 + (high - low) / 2 * np.polynomial.chebyshev.chebpts1(_DEGREE + 1)
    values = update(nodes)
    logarithmic = bool(np.all(values > 0))
    panel = Chebyshev.fit(nodes, np.log(values) if logarithmic else values, _DEGREE, domain=[low, high])
    size = max(float(np.abs(panel.coef).max()), 0.1 if logarithmic else 0.0)  # ln u is only good to 1e-13
    tail = float(np.abs(panel.coef[-3:]).max()) / size if size > 0 else 0.0
    if tail <= _RESOLVED or (tail < 1e-8 and tail > parent_tail / 2) or depth == _DEEPEST:
        return [(panel, logarithmic)]
    middle = (low + high) / 2
    halves = ((low, middle), (middle, high))
    return [part for half in halves for part in _resolve(update, *half, depth + 1, tail)]


def _critical_points(panel: Chebyshev, interval: tuple[float, float]) -> list[float]:
    """Where the derivative vanishes inside the interval; none on the panel that shrank onto a singular end."""
    low, high = panel.domain
    if high - low < 2 * (interval[1] - interval[0]) / 2**_DEEPEST or not np.any(panel.coef[1:]):
        return []
    slack = 1e-9 * (high - low)
    roots = panel.deriv().roots()
    real = np.sort(roots.real[np.abs(roots.imag) < 1e-7 * (high - low)])
    real = real[(real >= low - slack) & (real <= high + slack)]
    return [float(p) for p in real if interval[0] < p < interval[1]]


def _value(panel: Chebyshev, logarithmic: bool, power: float) -> float:
    return float(np.exp(panel(power)) if logarithmic else panel(power))
