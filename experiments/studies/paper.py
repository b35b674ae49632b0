"""All studies of results/paper: the paper's figures of training at pocket size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.studies.completed import read_if_completed
from experiments.studies.figure_5 import Additivity, MuonPower, read_additivity, read_muon
from experiments.studies.mixtures import Mixtures, read_mixtures
from experiments.studies.sizes import Sizes, read_sizes


@dataclass(frozen=True)
class PaperStudies:
    """What each study says; None where it has not been run to its end."""

    additivity: Additivity | None = None
    muon: MuonPower | None = None
    mixtures: Mixtures | None = None
    sizes: Sizes | None = None


def read_paper_studies(folder: Path) -> PaperStudies:
    """Read the summaries in a folder; InputError if one is damaged or of another study."""
    return PaperStudies(
        read_if_completed(read_additivity, folder / "blockwise.json"),
        read_if_completed(read_muon, folder / "muon.json"),
        read_if_completed(read_mixtures, folder / "mixtures.json"),
        read_if_completed(read_sizes, *(folder / f"sizes-{part}.json" for part in ("small", "large", "web"))),
    )
