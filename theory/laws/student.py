"""Student-t noise: power-law tails, where moments end."""

import math

import numpy as np
from flint import arb
from scipy.special import gammaln, stdtrit

from theory.laws.base import SymmetricDensityLaw
from theory.numerics.balls import certified
from theory.numerics.inputs import Array, shape_of
from theory.numerics.quadrature import LOG_NEGLIGIBLE


class StudentT(SymmetricDensityLaw):
    """ξ = c·T, T Student-t with ν degrees of freedom, `c = √((ν−2)/ν)` for unit variance.

    ν is in [0.1, 1e6], and `E|ξ|^q` finite for q < ν only. For ν <= 2 no variance exists: then c = 1 and σ is Student's
    own scale, not a standard deviation.
    """

    smooth = True

    def __init__(self, degrees: float) -> None:
        self.degrees = shape_of("student-t", degrees, 0.1, 1e6)
        self.name = f"student-t:{self.degrees:g}"
        self.moment_limit = self.degrees
        nu = self.degrees
        self.width_squared = nu - 2 if nu > 2 else nu  # c²ν
        self._log_peak = (
            float(gammaln((nu + 1) / 2) - gammaln(nu / 2)) - math.log(math.pi * self.width_squared) / 2
        )

    def sample(self, generator: np.random.Generator, size: int | tuple[int, ...]) -> Array:
        """Draw ξ."""
        return math.sqrt(self.width_squared / self.degrees) * generator.standard_t(self.degrees, size)

    def quantile(self, chance: Array) -> Array:
        """Student's quantile, scaled."""
        return np.asarray(math.sqrt(self.width_squared / self.degrees) * stdtrit(self.degrees, chance))

    def log_density(self, log_noise: Array) -> Array:
        """`ln f` at ln|ξ|."""
        log_square = 2 * log_noise - math.log(self.width_squared)
        return self._log_peak - (self.degrees + 1) / 2 * np.logaddexp(0.0, log_square)

    def log_reflection(self, near: Array, gap: Array) -> Array:
        """`(ν+1)/2·ln(1 + gap·(2·near+gap)/(c²ν+near²))`."""
        size = np.hypot(math.sqrt(self.width_squared), near)
        relative = np.minimum(gap / size, 1e150)
        return (self.degrees + 1) / 2 * np.log1p(relative * (2 * near / size + relative))

    def log_reach(self, order: float) -> float:
        """Power tail: the integral beyond X is X^{−(ν−order)} of the whole, if that moment exists.

        The update needs no more than 1/ν of the logarithm beyond where ε makes it saturate; e^30 standard deviations
        are allowed for that. (Moments themselves have a closed form.)
        """
        gap = self.degrees - order
        saturating = 30.0 + LOG_NEGLIGIBLE / self.degrees
        reach = min((LOG_NEGLIGIBLE + 4) / gap, saturating) if gap > 0 else saturating
        return math.log(self.width_squared) / 2 + min(reach, 600 / max(order, 1.0))

    def score(self, noise: Array) -> Array:
        """`(ν+1)ξ/(c²ν+ξ²)`: it falls back to 0 in the tails, as no sign-power does."""
        return (self.degrees + 1) * noise / (self.width_squared + noise**2)

    def moment(self, order: float, location: float, scale: float, *, odd: bool) -> float:
        """`w^p·d·2Γ(p/2+1)Γ((ν+1−p)/2)/(√πΓ(ν/2))·2F1((1−p)/2, (ν+1−p)/2; 3/2; −d²)` if odd, w = σc√ν, d = μ/w.

        Else `w^q·Γ((q+1)/2)Γ((ν−q)/2)/(√πΓ(ν/2))·2F1(−q/2, (ν−q)/2; 1/2; −d²)`.
        """
        self.require_moment(order)

        def formula() -> arb:
            p, nu = arb(order), arb(self.degrees)
            w = arb(scale) * arb(self.width_squared).sqrt()
            d = arb(location) / w
            a, b, c = (odd - p) / 2, (nu + odd - p) / 2, arb(1 + 2 * odd) / 2
            square = 1 + d * d
            series = (d * d / square).hypgeom_2f1(a, c - b, c) / square**a  # Pfaff: argument in [0, 1)
            gammas = ((p + 1 + odd) / 2).gamma() * b.gamma() / (arb.pi().sqrt() * (nu / 2).gamma())
            return w**p * gammas * series * (2 * d) ** odd

        return certified(formula)
