"""Generalized-normal noise, density ∝ exp(−|ξ/α|^b): Laplace (b = 1), Gaussian (b = 2) and everything between."""

import math

import numpy as np
from flint import arb
from scipy.special import gammainccinv, gammaincinv, gammaln, ndtri

from theory.laws.base import SymmetricDensityLaw
from theory.numerics.balls import certified
from theory.numerics.inputs import Array, shape_of
from theory.numerics.quadrature import LOG_NEGLIGIBLE


class GeneralizedNormal(SymmetricDensityLaw):
    """Density `b/(2αΓ(1/b))·exp(−|ξ/α|^b)` with α chosen for unit variance, shape b in [0.2, 100].

    The tails are lighter than a Gaussian's for b > 2, heavier for b < 2.
    """

    def __init__(self, shape: float) -> None:
        self.shape = shape_of("generalized-normal", shape, 0.2, 100.0)
        self.name = f"generalized-normal:{self.shape:g}"
        self.sharpness = max(1.0, self.shape)
        self.smooth = self.shape % 2 == 0
        self.log_alpha = float(gammaln(1 / self.shape) - gammaln(3 / self.shape)) / 2
        self._log_peak = math.log(self.shape / 2) - self.log_alpha - float(gammaln(1 / self.shape))

    def sample(self, generator: np.random.Generator, size: int | tuple[int, ...]) -> Array:
        """Draw ξ: a random sign times α times a gamma(1/b) variable to the power 1/b."""
        magnitude = generator.standard_gamma(1 / self.shape, size) ** (1 / self.shape)
        return math.exp(self.log_alpha) * magnitude * (2.0 * generator.integers(0, 2, size) - 1.0)

    def quantile(self, chance: Array) -> Array:
        """±α·G^{1/b} with G the gamma quantile of |2u − 1|; near 1 by the upper tail, which does not round to 0."""
        lower, upper = np.abs(2 * chance - 1), 2 * np.minimum(chance, 1 - chance)
        gamma = np.where(lower < 0.5, gammaincinv(1 / self.shape, lower), gammainccinv(1 / self.shape, upper))
        return np.asarray(np.sign(chance - 0.5) * math.exp(self.log_alpha) * gamma ** (1 / self.shape))

    def log_density(self, log_noise: Array) -> Array:
        """`ln f` at ln|ξ|."""
        return self._log_peak - np.exp(self.shape * (log_noise - self.log_alpha))

    def log_reflection(self, near: Array, gap: Array) -> Array:
        """`((near+gap)^b − near^b)/α^b`, through the ratio of the two."""
        far = near + gap
        with np.errstate(divide="ignore"):
            log_ratio = np.where(gap < near, np.log1p(-gap / far), np.log(near / far))
        exponent = np.minimum(self.shape * (np.log(far) - self.log_alpha), 700.0)
        return np.exp(exponent) * -np.expm1(self.shape * log_ratio)

    def log_reach(self, order: float) -> float:
        """From the upper tail of the gamma law that |ξ/α|^b·|ξ|^order has."""
        tail = gammainccinv((order + 1) / self.shape, math.exp(-LOG_NEGLIGIBLE - 4))
        return self.log_alpha + math.log(float(tail)) / self.shape

    def score(self, noise: Array) -> Array:
        """`(b/α)·sign(ξ)|ξ/α|^{b−1}`: a sign-power itself, which is why p* = b − 1."""
        alpha = math.exp(self.log_alpha)
        return np.sign(noise) * self.shape / alpha * np.abs(noise / alpha) ** (self.shape - 1)

    def moment(self, order: float, location: float, scale: float, *, odd: bool) -> float:
        """`E|g|^q = (σα)^q·Γ((q+1)/b)/Γ(1/b)` for pure noise; by quadrature elsewhere."""
        if odd or location > 0:
            return super().moment(order, location, scale, odd=odd)
        log_gammas = float(gammaln((order + 1) / self.shape) - gammaln(1 / self.shape))
        return math.exp(order * (math.log(scale) + self.log_alpha) + log_gammas)


class Gaussian(GeneralizedNormal):
    """Standard normal ξ; moments by Kummer's function 1F1."""

    def __init__(self) -> None:
        super().__init__(2.0)
        self.name = "gaussian"

    def sample(self, generator: np.random.Generator, size: int | tuple[int, ...]) -> Array:
        """Draw ξ."""
        return generator.standard_normal(size)

    def quantile(self, chance: Array) -> Array:
        """Φ⁻¹, a hundred times faster than by the gamma law."""
        return np.asarray(ndtri(chance))

    def moment(self, order: float, location: float, scale: float, *, odd: bool) -> float:
        """`σ^p·d·√(2/π)·2^{p/2}Γ(p/2+1)·1F1((1−p)/2; 3/2; −d²/2)` if odd, d = μ/σ.

        Else `σ^q·2^{q/2}Γ((q+1)/2)/√π·1F1(−q/2; 1/2; −d²/2)`.
        """
        if scale < 1e-10:  # then scale² is below the last bit
            return 1.0

        def formula() -> arb:
            p, d = arb(order), arb(location) / arb(scale)
            kummer = (-d * d / 2).hypgeom_1f1((odd - p) / 2, arb(1 + 2 * odd) / 2)
            front = (2 * arb(scale) ** 2) ** (p / 2) * ((p + 1 + odd) / 2).gamma() / arb.pi().sqrt()
            return front * kummer * (d * arb(2).sqrt()) ** odd

        return certified(formula)


class Laplace(GeneralizedNormal):
    """Laplace ξ with unit variance; moments by incomplete gamma functions."""

    def __init__(self) -> None:
        super().__init__(1.0)
        self.name = "laplace"

    def quantile(self, chance: Array) -> Array:
        """`±ln(2·min(u, 1 − u))/√2`."""
        return np.asarray(np.sign(0.5 - chance) * np.log(2 * np.minimum(chance, 1 - chance)) / math.sqrt(2))

    def moment(self, order: float, location: float, scale: float, *, odd: bool) -> float:
        """`½α^q[e^{−d}(J ± Γ(q+1)) + e^dΓ(q+1,d)]`, − if odd, α = σ/√2, d = μ/α, J = ∫₀^d x^q e^x dx."""
        if scale < 1e-10:  # then scale² is below the last bit
            return 1.0

        def formula() -> arb:
            q, alpha = arb(order) + 1, arb(scale) / arb(2).sqrt()
            d = arb(location) / alpha
            below = d**q / q * d.hypgeom_1f1(q, q + 1) if location else arb(0)
            above = d.gamma_upper(q) if location else q.gamma()
            gamma = -q.gamma() if odd else q.gamma()
            return alpha ** arb(order) / 2 * ((below + gamma) * (-d).exp() + above * d.exp())

        return certified(formula)
