"""The claim registry: every statement of Section 4.1 and Appendix B.1, and ours beyond them, each with its checks."""

from __future__ import annotations

from theory.claims.claim import Check, CheckedClaim, Claim, run_claim
from theory.claims.high_noise import HIGH_NOISE
from theory.claims.linear_maps import LINEAR_MAPS
from theory.claims.low_noise import LOW_NOISE
from theory.claims.noise_shape import NOISE_SHAPE
from theory.claims.true_update import TRUE_UPDATE

__all__ = ["CLAIMS", "Check", "CheckedClaim", "Claim", "run_claim"]

CLAIMS: tuple[Claim, ...] = (*LOW_NOISE, *HIGH_NOISE, *TRUE_UPDATE, *LINEAR_MAPS, *NOISE_SHAPE)
