"""The commands `gradpower noise` and `gradpower noise-figure`: measured gradient noise, and the power it calls for."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from theory.files import require_folder
from theory.flags import result_table
from theory.inputs import InputError

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
        Folder for noise.json and the figure; runs/noise-NAME-FINGERPRINT-STEP if not given.
    samples
        Also write the sampled gradients (samples.npz), which theory measured-assumptions reads.
    json
        Print the result as one JSON object.

    Examples
    --------
    $ gradpower noise pocket
    """
    from experiments.execution import Execution
    from experiments.noise.measurement import Settings, measure, write_measurement
    from experiments.noise.source import find_source
    from experiments.train_commands import require_torch

    settings = Settings(micro_batches, micro_batch_size, batch_sizes, coordinates, seed)
    execution = Execution(device=device, threads=threads, cache=cache)
    found = find_source(source, step)
    folder = output or Path("runs") / f"noise-{found.recipe.name}-{found.recipe.fingerprint}-{found.step}"
    require_folder(folder)
    require_torch()
    from experiments.reporting import live_reporter

    with live_reporter() as reporter:
        content, raw = measure(found, settings, execution=execution, progress=reporter.prepare)
    written = write_measurement(folder, content, raw if samples else None)
    _show(content, [*written, *_drawn(content, folder)], json)


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
    from experiments.execution import Execution
    from experiments.noise.along_study import batch_sizes, measure_along, places, summary_row, write_along
    from experiments.noise.measurement import Settings
    from experiments.sweeps.folder import read_folder
    from experiments.train_commands import require_torch
    from figures.commands import tell
    from theory.provenance import provenance

    planned = read_folder(study) if study.is_dir() else None
    if planned is None:
        raise InputError("study", study, "the folder of a study, with its study.json")
    sizes = batch_sizes(planned)
    settings = Settings(micro_batches, micro_batch_size or sizes[0], sizes, coordinates)
    execution = Execution(device=device, threads=threads, cache=cache)
    require_torch()
    todo, lacking = places(study, planned, seeds)
    from experiments.reporting import live_reporter

    command, rows = f"gradpower noise-along {planned.name}", []
    with live_reporter() as reporter:
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


def along_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of the predicted best power of each run's own batch size by law, along the training."""
    laws = dict.fromkeys(p["law"] for row in rows for p in row["predictions"])
    columns: dict[str, list[Any]] = {
        "batch size": [row["trained_at"] for row in rows],
        "seed": [row["seed"] for row in rows],
        "trained": [f"{row['share']:.0%}" for row in rows],
        "loss": [_number(row["loss"]["mean"]) for row in rows],
        "noise scale": [_number(row["noise_scale"]["trace"]["simple"]) for row in rows],
    }
    for law in laws:
        columns[law] = [
            next(
                _power(p)
                for p in row["predictions"]
                if (p["batch_size"], p["law"], p["objective"])
                == (row["trained_at"], law, "equal learning rate")
            )
            for row in rows
        ]
    return result_table("Predicted best power at equal learning rate, along the training", columns)


def noise_figure(
    measurement: Annotated[Path, tyro.conf.Positional],
    output: Path = Path("reproduction"),
    json: Flag = False,
) -> None:
    """Draw a measurement of `gradpower noise` once more.

    Parameters
    ----------
    measurement
        A noise.json, or the folder that it lies in.
    output
        Folder for the picture and its data.
    json
        Print the data as one JSON object.

    Examples
    --------
    $ gradpower noise-figure runs/noise-pocket-0123456789ab-0
    """
    from json import dumps

    from experiments.noise.measurement import read_measurement
    from figures.commands import tell
    from figures.gradient_noise import rows

    content = read_measurement(measurement)
    require_folder(output)
    written = _drawn(content, output)
    if json:
        print(dumps({"rows": rows(content)}))
    tell(written, file=sys.stderr if json else sys.stdout)


def _drawn(content: Mapping[str, Any], folder: Path) -> Sequence[Path]:
    from figures import gradient_noise as picture
    from figures.style import save

    data = picture.rows(content)
    figure = picture.draw(data, sequences=content["settings"]["micro_batch_size"])
    return save(figure, data, content["provenance"], folder, picture.FILE)


def _show(content: Mapping[str, Any], written: Sequence[Path], json: bool) -> None:
    from json import dumps

    from figures.commands import tell

    if json:
        print(dumps(content, allow_nan=False))
    else:
        console = Console()
        console.print(module_table(content))
        console.print(_scale(content), highlight=False)
        console.print(power_table(content))
        console.print(module_power_table(content))
    tell(written, file=sys.stderr if json else sys.stdout)


def module_table(content: Mapping[str, Any]) -> Table:
    """Return the table of the modules: ratios, shape, kurtosis, and whether σ falls as 1/√B."""
    modules = content["modules"]
    size = content["settings"]["micro_batch_size"]
    table = result_table(
        f"Gradient noise at step {content['step']}, micro-batches of {size} sequences",
        {
            "module": [row["module"] for row in modules],
            "σ/|μ|": [_pm(row["noise_to_signal"], row["noise_to_signal_error"]) for row in modules],
            "median": [
                _pm(row["ratio_quantiles"]["debiased"][2], row["ratio_quantiles"]["standard_error"][2])
                for row in modules
            ],
            "shape b": [_pm(row["shape"]["shape"], row["shape"]["error"]) for row in modules],
            "kurtosis": [_number(row["excess_kurtosis"]["pooled"]) for row in modules],
            "zeros": [f"{row['zero_entries']:.0%}" for row in modules],
            "σ·√B": [
                _pm(row["second_size"]["ratio"], row["second_size"]["standard_error"]) for row in modules
            ],
        },
    )
    table.caption = (
        "σ/|μ|: √(Σσ²/Σμ²); median: over coordinates, free of the means' noise\n"
        "shape b: 1 Laplace, 2 Gauss, large: uniform; kurtosis: excess, 0 for Gauss\n"
        "σ·√B: at 4 times the size over that at one, 1 if σ ∝ 1/√B; ± one standard error"
    )
    return table


def _scale(content: Mapping[str, Any]) -> str:
    norms, trace = content["noise_scale"]["norms"], content["noise_scale"]["trace"]
    clipped = ", ".join(f"{row['batch_size']}: {row['clip_factor']:.3g}" for row in content["batch_sizes"])
    return (
        f"gradient-noise scale in sequences: {_range(norms)} from norms, {_range(trace)} from the trace\n"
        f"clip factor by batch size: {clipped}\n"
    )


def _range(scale: Mapping[str, Any]) -> str:
    low, high = ("∞" if value is None else f"{value:.3g}" for value in scale["interval"])
    return f"{_number(scale['simple'])} [{low}, {high}]"


def power_table(content: Mapping[str, Any]) -> Table:
    """Return the table of the best power by batch size and law, for all modules together."""
    rows = [row for row in content["predictions"] if row["module"] == "all"]
    cases = dict.fromkeys((row["batch_size"], row["law"]) for row in rows)
    cell = {(row["batch_size"], row["law"], row["objective"]): _power(row) for row in rows}
    table = result_table(
        "Predicted best power",
        {
            "batch size": [size for size, _ in cases],
            "noise law": [law for _, law in cases],
            **{o: [cell[(*case, o)] for case in cases] for o in ("equal learning rate", "equal RMS")},
        },
    )
    table.caption = (
        "≤ and ≥: at an end of the search; 95 % intervals, which leave out how far a law is\n"
        "from the truth. Direct: Adam run on the measured gradients themselves, without a\n"
        "law: where it is there, go by it. Equal RMS favours powers at which large\n"
        "coordinates move most, whatever the noise.\n"
    )
    return table


def module_power_table(content: Mapping[str, Any]) -> Table:
    """Return the table of the best power at equal learning rate by module, at the fitted law."""
    rows = [
        row
        for row in content["predictions"]
        if row["law"] == "generalized-normal" and row["objective"] == "equal learning rate"
    ]
    modules = list(dict.fromkeys(row["module"] for row in rows))
    sizes = list(dict.fromkeys(row["batch_size"] for row in rows))
    cell = {(row["module"], row["batch_size"]): _power(row) for row in rows}
    columns: dict[str, list[Any]] = {"module": modules}
    columns |= {f"B = {size}": [cell.get((module, size), "–") for module in modules] for size in sizes}
    return result_table("By module, at equal learning rate, fitted generalized-normal noise", columns)


def _power(row: Mapping[str, Any]) -> str:
    if row.get("reason"):
        return str(row["reason"])
    if not row["resolved"]:
        return "no signal resolved"
    sign = {"low": "≤ ", "high": "≥ "}.get(row["at_edge"], "")
    # At the end of the range without a spread, all that is known is that the best power lies there or beyond.
    interval = f" [{row['low']:.2f}, {row['high']:.2f}]" if row["high"] > row["low"] else ""
    return f"{sign}{row['power']:.2f}{interval}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _pm(value: float | None, error: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" + ("" if error is None else f"±{error:.1g}")
