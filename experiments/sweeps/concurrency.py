"""How many workers at once bring most arms an hour: measured, as small arms leave a device idle."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from experiments.fields import from_dict, to_dict
from experiments.model_size import training_flops
from experiments.sweeps.processes import Process
from experiments.sweeps.study import Arm
from experiments.sweeps.worker import execution_of
from gradpower.tools.files import write_file
from gradpower.tools.terminal import jsonable

SCHEMA = {"name": "gradpower/workers", "version": 1}
WARM_UP, SECONDS, PATIENCE = 3, 3.0, 300.0
ROUNDS, DAY = 2, 86400.0
_MOST_ON_A_GPU = 16
# What a process keeps on a GPU beside torch's own memory: context and kernels.
_CONTEXT = 600e6


@dataclass(frozen=True)
class Throughput:
    """What a number of workers at once achieved.

    Attributes
    ----------
    workers : int
        How many.
    threads : int
        CPU threads of each.
    arms_per_hour : float
        Steps a second of all of them together, in arms; evaluations and checkpoints are left out.
    gain : float
        That, over one worker's.
    """

    workers: int
    threads: int
    arms_per_hour: float
    gain: float


def threads_of(workers: int, fields: Mapping[str, Any]) -> int:
    """Return the CPU threads of each of so many workers: the cores divided among them, if nothing else is said.

    >>> threads_of(4, {"threads": 3})
    3
    """
    from joblib import cpu_count

    return int(fields.get("threads") or max(1, cpu_count() // workers))


def best_workers(
    folder: Path,
    arm: Arm,
    fields: Mapping[str, Any],
    most: int,
    processes: list[Process],
    *,
    again: bool = False,
) -> list[Throughput]:
    """Measure arms an hour for 1, 2, 4, … workers, as long as it grows; the last is the best but one at the most.

    All numbers are tried in turn, and then once more, and of each the best counts: other work on a machine only slows.

    Parameters
    ----------
    folder : Path
        The study's; workers.json in it keeps for a day what was measured, for the same machine, model and batch.
    arm : Arm
        The arm that is tried for some steps, in a folder that is removed afterwards.
    fields : mapping
        The fields of `Execution`.
    most : int
        Never more workers than that: the number of open arms.
    processes : list of Process
        Worker processes, to which more are added; they are reused for the arms.
    again : bool
        Measure whatever is kept.

    Returns
    -------
    list of Throughput
        By rising number of workers; empty where no step could be taken.
    """
    key = _key(arm, fields)
    kept = _read(folder / "workers.json")
    found = next((entry for entry in kept if entry["key"] == key), None)
    if found is not None and not again and 0 <= time.time() - found.get("time", 0.0) < DAY:
        return [Throughput(**row) for row in found["measured"]]
    speeds = _speeds(folder, arm, fields, most, processes)
    steps = arm.recipe.training.steps
    rows = [
        Throughput(workers, threads_of(workers, fields), 3600 * speed / steps, speed / speeds[1])
        for workers, speed in sorted(speeds.items())
    ]
    if not rows:
        return []
    entry = {"key": key, "time": time.time(), "measured": [asdict(row) for row in rows]}
    others = [entry for entry in kept if entry["key"] != key]
    content = {"schema": SCHEMA, "entries": [*others, entry]}
    write_file(folder / "workers.json", json.dumps(jsonable(content), indent=1) + "\n")
    return rows


def _speeds(
    folder: Path, arm: Arm, fields: Mapping[str, Any], most: int, processes: list[Process]
) -> dict[int, float]:
    """Return the best speed by number of workers, in steps a second of all of them together."""
    speeds: dict[int, float] = {}
    limit = most
    for _ in range(ROUNDS):
        workers = 1
        while workers <= limit:
            while len(processes) < workers:
                processes.append(Process())
            ends = _measure(folder, arm, fields, processes[:workers])
            if ends is None:
                limit = workers - 1
                break
            limit = min(limit, _room(ends[0], fields))
            speed = sum(end["steps_per_second"] for end in ends)
            speeds[workers] = max(speed, speeds.get(workers, 0.0))
            if workers > 1 and speeds[workers] < speeds[workers // 2]:
                break
            workers *= 2
    return speeds


def fastest(rows: Sequence[Throughput]) -> int:
    """Return the number of workers with most arms an hour.

    >>> fastest([Throughput(1, 2, 10.0, 1.0), Throughput(2, 1, 15.0, 1.5)])
    2
    """
    return max(rows, key=lambda row: row.arms_per_hour).workers if rows else 1


def _key(arm: Arm, fields: Mapping[str, Any]) -> dict[str, Any]:
    import platform

    from joblib import cpu_count

    recipe = arm.recipe
    settings = ("device", "micro_batch_size", "compile", "threads")
    return {
        "machine": platform.node(),
        "cores": cpu_count(),
        "gpus": _gpus(),
        "execution": {name: fields.get(name) for name in settings},
        "flops": training_flops(recipe.model, recipe.data.sequence_length) * recipe.tokens_per_step,
        "precision": recipe.training.precision,
    }


def _gpus() -> list[str]:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_name(index) for index in range(count)]


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    whole = isinstance(content, dict) and content.get("schema") == SCHEMA
    return list(content["entries"]) if whole else []


def _room(end: Mapping[str, Any], fields: Mapping[str, Any]) -> int:
    """Return how many workers there is room for: on GPUs by memory, else one a core."""
    from joblib import cpu_count

    if not end["memory"]:
        return int(cpu_count())
    on_one = min(_MOST_ON_A_GPU, int(0.9 * end["memory_of_device"] / (end["memory"] + _CONTEXT)))
    all_gpus = len(_gpus()) if fields.get("device", "auto") in ("auto", "cuda") else 1
    return max(1, on_one) * all_gpus


def _measure(
    folder: Path, arm: Arm, fields: Mapping[str, Any], processes: Sequence[Process]
) -> list[dict[str, Any]] | None:
    """Return what workers at once achieved; None if one of them could not, for want of memory perhaps."""
    told = {**fields, "threads": threads_of(len(processes), fields)}
    recipe, count = to_dict(arm.recipe), len(processes)
    with TemporaryDirectory(prefix="measuring-", dir=folder) as place:
        try:
            calls = [
                process.call(time_steps, recipe, told, place, index, count)
                for index, process in enumerate(processes)
            ]
            return [call.result() for call in calls]
        except Exception:
            # If even one worker cannot, the arm itself will say why when it is run.
            for process in processes:
                process.close(kill=True)
            return None


def time_steps(
    recipe: Mapping[str, Any], fields: Mapping[str, Any], place: str, index: int, count: int
) -> dict[str, Any]:
    """Train some seconds together with other processes, throw the weights away, and return the speed.

    Parameters
    ----------
    recipe, fields : mapping
        Of `Recipe` and `Execution`, as plain data.
    place : str
        Folder in which the processes wait for each other.
    index, count : int
        Which process this is, of how many.

    Returns
    -------
    dict
        `steps_per_second`; on a GPU `memory` and `memory_of_device` in bytes, else 0.

    Raises
    ------
    TimeoutError
        If the other processes do not get ready.
    """
    import torch

    from experiments.reporting import Silent
    from experiments.run import Run

    state = torch.get_rng_state()
    execution = execution_of(fields, index)
    with Run(from_dict(recipe), Path(place) / str(index), execution, Silent()) as run:
        for _ in range(WARM_UP):
            run.train_step()
        run.window()  # waits for the device
        _wait_for_all(Path(place), index, count)
        begun, steps = time.perf_counter(), 0
        while steps < 2 or time.perf_counter() - begun < SECONDS:
            run.train_step()
            steps += 1
        run.window()
        speed = steps / (time.perf_counter() - begun)
        on_gpu = run.devices.device.type == "cuda"
        memory = torch.cuda.max_memory_reserved(run.devices.device) if on_gpu else 0
        whole = torch.cuda.get_device_properties(run.devices.device).total_memory if on_gpu else 0
    torch.set_rng_state(state)
    return {"steps_per_second": speed, "memory": memory, "memory_of_device": whole}


def _wait_for_all(place: Path, index: int, count: int) -> None:
    (place / f"ready-{index}").touch()
    end = time.monotonic() + PATIENCE
    while len(list(place.glob("ready-*"))) < count:
        if time.monotonic() > end:
            raise TimeoutError(f"{place}: other workers did not get ready in {PATIENCE:g} s")
        time.sleep(0.005)
