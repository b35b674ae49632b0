"""What theory says of the study of batch sizes, for the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.noise.prediction import LAWS, VARIANTS
from experiments.sweeps.ablation import FLAT, RIVAL
from figures.batch_size_best import best_power
from figures.markdown import markdown_table
from theory.prediction.predicted_power import RANGE

Data = Mapping[str, Any]
_WORDS = """\
Laws: *uniform* noise of the measured σ, as in the paper; *generalized-normal*, of each module's fitted shape, which
nears the Gaussian as B grows; *empirical*, the measured residuals themselves, as if independent of the mean;
*direct*, Adam over the measured gradients, with no law. A cell is the mean over the snapshots (least to greatest);
*at an end*: the best power searched, {low:g} to {high:g}, was one of its ends there, which bounds the mean. *Error*:
root mean square of the mean less the measured best power, over the batch sizes that have one, however wide its
interval. *Within the interval*: at how many of the batch sizes with a bounded interval the mean lies in it."""


def theory_parts(found: Data) -> list[str]:
    """Return the Markdown of the predictions; nothing if there are none.

    Parameters
    ----------
    found : mapping
        From `figures.batch_size.collect`.
    """
    if not found["ablation"]:
        return []
    heading = "#### Does the theory know it?"
    words = _WORDS.format(low=RANGE[0], high=RANGE[1])
    return [heading, theory_text(found), words, ablation_table(found), ingredients_text(found)]


def theory_text(found: Data) -> str:
    """Return what the ablation says: which predictions fall, and which are nearest at equal learning rate."""
    laws = [row for row in found["ablation"] if row["law"] in LAWS]
    falls = sum(row["slope"] is not None and row["slope"] < -FLAT for row in laws)
    shares = ", ".join(f"{100 * share:g}" for share in sorted({row["share"] for row in found["noise"]}))
    head = (
        "The power with the largest expected first-order decrease, from gradients measured after "
        f"{shares} % of the training of p = 1 at each batch size. {falls} of {len(laws)} predictions fall with the "
        "batch size."
    )
    known = [r for r in found["ablation"] if r["root_mean_square_error"] is not None]
    rivals = [r for r in known if r["law"] == RIVAL]
    equal = [r for r in known if r["objective"] == "equal learning rate" and r["law"] in LAWS]
    if not equal or not rivals:
        return f"{head} No measured best power is known to compare them with."
    best = min(equal, key=lambda row: float(row["root_mean_square_error"]))
    against = (
        "nearer than"
        if best["root_mean_square_error"] < rivals[0]["root_mean_square_error"]
        else "no nearer than"
    )
    return (
        f"{head} At equal learning rate, which is how powers were measured, the nearest is the law *{best['law']}*, "
        f"{best['root_mean_square_error']:.2f} off (root mean square over {best['compared']} batch sizes): {against} "
        f"p = 1 everywhere ({rivals[0]['root_mean_square_error']:.2f})."
    )


def ingredients_text(found: Data) -> str:
    """Return how the slope of the predicted power against ln B changes as one ingredient after another is held back."""
    rows = {row["law"]: row for row in found["ablation"] if row["objective"] == "equal learning rate"}
    slopes = {law: row["slope"] for law, row in rows.items() if row["slope"] is not None}
    falling = [law for law in LAWS if law in slopes and slopes[law] < -FLAT]
    others = [law for law in LAWS if law in slopes and law not in falling]
    if not falling and not others:
        return ""

    def said(law: str) -> str:
        edges = sum(p["at_edge"] for p in rows[law]["predicted"])
        places = sum(p["snapshots"] for p in rows[law]["predicted"])
        bound = f" ({edges} of {places} snapshots at an end of the range searched)" if edges else ""
        held = [
            f"{slopes[v]:+.3f} with {v.partition(', ')[2]}"
            for v in VARIANTS
            if v.startswith(f"{law}, ") and v in slopes
        ]
        return f"{law} {slopes[law]:+.3f}{bound}" + (f", {', '.join(held)}" if held else "")

    parts = ["Change of the predicted best power for every factor e in batch size, at equal learning rate."]
    parts += [f"Falling: {'; '.join(map(said, falling))}."] if falling else []
    parts += [f"Not falling: {'; '.join(map(said, others))}."] if others else []
    parts.append(
        "*Same shape* and *same σ/|μ|* hold that ingredient at its value for micro-batches in each batch size's own "
        "run; *ε^p* takes Adam's ε out. The uniform law has no ingredient but σ/|μ| and ε; the others add the measured "
        "shape. What damping and learning rate do to the measured differences is in the tables of controls."
    )
    return " ".join(parts)


def ablation_table(found: Data) -> str:
    """Return the predictions beside the measured best powers as a Markdown table."""
    sizes = [row["batch_size"] for row in found["measured"]]
    rows = [["**measured**", "", *map(best_power, found["measured"]), "", ""]]
    for row in found["ablation"]:
        cell = {p["batch_size"]: p for p in row["predicted"]}
        error = row["root_mean_square_error"]
        rows.append(
            [
                row["law"],
                row["objective"],
                *[_predicted(cell.get(size)) for size in sizes],
                "–" if error is None else f"{error:.2f} over {row['compared']}",
                f"{row['inside']} of {row['intervals']}",
            ]
        )
    headings = ["noise law", "at", *[f"B = {size}" for size in sizes], "error", "within the interval"]
    return markdown_table(headings, rows)


def _predicted(found: Data | None) -> str:
    if found is None:
        return "–"
    if found["low"] == found["high"] and not found["at_edge"]:
        return f"{found['mean']:.2f}"
    edge = f", {found['at_edge']} of {found['snapshots']} at an end" if found["at_edge"] else ""
    return f"{found['mean']:.2f} ({found['low']:.2f} to {found['high']:.2f}{edge})"
