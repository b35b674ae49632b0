"""AdamW on powered gradients as one Triton launch for many tensors, without a powered copy of the gradients.

Each element is read once, powered and stepped in float32, and written once. What changes between steps compiles nothing
and waits for nothing: numbers are plain arguments of the kernel, 0-dimensional tensors are read by it on the device.
The addresses of the tensors lie in a table on the device, which is written by device kernels that take the addresses as
arguments: no host buffer is copied, so none can be overwritten too early.

Accuracy: |g|^p is within 3e-7 of the exact power (relative; |g| in 1e-20 … 1e3, p in 0.3 … 3), and |g|^1 is |g|. The
power enters as two float32 numbers, so its own rounding does not count; a power given as a float32 tensor is taken as
the float32 number that it is.

Triton is imported when the kernel is first asked for: the module itself needs torch only.
"""

import math
import struct
from collections.abc import MutableMapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from subprocess import SubprocessError
from typing import Any, Unpack

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from gradpower.kernels import Numbers
from gradpower.kernels.adamw_triton_device import compiled, device_type, triton_dtype
from gradpower.kernels.layout import fit_together

_BLOCK = 1024
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@cache
def reason() -> str:
    """Why the kernel cannot run here; empty if it can."""
    try:
        if device_type() == "cuda":
            if not torch.cuda.is_available():
                return "there is no CUDA device, and Triton's interpreter (TRITON_INTERPRET=1) is off"
            # Compiles what launches kernels, for which there must be a C compiler and the headers of Python.
            import_module("triton.runtime").driver.active.get_current_device()
    except (AssertionError, ImportError, OSError, RuntimeError, SubprocessError) as error:
        return f"Triton cannot be used: {error!r}"
    return ""


def supports(params: Sequence[Tensor], *others: Sequence[Tensor]) -> bool:
    """Whether `adamw_power_` takes these tensors.

    They must all `fit_together` on one CUDA device (on the CPU under Triton's interpreter), of float32, bfloat16 or
    float16. The first of the others are gradients, which may differ from their parameters in dtype; then come moments,
    which may not.
    """
    if reason():
        return False
    device = params[0].device if params else torch.device(device_type())
    return (
        device.type == device_type()
        and fit_together(params, *others, dtypes=_DTYPES, device=device)
        and all(p.dtype is m.dtype for moments in others[1:] for p, m in zip(params, moments, strict=True))
    )


@dataclass
class _Plan:
    """What a launch reads on the device: which tensor owns a block, and where the tensors are."""

    owners: Tensor  # tensor number of each block
    firsts: Tensor  # first block of each tensor
    table: Tensor  # row by row the addresses of the parameter, its two moments and its step, and its number of elements
    gradients: Tensor  # addresses of the gradients
    fixed: list[int]  # `table` on the host
    known: list[int]  # `gradients` on the host


_Row = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # parameter, gradient, its two moments, step
# The last plan of each launch, by the step counter of its first parameter, and freed with that. Not by the parameter:
# `to_local` wraps that of a DTensor anew at every step.
_plans: MutableMapping[Tensor, _Plan] = WeakTensorKeyDictionary()


def _are_counters(params: Sequence[Tensor], steps: Sequence[Tensor]) -> bool:
    return len(steps) == len(params) and all(
        t.numel() == 1 and t.dtype == torch.float32 and t.device == p.device
        for p, t in zip(params, steps, strict=True)
    )


def _write(row: Tensor, numbers: Sequence[int]) -> None:
    """Write int64 numbers into a row on the device; they travel as kernel arguments, also in a captured graph."""
    row.zero_()
    torch._foreach_add_(list(row.unbind()), list(numbers))


def _new_plan(rows: list[_Row], fixed: list[int], gradients: list[int]) -> _Plan:
    device = rows[0][0].device
    table = torch.empty(len(fixed), dtype=torch.int64, device=device)
    addresses = torch.empty(len(rows), dtype=torch.int64, device=device)
    _write(table, fixed)
    _write(addresses, gradients)
    counts = (table[4::5] + (_BLOCK - 1)) // _BLOCK
    owners = torch.repeat_interleave(counts, output_size=sum(-(-size // _BLOCK) for size in fixed[4::5]))
    return _Plan(owners, counts.cumsum(0) - counts, table, addresses, fixed, gradients)


def _plan(rows: list[_Row]) -> _Plan:
    """The plan of earlier steps with the gradients' addresses brought up to date, or a new one.

    Steps of the same parameters on several streams must wait for each other anyway: the plan needs no wait of its own.
    A captured graph gets its own, written whenever the graph is replayed, in memory of the graph: nothing that the
    graph reads can be changed or freed by steps outside of it.
    """
    fixed: list[int] = []
    for p, _, m, v, step in rows:
        fixed += (p.data_ptr(), m.data_ptr(), v.data_ptr(), step.data_ptr(), p.numel())
    gradients = [g.data_ptr() for _, g, *_ in rows]
    first = rows[0][4]
    if first.is_cuda and torch.cuda.is_current_stream_capturing():
        return _new_plan(rows, fixed, gradients)
    plan = _plans.get(first)
    if plan is None or plan.fixed != fixed:
        plan = _plans[first] = _new_plan(rows, fixed, gradients)
    if plan.known != gradients:
        _write(plan.gradients, gradients)
        plan.known = gradients
    if first.is_cuda:
        # A plan dropped from `_plans` must not be overwritten before a launch on another stream has read it.
        for tensor in (plan.owners, plan.firsts, plan.table, plan.gradients):
            tensor.record_stream(torch.cuda.current_stream())
    return plan


def _groups(rows: list[_Row]) -> dict[tuple[torch.dtype, torch.dtype, bool], list[_Row]]:
    """The rows by what a launch is compiled for: the dtypes, and whether wide loads are possible."""
    groups: dict[tuple[torch.dtype, torch.dtype, bool], list[_Row]] = {}
    for row in rows:
        p, g, m, v, _ = row
        aligned = not (p.data_ptr() | g.data_ptr() | m.data_ptr() | v.data_ptr() | p.numel()) & 15
        groups.setdefault((p.dtype, g.dtype, aligned), []).append(row)
    return groups


def _arguments(numbers: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The kernel's arguments: of what may be a tensor a pair, the number and where to read it on the device."""
    arguments: dict[str, Any] = {n: float(numbers[n]) for n in ("offset", "weight_decay", "epsilon")}
    for name in ("power", "lr", "gradient_scale", "powered_scale"):
        there = isinstance(numbers[name], Tensor) and numbers[name].device == device
        arguments[name], arguments[f"{name}_at"] = (
            (0.0, numbers[name]) if there else (float(numbers[name]), None)
        )
    exact = arguments["power"]
    arguments["power"] = struct.unpack("f", struct.pack("f", exact))[0]
    arguments["rest"] = exact - arguments["power"]
    for suffix in ("1", "2"):
        beta = float(numbers[f"beta{suffix}"])
        arguments[f"beta{suffix}"], arguments[f"weight{suffix}"] = beta, 1 - beta
        arguments[f"log_beta{suffix}"] = math.log(beta) if beta else -math.inf
    return arguments


def adamw_power_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    state_steps: Sequence[Tensor],
    **numbers: Unpack[Numbers],
) -> bool:
    """Take the step of `gradpower.kernels`, and return whether it was taken.

    `power`, `lr` and the scales may be 0-dimensional tensors, which are read on the device. Nothing waits for it, and
    no value compiles anew except `maximize`, `decoupled`, and whether a value is a number or a tensor. A CUDA graph
    keeps numbers as they are at capture: give those that change as tensors. It also keeps the gradients' addresses, so
    they must stay in place between replays, as a graph that computes them sees to. Step once before capturing, so that
    the kernel is compiled.
    """
    if not supports(params, grads, exp_avgs, exp_avg_sqs) or not _are_counters(params, state_steps):
        return False
    rows = list(zip(params, grads, exp_avgs, exp_avg_sqs, state_steps, strict=True))
    if not rows:
        return True
    device = params[0].device
    arguments = _arguments({**numbers}, device)
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        launches = [(kinds, _plan(group)) for kinds, group in _groups(rows).items()]
        torch._foreach_add_(list(state_steps), 1)
        torch.autograd.graph.increment_version([*params, *exp_avgs, *exp_avg_sqs])
        for (param, gradient, aligned), plan in launches:
            if len(plan.owners):
                compiled()[(len(plan.owners),)](
                    plan.owners, plan.firsts, plan.table, plan.gradients, **arguments, PARAM=triton_dtype(param),
                    GRADIENT=triton_dtype(gradient), ALIGNED=aligned, MAXIMIZE=bool(numbers["maximize"]),
                    DECOUPLED=bool(numbers["decoupled"]), BLOCK=_BLOCK, num_warps=4, enable_fp_fusion=True,
                )  # fmt: skip
    return True
