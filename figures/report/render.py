"""Templates of the report: Jinja2, strict about names, with the few number formats that sections share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from pathlib import Path
from statistics import median

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError

from experiments.noise.tables import power_text
from experiments.recipes.model_size import model_size
from experiments.statistics import SeedMean
from figures.results import CheckRecord
from gradpower.tools.labels import Label


def render(name: str, **values: object) -> str:
    """Return the Markdown of templates/NAME.md.j2 with some values filled in.

    A name that the template has and that is not given is an error.
    """
    return _ENVIRONMENT.get_template(f"{name}.md.j2").render(**values).strip()


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""Return a Markdown table; bars within cells are escaped.

    >>> print(table(["p", "|u|"], [["1", "0.5"]]))
    | p | \|u\| |
    | --- | --- |
    | 1 | 0.5 |
    """
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)


def cell(text: str) -> str:
    r"""Return text for a table: bars are escaped.

    >>> cell("|g|")
    '\\|g\\|'
    """
    return text.replace("|", "\\|")


def verdict(claim: str, label: Label | None, sentences: Mapping[str, str], command: str = "") -> str:
    """Return a claim with its label and the sentence for that; without a label, with the command that runs it.

    >>> verdict("It gains", Label.REPRODUCED, {"reproduced": "It does."})
    '**It gains: reproduced.** It does.'
    >>> verdict("It gains", None, {}, "gradpower sweep it.toml")
    '**It gains: not attempted.** `gradpower sweep it.toml` runs it.'
    """
    if label is None:
        return f"**{claim}: {Label.NOT_ATTEMPTED}.** `{command}` runs it."
    if label not in sentences:
        raise UndefinedError(f"no_branch_for_this_label: {label}")
    return f"**{claim}: {label}.** {sentences[label]}"


def mark(check: CheckRecord | None) -> str:
    """Return the mark of a check of a claim; the page says what each means."""
    if check is None:
        return "–"
    return "✗" if not check.passed else "refuted without its condition" if check.refutes else "✓"


def signed(number: float, digits: int = 4) -> str:
    """Return a number with its sign; what rounds to 0 is positive.

    >>> signed(-0.01969), signed(-1e-5, 3)
    ('-0.0197', '+0.000')
    """
    return f"{round(number, digits) + 0.0:+.{digits}f}"


def interval(mean: SeedMean, digits: int = 4) -> str:
    """Return a mean over seeds with its interval, if it has one.

    >>> interval(SeedMean(3, 0.5, 0.1, 0.2516, 0.7484, 0.013), 2)
    '+0.50 [+0.25, +0.75]'
    """
    if mean.low is None or mean.high is None:
        return signed(mean.mean, digits)
    return f"{signed(mean.mean, digits)} [{signed(mean.low, digits)}, {signed(mean.high, digits)}]"


def factor(mean: SeedMean, digits: int = 2) -> str:
    """Return the factor whose logarithm is a mean over seeds, with its interval.

    >>> factor(SeedMean(3, 0.0, 0.1, -0.7, 0.7, 1.0))
    '1.00 [0.50, 2.01]'
    """
    text = f"{exp(mean.mean):.{digits}f}"
    if mean.low is None or mean.high is None:
        return text
    return f"{text} [{exp(mean.low):.{digits}f}, {exp(mean.high):.{digits}f}]"


def millions(number: float, digits: int = 1) -> str:
    """Return a number of parameters.

    >>> millions(66_433_536), millions(66_433_536, 0)
    ('66.4M', '66M')
    """
    return f"{number / 1e6:.{digits}f}M"


def listed(numbers: Sequence[float]) -> str:
    """Return numbers with commas between them.

    >>> listed([0.5, 1.0]), listed([])
    ('0.5, 1', 'none')
    """
    return ", ".join(f"{number:g}" for number in numbers) or "none"


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals |= {"table": table, "verdict": verdict}
_ENVIRONMENT.filters |= {
    "cell": cell,
    "code": lambda text: f"`{text}`",
    "exp": exp,
    "factor": factor,
    "fixed": lambda number, digits: f"{number:.{digits}f}",
    "general": lambda number, digits=6: "–" if number is None else f"{number:.{digits}g}",
    "interval": interval,
    "listed": listed,
    "mark": mark,
    "median": median,
    "millions": millions,
    "percent": lambda share, digits=0: f"{share:.{digits}%}",
    "power": power_text,
    "range": lambda numbers: f"{min(numbers):.2f} to {max(numbers):.2f}",
    "results": lambda gains: ", ".join(f"{gain.law} {gain.shared:.3f}" for gain in gains) or "none",
    "signed": signed,
    "size": model_size,
}
