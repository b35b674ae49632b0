"""What the power costs: a step of AdamWPower against one of AdamW, alternately in one run on one machine.

The paper reports 0.7565 s against 0.7534 s for a whole training step of LLaMA 0.25B (+0.4 %).
"""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from experiments.recipes.model_size import model_size
from experiments.recipes.settings import ModelSettings
from experiments.training.models import build_model
from experiments.training.step_cost import CostConfig, Device, StepTime, Times, TrainingTime
from gradpower import AdamWPower

Progress = Callable[[int, int], None]
# float32 AdamW must read the parameter, gradient and both moments, and write all but the gradient.
LEAST_BYTES = 7 * 4
PATIENCE, LEAST_PAIRS = 10.0, 5
LENGTH = 256  # of sequences
PASSES = 3  # forward and backward, timed
IMPLEMENTATIONS: dict[str, dict[str, bool]] = {
    "for-loop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
SIZES = {
    "1M": ModelSettings(width=128, hidden=512, heads=2, layers=3, vocabulary=1024),
    "10M": ModelSettings(width=256, hidden=1024, heads=4, layers=8, vocabulary=4096),
    "66M": ModelSettings(width=512, hidden=2048, heads=8, layers=8),
    "200M": ModelSettings(width=768, hidden=3072, heads=12, layers=16),
}


def shapes(size: str) -> list[torch.Size]:
    """Return the shapes of all parameters of a model; none is made.

    >>> len(shapes("1M"))
    30
    """
    with torch.device("meta"):
        model = build_model(SIZES[size], seed=0, length=LENGTH)
    return [p.shape for p in model.parameters()]


def step_times(config: CostConfig, progress: Progress) -> list[StepTime]:
    """Return one row for each size and implementation: seconds of both optimizers, their ratio, bandwidths.

    At most `rounds` pairs of steps are taken, AdamW and AdamWPower in turn; the ratio is the median over pairs.
    """
    device, seed = config.device, config.seed
    rows: list[StepTime] = []
    total = len(config.size) * len(IMPLEMENTATIONS)
    for name in config.size:
        copy, parameters = copy_bandwidth(device), model_size(SIZES[name]).total
        for implementation, flags in IMPLEMENTATIONS.items():
            base = prepared(torch.optim.AdamW, name, device, seed, **flags)
            powered = prepared(AdamWPower, name, device, seed, power=config.power, **flags)
            times = summary(alternately(base.step, powered.step, device, config.rounds))
            least = LEAST_BYTES * parameters / 1e9
            rows.append(
                StepTime(
                    name,
                    parameters,
                    implementation,
                    **asdict(times),
                    copy_gb_per_second=copy / 1e9,
                    base_gb_per_second=least / times.base_seconds,
                    powered_gb_per_second=least / times.powered_seconds,
                )
            )
            del base, powered
            progress(len(rows), total)
    return rows


def training_step_time(config: CostConfig, *, sequences: int, length: int = LENGTH) -> TrainingTime:
    """Return the time of a whole training step of a LLaMA and the share that the power adds to it.

    The share is (time of AdamWPower's step − time of AdamW's)/(forward, backward and AdamW's step), all `fused`; the
    difference of two whole steps would drown in their noise.
    """
    settings, device = SIZES[config.model], config.device
    torch.manual_seed(config.seed)
    model: Any = build_model(settings, seed=config.seed, length=length)
    model.to(device)
    data = torch.randint(settings.vocabulary, (sequences, length), device=device)

    def forward_and_backward() -> None:
        model.zero_grad()
        model(input_ids=data, labels=data, use_cache=False).loss.backward()

    passes = [_timed(forward_and_backward, device) for _ in range(PASSES + 1)][1:]
    base = torch.optim.AdamW(model.parameters(), fused=True)
    powered = AdamWPower(model.parameters(), fused=True, power=config.power)
    times = summary(alternately(base.step, powered.step, device, 4 * PASSES))
    whole = statistics.median(passes) + times.base_seconds
    added = times.powered_seconds - times.base_seconds
    parameters = sum(p.numel() for p in model.parameters())
    return TrainingTime(
        config.model,
        parameters,
        sequences * length,
        **asdict(times),
        whole_seconds=whole,
        share=added / whole,
    )


def copy_bandwidth(device: Device) -> float:
    """Return the bytes per second that a large copy reads and writes, the best of seven."""
    source = torch.ones(1 << 24, device=device)
    target = torch.empty_like(source)
    best = min(_timed(lambda: target.copy_(source), device) for _ in range(7))
    return 8 * source.numel() / best


def prepared(kind: Any, size: str, device: Device, seed: int, **keywords: Any) -> torch.optim.Optimizer:
    """Return an AdamW of some class on parameters of these shapes that have gradients."""
    generator = torch.Generator(device).manual_seed(seed)
    params: list[Tensor] = []
    for shape in shapes(size):
        p = torch.nn.Parameter(torch.zeros(shape, device=device))
        p.grad = torch.randn(shape, device=device, generator=generator).mul_(1e-3)
        params.append(p)
    optimizer: torch.optim.Optimizer = kind(params, lr=1e-3, weight_decay=0.1, betas=(0.9, 0.95), **keywords)
    return optimizer


def alternately(
    first: Callable[[], Any], second: Callable[[], Any], device: Device, rounds: int
) -> list[tuple[float, float]]:
    """Return pairs of seconds; the order within a pair alternates, and the first pair warms up and is not counted.

    No new pair is begun after `PATIENCE` seconds, once there are `LEAST_PAIRS`.
    """
    pairs: list[tuple[float, float]] = []
    start = time.perf_counter()
    for index in range(rounds + 1):
        if len(pairs) > LEAST_PAIRS and time.perf_counter() - start > PATIENCE:
            break
        order = (second, first) if index % 2 else (first, second)
        seconds = {step: _timed(step, device) for step in order}
        pairs.append((seconds[first], seconds[second]))
    return pairs[1:]


def _timed(function: Callable[[], Any], device: Device) -> float:
    synchronize: Callable[[], Any] = torch.cuda.synchronize if device == "cuda" else lambda: None
    synchronize()
    start = time.perf_counter()
    function()
    synchronize()
    return time.perf_counter() - start


def summary(pairs: list[tuple[float, float]]) -> Times:
    """Return medians, and half the width of the ratio's 95 % interval by order statistics."""
    ratios = sorted(b / a for a, b in pairs)
    spread = 0.98 * math.sqrt(len(ratios))
    middle = (len(ratios) - 1) / 2
    low, high = max(0, math.floor(middle - spread)), min(len(ratios) - 1, math.ceil(middle + spread))
    return Times(
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(ratios),
        (ratios[high] - ratios[low]) / 2,
    )
