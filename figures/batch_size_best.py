"""The best powers of the study of batch sizes in words, and which powers differ from p = 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.sweeps.verdict import primary_view

Data = Mapping[str, Any]


def best_columns(found: Data) -> dict[str, list[str]]:
    """Return by heading what was found at each batch size: the best powers, and which differ from p = 1."""
    names = ("lower", "higher")
    columns: dict[str, list[str]] = {
        "batch size": [],
        "best p of the grid": [],
        "of a parabola around it [95 %]": [],
        "of one through all p [95 %]": [],
        "p with lower loss than p = 1": [],
        "p with higher loss": [],
        "sd of p = 1 over seeds": [],
    }
    for row, group in zip(found["measured"], primary_view(found["main"])["groups"], strict=True):
        spread = group["baseline_spread"]
        said = [
            ", ".join(f"{c['value']:g}" for c in group["comparisons"] if c["decision"] == name) or "none"
            for name in names
        ]
        cells = [
            str(row["batch_size"]),
            best_of_grid(row),
            best_power(row),
            best_power(row["through_all"]),
            *said,
        ]
        cells.append("–" if spread is None else f"{spread:.4f}")
        for column, cell in zip(columns.values(), cells, strict=True):
            column.append(cell)
    return columns


def best_of_grid(row: Data) -> str:
    """Return the best power of the grid; an end of it is a bound only.

    >>> best_of_grid({"grid": 1.5, "at_edge": "high"}), best_of_grid({"grid": None, "at_edge": None})
    ('1.5 (an end)', '–')
    """
    if row["grid"] is None:
        return "–"
    return f"{row['grid']:g}" + (" (an end)" if row["at_edge"] else "")


def best_power(row: Data) -> str:
    """Return the best power of a parabola with its interval, or why there is none.

    >>> best_power({"status": "at the edge", "power": 1.5, "low": None, "high": None, "interval_kind": None})
    'at the end 1.50'
    """
    if row["status"] == "at the edge":
        return f"at the end {row['power']:.2f}"
    if row["status"] != "interior":
        return str(row["status"])
    if row["low"] is None:
        return f"{row['power']:.2f} [{row['interval_kind']}]"
    return f"{row['power']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
