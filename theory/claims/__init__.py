"""The claim registry: statements of Section 4, Appendices B.1 and C, and ours beyond them, each with its checks."""

from __future__ import annotations

from theory.claims.beyond_theorems import BEYOND_THEOREMS
from theory.claims.claim import Check, CheckedClaim, Claim, run_claim
from theory.claims.convergence_lemmas import CONVERGENCE_LEMMAS
from theory.claims.convergence_theorems import CONVERGENCE_THEOREMS
from theory.claims.counterexample import COUNTEREXAMPLES
from theory.claims.damping import DAMPING
from theory.claims.distortion import DISTORTION
from theory.claims.every_noise_level import EVERY_NOISE_LEVEL
from theory.claims.high_noise import HIGH_NOISE
from theory.claims.high_noise_assumption import HIGH_NOISE_ASSUMPTION
from theory.claims.laplace_kernels import LAPLACE_KERNELS
from theory.claims.linear_maps import LINEAR_MAPS
from theory.claims.low_noise import LOW_NOISE
from theory.claims.low_noise_assumption import LOW_NOISE_ASSUMPTION
from theory.claims.noise_shape import NOISE_SHAPE
from theory.claims.tails import TAILS
from theory.claims.true_update import TRUE_UPDATE
from theory.claims.update_formula import UPDATE_FORMULA

__all__ = ["CLAIMS", "Check", "CheckedClaim", "Claim", "run_claim"]

CLAIMS: tuple[Claim, ...] = (
    *LOW_NOISE,
    *HIGH_NOISE,
    *TRUE_UPDATE,
    *LINEAR_MAPS,
    *NOISE_SHAPE,
    *TAILS,
    *COUNTEREXAMPLES,
    *EVERY_NOISE_LEVEL,
    *DAMPING,
    *LAPLACE_KERNELS,
    *UPDATE_FORMULA,
    *CONVERGENCE_LEMMAS,
    *CONVERGENCE_THEOREMS,
    *LOW_NOISE_ASSUMPTION,
    *HIGH_NOISE_ASSUMPTION,
    *BEYOND_THEOREMS,
    *DISTORTION,
)
