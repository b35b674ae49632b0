"""Lemma C.1: how much one step of AdagradPower descends, and what the lemma guarantees, both without simulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from theory.laws import NoiseLaw
from theory.numerics.inputs import nonnegative, positive, power_in_range


@dataclass(frozen=True)
class Descent:
    """One coordinate's expected progress `E_t[G·ψ/√(v+ε)]`, ψ = φ_p(g), v = v_{t−1} + ψ², and its lower bound.

    With ṽ = v_{t−1} + E ψ². Lemma C.1, under (C1) of Assumption 4.9, says
    `progress >= s·aligned/2 − (2/s)·√(E ψ²)·penalty`; under Assumption 4.6, with G² <= R^{1−p}·|G|^{p+1},
    `progress >= c·aligned/2 − (2/c)·R^{1−p}·√(E ψ²)·penalty`. The paper writes R^p for √(E ψ²).
    """

    progress: float
    """`E[G·ψ/√(v+ε)]`."""
    square: float
    """`G²/√(ṽ+ε)`."""
    powered: float
    """`|G|^{p+1}/√(ṽ+ε)`."""
    penalty: float
    """`E[ψ²/(v+ε)]`."""
    root_moment: float
    """`√(E ψ²)`."""

    def high_noise_slack(self, alignment: float, scale: float | None = None) -> float:
        """Progress less its bound under (C1) with s = `alignment`; `scale` is R^p, by default the sharper √(E ψ²)."""
        root = self.root_moment if scale is None else scale
        return self.progress - alignment * self.square / 2 + 2 * root / alignment * self.penalty

    def low_noise_slack(self, alignment: float, gradient_bound: float) -> float:
        """Progress less its bound under Assumption 4.6 with c = `alignment` and R = `gradient_bound`."""
        return self.progress - alignment * self.powered / 2 + 2 * gradient_bound / alignment * self.penalty


def descent(
    gradient: float, accumulated: float, power: float, noise_scale: float, law: NoiseLaw, epsilon: float
) -> Descent:
    """Compute the expected progress of a step and the terms of Lemma C.1, by quadrature over g = G + σξ.

    Parameters
    ----------
    gradient : float
        G > 0; for G < 0 pass |G| and the reflected law.
    accumulated : float
        v_{t−1} >= 0.
    power : float
        0 < p <= 10.
    noise_scale : float
        σ >= 0.
    law : NoiseLaw
        Law of ξ, with a moment of order 2p.
    epsilon : float
        ε > 0.

    Raises
    ------
    InputError
        For arguments out of range, or if E φ_p² is infinite.

    Examples
    --------
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
        powered=g ** (p + 1) / before**0.5,
        penalty=float(rule.even @ (psi**2 / after)),
        root_moment=square_mean**0.5,
    )
