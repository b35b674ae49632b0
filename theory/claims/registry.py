"""All claims: statements of Section 4, Appendices B.1 and C, and ours beyond them."""

from importlib import import_module

from theory.claims.claim import Claim, claims_in

# In the order of the report.
_FILES = (
    "proposition_4_2",
    "proposition_4_3",
    "figure_7",
    "beyond.finite_beta",
    "appendix_b1",
    "beyond.noise_shape",
    "beyond.tails",
    "beyond.noise_equivalent",
    "beyond.skewed_noise",
    "beyond.signal",
    "beyond.every_noise_level",
    "beyond.damping",
    "beyond.exact_update",
    "lemma_c_2",
    "lemma_c_1",
    "theorem_4_5",
    "theorem_4_8",
    "theorem_4_11",
    "assumption_4_6",
    "assumption_4_9",
    "beyond.relative_noise",
    "beyond.second_moment",
    "beyond.mean_map",
)
CLAIMS: tuple[Claim, ...] = tuple(
    claim for name in _FILES for claim in claims_in(vars(import_module(f"theory.claims.{name}")))
)
