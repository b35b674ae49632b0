"""The measured gradient noise of the study of batch sizes, for the report: its size and its shape as batches grow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from figures.batch_size_theory import whole_ratio
from figures.markdown import markdown_table

Data = Mapping[str, Any]
GAUSS = 2.0
"""The shape of the Gaussian."""


def noise_text(noise: Sequence[Data]) -> str:
    """Return in words whether σ ∝ 1/√B, whether the shape drifts to the Gaussian, and how the ratio moves in training.

    Parameters
    ----------
    noise : sequence of mapping
        Rows of `experiments.noise.along_study.summary_row`.
    """
    small, large = noise[0]["noise_scale"]["norms"]["sizes"]
    seeds = ", ".join(map(str, sorted({row["seed"] for row in noise})))
    parts = [
        f"At micro-batches of {small} and {large} sequences, at {len(noise)} snapshots of p = 1, seed {seeds}:",
        _said_of_size(noise),
        _said_of_shape(noise),
        _said_of_ratio(noise),
        "The table holds means over all batch sizes' runs, in its last three columns over all snapshots, too; "
        "*expected* is the shape of averages of independent sequences.",
    ]
    return " ".join(part for part in parts if part)


def _seconds(noise: Sequence[Data], *keys: str) -> Iterator[tuple[Data, Data]]:
    """Yield each module's row with what was measured at the second size, where that has these keys."""
    for row in noise:
        for module in row["modules"]:
            second = module["second_size"]
            if all(second.get(key) is not None for key in keys):
                yield module, second


def _said_of_size(noise: Sequence[Data]) -> str:
    found = [second for _, second in _seconds(noise, "ratio", "standard_error")]
    if not found:
        return ""
    near = sum(abs(each["ratio"] - 1) <= 2 * each["standard_error"] for each in found)
    ratios = [each["ratio"] for each in found]
    above = sum(ratio > 1 for ratio in ratios)
    return (
        f"**Is σ ∝ 1/√B?** σ·√B at the larger size over that at the smaller is {np.mean(ratios):.3f} in the mean "
        f"({min(ratios):.2f} to {max(ratios):.2f} over modules and snapshots), above 1 in {above} of {len(found)} "
        f"cases and within two standard errors of 1 in {near}."
    )


def _said_of_shape(noise: Sequence[Data]) -> str:
    found, away = [], []
    for row in noise:
        own = [
            (module["shape"]["shape"], second["shape"], second["expected_shape"])
            for module, second in _seconds([row], "shape", "expected_shape")
            if module["shape"]["shape"] is not None
        ]
        found += own
        if 2 * sum(map(_drifts, own)) < len(own):
            away.append(f"batch {row['trained_at']} at {row['share']:.0%}")
    if not found:
        return ""
    first, fitted, expected = np.array(found).T
    but = f"; it moves away from it in most modules at {', '.join(away)} of the training" if away else ""
    return (
        f"**Does the shape drift to the Gaussian's {GAUSS:g}?** At the larger size it is nearer in "
        f"{sum(map(_drifts, found))} of {len(found)} cases; the fitted b goes from {first.mean():.2f} to "
        f"{fitted.mean():.2f} in the mean, where averages of independent sequences would have {expected.mean():.2f}"
        f"{but}."
    )


def _drifts(shapes: tuple[float, float, float]) -> bool:
    first, fitted, _ = shapes
    return abs(fitted - GAUSS) < abs(first - GAUSS)


def _said_of_ratio(noise: Sequence[Data]) -> str:
    said = []
    for batch in sorted({row["trained_at"] for row in noise}):
        ratios = {row["share"]: whole_ratio(row) for row in noise if row["trained_at"] == batch}
        known = [(share, ratio) for share, ratio in sorted(ratios.items()) if ratio is not None]
        if len(known) > 1:
            (early, first), (late, last) = known[0], known[-1]
            said.append(
                f"batch {batch}: {first:.3g} at {early:.0%} of the training, {last:.3g} at {late:.0%}"
            )
    return f"**Noise to signal** of the whole gradient: {'; '.join(said)}." if said else ""


def noise_table(noise: Sequence[Data]) -> str:
    """Return the noise of micro-batches by module as a Markdown table: means over the runs of all batch sizes.

    Parameters
    ----------
    noise : sequence of mapping
        Rows of `experiments.noise.along_study.summary_row`.
    """
    shares = sorted({row["share"] for row in noise})
    small, large = noise[0]["noise_scale"]["norms"]["sizes"]
    rows = []
    for name in dict.fromkeys(module["module"] for row in noise for module in row["modules"]):
        own = [(row["share"], m) for row in noise for m in row["modules"] if m["module"] == name]
        ratios = [_mean(m["noise_to_signal"] for share, m in own if share == at) for at in shares]
        ends = [[m["shape"]["shape"] for share, m in own if share == at] for at in (shares[0], shares[-1])]
        second = [m["second_size"] for _, m in own]
        rows.append(
            [
                name,
                *ratios,
                *map(_mean, ends),
                _mean(each["ratio"] for each in second),
                _mean(each.get("shape") for each in second),
                _mean(each.get("expected_shape") for each in second),
            ]
        )
    headings = [
        f"{small} sequences of",
        *(f"σ/|μ| at {share:.0%}" for share in shares),
        *(f"shape b at {share:.0%}" for share in (shares[0], shares[-1])),
        f"σ·√B of {large} over that",
        f"b of {large}",
        "b expected",
    ]
    return markdown_table(headings, rows)


def _mean(values: Any) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.3g}" if known else "–"
