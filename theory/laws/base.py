"""What a noise law is: sampling, moments, and quadrature nodes for g = location + scale·ξ."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np

from gradpower.tools.errors import InputError
from theory.numerics.inputs import Array
from theory.numerics.quadrature import LOG_NEGLIGIBLE, FoldedRule, atoms, panel_width, widening_panels


class NoiseLaw(ABC):
    """The law of the standardised noise ξ."""

    name: str
    """The name that `parse_law` understands."""
    symmetric: bool = True
    """Whether ξ and −ξ have the same law."""
    moment_limit: float = math.inf
    """`E|ξ|^q` is finite exactly for q below this order."""
    reach: float = math.inf
    """`sup|ξ|`, infinite if the noise is unbounded."""

    def reflected(self) -> NoiseLaw:
        """Return the law of −ξ: this one if it is symmetric; laws that are not override it."""
        if not self.symmetric:
            raise NotImplementedError(f"{type(self).__name__} does not say what the law of −ξ is")
        return self

    @abstractmethod
    def sample(self, generator: np.random.Generator, size: int | tuple[int, ...]) -> Array:
        """Draw independent ξ as a float64 array of shape `size`."""

    @abstractmethod
    def quantile(self, chance: Array) -> Array:
        """ξ at cumulative probabilities in (0, 1): the same uniform numbers couple the noise of different laws."""

    @abstractmethod
    def noisy_rule(self, location: float, scale: float, power: float) -> FoldedRule:
        """Nodes for g = location + scale·ξ with scale > 0 and max(location, scale) = 1; see `folded_rule`."""

    def folded_rule(self, location: float, scale: float, power: float) -> FoldedRule:
        """Quadrature nodes for functions of g = location + scale·ξ, smooth in ln|g| at the rate of |g|^{2p}.

        Location and scale are non-negative, the larger equal to 1; p is the largest power that the nodes must serve.
        """
        if scale < 1e-17:  # then g = location to the last bit
            return atoms(np.array([location]), np.ones(1))
        return self.noisy_rule(location, scale, power)

    def moment(self, order: float, location: float, scale: float, *, odd: bool) -> float:
        """`E sign(g)|g|^q` if `odd`, else `E|g|^q`: by quadrature here; laws with a closed form override it."""
        rule = self.folded_rule(location, scale, order if odd else order / 2)
        return rule.signed_moment(order) if odd else rule.absolute_moment(order)

    def signed_moment(self, power: float, location: float, scale: float) -> float:
        """`E sign(g)|g|^p` for g = location + scale·ξ with scale > 0 and max(location, scale) = 1."""
        return self.moment(power, location, scale, odd=True)

    def absolute_moment(self, order: float, location: float, scale: float) -> float:
        """`E|g|^q`, q > −1, otherwise as `signed_moment`; q < 0 needs a law with a density."""
        return self.moment(order, location, scale, odd=False)

    def require_moment(self, order: float) -> None:
        """Raise InputError unless `E|ξ|^order` is finite."""
        if order >= self.moment_limit:
            allowed = (
                f"a law with a finite moment of order {order:g} (this one: only below {self.moment_limit:g})"
            )
            raise InputError("law", self.name, allowed)


class SymmetricDensityLaw(NoiseLaw):
    """A symmetric unimodal law with a density, by quadrature on both sides of its singular points g = 0 and ξ = 0.

    A subclass gives `log_density`, `log_reflection`, `log_reach` and `score`; everything else follows.
    """

    sharpness: float = 2.0  # rate of the density in ln|ξ|, see `panel_width`
    smooth: bool = False  # whether f is analytic at its mode, so that the mode need not end a panel

    @abstractmethod
    def log_density(self, log_noise: Array) -> Array:
        """`ln f(ξ)` as a function of ln|ξ|."""

    @abstractmethod
    def log_reflection(self, near: Array, gap: Array) -> Array:
        """`ln f(near) − ln f(near + gap)`, accurate when the gap is far below `near`.

        `near` and `near + gap` are |ξ| at the node g = x and at its mirror image g = −x.
        """

    @abstractmethod
    def log_reach(self, order: float) -> float:
        """`ln|ξ|` beyond which `|ξ|^order·f` holds less than e^{−LOG_NEGLIGIBLE} of its integral."""

    @abstractmethod
    def score(self, noise: Array) -> Array:
        """Score −f'(ξ)/f(ξ), the transform that maximises the high-noise drift to RMS ratio."""

    def density(self, noise: Array) -> Array:
        """Density f(ξ)."""
        with np.errstate(divide="ignore"):
            return np.exp(self.log_density(np.log(np.abs(noise))))

    def noisy_rule(self, location: float, scale: float, power: float) -> FoldedRule:
        """Three log-graded stretches: towards g = 0, and down and up from ξ = 0."""
        width = panel_width(power, self.sharpness)
        reach, half_way, one_stretch = self._division(location, scale, power)
        stretches = []
        if one_stretch or half_way < reach:
            y, weight = widening_panels(half_way + math.log(scale), width)
            x = np.exp(y)
            stretches.append((y, weight * x, np.abs(location - x) / scale))
        if not one_stretch:
            # at a negative power the mass beside the mode falls off only within the distance of g = 0
            turn = min(math.log(location / scale), 0.0) if power < 0 else 0.0
            stretches.append(self._beside_mode(location, scale, -1, min(half_way, reach), width, turn))
            stretches.append(self._beside_mode(location, scale, 1, reach, width, turn))
        y, weight, near = (np.concatenate(part) for part in zip(*stretches, strict=True))
        density = weight / scale * np.exp(self.log_density(np.log(near)))
        mirrored = -self.log_reflection(near, 2 * np.minimum(np.exp(y), location) / scale)
        rule = FoldedRule(y, density * (1 + np.exp(mirrored)), density * -np.expm1(mirrored))
        return _pruned(rule, power, self.name)

    def moment(self, order: float, location: float, scale: float, *, odd: bool) -> float:
        """By the nodes; `E|g|^q` for q < 0 also by what lies below them, where the density of |g| is constant."""
        moment = super().moment(order, location, scale, odd=odd)
        if odd or order >= 0 or scale < 1e-17:
            return moment
        half_way = self._division(location, scale, order / 2)[1]
        log_lowest = min(half_way + math.log(scale), 0.0) - LOG_NEGLIGIBLE
        density = 2 * float(self.density(np.array(location / scale))) / scale
        return moment + density * math.exp((order + 1) * log_lowest) / (order + 1)

    def _division(self, location: float, scale: float, power: float) -> tuple[float, float, bool]:
        """`ln|ξ|` at the reach and at the end of the stretch towards g = 0, and whether that stretch is all."""
        reach = self.log_reach(max(2 * power, 0.0))
        if location == 0 or (self.smooth and location <= scale):
            return reach, math.log(location / scale + math.exp(reach)), True
        return reach, math.log(location / (2 * scale)), False

    def _beside_mode(
        self, location: float, scale: float, side: int, log_end: float, width: float, turn: float
    ) -> tuple[Array, Array, Array]:
        """Nodes x = location ± scale·e^w with w up to `log_end`: (ln x, dx, |ξ|)."""
        w, weight = widening_panels(log_end, width, turn)
        distance = np.exp(w)
        return np.log(location + side * scale * distance), weight * scale * distance, distance


def _pruned(rule: FoldedRule, power: float, name: str) -> FoldedRule:
    """Drop the nodes that no integrand up to |g|^{2p} can see, and make the even weights sum to 1."""
    weight = np.exp(np.clip(2 * power * rule.log_magnitude, 0.0, 600.0))
    floor = math.exp(-LOG_NEGLIGIBLE - 7)
    keep = np.zeros(rule.even.shape, dtype=bool)
    for part in (rule.even, rule.odd):
        for scaled in (part, part * weight):
            keep |= scaled > floor * scaled.sum()
    even = rule.even[keep]
    if abs(even.sum() - 1) > 1e-9:
        lost = (
            f"a law whose tails stay within float64 at this power: {1 - even.sum():.1g} of the mass is beyond"
        )
        raise InputError("law", name, lost)
    return FoldedRule(rule.log_magnitude[keep], even / even.sum(), rule.odd[keep])
