"""Gradient noise along the runs of a study: one measurement for every kept snapshot of its baseline runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.noise.measurement import FILE, Settings, measure, read_measurement, write_measurement
from experiments.noise.source import Source, find_source
from experiments.sweeps.arms import arm_folder
from experiments.sweeps.study import Arm, Study
from experiments.training.execution import Execution
from gradpower.tools.errors import InputError
from gradpower.tools.files import write_file
from gradpower.tools.terminal import jsonable

ALONG = "noise_along.json"
SCHEMA = {"name": "gradpower/noise-along-study", "version": 1}
_ROW = ("loss", "noise_scale", "batch_sizes")
_MODULE = (
    "module",
    "coordinates",
    "noise_to_signal",
    "noise_to_signal_error",
    "ratio_quantiles",
    "shape",
    "excess_kurtosis",
    "second_size",
)
_PREDICTION = ("batch_size", "law", "objective", "power", "low", "high", "at_edge", "resolved", "reason")


@dataclass(frozen=True)
class Place:
    """A snapshot of an arm, and where its measurement goes.

    Attributes
    ----------
    arm : Arm
        The run.
    source : Source
        The snapshot.
    folder : Path
        The measurement's.
    """

    arm: Arm
    source: Source
    folder: Path

    @property
    def share(self) -> float:
        """Share of the steps taken."""
        return self.source.step / self.arm.recipe.training.steps


def places(folder: Path, study: Study, seeds: Sequence[int]) -> tuple[list[Place], list[Arm]]:
    """Return every snapshot of the study's baseline runs of some seeds, and those of the runs that have none.

    Raises
    ------
    InputError
        If there is none.
    """
    from experiments.training.checkpoints import checkpoints

    rule = study.rule
    found: list[Place] = []
    lacking = []
    for arm in study.arms():
        if arm.seed not in seeds or arm.values[rule.compared] != rule.baseline:
            continue
        own = arm_folder(folder, arm.fingerprint)
        snapshots = checkpoints(own / "snapshots")
        lacking += [] if snapshots else [arm]
        for snapshot in snapshots:
            source = find_source(str(snapshot))
            found.append(Place(arm, source, folder / "noise" / f"{arm.fingerprint}-{source.step}"))
    if not found:
        allowed = "the folder of a study whose sweep was given --snapshots 0.01 0.1 0.5 1"
        raise InputError("study", folder, allowed)
    return found, lacking


def batch_sizes(study: Study) -> tuple[int, ...]:
    """Return the batch sizes of a study's runs, increasing."""
    return tuple(sorted({arm.recipe.training.batch_size for arm in study.arms()}))


def measure_along(
    todo: Sequence[Place],
    settings: Settings,
    execution: Execution,
    command: str,
    progress: Callable[[str, int, int], None],
) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the content of every place's noise.json, measured if it is not there by these settings.

    Raises
    ------
    InputError
        As `measurement.measure`.
    """
    for place in todo:
        there = place.folder / FILE
        if there.exists():
            content = read_measurement(there)
            if content["settings"] == jsonable(asdict(settings)):
                yield place, content
                continue
        content, _ = measure(place.source, settings, execution=execution, command=command, progress=progress)
        write_measurement(place.folder, content, None)
        yield place, content


def write_along(
    folder: Path, study: Study, rows: Sequence[Mapping[str, Any]], origin: Mapping[str, Any]
) -> Path:
    """Write noise_along.json, small enough to be committed, and return its path.

    Parameters
    ----------
    folder : Path
        Where to.
    study : Study
        Whose runs they are.
    rows : sequence of mapping
        From `summary_row`.
    origin : mapping
        From `gradpower.tools.provenance.provenance`.
    """
    content = {
        "schema": SCHEMA,
        "study": study.name,
        "fingerprint": study.fingerprint,
        "provenance": origin,
        "measurements": list(rows),
    }
    text = json.dumps(jsonable(content), indent=1, allow_nan=False)
    return write_file(folder / ALONG, text + "\n")


def read_along(path: Path) -> dict[str, Any]:
    """Return the content of a noise_along.json.

    Raises
    ------
    InputError
        If it cannot be read, or is none of ours.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError("noise", path, "a file of schema gradpower/noise-along-study, version 1")
    return content


def summary_row(place: Place, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a measurement is kept in the study's summary: no curves, and predictions of all modules only."""
    return {
        "trained_at": place.arm.recipe.training.batch_size,
        "seed": place.arm.seed,
        "step": place.source.step,
        "share": place.share,
        **{key: content[key] for key in _ROW},
        "modules": [{key: module[key] for key in _MODULE} for module in content["modules"]],
        "predictions": [
            {key: row.get(key) for key in _PREDICTION}
            for row in content["predictions"]
            if row["module"] == "all"
        ],
    }
