"""The commands `gradpower figure`, `gradpower reproduce` and `gradpower report`."""

from __future__ import annotations

import sys
from dataclasses import asdict, fields, replace
from json import dumps
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from experiments.training.step_cost import STEP_COST
from figures import registry
from figures.adam.example import Setting
from figures.adam.optima import LAWS, optimal_powers
from figures.explorer.grids import GRIDS
from figures.report.adam import power_columns
from figures.report.choosing_p import choosing_p
from figures.report.page import claims_page, convergence_page, page, read_findings
from figures.results import THEORY
from gradpower.tools.errors import InputError, require
from gradpower.tools.files import require_folder, write_file
from gradpower.tools.provenance import checkout, provenance
from gradpower.tools.terminal import jsonable, result_table, tell
from simulate.questions import CONVERGENCE

SettingFlags = Annotated[Setting, tyro.conf.arg(name="")]
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]

_FIGURE_7 = Setting()
_REPRODUCTION = Path("reproduction")
_IN_DOCS = (
    "7", "exponents", "gain", "step-time", "intervention", "intervention-memory", "sweep-losses", "gains",
    "memory", "where", "gradient-noise", "noise-bias",
)  # fmt: skip


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
    """
    if not name and json:
        print(dumps({each: entry.help for each, entry in registry.FIGURES.items()}, ensure_ascii=False))
        return
    if not name:
        for each, entry in registry.FIGURES.items():
            print(f"{each:20}{entry.help}" + f"; reads {entry.sources}" * bool(entry.sources))
        return
    require_folder(output)
    registry.check(name, setting)
    with Console(stderr=True).status(f"drawing figure {name}"):
        command = _command(f"gradpower figure {name}", setting)
        written, content = registry.draw_figure(command, name, output, setting, sources)
    if json:
        print(dumps(jsonable(content), ensure_ascii=False, allow_nan=False))
    else:
        for row in content["rows"]:
            if row.get("series") == "optimum":
                edge = "→ 0" if row["power"] < 5e-4 else f"= {row['power']:.3f}"
                print(f"p* {edge} for {row['law']} noise, σ/μ = {row['noise_to_signal']:g}")
    tell(written, file=sys.stderr if json else sys.stdout)


def reproduce(output: Path = _REPRODUCTION) -> int:
    """Compute Figure 7, its relatives, the optimal powers, and a verdict on every claim of Section 4.

    Figures, the data behind them, results and the report `paper_repro.md` go into one folder. The exit code is 1 if
    a verdict differs from the committed one.

    Parameters
    ----------
    output
        Folder for the files; made if need be, and its files of an earlier run overwritten.
    """
    # The claims bring sympy, half a second that the figures do without.
    from figures.checked_claims import checked_claims
    from theory.claims.commands import as_record, claims_table

    require_folder(output)
    console, command = Console(), "gradpower reproduce"
    beside = replace(_FIGURE_7, law=LAWS)
    plan = (("7", _FIGURE_7), ("7", beside), ("drift-to-rms", beside), ("phase-diagram", _FIGURE_7))
    written, checked = [], []
    with Console(stderr=True).status("starting") as status, checked_claims() as claims:
        for name, setting in plan:
            status.update(f"drawing figure {name}")
            written += registry.draw_figure(command, name, output, setting)[0]
        status.update("simulating the optimal powers")
        powers = optimal_powers(beside)
        for item in claims:
            checked.append(item)
            status.update(f"checking claims ({len(checked)} done)")
    records = [as_record(item) for item in checked]
    text = THEORY.dump(provenance(command, asdict(beside)), optimal_powers=powers, claims=records)
    written += [write_file(output / THEORY.file, text), *write_pages(output)]
    console.print(result_table("Optimal powers", power_columns(powers)))
    console.print(claims_table(checked))
    tell(written)
    return 0 if all(item.as_expected for item in checked) else 1


def report(folder: Path = _REPRODUCTION, update: Flag = False) -> None:
    """Write the report paper_repro.md from result files: those in a folder, and the committed ones for the rest.

    Parameters
    ----------
    folder
        Where `reproduce`, `convergence` and `step-time` have left their results; the report goes there, too.
    update
        Take these results into the checkout instead, and refresh its paper_repro.md, docs/claims.md,
        docs/convergence.md, docs/guide/choosing_p.md and the pictures in docs.
    """
    require(folder.is_dir() or folder == _REPRODUCTION, "folder", folder, "an existing folder")
    require_folder(folder)
    if update:
        tell(_update(folder, checkout_to_refresh()))
    else:
        tell(write_pages(folder))


def write_pages(folder: Path, results: Path | None = None) -> list[Path]:
    """Write the report, the claims and the tables of Section 4.2 into a folder, from its results or elsewhere's."""
    found = read_findings(results or folder)
    return [
        write_file(folder / "paper_repro.md", page(found)),
        write_file(folder / "docs" / "claims.md", claims_page(found.theory)),
        write_file(folder / "docs" / "convergence.md", convergence_page(found.convergence)),
    ]


def _update(folder: Path, root: Path) -> list[Path]:
    """Take the results of a folder into the checkout, and write what is made of them."""
    new = [kind.file for kind in (THEORY, CONVERGENCE, STEP_COST, GRIDS) if (folder / kind.file).is_file()]
    read_findings(folder)  # what is damaged is refused before anything is written
    written = [write_file(root / "results" / name, (folder / name).read_bytes()) for name in new]
    found = read_findings(root / "results")
    written += write_pages(root, root / "results")
    written.append(write_file(root / "docs/guide/choosing_p.md", choosing_p(found.theory.optimal_powers)))
    for name in _IN_DOCS:
        drawn, _ = registry.draw_figure("gradpower report --update", name, folder, results=root / "results")
        (png,) = (path for path in drawn if path.suffix == ".png")
        written.append(write_file(root / "docs" / png.name, png.read_bytes()))
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
