"""Moments of the transformed gradient, E φ_p(g) and E φ_p(g)², for g = μ + σξ."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from theory.laws import NoiseLaw
from theory.numerics.inputs import Array, nonnegative, positive, power_in_range


@dataclass(frozen=True)
class PowerMoments:
    """First and second moment of φ_p(g)."""

    first: Array
    """`E φ_p(g)`."""
    rms: Array
    """`√(E φ_p(g)²)`. Given as the root because the square leaves the range of float64 first: |g| = 1e-30 and p =
    10 make it 1e-600."""

    @property
    def second(self) -> Array:
        """`E φ_p(g)²`; underflows to 0 below 1e-308, where only `rms` is meaningful."""
        return self.rms**2


def power_moments(power: ArrayLike, mean: ArrayLike, noise_scale: ArrayLike, law: NoiseLaw) -> PowerMoments:
    """Moments of φ_p(g) = sign(g)|g|^p for g = mean + noise_scale·ξ (Section 2 of Example 4.1's exact forms).

    Closed forms where the law has one (elementary for uniform and binary, incomplete gamma for Laplace, 1F1 for
    Gaussian, 2F1 for Student-t, all to the last bit), composite Gauss quadrature to 1e-12 for the others. The law
    needs a moment of order 2p.

    >>> from theory.laws import Uniform
    >>> m = power_moments([1.0, 3.0], 1.0, 0.5, Uniform())
    >>> m.first.tolist(), m.second.round(12).tolist()
    ([1.0, 1.25], [1.083333333333, 2.439732142857])
    """
    unit, moments = unit_moments(power, mean, noise_scale, law)
    scale = unit ** np.asarray(power, dtype=np.float64)
    return PowerMoments(scale * moments.first, scale * moments.rms)


def unit_moments(
    power: ArrayLike, mean: ArrayLike, noise_scale: ArrayLike, law: NoiseLaw
) -> tuple[Array, PowerMoments]:
    """The unit max(μ, σ) and the moments of φ_p(g/unit), which neither over- nor underflow; see `power_moments`."""
    p, mu, sigma = np.broadcast_arrays(
        power_in_range("power", power), positive("mean", mean), nonnegative("noise_scale", noise_scale)
    )
    unit = np.maximum(mu, sigma)
    first, rms = np.ones(p.shape), np.ones(p.shape)
    for index in np.ndindex(p.shape):
        if sigma[index] > 0:
            exponent = float(p[index])
            location, scale = float(mu[index] / unit[index]), float(sigma[index] / unit[index])
            law.require_moment(2 * exponent)
            first[index] = law.signed_moment(exponent, location, scale)
            rms[index] = law.absolute_moment(2 * exponent, location, scale) ** 0.5
    return unit, PowerMoments(first, rms)
