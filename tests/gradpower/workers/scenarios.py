"""All scenarios, one after the other: importing torch and transformers takes longer than any of them."""

from __future__ import annotations

from tests.gradpower.workers.checkpoint import checkpoint, plain_checkpoint
from tests.gradpower.workers.ddp import accumulation, muon, zero_redundancy
from tests.gradpower.workers.fsdp import experts, launches, sharded, tensor_parallel, uneven
from tests.gradpower.workers.placements import images
from tests.gradpower.workers.process import run

if __name__ == "__main__":
    run(
        accumulation,
        muon,
        zero_redundancy,
        sharded,
        uneven,
        experts,
        launches,
        tensor_parallel,
        checkpoint,
        plain_checkpoint,
        images,
    )
