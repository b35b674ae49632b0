"""Adam's bias under skewed noise: its mean update where the mean gradient is 0, and the power that takes it away.

A rare large gradient enlarges the root that divides it. Once v has forgotten it, after about 1/(1 − β2) steps, the
small gradients of the other sign are divided by a small root. So the mean update is against the rare side, though the
mean gradient is 0. A longer memory makes this smaller. A power above 1 gives φ_p(g) a mean towards the rare side: at
one power the two cancel, and beyond it the bias is towards that side.
"""

from theory.adam.update import exact_update
from theory.laws import NoiseLaw
from theory.numerics.inputs import interval

SMALL = 1e-10  # μ/σ that stands for 0: it moves u by about as much


def noise_bias(power: float, law: NoiseLaw, *, beta1: float = 0.9, beta2: float = 0.95) -> float:
    """Return Adam's mean update E u on φ_p(σξ), which does not depend on σ; ε = 0 and stationarity.

    It is 0 for symmetric laws. At p = 1 it is `−½·S·c` to first order in 1 − β, with S the skewness of ξ and
    `c = (1−β1)(1−β2)/(1−β1β2)`. InputError if power or decay rates are out of range, or the law lacks the moments.

    Examples
    --------
    >>> from theory.laws import parse_law
    >>> [round(noise_bias(p, parse_law("two-point:0.03")), 3) for p in (1.0, 1.2, 1.5)]
    [-0.153, -0.037, 0.06]
    """
    drift = float(exact_update(power, SMALL, 1.0, law, beta1=beta1, beta2=beta2, epsilon=0.0).drift)
    return 0.0 if law.symmetric else drift


def unbiased_power(
    law: NoiseLaw, *, beta1: float = 0.9, beta2: float = 0.95, bounds: tuple[float, float] = (1.0, 4.0)
) -> float | None:
    """Return the power at which Adam has no bias under a skewed law, None if its signs at the two bounds are the same.

    Symmetric laws, under which there is no bias at any power, have None, too. InputError as from `noise_bias`.

    For a mean of many gradients, whose skewness and excess kurtosis are nearly 0, it is `1 + 3(1−β1)(1−β2)/(1−β1β2)` to
    first order in 1 − β.

    Examples
    --------
    >>> from theory.laws import parse_law
    >>> [round(unbiased_power(parse_law("two-point:0.03"), beta2=b), 3) for b in (0.95, 0.99, 0.999)]
    [1.289, 1.047, 1.005]
    >>> unbiased_power(parse_law("gaussian")) is None
    True
    """
    from scipy.optimize import brentq

    low, high = interval("bounds", bounds)

    def bias(power: float) -> float:
        return noise_bias(power, law, beta1=beta1, beta2=beta2)

    if law.symmetric or bias(low) * bias(high) > 0:
        return None
    return float(brentq(bias, low, high, xtol=1e-9))
