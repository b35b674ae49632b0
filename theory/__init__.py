"""The theory of the noise example: laws, exact moments and updates, optimal powers, claims.

Everything here is NumPy float64 in and out, free of torch and matplotlib. `law` is that of ξ in g = μ + σξ. Numbers are
named alike everywhere: powers 0 < p <= 10, μ > 0, σ >= 0, ε >= 0, decay rates β in [0, 0.999999]; arrays are broadcast
against each other. What is out of range, and a law without the moments needed, raises `InputError`.

>>> from theory import exact_update, parse_law
>>> update = exact_update(1.2, mean=1e-6, noise_scale=1e-5, law=parse_law("uniform"))
>>> f"{update.drift:.6f}"
'0.172541'
"""

from theory.adam.moments import PowerMoments, power_moments
from theory.adam.optimum import OptimalPower, optimal_power
from theory.adam.update import Update, exact_update, limit_update
from theory.laws import NoiseLaw, parse_law

__all__ = [
    "NoiseLaw",
    "OptimalPower",
    "PowerMoments",
    "Update",
    "exact_update",
    "limit_update",
    "optimal_power",
    "parse_law",
    "power_moments",
]
