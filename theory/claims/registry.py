"""All claims: statements of Section 4, Appendices B.1 and C, and ours beyond them."""

from theory.claims import (
    appendix_b1,
    assumption_4_6,
    assumption_4_9,
    figure_7,
    lemma_c_1,
    lemma_c_2,
    proposition_4_2,
    proposition_4_3,
    theorem_4_5,
    theorem_4_8,
    theorem_4_11,
)
from theory.claims.beyond import (
    damping,
    every_noise_level,
    exact_update,
    finite_beta,
    mean_map,
    noise_equivalent,
    noise_shape,
    relative_noise,
    second_moment,
    signal,
    tails,
)
from theory.claims.claim import Claim, claims_in

_MODULES = (
    proposition_4_2,
    proposition_4_3,
    figure_7,
    finite_beta,
    appendix_b1,
    noise_shape,
    tails,
    noise_equivalent,
    signal,
    every_noise_level,
    damping,
    exact_update,
    lemma_c_2,
    lemma_c_1,
    theorem_4_5,
    theorem_4_8,
    theorem_4_11,
    assumption_4_6,
    assumption_4_9,
    relative_noise,
    second_moment,
    mean_map,
)
CLAIMS: tuple[Claim, ...] = tuple(claim for module in _MODULES for claim in claims_in(vars(module)))
