"""Measured gradient noise as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from gradpower.tools.terminal import result_table


def along_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of the predicted best power of each run's own batch size by law, along the training."""
    from experiments.noise.prediction import LAWS

    there = {p["law"] for row in rows for p in row["predictions"]}
    laws = [law for law in LAWS if law in there]
    columns: dict[str, list[Any]] = {
        "batch size": [row["trained_at"] for row in rows],
        "seed": [row["seed"] for row in rows],
        "trained": [f"{row['share']:.0%}" for row in rows],
        "loss": [_number(row["loss"]["mean"]) for row in rows],
        "noise scale": [_number(row["noise_scale"]["trace"]["simple"]) for row in rows],
    }
    for law in laws:
        columns[law] = [
            next(
                _power(p)
                for p in row["predictions"]
                if (p["batch_size"], p["law"], p["objective"])
                == (row["trained_at"], law, "equal learning rate")
            )
            for row in rows
        ]
    return result_table("Predicted best power at equal learning rate, along the training", columns)


def module_table(content: Mapping[str, Any]) -> Table:
    """Return the table of the modules: ratios, shape, kurtosis, and whether σ falls as 1/√B."""
    modules = content["modules"]
    size = content["settings"]["micro_batch_size"]
    table = result_table(
        f"Gradient noise at step {content['step']}, micro-batches of {size} sequences",
        {
            "module": [row["module"] for row in modules],
            "σ/|μ|": [_pm(row["noise_to_signal"], row["noise_to_signal_error"]) for row in modules],
            "median": [
                _pm(row["ratio_quantiles"]["debiased"][2], row["ratio_quantiles"]["standard_error"][2])
                for row in modules
            ],
            "shape b": [_pm(row["shape"]["shape"], row["shape"]["error"]) for row in modules],
            "kurtosis": [_number(row["excess_kurtosis"]["pooled"]) for row in modules],
            "zeros": [f"{row['zero_entries']:.0%}" for row in modules],
            "σ·√B": [
                _pm(row["second_size"]["ratio"], row["second_size"]["standard_error"]) for row in modules
            ],
        },
    )
    table.caption = (
        "σ/|μ|: √(Σσ²/Σμ²); median: over coordinates, free of the means' noise\n"
        "shape b: 1 Laplace, 2 Gauss, large: uniform; kurtosis: excess, 0 for Gauss\n"
        "σ·√B: at 4 times the size over that at one, 1 if σ ∝ 1/√B; ± one standard error"
    )
    return table


def scale_text(content: Mapping[str, Any]) -> str:
    """Return the gradient-noise scales and the clip factors in words."""
    norms, trace = content["noise_scale"]["norms"], content["noise_scale"]["trace"]
    clipped = ", ".join(f"{row['batch_size']}: {row['clip_factor']:.3g}" for row in content["batch_sizes"])
    return (
        f"gradient-noise scale in sequences: {_range(norms)} from norms, {_range(trace)} from the trace\n"
        f"clip factor by batch size: {clipped}\n"
    )


def _range(scale: Mapping[str, Any]) -> str:
    low, high = ("∞" if value is None else f"{value:.3g}" for value in scale["interval"])
    return f"{_number(scale['simple'])} [{low}, {high}]"


def power_table(content: Mapping[str, Any]) -> Table:
    """Return the table of the best power by batch size and law, for all modules together."""
    rows = [row for row in content["predictions"] if row["module"] == "all"]
    cases = dict.fromkeys((row["batch_size"], row["law"]) for row in rows)
    cell = {(row["batch_size"], row["law"], row["objective"]): _power(row) for row in rows}
    table = result_table(
        "Predicted best power",
        {
            "batch size": [size for size, _ in cases],
            "noise law": [law for _, law in cases],
            **{o: [cell[(*case, o)] for case in cases] for o in ("equal learning rate", "equal RMS")},
        },
    )
    table.caption = (
        "≤ and ≥: at an end of the search; 95 % intervals, which leave out how far a law is\n"
        "from the truth. Direct: Adam run on the measured gradients themselves, without a\n"
        "law: where it is there, go by it. Equal RMS favours powers at which large\n"
        "coordinates move most, whatever the noise.\n"
    )
    return table


def module_power_table(content: Mapping[str, Any]) -> Table:
    """Return the table of the best power at equal learning rate by module, at the fitted law."""
    rows = [
        row
        for row in content["predictions"]
        if row["law"] == "generalized-normal" and row["objective"] == "equal learning rate"
    ]
    modules = list(dict.fromkeys(row["module"] for row in rows))
    sizes = list(dict.fromkeys(row["batch_size"] for row in rows))
    cell = {(row["module"], row["batch_size"]): _power(row) for row in rows}
    columns: dict[str, list[Any]] = {"module": modules}
    columns |= {f"B = {size}": [cell.get((module, size), "–") for module in modules] for size in sizes}
    return result_table("By module, at equal learning rate, fitted generalized-normal noise", columns)


def _power(row: Mapping[str, Any]) -> str:
    if row.get("reason"):
        return str(row["reason"])
    if not row["resolved"]:
        return "no signal resolved"
    sign = {"low": "≤ ", "high": "≥ "}.get(row["at_edge"], "")
    # At the end of the range without a spread, all that is known is that the best power lies there or beyond.
    interval = f" [{row['low']:.2f}, {row['high']:.2f}]" if row["high"] > row["low"] else ""
    return f"{sign}{row['power']:.2f}{interval}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _pm(value: float | None, error: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" + ("" if error is None else f"±{error:.1g}")
