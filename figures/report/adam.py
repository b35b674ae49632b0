"""The numbers of the report's sections on optimal powers and Figure 7; their prose is templates/adam.md.j2."""

from __future__ import annotations

import math
from collections.abc import Sequence

from figures.adam.example import Setting
from figures.report.render import render
from figures.results import BestPower, OptimalPowers
from gradpower.tools.labels import Label

PAPERS_COUNTS = (2, 1, 4)  # curves of the paper's Figure 7 with p* at the left edge, between, and in (1, 2)


def adam_section(powers: Sequence[OptimalPowers], setting: Setting) -> str:
    """Return the Markdown of the sections; curves of Figure 7 are told apart by the place of the exact p*."""
    columns, drift = power_columns(powers), drift_columns(powers)
    return render(
        "adam",
        setting=setting,
        columns=list(columns),
        rows=list(zip(*columns.values(), strict=True)),
        label=figure_7_label(powers),
        kinds=_kinds(powers),
        papers_counts=PAPERS_COUNTS,
        drift_columns=list(drift),
        drift_rows=list(zip(*drift.values(), strict=True)),
    )


def figure_7_label(powers: Sequence[OptimalPowers]) -> Label:
    """Return the verdict on Figure 7's curves: whether all three kinds appear, and as often as in the paper."""
    kinds = _kinds(powers)
    same = tuple(map(len, kinds)) == PAPERS_COUNTS
    return Label.REPRODUCED if same else Label.IN_PART if all(kinds) else Label.NOT_REPRODUCED


def _kinds(powers: Sequence[OptimalPowers]) -> list[list[float]]:
    """Return the ratios σ/μ of the three kinds of curve: p* at the left edge, up to 1, and between 1 and 2."""
    uniform = [row for row in powers if row.law == "uniform"]
    inside = [row for row in uniform if not row.exact.at_edge]
    return [
        [row.noise_to_signal for row in uniform if row.exact.at_edge == "low"],
        [row.noise_to_signal for row in inside if row.exact.power <= 1],
        [row.noise_to_signal for row in inside if 1 < row.exact.power < 2],
    ]


def power_columns(powers: Sequence[OptimalPowers]) -> dict[str, list[str]]:
    """Return the columns of the table of optimal powers, by heading."""
    uniform = [row for row in powers if row.law == "uniform"]
    columns = {
        "σ/μ": [f"{row.noise_to_signal:g}" for row in uniform],
        "closed form": [power_text(row.proposition) for row in uniform],
        "bounds": [_bounds(row.proposition) for row in uniform],
        "limit": [power_text(row.limit) for row in uniform],
        "exact": [power_text(row.exact) for row in uniform],
        "Monte Carlo": [_simulated(row.monte_carlo) for row in uniform],
    }
    for law in dict.fromkeys(row.law for row in powers if row.law != "uniform"):
        columns[f"exact, {law.title()}"] = [power_text(row.exact) for row in powers if row.law == law]
    return columns


def drift_columns(powers: Sequence[OptimalPowers]) -> dict[str, list[str]]:
    """Return the columns of the table of the best powers for u and for drift/RMS, by heading; σ/μ = 0 is left out."""
    noisy = [row for row in powers if row.noise_to_signal > 0]
    columns = {"σ/μ": [f"{ratio:g}" for ratio in dict.fromkeys(row.noise_to_signal for row in noisy)]}
    for law in dict.fromkeys(row.law for row in noisy):
        own = [row for row in noisy if row.law == law]
        columns[f"{law}, u"] = [power_text(row.exact) for row in own]
        columns[f"{law}, drift/RMS"] = [power_text(row.drift_to_rms) for row in own]
    return columns


def power_text(best: BestPower | None) -> str:
    """Return an optimal power for a table.

    >>> power_text(BestPower(1.21586, None)), power_text(BestPower(0.0, "low")), power_text(BestPower(3.0, "high"))
    ('1.2159', '→ 0', '>= 3')
    """
    if best is None:
        return "–"
    if best.at_edge:
        return "→ 0" if best.at_edge == "low" else f">= {best.power:g}"
    return f"{best.power:.4f}"


def _bounds(best: BestPower | None) -> str:
    return " to ".join(f"{end:.2f}" for end in best.bounds) if best and best.bounds else "–"


def _simulated(best: BestPower | None) -> str:
    """Return the power and half the width of its interval, to two digits of the latter."""
    if best is None or best.power_interval is None:
        return power_text(best)
    low, high = best.power_interval
    margin = (high - low) / 2
    digits = max(0, 1 - math.floor(math.log10(margin)))
    return f"{best.power:.{digits}f} ± {margin:.{digits}f}"
