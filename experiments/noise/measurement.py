"""A measurement of gradient noise, from a source to `noise.json`."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.noise.source import Source
from experiments.training.execution import Execution
from gradpower.tools.errors import InputError, require, whole
from gradpower.tools.files import write_file
from gradpower.tools.provenance import provenance
from gradpower.tools.terminal import jsonable
from theory.measured.micro_batch_gradients import FEWEST
from theory.prediction.predicted_power import AdamSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from experiments.corpora import Data
    from experiments.noise.gradients import Gradients, Raw

SCHEMA = {"name": "gradpower/noise", "version": 1}
SECOND_SIZE = 4  # micro-batches of the second size are so many times as large, and so many times fewer
FILE, SAMPLES = "noise.json", "samples.npz"
# Runs take their order of sequences from small seeds; the measurement must not take the sequences a run began with.
_ORDER = 1_000_003
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes
    ----------
    micro_batches : int
        N >= 8.
    micro_batch_size : int
        b, sequences.
    batch_sizes : tuple of int
        B, that results are extrapolated to.
    coordinates : int
        Coordinates of each module that are sampled.
    seed : int
        Of the sequences and of the coordinates.

    Raises
    ------
    InputError
        If a value is not allowed.

    Examples
    --------
    >>> Settings(micro_batches=16).second_micro_batches
    8
    """

    micro_batches: int = 64
    micro_batch_size: int = 8
    batch_sizes: tuple[int, ...] = (8, 32, 128)
    coordinates: int = 8192
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value."""
        minima = {"micro_batches": FEWEST, "micro_batch_size": 1, "coordinates": 1, "seed": 0}
        for name, minimum in minima.items():
            whole(name, getattr(self, name), minimum)
        if not self.batch_sizes or min(self.batch_sizes) < 1:
            given = " ".join(map(str, self.batch_sizes)) or "none"
            raise InputError("batch_sizes", given, "one or more whole numbers >= 1")

    @property
    def second_micro_batches(self) -> int:
        """Micro-batches of the second size."""
        return max(FEWEST, self.micro_batches // SECOND_SIZE)

    @property
    def sequences(self) -> int:
        """Sequences that the whole measurement takes, each once."""
        return self.micro_batch_size * (self.micro_batches + SECOND_SIZE * self.second_micro_batches)


def measure(
    source: Source,
    settings: Settings,
    *,
    execution: Execution | None = None,
    command: str = "gradpower noise",
    progress: Progress = lambda what, done, total: None,
) -> tuple[dict[str, Any], Raw]:
    """Measure the gradient noise at a model and predict the best power; return the content of noise.json and the raw.

    Parameters
    ----------
    source : Source
        The model.
    settings : Settings
        How to measure.
    execution : Execution, optional
        Device, threads and cache of the text.
    command : str
        For the provenance.
    progress : callable
        Called as progress(what, done, total).

    Raises
    ------
    InputError
        If the text is too little, or the gradients are not finite.
    """
    from experiments.noise import statistics
    from experiments.noise.prediction import Measured, predictions
    from experiments.training.loop import PACKAGES

    raw = _passes(source, settings, execution or Execution(), progress)
    modules = [statistics.module_row(raw, name) for name in raw.modules]
    scale = statistics.noise_scales(raw)
    optimizer = source.recipe.optimizer
    clip = optimizer.clip_norm if optimizer.clip_order == "before" else None
    batches = [
        statistics.batch_row(modules, scale, size, raw.first.size, clip) for size in settings.batch_sizes
    ]
    adam = AdamSettings(optimizer.beta1, source.recipe.beta2, optimizer.epsilon, optimizer.match_epsilon)
    varying = tuple(raw.data(m["module"]) for m in modules if m["noise"] > 0)
    require(varying, "source", source.recipe.name, "a model whose gradients vary between micro-batches")
    measured = Measured(
        varying,
        {m["module"]: statistics.ShapeFit(**m["shape"]) for m in modules},
        raw.first.size,
        adam,
        {row["batch_size"]: row["clip_factor"] for row in batches},
        settings.seed,
    )
    predicted = predictions(measured, lambda done, total: progress("predicting", done, total))
    config = {"source": source.recipe.name, "step": source.step, **dataclasses.asdict(settings)}
    content = {
        "schema": SCHEMA,
        "provenance": provenance(command, config, packages=PACKAGES),
        "recipe": dataclasses.asdict(source.recipe),
        "fingerprint": source.recipe.fingerprint,
        "step": source.step,
        "checkpoint": str(source.checkpoint) if source.checkpoint else None,
        "settings": dataclasses.asdict(settings),
        **raw.about,
        "loss": statistics.mean_and_error(raw.first.losses),
        "adam": dataclasses.asdict(adam),
        "modules": modules,
        "noise_scale": scale,
        "batch_sizes": batches,
        "predictions": predicted,
    }
    return dict(jsonable(content)), raw


def _passes(source: Source, settings: Settings, execution: Execution, progress: Progress) -> Raw:
    from experiments.noise.gradients import Raw, affordable_order, measure_gradients, modules_of

    recipe = source.recipe
    data = _open(source, settings, execution, progress)
    with _devices(source, execution) as devices:
        model = devices.place(source.model(), compiled=False)
        modules = modules_of(model, coordinates=settings.coordinates, seed=settings.seed)
        parameters = sum(module.coordinates for module in modules)
        order = affordable_order(parameters, devices.device)
        found: list[Gradients] = []
        for what, number, size in (
            ("micro-batches", settings.micro_batches, settings.micro_batch_size),
            ("larger ones", settings.second_micro_batches, SECOND_SIZE * settings.micro_batch_size),
        ):
            found.append(
                measure_gradients(
                    model,
                    modules,
                    data,
                    devices,
                    micro_batches=number,
                    size=size,
                    balance_loss=recipe.model.balance_loss,
                    order=None if found else order,
                    progress=partial(progress, what),
                )
            )
        about = {
            "data": {"fingerprint": data.fingerprint, **data.description},
            "device": {"device": str(devices.device), "name": devices.hardware},
            "precision": recipe.training.precision,
            "parameters": parameters,
            "moments": {"order": order, "bytes_per_parameter": 2 * 8 * order + 8},
        }
    return Raw({m.name: m.coordinates for m in modules}, found[0], found[1], order, about)


@contextmanager
def _devices(source: Source, execution: Execution) -> Iterator[Any]:
    from experiments.training.devices import Devices

    devices = Devices(source.recipe, execution, Path())
    try:
        yield devices
    finally:
        devices.close(wait=True)


def _open(source: Source, settings: Settings, execution: Execution, progress: Progress) -> Data:
    from experiments.corpora import open_data

    recipe = source.recipe
    data = open_data(
        recipe.data,
        seed=settings.seed + _ORDER,
        sequences=1,
        vocabulary=recipe.model.vocabulary,
        cache=execution.cache,
        progress=progress,
    )
    there = data.description.get("available_sequences", math.inf)
    if settings.sequences > there:
        allowed = f"fewer, or smaller ones: {settings.sequences} sequences are needed, {there} are there"
        raise InputError("micro_batches", settings.micro_batches, allowed)
    return data


def write_measurement(folder: Path, content: Mapping[str, Any], raw: Raw | None) -> list[Path]:
    """Write noise.json and, if `raw` is given, the sampled gradients: one array a module, (N, coordinates), float32.

    Parameters
    ----------
    folder : Path
        Where to.
    content : mapping
        From `measure`.
    raw : Raw, optional
        From `measure`.
    """
    written = [write_file(folder / FILE, json.dumps(content, indent=1, allow_nan=False) + "\n")]
    if raw is not None:
        packed = io.BytesIO()
        arrays: dict[str, Any] = {name: raw.first.array(name) for name in raw.modules}
        np.savez_compressed(packed, **arrays)
        written.append(write_file(folder / SAMPLES, packed.getvalue()))
    return written


def read_measurement(path: Path) -> dict[str, Any]:
    """Return the content of a noise.json, or of the one in a folder.

    Raises
    ------
    InputError
        If it cannot be read, or is none of ours.
    """
    file = path / FILE if path.is_dir() else path
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA or "modules" not in content:
        raise InputError("measurement", path, "a file of schema gradpower/noise, version 1")
    return content
