"""The numbers of the README's page "Choosing p": computed here, written between two marks, and tested to be fresh."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from figures.markdown import markdown_table
from figures.report import power_columns
from gradpower.tools.errors import InputError
from theory.adagrad.powered_noise import normalised_size
from theory.adam.update import exact_update
from theory.laws import parse_law

START, END = "<!-- numbers of `gradpower reproduce --update` -->", "<!-- end of numbers -->"
POWERS = (0.5, 0.8, 0.9, 1.1, 1.2, 1.5)
LAWS = ("uniform", "gaussian", "laplace")
EPSILON = 1e-8
RATIOS = (1.0, 100.0)  # signal as large as the noise, and noise alone, nearly
CLIPPED = 66_433_536  # entries of the gradient in the example of clipping: the paper's LLaMA 66M


def block(theory: Mapping[str, Any]) -> str:
    """Return the text between the marks, from the result file of the theory."""
    return "\n\n".join([_batch(theory["optimal_powers"]), _sizes(), _clipping()])


def refreshed(readme: str, theory: Mapping[str, Any]) -> str:
    """Return the README with the numbers renewed.

    Raises
    ------
    InputError
        If the marks are missing.
    """
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise InputError("README.md", "without marks", f"the lines {START} and {END}")
    return f"{before}{START}\n\n{block(theory)}\n\n{END}{after}"


def refresh_readme(root: Path, theory: Mapping[str, Any]) -> tuple[Path, str]:
    """Return the README's path and its new text."""
    path = root / "README.md"
    return path, refreshed(path.read_text(encoding="utf-8"), theory)


def _batch(powers: Sequence[Mapping[str, Any]]) -> str:
    columns = power_columns([row for row in powers if row["noise_to_signal"] >= 1])
    wanted = ("σ/μ", "exact", *(name for name in columns if name.startswith("exact, ")))
    table = [columns[name] for name in wanted]
    headings = [
        "σ/μ of a coordinate",
        *(f"p\\*, {name.split(', ')[-1]} noise" for name in wanted[1:]),
    ]
    headings[1] = "p\\*, uniform noise"
    falling = [law if law == "uniform" else law.title() for law in LAWS if _rises(powers, law)]
    text = (
        "*Another batch size.* A batch k² times as large divides the noise-to-signal ratio σ/μ by k. In the paper's "
        f"noise model (β = (0.9, 0.95), ε = 1e-8) the best power then falls under {' and '.join(falling)} noise only, "
        "and whether it exceeds 1 at all depends on the law of the noise as well:"
    )
    return f"{_wrapped(text)}\n\n{markdown_table(headings, list(zip(*table, strict=True)))}"


def _rises(powers: Sequence[Mapping[str, Any]], law: str) -> bool:
    """Whether the best power rises with σ/μ, from 1 on."""
    found = [
        0.0 if row["exact"]["at_edge"] == "low" else row["exact"]["power"]
        for row in sorted(powers, key=lambda row: row["noise_to_signal"])
        if row["law"] == law and row["noise_to_signal"] >= 1
    ]
    return found == sorted(found)


def _sizes() -> str:
    gaussian = parse_law("gaussian")
    found = {
        (law, ratio): relative_to_adam(law, ratio) for law in ("gaussian", "uniform") for ratio in RATIOS
    }
    rows = []
    for index, power in enumerate(POWERS):
        sizes = [found["gaussian", ratio]["rms"][index] for ratio in RATIOS]
        means = [found[law, RATIOS[-1]]["drift"][index] for law in ("gaussian", "uniform")]
        one = normalised_size(power, gaussian) / normalised_size(1.0, gaussian)
        cells = [f"{value:.3f}" for value in (one, *sizes, *means)]
        rows.append([f"{power:g}", *cells, f"{EPSILON ** (1 / power):.1e}", f"{EPSILON**power:.1e}"])
    low, high = (f"{ratio:g}" for ratio in RATIOS)
    headings = [
        "p",
        "one gradient",
        f"RMS, σ/μ = {low}",
        f"RMS, σ/μ = {high}",
        f"mean, σ/μ = {high}",
        f"mean, σ/μ = {high}, uniform noise",
        "ε matters at |g| ≈",
        "ε matched to 1e-8",
    ]
    text = (
        "*Update sizes and ε.* All relative to p = 1, under Gaussian noise unless said. One powered gradient over its "
        "RMS, E|g|^p/√(E|g|^(2p)), is damped by p > 1; but Adam's update is an average over β1's memory, and its exact "
        "RMS at β = (0.9, 0.95) depends on p much less where noise dominates: measure yours with `UpdateMeter` before "
        "you blame, or mend, the learning rate. ε acts on the powered scale: it matters where |g| is about ε^(1/p), so "
        "that p > 1 needs a smaller ε, ε^p, to act where it did."
    )
    return f"{_wrapped(text)}\n\n{markdown_table(headings, rows)}"


def relative_to_adam(law: str, ratio: float) -> dict[str, list[float]]:
    """Return the RMS and the mean of Adam's stationary update over those at p = 1, where ε does not matter."""
    update = exact_update(
        [*POWERS, 1.0],
        mean=1.0,
        noise_scale=ratio,
        law=parse_law(law),
        beta1=0.9,
        beta2=0.95,
        epsilon=EPSILON,
    )
    return {
        "rms": (update.rms / update.rms[-1]).tolist()[:-1],
        "drift": (update.drift / update.drift[-1]).tolist()[:-1],
    }


def _clipping() -> str:
    (low, small), (high, large) = ((power, _powered_norm(power)) for power in (0.8, 1.2))
    return _wrapped(
        f"*Clipping.* The two orders differ in what a norm of 1 means: if ‖g‖ = 1 is spread evenly over "
        f"{CLIPPED / 1e6:.0f}M Gaussian entries, then ‖φ_p(g)‖ = {small:.2g} at p = {low:g} and {large:.2g} at "
        f"p = {high:g}. A limit that clips now and then before the power clips more often after it for p < 1, and "
        "hardly ever for p > 1: keep the clip before the power, or choose the limit anew."
    )


def _powered_norm(power: float) -> float:
    """Return ‖φ_p(g)‖ for a long Gaussian g with ‖g‖ = 1."""
    moment = parse_law("gaussian").absolute_moment(2 * power, 0.0, 1.0)
    return float(math.sqrt(moment) * float(CLIPPED) ** ((1 - power) / 2))


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)
