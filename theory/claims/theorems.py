"""What Theorems 4.5, 4.8 and 4.11 share: assembled from the lemmas, and held against every outcome of short runs.

The numeric checks simulate nothing: under binary noise T steps have 2^T outcomes, and the expectation is their mean.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import sympy as sp

from theory.adagrad.bounds import BoundConstants
from theory.claims.claim import Finding, Findings, condition, numeric, symbolic, vanish
from theory.numerics.inputs import Array

R, P, C, ETA, L, GAP, T, D, EPS = sp.symbols("R p c eta L Delta T d epsilon", positive=True)
LOG = sp.log(1 + T * R ** (2 * P) / EPS)
STEPS = 10
COUNT = np.arange(1, STEPS + 1)
SIZES = tuple(product((0.1, 1.0, 10.0), (1e-8, 1e-2, 10.0, 1e4)))  # η, ε
STEEPEST = 3 * math.sqrt(3) / 8  # largest gradient of θ²/(1+θ²), at θ = 1/√3


@dataclass(frozen=True)
class Runs:
    """Short runs, each of which reaches some share of a bound."""

    share: Callable[[float, Any, float, float], Array]
    """Takes a power, a noise, η and ε; returns averages over the first 1, …, STEPS points in units of their bound."""
    powers: tuple[float, ...]
    """Powers that it is called with."""
    noises: tuple[Any, ...]
    """Noises likewise."""

    @property
    def count(self) -> int:
        """How many settings there are."""
        return len(self.powers) * len(self.noises) * len(SIZES)

    def largest_share(self) -> float:
        """The largest share of the bound that a run reaches, over all settings and T."""
        settings = product(self.powers, self.noises, SIZES)
        return max(float(np.max(self.share(power, noise, *size))) for power, noise, size in settings)


@dataclass(frozen=True)
class Theorem:
    """A theorem's bound, how it is derived, and the runs that it is held against."""

    bound: sp.Expr
    """As the paper prints it."""
    penalty: sp.Expr
    """Lemma C.1's penalty that it grows from."""
    runs: Runs
    """What it is held against."""
    fixed: dict[sp.Symbol, int] = field(default_factory=dict)
    """Symbols that have a value in this theorem."""
    constant: str = "c"
    """What the theorem calls the constant of alignment, which is c in the expressions here."""

    def findings(self) -> Findings:
        """The derivation, the runs, and what all three theorems need of R and do not say."""
        yield self.assembly()
        yield self.enumeration()
        yield condition(
            "|φ_p(g_i)|² + ε <= R^2p (Défossez et al.: |g_i| <= R − √ε; whether the paper prints |g_i| <= R could not "
            "be told from the text that is left of it). With |g_i| <= R alone it can fail, at T "
            f"= 1 and p = 1 from ε = {smallest_failing_epsilon():.2f}·R² on; for ε ≪ R^2p the difference is nil"
        )

    def assembly(self) -> Finding:
        """Derive the bound from a descent of (c/2)·… with this penalty.

        Summing smoothness and Lemma C.1 over T steps telescopes F:
        `(cη/2)·Σ_t E[…]/√(ṽ+ε) <= F₀−F* + (η·penalty + η²L/2)·d·ln(1+T·R^{2p}/ε)`, and `√(ṽ+ε) <= R^p·√T`.
        """
        telescoped = GAP + (ETA * self.penalty + ETA**2 * L / 2) * D * LOG
        assembled = telescoped * 2 * R**P * sp.sqrt(T) / (C * ETA) / T
        penalty = str(self.penalty).replace("**", "^").replace("*", "·")
        telescoped_text = f"[F₀−F* + (η·{penalty} + η²L/2)·d·ln(1+TR^2p/ε)]·2R^p/(cη√T)"
        return symbolic(
            f"{telescoped_text.replace('c', self.constant)} is the printed bound; the last step takes "
            "√(ṽ+ε) <= R^p√T, which needs |φ_p(g)|² + ε <= R^2p",
            vanish(sp.expand(assembled.subs(self.fixed) - self.bound)),
        )

    def enumeration(self) -> Finding:
        """Hold the bound against every outcome of short runs."""
        count, worst = self.runs.count, self.runs.largest_share()
        return numeric(
            f"{count} settings, F = θ²/(1+θ²), T <= {STEPS}, all 2^{STEPS} outcomes of binary noise, ε up to 1e4, "
            f"with R^2p = max|φ_p|² + ε: at most {worst:.3f} of the bound, so that constants {1 / worst:.0f} times "
            "smaller would pass, too: a test of consistency, not of the constants",
            worst <= 1,
        )


def outcomes(
    power: float,
    noise: float,
    learning_rate: float,
    epsilon: float,
    *,
    relative: bool,
    probability: float = 0.5,
) -> tuple[Array, Array]:
    """`E|G_t|²` and `E|G_t|^{p+1}` averaged over the first 1, …, STEPS points, exactly, for F = θ²/(1+θ²), θ_0 = 1.

    Two-point noise with upper atom of this probability, binary at ½: g = G(1 + rξ) if `relative`, else g = G + σξ. The
    mean is over all 2^STEPS outcomes.
    """
    odds = math.sqrt((1 - probability) / probability)
    upper = np.array(list(product((False, True), repeat=STEPS)))
    noises = np.where(upper, odds, -1 / odds)
    weights = np.prod(np.where(upper, probability, 1 - probability), axis=1)
    theta, v = np.ones(len(upper)), np.zeros(len(upper))
    squares, powers = np.empty(STEPS), np.empty(STEPS)
    for t in range(STEPS):
        gradient = 2 * theta / (1 + theta**2) ** 2
        squares[t], powers[t] = weights @ gradient**2, weights @ np.abs(gradient) ** (power + 1)
        g = gradient + noises[:, t] * noise * (gradient if relative else 1.0)
        psi = np.sign(g) * np.abs(g) ** power
        v = v + psi**2
        theta = theta - learning_rate * psi / np.sqrt(v + epsilon)
    return np.cumsum(squares) / COUNT, np.cumsum(powers) / COUNT


def constants(learning_rate: float, epsilon: float, largest: float | Array = np.inf) -> BoundConstants:
    """The constants of a bound for `outcomes`, with R = `largest`."""
    return BoundConstants(
        gap=0.5, smoothness=2.0, learning_rate=learning_rate, gradient_bound=largest, epsilon=epsilon
    )


def smallest_failing_epsilon() -> float:
    """The ε/R² from which the printed Theorem 4.5 fails at T = 1 for some η: 2√ℓ + 4ℓ = 1, ℓ = ln(1+R²/ε)."""
    root = (math.sqrt(20) - 2) / 8
    return 1 / math.expm1(root**2)
