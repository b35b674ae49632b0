"""The commands `gradpower noise` and `noise-along`: gradient noise, and the power it calls for."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from experiments.noise.tables import along_table, module_power_table, module_table, power_table, scale_text
from gradpower.tools.errors import InputError
from gradpower.tools.files import require_folder
from gradpower.tools.terminal import tell

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


def noise(
    source: Annotated[str, tyro.conf.Positional],
    step: int | None = None,
    micro_batches: int = 64,
    micro_batch_size: int = 8,
    batch_sizes: tuple[int, ...] = (8, 32, 128),
    coordinates: int = 8192,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    cache: Path | None = None,
    output: Path | None = None,
    samples: Flag = False,
    json: Flag = False,
) -> None:
    """Measure the gradient noise at a model, and predict the power p with the largest expected first-order decrease.

    The model stands still while the gradients of independent micro-batches of its training data are taken, each
    sequence once. A table by module tells of noise-to-signal ratios and of the shape of the noise; one by batch size
    and noise law of the best power at equal learning rate and at equal RMS of the update. The prediction is to first
    order, for Adam, with equal learning rates and independent gradients within Adam's memory. N micro-batches allow
    predictions up to a batch of N/2 of them; those by the law "direct", which assumes no law, up to N/16.

    Parameters
    ----------
    source
        The folder of a run (its newest checkpoint), one of its checkpoints, a recipe.json or the name of a recipe
        (then at the initial weights).
    step
        Which checkpoint of a run's folder; 0: the initial weights.
    micro_batches
        How many, N >= 8; a second size, four times as large, checks that σ falls as 1/√B.
    micro_batch_size
        Sequences in a micro-batch.
    batch_sizes
        Batch sizes to predict for.
    coordinates
        Coordinates of each module whose gradients are kept for the shape of the noise and the predictions.
    seed
        Of the sequences and of the coordinates.
    device
        auto, cpu, cuda or cuda:N.
    threads
        CPU threads; all cores if not given.
    cache
        Folder of tokenized text; $GRADPOWER_CACHE or ~/.cache/gradpower if not given.
    output
        Folder for noise.json; runs/noise-NAME-FINGERPRINT-STEP if not given.
    samples
        Also write the sampled gradients (samples.npz), which theory measured-assumptions reads.
    json
        Print the result as one JSON object.

    Examples
    --------
    $ gradpower noise pocket
    """
    from experiments.noise.measurement import Settings, measure, write_measurement
    from experiments.noise.source import find_source
    from experiments.training.commands import require_torch
    from experiments.training.execution import Execution

    settings = Settings(micro_batches, micro_batch_size, batch_sizes, coordinates, seed)
    execution = Execution(device=device, threads=threads, cache=cache)
    found = find_source(source, step)
    folder = output or Path("runs") / f"noise-{found.recipe.name}-{found.recipe.fingerprint}-{found.step}"
    require_folder(folder)
    require_torch()
    from experiments.training.reporting import LiveReporter

    with LiveReporter() as reporter:
        content, raw = measure(found, settings, execution=execution, progress=reporter.prepare)
    written = write_measurement(folder, content, raw if samples else None)
    _show(content, json)
    file = sys.stderr if json else sys.stdout
    tell(written, file=file)
    print(f"to draw it: gradpower figure gradient-noise {folder}", file=file)


def noise_along(
    study: Annotated[Path, tyro.conf.Positional],
    seeds: tuple[int, ...] = (0,),
    micro_batches: int = 256,
    micro_batch_size: int | None = None,
    coordinates: int = 4096,
    device: str = "auto",
    threads: int | None = None,
    cache: Path | None = None,
    json: Flag = False,
) -> None:
    """Measure the gradient noise at every snapshot of a study's baseline runs, as `gradpower noise` does at one.

    The study must have been run with snapshots: gradpower sweep STUDY --snapshots 0.01 0.1 0.5 1. Writes a noise.json
    for each into the study's folder, and noise_along.json with what is needed of all. An interrupted call keeps what is
    done, and the same command goes on.

    Parameters
    ----------
    study
        The folder of the study.
    seeds
        Of the runs; noise_along.json holds these only.
    micro_batches
        How many, for each measurement.
    micro_batch_size
        Sequences in a micro-batch; the study's smallest batch size if not given.
    coordinates
        Coordinates of each module whose gradients are kept.
    device
        auto, cpu, cuda or cuda:N.
    threads
        CPU threads; all cores if not given.
    cache
        Folder of tokenized text; $GRADPOWER_CACHE or ~/.cache/gradpower if not given.
    json
        Print the content of noise_along.json instead of a table.

    Examples
    --------
    $ gradpower noise-along runs/batch-size-pocket
    """
    from experiments.noise.along_study import batch_sizes, measure_along, places, summary_row, write_along
    from experiments.noise.measurement import Settings
    from experiments.sweeps.folder import read_folder
    from experiments.training.commands import require_torch
    from experiments.training.execution import Execution
    from gradpower.tools.provenance import provenance

    planned = read_folder(study) if study.is_dir() else None
    if planned is None:
        raise InputError("study", study, "the folder of a study, with its study.json")
    sizes = batch_sizes(planned)
    settings = Settings(micro_batches, micro_batch_size or sizes[0], sizes, coordinates)
    execution = Execution(device=device, threads=threads, cache=cache)
    require_torch()
    todo, lacking = places(study, planned, seeds)
    from experiments.training.reporting import LiveReporter

    command, rows = f"gradpower noise-along {planned.name}", []
    with LiveReporter() as reporter:
        for arm in lacking:
            reporter.note(f"no snapshots: batch size {arm.recipe.training.batch_size}, seed {arm.seed}")
        for place, content in measure_along(todo, settings, execution, command, reporter.prepare):
            rows.append(summary_row(place, content))
            reporter.note(
                f"{len(rows)} of {len(todo)}: batch size {rows[-1]['trained_at']}, step {place.source.step}"
            )
    config = {"study": planned.name, "seeds": list(seeds), "micro_batches": micro_batches}
    path = write_along(study, planned, rows, provenance(command, config))
    if json:
        print(path.read_text(encoding="utf-8"), end="")
    else:
        Console().print(along_table(rows))
    tell([path], file=sys.stderr if json else sys.stdout)


def _show(content: Mapping[str, Any], json: bool) -> None:
    from json import dumps

    if json:
        print(dumps(content, allow_nan=False))
        return
    console = Console()
    console.print(module_table(content))
    console.print(scale_text(content), highlight=False)
    console.print(power_table(content))
    console.print(module_power_table(content))
