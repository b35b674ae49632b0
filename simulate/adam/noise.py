"""The noise that every simulation path shares: one independent stream for each block of LANES trials."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from simulate.adam.kernel import LANES
from theory.laws import NoiseLaw
from theory.numerics.inputs import Array

CHUNK = 128  # steps drawn at once: arrays of 64 KiB, a dozen of which fit into the second-level cache


def block_sources(seed: int, trials: int) -> list[np.random.SeedSequence]:
    """Return one source of randomness a block of LANES trials; more trials leave the first blocks alone."""
    return np.random.SeedSequence(seed).spawn(-(-trials // LANES))


def noise_chunks(
    law: NoiseLaw, source: np.random.SeedSequence, steps: int, antithetic: bool
) -> Iterator[tuple[int, Array]]:
    """Yield ξ of one block in chunks (CHUNK, LANES), each with the number of its last rows that are steps.

    That is CHUNK but in the first chunk. Antithetic lanes come in neighbours ξ, −ξ.
    """
    generator = np.random.default_rng(source)
    later_chunks = (steps - 1) // CHUNK
    for index in range(later_chunks + 1):
        if antithetic:
            noise = np.repeat(law.sample(generator, (CHUNK, LANES // 2)), 2, axis=1)
            np.negative(noise[:, 1::2], out=noise[:, 1::2])
        else:
            noise = law.sample(generator, (CHUNK, LANES))
        yield (CHUNK if index else steps - later_chunks * CHUNK), noise
