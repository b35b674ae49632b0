"""The commands `gradpower reproduce`, `gradpower figure` and `gradpower theory phase-diagram`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import tyro
from matplotlib.figure import Figure
from rich.console import Console

from figures import drift_to_rms, figure7
from figures import phase_diagram as phases
from figures.choosing_power import refresh_readme
from figures.curves import Setting
from figures.optima import LAWS, optimal_powers
from figures.report import page, power_columns
from figures.results import dump, results
from figures.style import Row, save
from gradpower.tools.errors import InputError
from gradpower.tools.files import require_folder, write_file
from gradpower.tools.provenance import checkout, provenance
from gradpower.tools.terminal import jsonable, result_table

if TYPE_CHECKING:
    from theory.claims.claim import CheckedClaim

SettingFlags = Annotated[Setting, tyro.conf.arg(name="")]
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]
Name = Literal["7", "drift-to-rms", "phase-diagram"]

_FIGURE_7 = Setting()
_REPRODUCTION = Path("reproduction")


class FigureModule(Protocol):
    """What a figure's file offers."""

    @property
    def FILE(self) -> str:
        """Name of its files."""

    @property
    def LAWS(self) -> tuple[str, ...]:
        """The laws it shows if none is named."""

    def compute(self, setting: Setting) -> Any:
        """Return the numbers."""

    def rows(self, data: Any, /) -> list[Row]:
        """Return the numbers as rows of the CSV."""

    def draw(self, data: Any, /) -> Figure:
        """Return the picture."""


_MODULES: dict[str, FigureModule] = {
    "7": figure7,
    "drift-to-rms": drift_to_rms,
    "phase-diagram": phases,
}


def figure(
    name: Annotated[Name, tyro.conf.Positional],
    setting: SettingFlags = _FIGURE_7,
    output: Path = _REPRODUCTION,
    json: Flag = False,
) -> None:
    """Draw one figure as PDF and PNG, with its data as CSV.

    Parameters
    ----------
    name
        7: the mean update against the power; drift-to-rms: the same for drift/RMS; phase-diagram: the optimal power
        against noise ratio, noise law and ε.
    setting
        The curves.
    output
        Folder for the files.
    json
        Print one JSON object with the data and all inputs.

    Examples
    --------
    $ gradpower figure 7 --law uniform gaussian laplace
    """
    require_folder(output)
    with _status() as say:
        say(f"drawing figure {name}")
        table, origin, written = _make(name, setting, f"gradpower figure {name}", output)
    _show(table, origin, written, json)


def phase_diagram(
    setting: SettingFlags = _FIGURE_7,
    output: Path = _REPRODUCTION,
    json: Flag = False,
) -> None:
    """Compute and draw the optimal power against noise ratio, noise law and ε.

    Parameters
    ----------
    setting
        The laws of the lines; the noise ratios of the table and of the exact markers, which alone use the betas.
    output
        Folder for the files.
    json
        Print one JSON object with the data and all inputs instead of a table.

    Examples
    --------
    $ gradpower theory phase-diagram
    """
    require_folder(output)
    with _status() as say:
        say("computing optimal powers")
        table, origin, written = _make("phase-diagram", setting, "gradpower theory phase-diagram", output)
    if not json:
        lines = [
            row
            for row in table
            if row["panel"] == "law"
            and row["method"] == "limit"
            and row["noise_to_signal"] in setting.noise_to_signal
        ]
        columns: dict[str, list[Any]] = {"σ/μ": [f"{r:.3g}" for r in dict.fromkeys(_ratios(lines))]}
        for law in dict.fromkeys(row["law"] for row in lines):
            columns[law] = [_shown(row) for row in lines if row["law"] == law]
        Console().print(result_table("Optimal power in the limit β → 1", columns))
    _show(table, origin, written, json)


def reproduce(output: Path = _REPRODUCTION, update: Flag = False) -> int:
    """Compute Figure 7, its relatives, the optimal powers, and a verdict on every claim of Section 4.

    Figures, the data behind them, results and the report `paper_repro.md` go into one folder. The exit code is 1 if
    a verdict differs from the committed one.

    Parameters
    ----------
    output
        Folder for the files; made if need be, and its files of an earlier run overwritten.
    update
        Also refresh the checkout's own results/theory.json, paper_repro.md and docs/figure7.png.

    Examples
    --------
    $ gradpower reproduce
    """
    # The claims bring sympy, half a second that the figures do without.
    from theory.claims.commands import as_record, claims_table

    require_folder(output)
    root = checkout_to_refresh() if update else None
    beside = replace(_FIGURE_7, law=LAWS)
    written, powers, checked = _compute(beside, output)
    origin = provenance("gradpower reproduce", beside.config(LAWS))
    content = results("theory", origin, optimal_powers=powers, claims=[as_record(item) for item in checked])
    written += _write_results(content, output)
    console = Console()
    console.print(claims_table(checked))
    console.print(result_table("Optimal powers", power_columns(powers)))
    if root:
        written += _refresh(content, output, root)
    tell(written)
    return 0 if all(item.as_expected for item in checked) else 1


def _compute(beside: Setting, output: Path) -> tuple[list[Path], list[Row], list[CheckedClaim]]:
    """Draw and write every figure, and compute the optimal powers, while another process checks the claims."""
    from figures.claims import checked_claims

    written: list[Path] = []
    plan = (("7", _FIGURE_7), ("7", beside), ("drift-to-rms", beside), ("phase-diagram", _FIGURE_7))
    with _status() as say, checked_claims() as claims:
        for name, setting in plan:
            say(f"drawing figure {name}")
            written += _make(name, setting, "gradpower reproduce", output)[2]
        say("simulating the optimal powers")
        powers = optimal_powers(beside)
        checked = []
        for item in claims:
            checked.append(item)
            say(f"checking claims ({len(checked)} done)")
    return written, powers, checked


def _write_results(content: dict[str, Any], folder: Path) -> list[Path]:
    return [
        write_file(folder / "theory.json", dump(content)),
        write_file(folder / "paper_repro.md", page(folder, theory=content) or ""),
    ]


def _refresh(content: dict[str, Any], output: Path, root: Path) -> list[Path]:
    """Write the committed results, report, picture, and the numbers of the README."""
    readme = [write_file(*refresh_readme(root, content))] if (root / "README.md").is_file() else []
    return [
        *readme,
        write_file(root / "results" / "theory.json", dump(content)),
        write_file(root / "paper_repro.md", page(root / "results", theory=content) or ""),
        write_file(root / "docs" / "figure7.png", (output / "figure7.png").read_bytes()),
    ]


def _make(
    name: str, setting: Setting, command: str, folder: Path
) -> tuple[list[Row], dict[str, Any], tuple[Path, ...]]:
    """Compute, draw and save one figure; its rows, provenance and files."""
    module = _MODULES[name]
    laws = setting.law or module.LAWS
    stem = module.FILE if laws == module.LAWS else "_".join([module.FILE, *map(_file_name, laws)])
    data = module.compute(setting)
    table = module.rows(data)
    origin = provenance(_command(command, setting), setting.config(laws))
    return table, origin, save(module.draw(data), table, origin, folder, stem)


def _file_name(law: str) -> str:
    return re.sub(r"\W+", "-", law)


def _command(command: str, setting: Setting) -> str:
    """Return the command line that makes the same numbers."""
    if command == "gradpower reproduce":
        return command
    for field in fields(setting):
        value = getattr(setting, field.name)
        if value != field.default:
            words = value if isinstance(value, tuple) else (value,)
            command += f" --{field.name.replace('_', '-')} {' '.join(map(str, words))}"
    return command


def _show(table: Sequence[Row], origin: dict[str, Any], written: Sequence[Path], as_json: bool) -> None:
    if as_json:
        print(dumps(jsonable({"rows": list(table), **origin}), ensure_ascii=False, allow_nan=False))
    tell(written, file=sys.stderr if as_json else sys.stdout)


def tell(written: Sequence[Path], file: Any = None) -> None:
    """Name the files that were written."""
    for path in written:
        print(f"wrote {path}", file=file)


def _ratios(lines: Sequence[Row]) -> Iterator[float]:
    return (float(row["noise_to_signal"]) for row in lines)


def _shown(row: Row) -> str:
    return "→ 0" if row["at_edge"] == "low" else f"{row['optimal_power']:.4f}"


def checkout_to_refresh() -> Path:
    """Return the root of the checkout whose committed files `--update` refreshes, or raise InputError."""
    root = checkout()
    if root is None:
        raise InputError(
            "update", True, "a run from a git checkout of this repository, which has files to refresh"
        )
    for folder in (root, root / "results", root / "docs"):
        require_folder(folder)
    return root


@contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """Yield a function that says on a terminal what is being done."""
    with Console(stderr=True).status("starting") as status:
        yield lambda doing: status.update(doing)
