"""The commands `gradpower figure`, `gradpower reproduce` and `gradpower report`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from figures import registry
from figures.adam.example import Setting
from figures.adam.optima import LAWS, optimal_powers
from figures.report import page, read_findings
from figures.report.adam import power_columns
from figures.report.choosing_p import choosing_p
from figures.results import THEORY, OptimalPowers
from gradpower.tools.errors import InputError, require
from gradpower.tools.files import require_folder, write_file
from gradpower.tools.provenance import checkout, provenance
from gradpower.tools.terminal import jsonable, result_table, tell

if TYPE_CHECKING:
    from theory.claims.claim import CheckedClaim

SettingFlags = Annotated[Setting, tyro.conf.arg(name="")]
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]

_FIGURE_7 = Setting()
_REPRODUCTION = Path("reproduction")
# The pictures in docs, by figure.
_DOCS = {
    "7": "figure7",
    "exponents": "convergence_exponents",
    "gain": "convergence_gain",
    "step-time": "step_time",
    "intervention": "intervention",
    "sweep-losses": "batch_size",
    "memory": "memory",
    "where": "where",
    "gradient-noise": "gradient_noise",
}


def figure(
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = "",
    sources: Annotated[tuple[Path, ...], tyro.conf.Positional] = (),
    setting: SettingFlags = _FIGURE_7,
    output: Path = _REPRODUCTION,
    json: Flag = False,
) -> None:
    """Draw one figure as PDF and PNG, with its data as CSV; without a name, list them all.

    Parameters
    ----------
    name
        Name of a figure; `gradpower figure` lists them.
    sources
        Files or folders that it reads. The committed results if not given; curves needs some.
    setting
        The noise example, for the figures that compute with it.
    output
        Folder for the files.
    json
        Print one JSON object with the data and all inputs.

    Examples
    --------
    $ gradpower figure 7 --law uniform gaussian laplace
    """
    if not name:
        _list_figures(json)
        return
    require_folder(output)
    file = registry.module(name)
    registry.check_flags(name, setting)
    laws = setting.law or getattr(file, "LAWS", ())
    with _status() as say:
        say(f"drawing figure {name}")
        data = registry.figure_data(name, setting, sources, output)
        config = {"sources": [path.name for path in sources]} if sources else setting.config(laws)
        origin = provenance(_command(f"gradpower figure {name}", setting), config)
        written = registry.save_figure(name, data, origin, output, laws)
    if json:
        table = {"rows": file.rows(data), **origin}
        print(dumps(jsonable(table), ensure_ascii=False, allow_nan=False))
    tell(written, file=sys.stderr if json else sys.stdout)


def _list_figures(as_json: bool) -> None:
    if as_json:
        print(dumps({name: entry.help for name, entry in registry.FIGURES.items()}, ensure_ascii=False))
        return
    for name, entry in registry.FIGURES.items():
        print(f"{name:20}{entry.help}" + f"; reads {entry.sources}" * bool(entry.sources))


def reproduce(output: Path = _REPRODUCTION) -> int:
    """Compute Figure 7, its relatives, the optimal powers, and a verdict on every claim of Section 4.

    Figures, the data behind them, results and the report `paper_repro.md` go into one folder. The exit code is 1 if
    a verdict differs from the committed one.

    Parameters
    ----------
    output
        Folder for the files; made if need be, and its files of an earlier run overwritten.

    Examples
    --------
    $ gradpower reproduce
    """
    # The claims bring sympy, half a second that the figures do without.
    from theory.claims.commands import as_record, claims_table

    require_folder(output)
    beside = replace(_FIGURE_7, law=LAWS)
    written, powers, checked = _compute(beside, output)
    origin = provenance("gradpower reproduce", beside.config(LAWS))
    records = [as_record(item) for item in checked]
    text = THEORY.dump(origin, optimal_powers=powers, claims=records)
    written.append(write_file(output / THEORY.file, text))
    written.append(write_page(output))
    console = Console()
    console.print(claims_table(checked))
    console.print(result_table("Optimal powers", power_columns(powers)))
    tell(written)
    return 0 if all(item.as_expected for item in checked) else 1


def _compute(beside: Setting, output: Path) -> tuple[list[Path], list[OptimalPowers], list[CheckedClaim]]:
    """Draw and write every figure, and compute the optimal powers, while another process checks the claims."""
    from figures.checked_claims import checked_claims

    written: list[Path] = []
    plan = (("7", _FIGURE_7), ("7", beside), ("drift-to-rms", beside), ("phase-diagram", _FIGURE_7))
    with _status() as say, checked_claims() as claims:
        for name, setting in plan:
            say(f"drawing figure {name}")
            laws = setting.law or registry.module(name).LAWS
            data = registry.figure_data(name, setting)
            origin = provenance("gradpower reproduce", setting.config(laws))
            written += registry.save_figure(name, data, origin, output, laws)
        say("simulating the optimal powers")
        powers = optimal_powers(beside)
        checked = []
        for item in claims:
            checked.append(item)
            say(f"checking claims ({len(checked)} done)")
    return written, powers, checked


def report(folder: Path = _REPRODUCTION, update: Flag = False) -> None:
    """Write the report paper_repro.md from result files: those in a folder, and the committed ones for the rest.

    Parameters
    ----------
    folder
        Where `reproduce`, `convergence` and `step-time` have left their results; the report goes there, too.
    update
        Take these results into the checkout instead, and refresh its paper_repro.md, docs/guide/choosing_p.md and the
        pictures in docs.

    Examples
    --------
    $ gradpower report --update
    """
    allowed = "an existing folder"
    require(folder.is_dir() or folder == _REPRODUCTION, "folder", folder, allowed)
    require_folder(folder)
    if update:
        tell(_update(folder, checkout_to_refresh()))
    else:
        tell([write_page(folder)])


def write_page(folder: Path) -> Path:
    """Write the report into a folder, from the results there and the committed ones."""
    found = read_findings(folder)
    if found is None:
        raise InputError("folder", folder, "one with theory.json, which `gradpower reproduce` writes")
    return write_file(folder / "paper_repro.md", page(found))


def _update(folder: Path, root: Path) -> list[Path]:
    """Take the results of a folder into the checkout, and write what is made of them."""
    from experiments.training.step_cost import STEP_COST
    from simulate.questions import CONVERGENCE

    new = [kind.file for kind in (THEORY, CONVERGENCE, STEP_COST) if (folder / kind.file).is_file()]
    read_findings(folder)  # what is damaged is refused before anything is written
    written = [write_file(root / "results" / name, (folder / name).read_bytes()) for name in new]
    found = read_findings(root / "results")
    if found is None:
        raise InputError("folder", folder, "one with theory.json, as the checkout has none")
    written.append(write_file(root / "paper_repro.md", page(found)))
    written.append(write_file(root / "docs/guide/choosing_p.md", choosing_p(found.theory.optimal_powers)))
    for name, picture in _DOCS.items():
        data = registry.figure_data(name, folder=root / "results")
        drawn = registry.save_figure(name, data, provenance("gradpower report --update", {}), folder)
        (png,) = (path for path in drawn if path.suffix == ".png")
        written.append(write_file(root / "docs" / f"{picture}.png", png.read_bytes()))
    return written


def _command(command: str, setting: Setting) -> str:
    """Return the command line that makes the same numbers."""
    for field in fields(setting):
        value = getattr(setting, field.name)
        if value != field.default:
            words = value if isinstance(value, tuple) else (value,)
            command += f" --{field.name.replace('_', '-')} {' '.join(map(str, words))}"
    return command


def checkout_to_refresh() -> Path:
    """Return the root of the checkout whose committed files `--update` refreshes, or raise InputError."""
    root = checkout()
    if root is None:
        raise InputError(
            "update", True, "a run from a git checkout of this repository, which has files to refresh"
        )
    for folder in (root, root / "results", root / "docs" / "guide"):
        require_folder(folder)
    return root


@contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """Yield a function that says on a terminal what is being done."""
    with Console(stderr=True).status("starting") as status:
        yield lambda doing: status.update(doing)
