"""The numbers of docs/guide/choosing_p.md; its prose is templates/choosing_p.md.j2."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from figures.report.adam import power_columns
from figures.report.render import render
from figures.results import OptimalPowers
from theory.adagrad.powered_noise import normalised_size
from theory.adam.update import exact_update
from theory.laws import parse_law
from theory.numerics.inputs import Array

POWERS = (0.5, 0.8, 0.9, 1.1, 1.2, 1.5)
LAWS = ("uniform", "gaussian", "laplace")
EPSILON = 1e-8
RATIOS = (1.0, 100.0)  # signal as large as the noise, and noise alone, nearly
SMALL = 1e-6  # μ of Figure 7, where ε does matter
CLIPPED = 66_433_536  # entries of the gradient in the example of clipping: the paper's LLaMA 66M


def choosing_p(powers: Sequence[OptimalPowers]) -> str:
    """Return the text of the page."""
    columns = power_columns([row for row in powers if row.noise_to_signal >= 1])
    shown = {"σ/μ of a coordinate": columns["σ/μ"], "p\\*, uniform noise": columns["exact"]}
    shown |= {f"p\\*, {law.title()} noise": columns[f"exact, {law.title()}"] for law in LAWS[1:]}
    text = render(
        "choosing_p",
        falling=[law if law == "uniform" else law.title() for law in LAWS if _rises(powers, law)],
        batch_columns=list(shown),
        batch_rows=list(zip(*shown.values(), strict=True)),
        low=RATIOS[0],
        high=RATIOS[1],
        sizes=_sizes(),
        small=SMALL,
        damped=dict(zip(POWERS, relative_to_adam("gaussian", RATIOS[0], SMALL)[0].tolist(), strict=True)),
        clipped=CLIPPED,
        norms={power: _powered_norm(power) for power in (0.8, 1.2)},
    )
    return text + "\n"


def _rises(powers: Sequence[OptimalPowers], law: str) -> bool:
    """Whether the best power rises with σ/μ, from 1 on."""
    best = [
        0.0 if row.exact.at_edge == "low" else row.exact.power
        for row in sorted(powers, key=lambda row: row.noise_to_signal)
        if row.law == law and row.noise_to_signal >= 1
    ]
    return best == sorted(best)


def _sizes() -> list[list[str]]:
    """The table of sizes over those at p = 1, of a gradient over its RMS and of Adam's update, and of ε."""
    gaussian, high = parse_law("gaussian"), RATIOS[1]
    columns: list[Array] = [
        np.array([normalised_size(p, gaussian) for p in POWERS]) / normalised_size(1.0, gaussian),
        *(relative_to_adam("gaussian", ratio)[0] for ratio in RATIOS),
        *(relative_to_adam(law, high)[1] for law in ("gaussian", "uniform")),
    ]
    return [
        [
            f"{p:g}",
            *(f"{column[k]:.3f}" for column in columns),
            f"{EPSILON ** (1 / p):.1e}",
            f"{EPSILON**p:.1e}",
        ]
        for k, p in enumerate(POWERS)
    ]


def relative_to_adam(law: str, ratio: float, mean: float = 1.0) -> tuple[Array, Array]:
    """Return the RMS and the mean of Adam's stationary update over those at p = 1; ε does not matter at μ = 1."""
    update = exact_update(
        [*POWERS, 1.0],
        mean=mean,
        noise_scale=mean * ratio,
        law=parse_law(law),
        beta1=0.9,
        beta2=0.95,
        epsilon=EPSILON,
    )
    rms, drift = np.asarray(update.rms), np.asarray(update.drift)
    return rms[:-1] / rms[-1], drift[:-1] / drift[-1]


def _powered_norm(power: float) -> float:
    """Return ‖φ_p(g)‖ for a long Gaussian g with ‖g‖ = 1."""
    moment = parse_law("gaussian").absolute_moment(2 * power, 0.0, 1.0)
    return float(math.sqrt(moment) * float(CLIPPED) ** ((1 - power) / 2))
