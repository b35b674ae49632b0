"""Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""Return a table; bars within cells are escaped.

    >>> print(markdown_table(["p", "|u|"], [["1", "0.5"]]))
    | p | \|u\| |
    | --- | --- |
    | 1 | 0.5 |
    """
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
