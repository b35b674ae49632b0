"""Figure 5: does AdamPower's gain add to Blockwise's, and does MuonPower end below Muon? See results/paper/design.md.

Seeds are paired. Losses are averaged over the base rates.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.statistics import Contrasts, equivalence_p_value, slopes
from experiments.studies.completed import arms_at, losses_at, read_ended, tried
from experiments.studies.memory import POWER
from gradpower.tools.labels import Label
from theory.numerics.inputs import Array

PAPERS_GAINS = {"P": 0.015, "B": 0.030, "PB": 0.045}  # in nats a token
_MARGIN = PAPERS_GAINS["P"]  # of the interaction
_SMALLEST_GAIN = 0.005
_ALPHA = 0.05


class Additivity(Contrasts):
    """What p = 1.2 changes at one rate (P), what Blockwise changes at p = 1 (B), both (PB), and PB − P − B (I)."""

    @property
    def label(self) -> Label:
        """That the gains add up, by the declared rule."""
        interaction = self.means["I"]
        low, high = interaction.low or 0.0, interaction.high or 0.0
        if self.shown("P", 1) or self.shown("B", 1) or low > _MARGIN or high < -_MARGIN:
            return Label.NOT_REPRODUCED
        if not (self.shown("P", -1) and self.shown("B", -1)):
            return Label.INCONCLUSIVE
        equivalence = equivalence_p_value(interaction, _MARGIN)
        none = equivalence is not None and equivalence <= _ALPHA
        return Label.REPRODUCED if none else Label.IN_PART


def read_additivity(path: Path) -> Additivity:
    """Read the study from its summary; InputError if it is another's, or arms are missing."""
    summary, diverged = read_ended(path, "paper-blockwise")
    plain, powered = (
        {rates: losses_at(summary, module_rates=rates, power=p) for rates in ("uniform", "blockwise")}
        for p in (1.0, POWER)
    )
    start = plain["uniform"]
    power, blocks = powered["uniform"] - start, plain["blockwise"] - start
    both = powered["blockwise"] - start
    numbers = {"P": power, "B": blocks, "PB": both, "I": both - power - blocks}
    return Additivity.of(numbers, ("P", "B", "I"), diverged)


class MuonPower(Contrasts):
    """By batch size B: "slope B", dL/d ln p at p = 1 of each seed's parabola, and "p B", loss at p less that at 1."""

    @property
    def sizes(self) -> list[int]:
        """The batch sizes."""
        return [int(name.removeprefix("slope ")) for name in self.means if name.startswith("slope ")]

    @property
    def label(self) -> Label:
        """That MuonPower at p = 1.2 ends below Muon, by the declared rule."""
        changes = [f"{POWER} {size}" for size in self.sizes]
        raised = any(self.shown(name, 1) for name in changes)
        if any(self.shown(name, -1) for name in changes):
            return Label.IN_PART if raised else Label.REPRODUCED
        lows = [self.means[name].low for name in changes]
        nothing = all(low is not None and low > -_SMALLEST_GAIN for low in lows)
        return Label.NOT_REPRODUCED if raised or nothing else Label.INCONCLUSIVE


def read_muon(path: Path) -> MuonPower:
    """Read the study from its summary; InputError if it is another's, or arms are missing."""
    summary, diverged = read_ended(path, "paper-muon")
    sizes = [int(size) for size in tried(summary, "training.batch_size")]
    numbers: dict[str, Array] = {}
    for size in sizes:
        powers = sorted({float(arm.values["optimizer.power"]) for arm in arms_at(summary, batch_size=size)})
        losses = {p: losses_at(summary, power=p, batch_size=size) for p in powers}
        numbers[f"slope {size}"] = slopes(powers, np.stack(list(losses.values()), axis=1), 1.0)
        numbers |= {f"{p:g} {size}": of_p - losses[1.0] for p, of_p in losses.items() if p != 1}
    return MuonPower.of(numbers, [f"{POWER} {size}" for size in sizes], diverged)
