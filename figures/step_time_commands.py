"""The command `gradpower step-time`: what the power costs on this machine."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from figures import step_time as picture
from figures.commands import checkout_to_refresh, tell
from figures.report import page
from figures.results import dump, results
from figures.step_time_report import HEADINGS, LAUNCH_HEADINGS, cells, launch_cells
from figures.style import save
from gradpower.tools.errors import InputError, require
from gradpower.tools.files import require_folder, write_file
from gradpower.tools.provenance import provenance
from gradpower.tools.terminal import jsonable, progress_bar, result_table

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]
Name = Literal["1M", "10M", "66M", "200M"]
# Tokens of a training step: what a minute allows, and what the logits leave of a GPU's memory.
TRAINING: dict[str, dict[str, Any]] = {
    "cpu": {"sequences": 8, "length": 256},
    "cuda": {"sequences": 64, "length": 256},
}


def step_time(
    size: tuple[Name, ...] = ("1M", "10M", "66M", "200M"),
    model: Name = "66M",
    tensors: tuple[int, ...] = (10, 300, 3000),
    device: Literal["cpu", "cuda"] = "cpu",
    power: float = 1.2,
    rounds: int = 15,
    output: Path = Path("reproduction"),
    json: Flag = False,
    update: Flag = False,
) -> None:
    """Time a step of AdamWPower against one of torch's AdamW, for-loop, foreach and fused, and a whole training step.

    Needs PyTorch; 200M parameters take 7 GB of memory.

    Parameters
    ----------
    size
        Numbers of parameters, in the shapes of a LLaMA.
    model
        The LLaMA whose whole training step is timed.
    tensors
        Numbers of small parameters whose launches are counted.
    device
        Where: cpu or cuda.
    power
        The power p of AdamWPower.
    rounds
        Pairs of steps, one with each optimizer; fewer, but at least 5, where they take longer than 10 s.
    output
        Folder for the results and the figure.
    json
        Print one JSON object instead of a table.
    update
        Also refresh the checkout's own results/step_time.json, paper_repro.md and docs/step_time.png.

    Examples
    --------
    $ gradpower step-time --size 1M 10M
    """
    require_folder(output)
    root = checkout_to_refresh() if update else None
    _check(device, power, rounds)
    for count in tensors:
        require(count >= 1, "tensors", count, "whole numbers >= 1")
    content = _measured(size, model, tensors, device, power, rounds)
    if not json:
        for table in _tables(content):
            Console().print(table)
    written = [write_file(output / "step_time.json", dump(content))]
    steps = content["steps"]
    written += save(picture.draw(steps), picture.rows(steps), content["provenance"], output, picture.FILE)
    if root is not None:
        text = page(root / "results", step_time=content)
        written += [
            write_file(root / "results" / "step_time.json", dump(content)),
            *([write_file(root / "paper_repro.md", text)] if text else []),
            write_file(root / "docs" / "step_time.png", (output / "step_time.png").read_bytes()),
        ]
    if json:
        print(dump(jsonable(content)), end="")
    tell(written, file=sys.stderr if json else sys.stdout)


def _check(device: str, power: float, rounds: int) -> None:
    try:
        import torch
    except ImportError:
        raise InputError(
            "torch", "missing", "an installation: pip install '.[train]' in the checkout"
        ) from None
    from gradpower.inputs import check_power

    try:
        check_power(power)
    except ValueError:
        raise InputError("power", power, "a finite number > 0") from None
    require(rounds >= 3, "rounds", rounds, "a whole number >= 3")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device", device, "cpu, as PyTorch sees no GPU here")


def _measured(
    size: tuple[str, ...], model: str, tensors: tuple[int, ...], device: Any, power: float, rounds: int
) -> dict[str, Any]:
    from experiments.training.launches import all_rows
    from experiments.training.step_time import step_times, training_step_time

    settings: dict[str, Any] = {"device": device, "power": power, "seed": 0}
    with progress_bar("steps") as bar:
        progress = bar or (lambda done, total: None)
        # A whole training step, and the many small parameters, take about as long as the steps of one size each.
        steps = step_times(
            list(size), rounds=rounds, progress=lambda done, total: progress(done, total + 6), **settings
        )
        total = 3 * len(size) + 6
        training = training_step_time(model, **TRAINING[device], rounds=3, **settings)
        progress(total - 3, total)
        launches = all_rows(tensors, device=device, power=power, rounds=rounds)
        progress(total, total)
    config = {
        "size": size,
        "model": model,
        "tensors": tensors,
        "device": device,
        "hardware": _hardware(device),
        "power": power,
        "rounds": rounds,
        "seed": 0,
    }
    origin = provenance("gradpower step-time", config, packages=("torch", "transformers"))
    return results("step_time", origin, steps=steps, training=training, launches=launches)


def _hardware(device: str) -> str:
    import torch

    if device == "cuda":
        return f"one {torch.cuda.get_device_name()}"
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{torch.get_num_threads()} cores ({platform.machine()}, {capability})"


def _tables(content: dict[str, Any]) -> list[Any]:
    parts = (
        ("A step of AdamWPower against one of AdamW", HEADINGS, content["steps"], cells),
        ("Many small parameters", LAUNCH_HEADINGS, content["launches"], launch_cells),
    )
    return [
        result_table(title, dict(zip(headings, map(list, zip(*map(of, rows), strict=True)), strict=True)))
        for title, headings, rows, of in parts
    ]
