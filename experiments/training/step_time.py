"""What the power costs: a step of AdamWPower against one of AdamW, alternately in one run on one machine.

The paper reports 0.7565 s against 0.7534 s for a whole training step of LLaMA 0.25B (+0.4 %).
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from experiments.training.step_cost import Device, StepTime, Times, TrainingTime
from gradpower import AdamWPower

Progress = Callable[[int, int], None]
# float32 AdamW must read the parameter, gradient and both moments, and write all but the gradient.
LEAST_BYTES = 7 * 4
PATIENCE, LEAST_PAIRS = 10.0, 5
IMPLEMENTATIONS: dict[str, dict[str, bool]] = {
    "for-loop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}


@dataclass(frozen=True)
class Size:
    """Widths of a LLaMA: with a vocabulary of 32100 these are the shapes of the parameters to be updated.

    Examples
    --------
    >>> f"{SIZES['66M'].parameters / 1e6:.1f}M"
    '66.4M'
    """

    width: int
    hidden: int
    layers: int
    vocabulary: int = 32100

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of all parameters, embedding and untied head included."""
        d, h = self.width, self.hidden
        layer: list[tuple[int, ...]] = [*[(d, d)] * 4, (h, d), (h, d), (d, h), (d,), (d,)]
        return [(self.vocabulary, d), *layer * self.layers, (d,), (self.vocabulary, d)]

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(map(math.prod, self.shapes))


SIZES = {
    "1M": Size(128, 512, 3, vocabulary=1024),
    "10M": Size(256, 1024, 8, vocabulary=4096),
    "66M": Size(512, 2048, 8),
    "200M": Size(768, 3072, 16),
}


def step_times(
    sizes: list[str], *, device: Device, power: float, rounds: int, seed: int, progress: Progress
) -> list[StepTime]:
    """Return one row for each size and implementation: seconds of both optimizers, their ratio, bandwidths.

    Parameters
    ----------
    sizes : list of str
        Keys of `SIZES`.
    device : str
        "cpu" or "cuda".
    power : float
        p of AdamWPower.
    rounds : int
        Pairs of steps at the most, AdamW and AdamWPower in turn; the ratio is the median over pairs.
    seed : int
        Of parameters and gradients, which do not matter for time.
    progress : callable
        Called with the settings done and their number.
    """
    rows: list[StepTime] = []
    total = len(sizes) * len(IMPLEMENTATIONS)
    for name in sizes:
        copy = copy_bandwidth(device)
        for implementation, flags in IMPLEMENTATIONS.items():
            base = prepared(torch.optim.AdamW, SIZES[name], device, seed, **flags)
            powered = prepared(AdamWPower, SIZES[name], device, seed, power=power, **flags)
            pairs = alternately(base.step, powered.step, device, rounds)
            times, least = summary(pairs), LEAST_BYTES * SIZES[name].parameters / 1e9
            rows.append(
                StepTime(
                    name,
                    SIZES[name].parameters,
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


def training_step_time(
    size: str, *, sequences: int, length: int, device: Device, power: float, rounds: int, seed: int
) -> TrainingTime:
    """Return the time of a whole training step of a LLaMA and the share that the power adds to it.

    The share is (time of AdamWPower's step − time of AdamW's)/(forward, backward and AdamW's step), all `fused`; the
    difference of two whole steps would drown in their noise.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    widths, tokens = SIZES[size], sequences * length
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=widths.vocabulary,
        hidden_size=widths.width,
        intermediate_size=widths.hidden,
        num_hidden_layers=widths.layers,
        num_attention_heads=widths.width // 64,
    )
    model: Any = LlamaForCausalLM(config)
    model.to(device)
    data = torch.randint(widths.vocabulary, (sequences, length), device=device)

    def forward_and_backward() -> None:
        model.zero_grad()
        model(input_ids=data, labels=data, use_cache=False).loss.backward()

    passes = [_timed(forward_and_backward, device) for _ in range(rounds + 1)][1:]
    base = torch.optim.AdamW(model.parameters(), fused=True)
    powered = AdamWPower(model.parameters(), fused=True, power=power)
    times = summary(alternately(base.step, powered.step, device, 4 * rounds))
    whole = statistics.median(passes) + times.base_seconds
    added = times.powered_seconds - times.base_seconds
    parameters = sum(p.numel() for p in model.parameters())
    return TrainingTime(size, parameters, tokens, **asdict(times), whole_seconds=whole, share=added / whole)


def copy_bandwidth(device: Device) -> float:
    """Return the bytes per second that a large copy reads and writes, the best of seven."""
    source = torch.ones(1 << 24, device=device)
    target = torch.empty_like(source)
    best = min(_timed(lambda: target.copy_(source), device) for _ in range(7))
    return 8 * source.numel() / best


def prepared(kind: Any, size: Size, device: Device, seed: int, **keywords: Any) -> torch.optim.Optimizer:
    """Return an AdamW of some class on parameters of these shapes that have gradients."""
    generator = torch.Generator(device).manual_seed(seed)
    params: list[Tensor] = []
    for shape in size.shapes:
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
        if index % 2:
            b = _timed(second, device)
            pairs.append((_timed(first, device), b))
        else:
            a = _timed(first, device)
            pairs.append((a, _timed(second, device)))
    return pairs[1:]


def _timed(function: Callable[[], Any], device: Device) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if device == "cuda":
        torch.cuda.synchronize()
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
