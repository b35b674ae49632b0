"""How long arms will take: from the speed of finished ones, else from their operations and a timed matrix product."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from experiments.model_size import training_flops
from experiments.settings import ModelSettings
from experiments.sweeps.arms import ArmState
from experiments.sweeps.study import Arm

_SECONDS = 1.0


@dataclass(frozen=True)
class Estimate:
    """Seconds that an arm still needs on one worker, and what they rest on.

    Attributes
    ----------
    seconds : float
        Tokens left × seconds a token.
    basis : str
        "measured": the median of finished arms of the same model; "operations": see `matmul_flops`, which no training
        reaches, so that it is a lower bound; "done": nothing is left.
    """

    seconds: float
    basis: Literal["measured", "operations", "done"]


def estimates(arms: Sequence[Arm], states: Sequence[ArmState], fields: Mapping[str, Any]) -> list[Estimate]:
    """Return what each arm still needs.

    Parameters
    ----------
    arms, states : sequences
        The arms and where they are, in the same order.
    fields : mapping
        The fields of `Execution`: on which device a matrix product is to be timed, if need be.
    """
    speeds: dict[tuple[ModelSettings, int, str], list[float]] = {}
    for arm, state in zip(arms, states, strict=True):
        if state.state in ("completed", "diverged") and state.tokens_per_second:
            speeds.setdefault(_kind(arm), []).append(state.tokens_per_second)
    made, flops = [], 0.0
    for arm, state in zip(arms, states, strict=True):
        tokens = (state.steps - state.step) * arm.recipe.tokens_per_step
        known = sorted(speeds.get(_kind(arm), []))
        if state.state in ("completed", "diverged"):
            made.append(Estimate(0.0, "done"))
        elif known:
            made.append(Estimate(tokens / known[len(known) // 2], "measured"))
        else:
            flops = flops or matmul_flops(fields)
            each = training_flops(arm.recipe.model, arm.recipe.data.sequence_length)
            made.append(Estimate(tokens * each / flops, "operations"))
    return made


def device_of(fields: Mapping[str, Any]) -> str:
    """Return in words for which device `estimates` are.

    >>> device_of({"device": "cpu"})
    "this machine's CPU"
    """
    import torch

    on_gpu = fields.get("device", "auto") != "cpu" and torch.cuda.is_available()
    return f"one {torch.cuda.get_device_name()}" if on_gpu else "this machine's CPU"


def _kind(arm: Arm) -> tuple[ModelSettings, int, str]:
    return arm.recipe.model, arm.recipe.data.sequence_length, arm.recipe.training.precision


def matmul_flops(fields: Mapping[str, Any]) -> float:
    """Return the operations a second of square matrix products on the device, timed for a second.

    float32 on the CPU, bfloat16 on a GPU.
    """
    import torch

    on_gpu = fields.get("device", "auto") != "cpu" and torch.cuda.is_available()
    size, kind = (8192, torch.bfloat16) if on_gpu else (1024, torch.float32)
    matrix = torch.ones(size, size, dtype=kind, device="cuda" if on_gpu else "cpu")

    def product() -> None:
        torch.mm(matrix, matrix)
        if on_gpu:
            torch.cuda.synchronize()

    product()
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < _SECONDS:
        product()
        count += 1
    return 2.0 * size**3 * count / (time.perf_counter() - begun)
