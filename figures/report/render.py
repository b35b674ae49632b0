"""Templates of the report: Jinja2, strict about names, with the few number formats that sections share."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from experiments.statistics import SeedMean


def render(name: str, **values: object) -> str:
    """Return the Markdown of templates/NAME.md.j2 with some values filled in.

    A name that the template has and that is not given is an error.
    """
    return _ENVIRONMENT.get_template(f"{name}.md.j2").render(**values).strip()


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


def cell(text: str) -> str:
    r"""Return text for a table: bars are escaped.

    >>> cell("|g|")
    '\\|g\\|'
    """
    return text.replace("|", "\\|")


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {"signed": signed, "interval": interval, "cell": cell}
