"""`paper_repro.md`: what the paper says and what was computed, as a text that depends on the result file alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.studies.batch_size import BatchSizeStudy, read_batch_size
from figures.convergence_report import convergence_parts
from figures.markdown import markdown_table
from figures.model_sizes import model_size_parts
from figures.open_claims import OPEN_CLAIMS
from figures.report.batch_size import batch_size_section
from figures.results import KINDS, committed
from figures.step_time_report import step_time_parts
from gradpower.tools.provenance import checkout

PARTS = Path("batch_size", "pocket")
_INTRODUCTION = """# What was reproduced

The paper is GradPower (arXiv 2505.24275): raise every gradient entry to a signed power, `sign(g)·|g|^p`, before an
unchanged optimizer sees it. This page is written by `gradpower reproduce` (`results/theory.json`: Section 4.1,
Figure 7, the claims), `gradpower convergence` (`results/convergence.json`: Section 4.2) and `gradpower step-time`
(`results/step_time.json`), from the numbers that these runs computed; nothing on it is typed by hand but the
statements. **Stated by** says who makes a claim: "paper" claims are put in our words, their formulas rebuilt from the
paper's text; "ours" are derived here and are not the paper's. What has not been tried is listed at the end."""

_POWERS = """## Optimal powers

The power p* with the largest mean update of Adam on `g = μ + σξ` (Example 4.1), sought among 0 < p <= 3.
"→ 0": u has no best power, its supremum is the limit p → 0 (or the best is too near 0 for double precision to tell).
{setting}

- *Closed form*: Propositions 4.2 (σ <= μ) and 4.3 (σ > μ, solved by Lambert's W, which is ours), then Proposition
  4.3's *bounds*; *limit*: β1, β2 → 1, the paper's u∞; *exact*: at these β, without approximation.
- *Monte Carlo*: at these β, simulated, with its 95% confidence interval."""

_RMS = """## Size or direction?

The mean update grows with its size, which a learning rate can make up for. Drift/RMS, `E u/√(E u²)`, does not: it is
the progress per unit of movement. The powers that maximise the two (both exact; ours, the paper looks at u only):"""


def page(folder: Path, **fresh: Mapping[str, Any]) -> str | None:
    """Return the text of `paper_repro.md` from fresh results and, for the other kinds, those kept in `folder`.

    Parameters
    ----------
    folder : Path
        Where result files are looked for, before the checkout's own.
    **fresh
        Contents of the result files, by kind.

    Returns
    -------
    str or None
        None if there are no results of the theory, without which there is no page.
    """
    found = {kind: fresh.get(kind) or committed(kind, folder) for kind in KINDS}
    theory = found.pop("theory")
    if theory is None:
        return None
    parts = committed_parts(folder)
    return report(theory, **found, batch_size=None if parts is None else read_batch_size(parts))


def committed_parts(folder: Path) -> Path | None:
    """Return where the parts of the study of batch sizes lie, in `folder` or else in the checkout; None if nowhere."""
    root = checkout()
    places = [folder, *([root / "results"] if root else [])]
    return next((place / PARTS for place in places if (place / PARTS).is_dir()), None)


def report(
    theory: Mapping[str, Any],
    convergence: Mapping[str, Any] | None = None,
    step_time: Mapping[str, Any] | None = None,
    batch_size: BatchSizeStudy | None = None,
) -> str:
    """Return the text of `paper_repro.md`.

    Parameters
    ----------
    theory, convergence, step_time : mapping
        Contents of the result files, see `figures.results`; a part without results says how to make them.
    batch_size : BatchSizeStudy
        The study of batch sizes, judged.
    """
    powers, claims = theory["optimal_powers"], theory["claims"]
    parts = [
        _INTRODUCTION,
        _POWERS.format(setting=_setting(theory["provenance"]["config"])),
        power_table(powers),
        _figure_7(powers),
        _RMS,
        _drift_table(powers),
        *convergence_parts(convergence),
        *step_time_parts(step_time),
        batch_size_section(batch_size),
        *_claim_parts(claims),
        *model_size_parts(),
        *_open_parts(),
    ]
    return "\n\n".join(parts) + "\n"


def power_columns(powers: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the columns of the table of optimal powers, by heading."""
    uniform = [row for row in powers if row["law"] == "uniform"]
    columns = {
        "σ/μ": [f"{row['noise_to_signal']:g}" for row in uniform],
        "closed form": [_power(row["proposition"]) for row in uniform],
        "bounds": [_bounds(row["proposition"]) for row in uniform],
        "limit": [_power(row["limit"]) for row in uniform],
        "exact": [_power(row["exact"]) for row in uniform],
        "Monte Carlo": [_simulated(row["monte_carlo"]) for row in uniform],
    }
    for law in dict.fromkeys(row["law"] for row in powers if row["law"] != "uniform"):
        columns[f"exact, {law.title()}"] = [_power(row["exact"]) for row in powers if row["law"] == law]
    return columns


def power_table(powers: Sequence[Mapping[str, Any]]) -> str:
    """Return the optimal powers as a Markdown table."""
    columns = power_columns(powers)
    return markdown_table(list(columns), list(zip(*columns.values(), strict=True)))


def _setting(config: Mapping[str, Any]) -> str:
    text = "μ = {mean:g}, β1 = {beta1:g}, β2 = {beta2:g}, ε = {epsilon:g}; uniform noise unless another law is named."
    return text.format(**config)


def _power(found: Mapping[str, Any]) -> str:
    if found["at_edge"]:
        return "→ 0" if found["at_edge"] == "low" else f">= {found['power']:g}"
    return f"{found['power']:.4f}"


def _bounds(found: Mapping[str, Any]) -> str:
    return " to ".join(f"{end:.2f}" for end in found["bounds"]) if "bounds" in found else "–"


def _simulated(found: Mapping[str, Any]) -> str:
    """Return the power and half the width of its interval, to two digits of the latter."""
    if "power_interval" not in found:
        return _power(found)
    low, high = found["power_interval"]
    margin = (high - low) / 2
    digits = max(0, 1 - math.floor(math.log10(margin)))
    return f"{found['power']:.{digits}f} ± {margin:.{digits}f}"


def _figure_7(powers: Sequence[Mapping[str, Any]]) -> str:
    found = {row["noise_to_signal"]: row["exact"] for row in powers if row["law"] == "uniform"}
    edge = [ratio for ratio, best in found.items() if best["at_edge"] == "low"]
    inside = {ratio: best["power"] for ratio, best in found.items() if not best["at_edge"]}
    groups = [
        ("p* at the left edge (low noise)", 2, edge),
        ("p* between", 1, [ratio for ratio, power in inside.items() if power <= 1]),
        ("1 < p* < 2 (noise dominates)", 4, [ratio for ratio, power in inside.items() if 1 < power < 2]),
    ]
    table = [(name, str(count), ", ".join(f"{r:g}" for r in ours) or "none") for name, count, ours in groups]
    kinds = all(ours for *_, ours in groups)
    same = [count for _, count, _ in groups] == [len(ours) for *_, ours in groups]
    agreement = "with the same" if same else "but not with the same"
    verdict = (
        f"all three kinds of curve appear, {agreement} counts" if kinds else "not all kinds of curve appear"
    )
    return "\n\n".join(
        [
            "## Figure 7",
            "`gradpower figure 7` draws it; `gradpower figure 7 --law uniform gaussian laplace` puts other noise\n"
            "beside it. The paper's seven ratios could not be recovered from its text, so the counts below are those\n"
            "of our ratios and need not be the paper's; the kinds of curve must.",
            markdown_table(["curves with", "the paper's", "our ratios σ/μ (exact, uniform noise)"], table),
            f"Verdict: {verdict}. For which ratios 1 < p* < 2 holds is computed below (claim `figure-7-range`).",
        ]
    )


def _drift_table(powers: Sequence[Mapping[str, Any]]) -> str:
    laws = list(dict.fromkeys(row["law"] for row in powers))
    found = {(row["law"], row["noise_to_signal"]): row for row in powers}
    ratios = [ratio for ratio in dict.fromkeys(row["noise_to_signal"] for row in powers) if ratio > 0]
    table = []
    for ratio in ratios:
        cells = [found[law, ratio][quantity] for law in laws for quantity in ("exact", "drift_to_rms")]
        table.append((f"{ratio:g}", *map(_power, cells)))
    headings = [f"{law}, {quantity}" for law in laws for quantity in ("u", "drift/RMS")]
    text = "Without noise drift/RMS is 1 whatever the power. >= 3: it still rises at the last power of the search."
    return markdown_table(["σ/μ", *headings], table) + "\n\n" + text


def _claim_parts(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    held = sum(claim["verdict"] != "fails" for claim in claims)
    failing = [f"`{claim['id']}`" for claim in claims if claim["verdict"] == "fails"]
    summary = f"{held} of {len(claims)} claims hold, some under a condition that is given with them. " + (
        f"Not so: {', '.join(failing)}." if failing else "None fails."
    )
    method = (
        "*Symbolic*: derived in sympy; *numeric*: computed over a range of parameters with hard corners; *rigorous*: "
        "proved in ball arithmetic, where it is an inequality or a uniqueness. `gradpower theory check` repeats all of "
        "it, `--only ID` a part."
    )
    table = [
        (
            f"[`{claim['id']}`](#{claim['id'].replace('.', '')})",
            claim["place"],
            claim["source"],
            *(_mark(claim[kind]) for kind in ("symbolic", "numeric", "rigorous")),
            claim["verdict"],
        )
        for claim in claims
    ]
    headings = ["claim", "place", "stated by", "symbolic", "numeric", "rigorous", "verdict"]
    overview = markdown_table(headings, table)
    return ["## Claims", summary + " " + method, overview, *map(_claim, claims)]


def _mark(check: Mapping[str, Any] | None) -> str:
    return "–" if check is None else "✓" if check["passed"] else "✗"


def _claim(claim: Mapping[str, Any]) -> str:
    lines = [
        f"### {claim['id']}",
        "",
        claim["statement"],
        "",
        f"- where: {claim['place']}; stated by: {claim['source']}; kind: {claim['kind']}",
    ]
    if claim["paper_value"]:
        lines.append(f"- paper's value: {claim['paper_value']}")
    for kind in ("symbolic", "numeric", "rigorous"):
        if claim[kind] is not None:
            lines.append(f"- {kind} {_mark(claim[kind])} {claim[kind]['detail']}")
    if claim["region"]:
        lines.append(f"- condition: {claim['region']}")
    expected = "" if claim["verdict"] == claim["expected"] else f" (expected: {claim['expected']})"
    lines += [
        f"- verdict: **{claim['verdict']}**{expected}",
        f"- `gradpower theory check --only {claim['id']}`",
    ]
    return "\n".join(lines)


def _open_parts() -> list[str]:
    table = [(claim.place, claim.statement, "not attempted yet") for claim in OPEN_CLAIMS]
    return [
        "## Not yet reproduced",
        "The paper's other claims, in our words. Nothing here speaks for or against them.",
        markdown_table(["where", "claim", "verdict"], table),
    ]
