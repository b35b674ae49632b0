"""One style for all figures, and how a figure is saved.

Ratios are told apart by luminance as well as hue (dark is low noise) and by the marker; laws by the colours of Okabe
and Ito, the line's dashes and the marker: every figure survives greyscale printing and colour blindness.
"""

import csv
import io
import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from tueplots import axes as tue_axes
from tueplots import figsizes, fontsizes

from gradpower.tools.errors import require
from gradpower.tools.files import write_file
from gradpower.tools.provenance import comment

Row = Mapping[str, Any]
Style = dict[str, Any]  # arguments of matplotlib's
Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#000000")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)), "-")
_DPI = 200
logging.getLogger("fontTools").setLevel(logging.ERROR)  # it tells of old dates in the fonts that it embeds


@contextmanager
def house_style() -> Iterator[None]:
    """Set matplotlib's parameters while a figure is drawn or saved: sizes of a full-width ICML figure."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(fontsizes.icml2024(default_smaller=1) | tue_axes.lines())
        matplotlib.rcParams.update(
            {
                "xtick.labelsize": 7,
                "ytick.labelsize": 7,
                "legend.fontsize": 7,
                "font.family": "DejaVu Sans",
                "pdf.fonttype": 42,
                "axes.titlelocation": "left",
                "axes.spines.top": False,
                "axes.spines.right": False,
                "legend.frameon": False,
                "hatch.linewidth": 0.4,
            }
        )
        yield


def single(sources: Sequence[Path]) -> Path:
    """Return the one source of a figure, or raise InputError if there are several."""
    require(len(sources) == 1, "sources", " ".join(map(str, sources)), "one place")
    return sources[0]


@contextmanager
def panels(
    rows: int, columns: int, *, height: float, lines: bool = True, letters: bool = True, **shared: Any
) -> Iterator[tuple[Figure, Any]]:
    """Yield a figure as wide as the text of a page, `height` inches high, and its (rows, columns) array of axes.

    When it is drawn, in the house style, its panels get letters before their titles and grid lines, if wanted.
    """
    with house_style():
        width = figsizes.icml2024_full()["figure.figsize"][0]
        figure = Figure(figsize=(width, height), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, **shared)
        yield figure, grid
        shown = [axis for axis in grid.flat if axis.get_visible()]
        for name, axis in zip("abcdefghijklmnopqrstuvwxyz", shown, strict=False):
            if letters:
                axis.set_title(f"({name}) {axis.get_title(loc='left')}")
            if lines:
                axis.grid(alpha=0.25)


def select(table: Iterable[Row], **wanted: Any) -> list[Row]:
    """Return the rows that have these entries."""
    return [row for row in table if wanted.items() <= row.items()]


def columns(table: Sequence[Row], *names: str) -> list[list[Any]]:
    """Return the entries of these names, one list a name."""
    return [[row[name] for row in table] for name in names]


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Return the items by a key, both in their order."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def ratio_style(index: int, count: int) -> Style:
    """Colour and marker of the curve of one noise-to-signal ratio among `count`."""
    shades = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.84, max(count, 2)))
    return {"color": shades[index], "marker": MARKERS[index % len(MARKERS)]}


def law_style(index: int) -> Style:
    """Colour, dashes and marker of the curve of one noise law."""
    return {
        "color": _OKABE_ITO[index % len(_OKABE_ITO)],
        "linestyle": _DASHES[index % len(_DASHES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def legend(figure: Figure, place: str, entries: Mapping[str, Mapping[str, Any]], **options: Any) -> None:
    """Put a row of line and mark samples above ("upper") or below ("lower") the axes, from styles by label."""
    handles = [Line2D([], [], **{**style, "label": label}) for label, style in entries.items()]
    options = {"ncols": len(handles), "columnspacing": 1.2} | options
    loc: Any = f"outside {place} center"
    figure.legend(handles=handles, loc=loc, **options)


def legend_of(figure: Figure, axes: Iterable[Axes], **options: Any) -> None:
    """Put above the axes what is labelled on some of them, each label once."""
    handle_of: dict[str, Any] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        handle_of |= dict(zip(labels, handles, strict=True))
    figure.legend(
        list(handle_of.values()), list(handle_of), loc="outside upper center", columnspacing=1.2, **options
    )


def plain_ticks(axis: Axis, ticks: Sequence[float]) -> None:
    """Set the ticks of a logarithmic axis, and write them as plain numbers."""
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def save(
    figure: Figure, data: Sequence[Row], origin: Mapping[str, Any], folder: Path, name: str
) -> list[Path]:
    """Write `name`.pdf, .png and .csv into `folder`, each whole or not at all.

    Without dates and the like: the same data make the same bytes, but for the provenance in the CSV, whose first lines
    are `origin`. It has one row for each mark that is drawn; missing entries are left blank.
    """
    with house_style():
        figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout just found serves both formats
    written = []
    for suffix, metadata in (("pdf", {"CreationDate": None}), ("png", {})):
        picture = io.BytesIO()
        with house_style():
            figure.savefig(picture, format=suffix, dpi=_DPI, metadata=metadata)
        written.append(write_file(folder / f"{name}.{suffix}", picture.getvalue()))
    written.append(write_file(folder / f"{name}.csv", comment(origin) + "\n" + _csv(data)))
    return written


def _csv(data: Sequence[Row]) -> str:
    text = io.StringIO()
    headings = list(dict.fromkeys(key for row in data for key in row))
    table = csv.DictWriter(text, headings, restval="", lineterminator="\n")
    table.writeheader()
    for row in data:
        table.writerow(
            {key: f"{value:.12g}" if isinstance(value, float) else value for key, value in row.items()}
        )
    return text.getvalue()
