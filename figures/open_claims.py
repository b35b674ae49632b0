"""The paper's claims that nothing here has tried to reproduce yet, so that the report can say so."""

from __future__ import annotations

from typing import NamedTuple


class OpenClaim(NamedTuple):
    """A statement of the paper, and where it stands."""

    place: str
    statement: str


OPEN_CLAIMS = (
    OpenClaim(
        "Figure 1",
        "Scaling laws on C4, LLaMA and Qwen2MoE: AdamPower lies below Adam, with a gap that is steady in size.",
    ),
    OpenClaim(
        "Figure 3",
        "LLaMA 66M to 2B, cosine and warm-up-stable-decay schedules, C4 and OpenWebText: p = 1.2 ends lower "
        "everywhere (2B: by 0.022).",
    ),
    OpenClaim(
        "Figure 4",
        "Qwen2MoE 0.5B, 1B and 2B: lower everywhere (2B: by 0.028), fewer loss spikes, and the gap grows in the "
        "stable phase.",
    ),
    OpenClaim(
        "Figure 5",
        "AdamPower (0.015) and blockwise learning rates (0.030) add up (0.045); MuonPower ends below Muon.",
    ),
    OpenClaim(
        "Figures 2 and 6",
        "The same at the paper's own size: LLaMA 0.2B on C4, batches of 512 to 8192. Smaller studies are above.",
    ),
    OpenClaim(
        "Table of zero-shot scores",
        "LLaMA 2B: the mean of six tasks rises from 47.72 to 48.26 with the power.",
    ),
    OpenClaim(
        "Table of CIFAR-10 accuracies",
        "ResNet-34: the best power is below 1 at batch sizes 128 and 64 and is 1 at 32.",
    ),
)
