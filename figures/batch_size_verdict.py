"""What the study of batch size and power says of the paper's Figure 6, by its declared rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.sweeps.verdict import primary_view

Data = Mapping[str, Any]
_FEWEST = 3
"""Seeds, of which a trend over three batch sizes can be significant."""


def verdict(found: Data) -> str:
    """Return the verdict in a few sentences: nothing but the count of runs while any are missing.

    The paper's claim has three parts: the best power falls with the batch size, from above 1 at the smallest, to below
    1 at the largest.

    Parameters
    ----------
    found : mapping
        From `figures.batch_size.collect`.
    """
    analysis, about = found["main"], found["about"]
    trend = _trend(analysis)
    if about["done"] < about["planned"]:
        return f"Not decided yet: {about['done']} of {about['planned']} runs are done."
    if trend is None or trend["grid"] is None or len(trend["seeds"]) < _FEWEST:
        return f"Not decided: these runs cannot show a trend. {analysis['verdict']}"
    return f"{_head(found, trend)} {analysis['verdict']}"


def _trend(analysis: Data) -> Any:
    return next(iter(primary_view(analysis)["trends"]), None)


def _head(found: Data, trend: Data) -> str:
    if trend["decision"] != "falls":
        page = trend["grid"]["page"]
        rises = trend["grid"]["data"] == "rises" and page["p_two_sided"] <= found["main"]["rule"]["alpha"]
        if rises:
            return "Reversed at this size: the best power rises as the batch grows (two-sided, which was not declared)."
        return "Not reproduced at this size: that the best power falls as the batch grows is not shown."
    first, last = found["measured"][0], found["measured"][-1]
    sides = [
        ("above 1 at the smallest batch", first["grid"] is not None and first["grid"] > 1),
        ("below 1 at the largest", last["grid"] is not None and last["grid"] < 1),
    ]
    missed = [f"not {name}" for name, holds in sides if not holds]
    if missed:
        but = " and ".join(missed)
        return f"Reproduced in part at this size: the best power falls as the batch grows, but is {but}."
    return "Reproduced at this size: the best power falls as the batch grows, from above 1 to below 1."


def moves(trend: Data) -> str:
    """Return whether a trend falls, in words.

    >>> moves({"decision": "not shown", "grid": None})
    'is not shown to fall'
    """
    words = {
        "falls": "falls",
        "not shown": "is not shown to fall",
        "cannot be shown": "cannot be shown to fall",
    }
    said = words.get(trend["decision"], "is not tested")
    return f"{said} (p = {trend['grid']['adjusted']:.2g})" if trend["grid"] else said
