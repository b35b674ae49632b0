"""All studies of results/paper: the paper's figures of training at pocket size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from experiments.studies.completed import read_if_completed
from experiments.studies.figure_5 import Additivity, MuonPower, read_additivity, read_muon
from experiments.studies.mixtures import Mixtures, read_mixtures
from experiments.studies.mols import (
    ModuleRates,
    RatesEdge,
    SignalToNoise,
    read_module_rates,
    read_rates_edge,
    read_signal_to_noise,
)
from experiments.studies.sizes import Sizes, read_sizes


@dataclass(frozen=True)
class PaperStudies:
    """What each study says; None where it has not been run to its end."""

    additivity: Additivity | None = None
    muon: MuonPower | None = None
    mixtures: Mixtures | None = None
    sizes: Sizes | None = None
    signal_to_noise: SignalToNoise | None = None
    module_rates: ModuleRates | None = None
    rates_edge: RatesEdge | None = None


def read_paper_studies(folder: Path) -> PaperStudies:
    """Read the summaries in a folder; InputError if one is damaged or of another study."""
    measured = folder / "mols-measured.json"
    return PaperStudies(
        read_if_completed(read_additivity, folder / "blockwise.json"),
        read_if_completed(read_muon, folder / "muon.json"),
        read_if_completed(read_mixtures, folder / "mixtures.json"),
        read_if_completed(read_sizes, *(folder / f"sizes-{part}.json" for part in ("small", "large", "web"))),
        read_if_completed(partial(read_signal_to_noise, measurements=folder / "mols-noise"), measured),
        read_if_completed(read_module_rates, folder / "mols.json"),
        read_if_completed(read_rates_edge, folder / "mols-edge.json"),
    )
