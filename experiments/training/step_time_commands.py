"""The command `gradpower step-time`: what the power costs on this machine."""

import os
import platform
import sys
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table

from experiments.training.commands import Flag, require_torch
from experiments.training.step_cost import STEP_COST, CostConfig, Device, StepCost
from gradpower.tools.errors import real, require, whole
from gradpower.tools.files import require_folder, write_file
from gradpower.tools.provenance import provenance
from gradpower.tools.terminal import progress_bar, result_table, tell

_BUSY = 0.5  # cores, on average over the last minute
Name = Literal["1M", "10M", "66M", "200M"]
# Sequences of 256 tokens in a training step: what a minute allows, and what the logits leave of a GPU's memory.
SEQUENCES: dict[Device, int] = {"cpu": 8, "cuda": 64}


def step_time(
    size: tuple[Name, ...] = ("1M", "10M", "66M", "200M"),
    model: Name = "66M",
    tensors: tuple[int, ...] = (10, 300, 3000),
    device: Device = "cpu",
    power: float = 1.2,
    rounds: int = 15,
    output: Path = Path("reproduction"),
    json: Flag = False,
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
        Folder for step_time.json.
    json
        Print one JSON object instead of a table.
    """
    require_folder(output)
    require_torch()
    real("power", power, gt=0)
    whole("rounds", rounds, 3)
    for count in tensors:
        whole("tensors", count)
    config = CostConfig(size, model, tensors, device, _hardware(device), power, rounds, seed=0)
    others = os.getloadavg()[0]
    if device == "cpu" and others > _BUSY:
        print(
            f"other work takes {others:.1f} of {os.cpu_count()} cores: idle ones tell more", file=sys.stderr
        )
    text = _measured(config)
    path = write_file(output / STEP_COST.file, text)
    if json:
        print(text, end="")
    else:
        for table in _tables(STEP_COST.read(path)):
            Console().print(table)
    stream = sys.stderr if json else sys.stdout
    tell([path], file=stream)
    print(f"to draw it: gradpower figure step-time {path}", file=stream)


def _measured(config: CostConfig) -> str:
    """Measure, and return the text of the result file."""
    from experiments.training.launches import all_rows
    from experiments.training.step_time import step_times, training_step_time

    with progress_bar("steps") as bar:
        progress = bar or (lambda done, total: None)
        # A whole training step, and the many small parameters, take about as long as the steps of one size each.
        steps = step_times(config, lambda done, total: progress(done, total + 6))
        total = len(steps) + 6
        training = training_step_time(config, sequences=SEQUENCES[config.device])
        progress(total - 3, total)
        launches = all_rows(config)
        progress(total, total)
    plain = msgspec.to_builtins(config)
    origin = provenance("gradpower step-time", plain, packages=("torch", "transformers"))
    return STEP_COST.dump(origin, steps=steps, training=training, launches=launches)


def _hardware(device: str) -> str:
    import torch

    if device == "cuda":
        require(torch.cuda.is_available(), "device", device, "cpu, as PyTorch sees no GPU here")
        return f"one {torch.cuda.get_device_name()}"
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{torch.get_num_threads()} cores ({platform.machine()}, {capability})"


def _tables(content: StepCost) -> list[Table]:
    steps, launches = content.steps, content.launches
    return [
        result_table(
            "A step of AdamWPower against one of AdamW",
            {
                "parameters": [f"{row.parameters / 1e6:.1f}M" for row in steps],
                "implementation": [row.implementation for row in steps],
                "AdamW, ms": [f"{row.base_seconds * 1e3:.3g}" for row in steps],
                "AdamWPower, ms": [f"{row.powered_seconds * 1e3:.3g}" for row in steps],
                "ratio": [f"{row.ratio:.2f} ± {row.ratio_margin:.2f}" for row in steps],
                "GB/s": [f"{row.powered_gb_per_second:.3g}" for row in steps],
                "copy, GB/s": [f"{row.copy_gb_per_second:.3g}" for row in steps],
            },
        ),
        result_table(
            "Many small parameters",
            {
                "optimizer": [row.optimizer for row in launches],
                "layout": [row.layout for row in launches],
                "parameters": [row.tensors for row in launches],
                "launches": [row.base_launches for row in launches],
                "with the power": [row.powered_launches for row in launches],
                "ratio of times": [f"{row.ratio:.2f} ± {row.ratio_margin:.2f}" for row in launches],
            },
        ),
    ]
