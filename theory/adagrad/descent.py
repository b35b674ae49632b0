"""Lemma C.1: how much one step of AdagradPower descends, and what the lemma guarantees, both without simulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from theory.laws import NoiseLaw
from theory.numerics.inputs import nonnegative, positive, power_in_range


@dataclass(frozen=True)
class Descent:
    """One coordinate's expected progress `E_t[G·ψ/√(v+ε)]`, ψ = φ_p(g), v = v_{t−1} + ψ², ṽ = v_{t−1} + E ψ².

    Lemma C.1, under (C1) of Assumption 4.9, says `progress >= s·square/2 − (2/s)·√(E ψ²)·penalty`; the paper writes R^p
    for √(E ψ²).
    """

    progress: float
    """`E[G·ψ/√(v+ε)]`."""
    square: float
    """`G²/√(ṽ+ε)`."""
    penalty: float
    """`E[ψ²/(v+ε)]`."""
    root_moment: float
    """`√(E ψ²)`."""

    def high_noise_slack(self, alignment: float) -> float:
        """Progress less its bound under (C1) with s = `alignment`, and √(E ψ²) for R^p."""
        return self.progress - alignment * self.square / 2 + 2 * self.root_moment / alignment * self.penalty


def descent(
    gradient: float, accumulated: float, power: float, noise_scale: float, law: NoiseLaw, epsilon: float
) -> Descent:
    """Compute the expected progress of a step and the terms of Lemma C.1, by quadrature over g = G + σξ.

    G > 0 (for G < 0 pass |G| and the reflected law), `accumulated` is v_{t−1} >= 0, σ >= 0, ε > 0. The law needs a
    moment of order 2p.

    >>> from theory.laws import Uniform
    >>> step = descent(0.1, 4.0, 1.0, 1.0, Uniform(), 1e-8)
    >>> round(step.progress, 6), bool(step.high_noise_slack(1.0) > 0)
    (0.004469, True)
    """
    g, sigma = float(positive("gradient", gradient)), float(nonnegative("noise_scale", noise_scale))
    v, eps = float(nonnegative("accumulated", accumulated)), float(positive("epsilon", epsilon))
    p = float(power_in_range("power", power))
    if sigma > 0:
        law.require_moment(2 * p)
    unit = max(g, sigma)
    rule = law.folded_rule(g / unit, sigma / unit, p)
    with np.errstate(divide="ignore"):
        psi = np.exp(p * (np.log(unit) + rule.log_magnitude))
    square_mean = float(rule.even @ psi**2)
    after, before = v + psi**2 + eps, v + square_mean + eps
    return Descent(
        progress=g * float(rule.odd @ (psi / np.sqrt(after))),
        square=g**2 / before**0.5,
        penalty=float(rule.even @ (psi**2 / after)),
        root_moment=square_mean**0.5,
    )
