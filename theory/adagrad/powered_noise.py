"""Size and drift of powered noise (beyond the paper)."""

import numpy as np
from numpy.typing import ArrayLike

from gradpower.tools.errors import require
from theory.adagrad.distortion import mean_map_slope
from theory.laws import NoiseLaw
from theory.numerics.inputs import Array, entrywise, power_in_range


def normalised_size(power: float, law: NoiseLaw) -> float:
    """`E|ξ|^p/√(E|ξ|^{2p})`: the mean size of φ_p of pure noise over its root mean square.

    The law needs a moment of order 2p.

    >>> from theory.laws import parse_law
    >>> gaussian = parse_law("gaussian")
    >>> round(normalised_size(1.2, gaussian) / normalised_size(1.0, gaussian), 3)
    0.94
    """
    law.require_moment(2 * float(power_in_range("power", power)))
    return float(law.absolute_moment(power, 0.0, 1.0) / law.absolute_moment(2 * power, 0.0, 1.0) ** 0.5)


def high_noise_quality(power: ArrayLike, law: NoiseLaw) -> Array:
    """`Q(p) = p·E|ξ|^{p−1}/√(E|ξ|^{2p})`: at high noise `E φ_p(g)/√(E φ_p(g)²) → Q(p)·G/σ` under symmetric noise.

    The same factor for every coordinate: divided by their own RMS, as Adam and Adagrad do, the means of the powered
    gradients point in one direction whatever p. The law needs a moment of order 2p; Q is infinite for p < 1 if ξ = 0
    has a positive probability.

    >>> from theory.laws import parse_law
    >>> high_noise_quality([0.5, 1.0, 4.0], parse_law("uniform")).round(4).tolist()  # √(2p+1)
    [1.4142, 1.7321, 3.0]
    """
    p = power_in_range("power", power)
    require(law.symmetric, "law", law.name, "a symmetric law")
    law.require_moment(2 * float(p.max()))
    rms = entrywise(lambda exponent: law.absolute_moment(2 * exponent, 0.0, 1.0) ** 0.5, p)
    return np.asarray(mean_map_slope(p, 0.0, 1.0, law) / rms)
