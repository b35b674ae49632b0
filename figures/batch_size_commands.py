"""The command `gradpower batch-size`: the study of batch size and power, judged, drawn and put into the report."""

from __future__ import annotations

import json as json_module
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from gradpower.tools.errors import InputError, require
from gradpower.tools.files import require_folder, write_file
from gradpower.tools.provenance import provenance
from gradpower.tools.terminal import jsonable, result_table

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


def batch_size(
    scale: str = "pocket",
    folder: Path = Path("runs"),
    name: str | None = None,
    output: Path = Path("reproduction"),
    seed: int = 0,
    all_tables: Flag = False,
    json: Flag = False,
    update: Flag = False,
) -> None:
    """Judge the study of batch size and power (Figures 2 and 6) by its rule, with its controls and the theory.

    Its parts are run by `gradpower sweep batch-size`, `batch-size-rates`, `-tuned`, `-damping`, `-half-life`,
    `-epsilon`, `-clip`, `-offset` and `-one-rate`, and `gradpower noise-along`; those that are not there are left out.

    Parameters
    ----------
    scale
        pocket, gpu, gpu-30m, gpu-moe or paper.
    folder
        Where the folders of the parts lie, or their summaries, as in results/batch_size/pocket.
    name
        Under which --update keeps the results; the scale if not given. To be given for a second text at one scale.
    output
        Folder for the results and the figures.
    seed
        Of the bootstrap.
    all_tables
        Print every comparison, too.
    json
        Print the results as one JSON object instead of tables.
    update
        Also refresh the checkout's own results/batch_size, results/batch_size.json, paper_repro.md and docs.

    Examples
    --------
    $ gradpower batch-size --scale pocket
    """
    from rich.console import Console

    from experiments.sweeps.analysis import tables
    from experiments.sweeps.batch_size import scales
    from figures.batch_size import collect
    from figures.batch_size_best import best_columns
    from figures.batch_size_pictures import pictures
    from figures.batch_size_verdict import verdict
    from figures.commands import checkout_to_refresh, tell
    from figures.results import dump, results
    from figures.style import save

    if scale not in scales():
        raise InputError("scale", scale, f"one of {', '.join(scales())}")
    require(seed >= 0, "seed", seed, "0, 1, 2, …")
    kept = name or scale
    allowed = "letters, digits, dots, dashes and underscores, beginning with a letter or digit"
    require(re.fullmatch(r"[A-Za-z0-9][\w.-]*", kept, re.ASCII), "name", kept, allowed)
    require_folder(output)
    root = checkout_to_refresh() if update else None
    found = jsonable(collect(scale, folder, seed=seed))
    origin = provenance(f"gradpower batch-size --scale {scale}", {"scale": scale, "seed": seed})
    content = results("batch_size", origin, scales={kept: found})
    written = [write_file(output / "batch_size.json", dump(content))]
    drawn = pictures(found)
    for picture in drawn:
        written += save(*picture.draw(), origin, output, picture.file)
    if root is not None:
        paths = [output / f"{picture.file}.png" for picture in drawn]
        written += _refresh(content, scale, kept, folder, paths, root)
    if json:
        print(json_module.dumps(content))
    else:
        if all_tables:
            for table in tables(found["main"]):
                Console().print(table)
        about = found["about"]
        title = f"Scale {scale}, {about['done']} of {about['planned']} runs"
        Console().print(result_table(title, best_columns(found)))
        Console(markup=False).print(verdict(found))
    tell(written, file=sys.stderr if json else sys.stdout)


def _refresh(
    content: dict[str, Any], scale: str, name: str, folder: Path, pictures: Sequence[Path], root: Path
) -> list[Path]:
    """Write the summaries of the parts, the results of all scales, the report and the pictures."""
    from experiments.sweeps.folder import read_folder
    from experiments.sweeps.results import write_summary
    from figures.batch_size import places
    from figures.report import page
    from figures.results import committed, dump

    kept = root / "results" / "batch_size" / name
    written = []
    for part, path in places(scale, folder).items():
        study = read_folder(path) if path.is_dir() else None
        if study is not None:
            path = write_summary(path, study)
        text = path.read_text(encoding="utf-8")
        written.append(write_file(kept / f"{part}.json", text))
    before = committed("batch_size", root / "results")
    scales = {**(before["scales"] if before else {}), **content["scales"]}
    content = {**content, "scales": scales}
    written.append(write_file(root / "results" / "batch_size.json", dump(content)))
    text_of_page = page(root / "results", batch_size=content)
    if text_of_page is not None:
        written.append(write_file(root / "paper_repro.md", text_of_page))
    return written + [
        write_file(root / "docs" / f"{path.stem}_{name}.png", path.read_bytes()) for path in pictures
    ]
