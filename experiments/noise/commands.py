"""The command `gradpower noise`: gradient noise, and the power it calls for."""

import sys
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from experiments.noise.measurement import NOISE, Settings, measure, write_measurement
from experiments.noise.source import find_source
from experiments.noise.tables import module_table, power_table, power_text, scale_text
from experiments.training.commands import Flag, require_torch
from experiments.training.execution import Execution
from experiments.training.reporting import LiveReporter
from gradpower.tools.files import require_folder
from gradpower.tools.terminal import tell


def noise(
    source: Annotated[str, tyro.conf.Positional],
    step: int | None = None,
    micro_batches: int = 256,
    micro_batch_size: int | None = None,
    batch_sizes: tuple[int, ...] | None = None,
    coordinates: int = 8192,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    cache: Path | None = None,
    output: Path | None = None,
    samples: Flag = False,
    json: Flag = False,
) -> None:
    """Predict the best power p at a model from its gradients, which are fed to Adam once more.

    The model stands still while the gradients of independent micro-batches of its training data are taken, each
    sequence once. Adam, with the run's β1, β2, ε and clipping before the power, is fed them in random order: the best
    power has the largest squared drift along the gradient for its long-run variance. A second table tells
    noise-to-signal ratios and the shape of the noise by module.

    Parameters
    ----------
    source
        The folder of a run (its newest checkpoint), one of its checkpoints, a recipe.json or the name of a recipe
        (then at the initial weights).
    step
        Which checkpoint of a run's folder; 0: the initial weights.
    micro_batches
        How many, N >= 8; few make intervals too narrow. A second size, four times as large, checks that σ falls as
        1/√B.
    micro_batch_size
        Sequences in a micro-batch; 8, or the run's batch size if that is smaller, if not given.
    batch_sizes
        Batch sizes to predict for; the run's own, 4 and 16 times as many if not given.
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
    """
    model = find_source(source, step)
    own = model.recipe.training.batch_size
    settings = Settings(
        micro_batches,
        micro_batch_size if micro_batch_size is not None else min(8, own),
        batch_sizes if batch_sizes is not None else (own, 4 * own, 16 * own),
        coordinates,
        seed,
    )
    execution = Execution(device=device, threads=threads, cache=cache)
    folder = output or Path("runs") / f"noise-{model.recipe.name}-{model.recipe.fingerprint}-{model.step}"
    require_folder(folder)
    require_torch()
    with LiveReporter() as reporter:
        measurement, raw = measure(model, settings, execution=execution, progress=reporter.prepare)
    written = write_measurement(folder, measurement, raw if samples else None)
    if json:
        print(written[0].read_text(encoding="utf-8"), end="")
    else:
        measurement = NOISE.read(written[0])
        console = Console()
        print(f"at a batch size of {settings.batch_sizes[0]}: p* = {power_text(measurement.predictions[0])}")
        console.print(power_table(measurement))
        console.print(module_table(measurement))
        console.print(scale_text(measurement), highlight=False)
    file = sys.stderr if json else sys.stdout
    tell(written, file=file)
    print(f"to draw it: gradpower figure gradient-noise {folder}", file=file)
