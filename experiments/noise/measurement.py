"""A measurement of gradient noise, from a source to `noise.json`."""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experiments.noise.replay import Optimizer, PredictedPower, predict
from experiments.noise.source import Source
from experiments.noise.statistics import ModuleRow, Scale, module_row, scale_of_norms, scale_of_trace
from experiments.recipes.settings import Recipe
from experiments.training.execution import Execution
from gradpower.tools.errors import require, whole
from gradpower.tools.files import write_file
from gradpower.tools.provenance import provenance
from gradpower.tools.results import Kind, Provenance
from theory.measured.micro_batch_gradients import FEWEST, MicroBatchGradients

if TYPE_CHECKING:
    from experiments.corpora import Data

SECOND_SIZE = 4  # micro-batches of the second size are so many times as large, and so many times fewer
# Runs take their order of sequences from small seeds; the measurement must not take the sequences a run began with.
_ORDER = 1_000_003
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """How to measure; InputError if a value is not allowed.

    >>> Settings(micro_batches=16).second_micro_batches
    8
    """

    micro_batches: int = 256
    """N >= 8; with 128 the intervals of the best power are too narrow still."""
    micro_batch_size: int = 8
    """b, in sequences."""
    batch_sizes: tuple[int, ...] = (8, 32, 128)
    """B >= b, that the best power is predicted for."""
    coordinates: int = 8192
    """Coordinates of each module that are sampled."""
    seed: int = 0
    """Of the sequences and of the coordinates."""

    def __post_init__(self) -> None:
        """Check every value."""
        minima = {"micro_batches": FEWEST, "micro_batch_size": 1, "coordinates": 1, "seed": 0}
        for name, minimum in minima.items():
            whole(name, getattr(self, name), minimum)
        given = " ".join(map(str, self.batch_sizes)) or "none"
        lowest = self.micro_batch_size
        allowed = f"one or more whole numbers >= {lowest}, the micro-batch size"
        require(self.batch_sizes and min(self.batch_sizes) >= lowest, "batch_sizes", given, allowed)

    @property
    def second_micro_batches(self) -> int:
        """Micro-batches of the second size."""
        return max(FEWEST, self.micro_batches // SECOND_SIZE)

    @property
    def sequences(self) -> int:
        """Sequences that the whole measurement takes, each once."""
        return self.micro_batch_size * (self.micro_batches + SECOND_SIZE * self.second_micro_batches)


@dataclass(frozen=True)
class Measurement:
    """The content of noise.json."""

    provenance: Provenance[Settings]
    recipe: Recipe
    step: int
    checkpoint: str | None
    """Where the weights lie, from the run's folder on; None for the initial ones."""
    data: str
    """Fingerprint of the text."""
    device: str
    loss: float
    """Mean cross-entropy over micro-batches in nats a token, and its standard error."""
    loss_error: float
    modules: tuple[ModuleRow, ...]
    norms: Scale
    """The gradient-noise scale, estimated in two ways."""
    trace: Scale
    predictions: tuple[PredictedPower, ...]
    """By batch size: all modules together, then each."""

    @property
    def settings(self) -> Settings:
        """How it was measured."""
        return self.provenance.config


NOISE = Kind("noise", Measurement, digits=8, version=2)
Samples = Mapping[str, NDArray[np.float32]]


def measure(
    source: Source,
    settings: Settings,
    *,
    execution: Execution,
    progress: Progress = lambda what, done, total: None,
) -> tuple[Measurement, Samples]:
    """Measure the gradient noise at a model and predict the best power; return it and the sampled gradients by module.

    `execution` has the device, threads and cache of the text. Raises InputError if the text is too little, or the
    gradients are not finite or do not vary.
    """
    from experiments.noise.gradients import measure_gradients, noise_modules, sampled_coordinates
    from experiments.training.devices import Devices
    from experiments.training.loop import PACKAGES
    from theory.measured.shape_fit import fit_shape

    recipe = source.recipe
    data = _open(recipe, settings, execution.cache, progress)
    devices = Devices(recipe, execution, Path())
    model = devices.place(source.model(), compiled=False)
    chosen = sampled_coordinates(noise_modules(model), count=settings.coordinates, seed=settings.seed)
    first, second = (
        measure_gradients(
            model,
            chosen,
            data,
            devices,
            micro_batches=number,
            size=size,
            balance_loss=recipe.model.balance_loss,
            progress=partial(progress, what),
        )
        for what, number, size in (
            ("micro-batches", settings.micro_batches, settings.micro_batch_size),
            ("larger ones", settings.second_micro_batches, SECOND_SIZE * settings.micro_batch_size),
        )
    )
    snrs = first.meter.snrs()
    fits = {name: fit_shape(first.of(name)) for name in first.samples}
    predictions = _predictions(recipe, settings, [first.of(name) for name in first.samples], progress)
    origin = provenance("gradpower noise", dataclasses.asdict(settings), packages=PACKAGES)
    losses = np.array(first.losses)
    measurement = Measurement(
        Provenance(**(origin | {"config": settings})),
        recipe,
        source.step,
        "/".join(source.checkpoint.parts[-3:]) if source.checkpoint else None,
        data.fingerprint,
        f"{devices.device} ({devices.hardware})",
        loss=float(losses.mean()),
        loss_error=float(losses.std(ddof=1)) / math.sqrt(len(losses)),
        modules=tuple(module_row(first, second, name, snrs[name], fit) for name, fit in fits.items()),
        norms=scale_of_norms(first, second),
        trace=scale_of_trace(snrs["all"], first.size),
        predictions=tuple(predictions),
    )
    return measurement, {name: first.of(name).gradients for name in fits}


def _predictions(
    recipe: Recipe, settings: Settings, modules: list[MicroBatchGradients], progress: Progress
) -> list[PredictedPower]:
    adam = recipe.optimizer
    clip = adam.clip_norm if adam.clip_order == "before" else None
    optimizer = Optimizer(adam.beta1, recipe.beta2, adam.epsilon, clip)
    varying = [module for module in modules if np.any(module.sigma > 0)]
    require(varying, "source", recipe.name, "a model whose gradients vary")
    total, done = len(settings.batch_sizes) * (1 + varying[0].groups), itertools.count(1)
    return [
        row
        for batch in settings.batch_sizes
        for row in predict(
            varying,
            batch,
            settings.micro_batch_size,
            optimizer,
            seed=settings.seed,
            progress=lambda: progress("feeding them to Adam", next(done), total),
        )
    ]


def _open(recipe: Recipe, settings: Settings, cache: Path | None, progress: Progress) -> Data:
    from experiments.corpora import open_data

    data = open_data(
        recipe.data,
        seed=settings.seed + _ORDER,
        sequences=1,
        vocabulary=recipe.model.vocabulary,
        cache=cache,
        progress=progress,
    )
    there = data.description.get("available_sequences", math.inf)
    allowed = f"fewer, or smaller ones: {settings.sequences} sequences are needed, {there} are there"
    require(settings.sequences <= there, "micro_batches", settings.micro_batches, allowed)
    return data


def write_measurement(folder: Path, measurement: Measurement, samples: Samples | None) -> list[Path]:
    """Write noise.json and, if given, the sampled gradients: one array a module, (N, coordinates), float32."""
    written = [write_file(folder / NOISE.file, NOISE.dump(**vars(measurement)))]
    if samples is not None:
        packed = io.BytesIO()
        arrays: dict[str, Any] = dict(samples)
        np.savez_compressed(packed, **arrays)
        written.append(write_file(folder / "samples.npz", packed.getvalue()))
    return written
