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

from __future__ import annotations

import math
import struct
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from gradpower.inputs import refusal
from gradpower.kernels.adamw_triton_device import compiled, device_type, triton_dtype
from gradpower.layout import same_layout

_BLOCK = 1024
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_PLANS_KEPT = 64


@cache
def reason() -> str:
    """Why the kernel cannot run here; empty if it can.

    Examples
    --------
    >>> available() == (reason() == "")
    True
    """
    try:
        kind = device_type()
    except ImportError as error:
        return f"triton cannot be imported: {error}"
    if kind == "cuda" and not torch.cuda.is_available():
        return "there is no CUDA device, and Triton's interpreter (TRITON_INTERPRET=1) is off"
    return ""


def available() -> bool:
    """Whether Triton can be imported and has a CUDA device, or interprets on the CPU (TRITON_INTERPRET=1).

    Examples
    --------
    >>> isinstance(available(), bool)
    True
    """
    return not reason()


def _plain(tensor: Tensor, device: torch.device) -> bool:
    return (
        type(tensor) in (Tensor, torch.nn.Parameter)
        and tensor.layout == torch.strided
        and tensor.dtype in _DTYPES
        and tensor.device == device
        and not tensor.is_neg()
    )


def supports(params: Sequence[Tensor], *others: Sequence[Tensor]) -> bool:
    """Whether `adamw_power_` takes these tensors.

    They must all be on one CUDA device (on the CPU under Triton's interpreter), dense, plain tensors (no subclass, so
    no DTensor) of float32, bfloat16 or float16; each gradient or moment has its parameter's shape and strides, and
    these fill memory without gaps or overlaps, in any order of the dimensions. A parameter and its gradient may differ
    in dtype.

    Examples
    --------
    >>> supports([torch.zeros(3, dtype=torch.float64)], [torch.zeros(3, dtype=torch.float64)])
    False
    """
    if not available() or any(len(params) != len(tensors) for tensors in others):
        return False
    if not params:
        return True
    device = params[0].device
    return (
        device.type == device_type()
        and all(_plain(t, device) for tensors in (params, *others) for t in tensors)
        and all(same_layout(p, t) for tensors in others for p, t in zip(params, tensors, strict=True))
    )


@dataclass
class _Plan:
    """What a launch reads on the device: which tensor owns a block, and where the tensors are.

    Attributes
    ----------
    owners, firsts : Tensor
        Tensor number of each block; first block of each tensor.
    table : Tensor
        Row by row the addresses of the parameter, its two moments and its step, and its number of elements.
    gradients : Tensor
        Addresses of the gradients.
    known : tuple of int
        The addresses in `gradients`.
    """

    owners: Tensor
    firsts: Tensor
    table: Tensor
    gradients: Tensor
    known: tuple[int, ...]


_Row = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # parameter, gradient, its two moments, step
_plans: OrderedDict[tuple[object, ...], _Plan] = OrderedDict()


def _write(row: Tensor, numbers: Sequence[int]) -> None:
    """Write int64 numbers into a row on the device; they travel as kernel arguments, also in a captured graph."""
    row.zero_()
    torch._foreach_add_(list(row.unbind()), list(numbers))


def _new_plan(rows: list[_Row], fixed: list[int], gradients: tuple[int, ...]) -> _Plan:
    device = rows[0][0].device
    for p, _, m, v, step in rows:
        if not all(_plain(t, device) and t.dtype == p.dtype and same_layout(t, p) for t in (m, v)):
            shown = f"{m.dtype} {tuple(m.shape)}, {v.dtype} {tuple(v.shape)}"
            wanted = f"{p.dtype} {tuple(p.shape)} with the parameter's strides, on {device}"
            raise refusal("exp_avgs, exp_avg_sqs", shown, wanted, ValueError)
        if step.numel() != 1 or step.dtype != torch.float32 or step.device != device:
            shown = f"{step.dtype} {tuple(step.shape)} on {step.device}"
            raise refusal("state_steps", shown, f"one float32 number on {device}", ValueError)
    table = torch.empty(len(fixed), dtype=torch.int64, device=device)
    addresses = torch.empty(len(rows), dtype=torch.int64, device=device)
    _write(table, fixed)
    _write(addresses, gradients)
    counts = (table[4::5] + (_BLOCK - 1)) // _BLOCK
    owners = torch.repeat_interleave(counts, output_size=sum(-(-size // _BLOCK) for size in fixed[4::5]))
    return _Plan(owners, counts.cumsum(0) - counts, table, addresses, gradients)


def _plan(rows: list[_Row]) -> _Plan:
    """The plan of earlier steps with the gradients' addresses brought up to date, or a new one.

    Steps of the same parameters on several streams must wait for each other anyway: the plan needs no wait of its own.
    A captured graph gets its own, written whenever the graph is replayed, in memory of the graph: nothing that the
    graph reads can be changed or freed by steps outside of it.
    """
    fixed: list[int] = []
    for p, g, m, v, step in rows:
        if g.shape != p.shape:
            raise refusal("grads", f"shape {tuple(g.shape)}", f"shape {tuple(p.shape)}", ValueError)
        fixed += (p.data_ptr(), m.data_ptr(), v.data_ptr(), step.data_ptr(), p.numel())
    gradients = tuple(g.data_ptr() for _, g, *_ in rows)
    device = rows[0][0].device
    if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        return _new_plan(rows, fixed, gradients)
    key = (device, rows[0][0].dtype, *fixed)
    plan = _plans.pop(key, None) or _new_plan(rows, fixed, gradients)
    _plans[key] = plan
    if len(_plans) > _PLANS_KEPT:
        _plans.popitem(last=False)
    if plan.known != gradients:
        _write(plan.gradients, gradients)
        plan.known = gradients
    if device.type == "cuda":
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


def _argument(name: str, value: float | Tensor, device: torch.device) -> tuple[float, Tensor | None]:
    """The kernel's pair of arguments for a number: a plain one, or a tensor to read on the device."""
    if not isinstance(value, Tensor):
        return float(value), None
    if value.ndim or value.is_complex():
        raise refusal(
            name,
            f"a tensor of shape {tuple(value.shape)}",
            "a number or a 0-dimensional real tensor",
            ValueError,
        )
    if value.device == device:
        return 0.0, value
    if value.device.type == "cpu":
        return float(value), None
    raise refusal(
        name, f"a tensor on {value.device}", f"a number or a tensor on {device} or the CPU", ValueError
    )


def _arguments(numbers: dict[str, float | Tensor], device: torch.device) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for name, number in numbers.items():
        arguments[name], arguments[f"{name}_at"] = _argument(name, number, device)
    exact = arguments["power"]
    arguments["power"] = struct.unpack("f", struct.pack("f", exact))[0]
    arguments["rest"] = exact - arguments["power"]
    return arguments


def _launch(plan: _Plan, arguments: dict[str, Any], **compiled_for: Any) -> None:
    if not len(plan.owners):
        return
    for name in ("PARAM", "GRADIENT"):
        compiled_for[name] = triton_dtype(compiled_for[name])
    compiled()[(len(plan.owners),)](
        plan.owners, plan.firsts, plan.table, plan.gradients, **arguments, **compiled_for,
        BLOCK=_BLOCK, num_warps=4, enable_fp_fusion=True,
    )  # fmt: skip


def adamw_power_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    state_steps: Sequence[Tensor],
    *,
    power: float | Tensor,
    offset: float,
    lr: float | Tensor,
    beta1: float,
    beta2: float,
    weight_decay: float,
    epsilon: float,
    maximize: bool,
    decoupled: bool,
    gradient_scale: float | Tensor = 1.0,
    powered_scale: float | Tensor = 1.0,
) -> None:
    """Take one step of AdamW on powered gradients, in place (paper, Section 3: AdamWPower).

    With `g′ = gradient_scale·g`, negated if `maximize`, and t the step counted here:

        x = powered_scale·sign(g′)·(|g′| + offset)^p,    0 where g′ is
        θ ← θ − lr·weight_decay·θ  if `decoupled`, else  x ← x + weight_decay·θ
        m ← β1·m + (1 − β1)·x,    v ← β2·v + (1 − β2)·x²
        θ ← θ − lr/(1 − β1^t) · m / (√v/√(1 − β2^t) + ε)

    Everything between reading and writing an element is float32. Infinities and NaN pass through.

    Nothing waits for the device, and no value here compiles anew except `maximize` and `decoupled`, and whether a value
    is a number or a tensor. A CUDA graph keeps numbers as they are at capture: give those that change as tensors on
    the device. It also keeps the gradients' addresses, so they must stay in place between replays, as a graph that
    computes them sees to. Step once before capturing, so that the kernel is compiled.

    Parameters
    ----------
    params, grads, exp_avgs, exp_avg_sqs : sequences of Tensor
        As `supports` asks; the moments have the parameter's dtype, shape and strides. Gradients are only read.
    state_steps : sequence of Tensor
        One float32 number each, on the parameters' device.
    power, lr, gradient_scale, powered_scale : float or Tensor
        A number, or a 0-dimensional tensor. One on the parameters' device is read there; one on the CPU counts as the
        number that it holds.
    offset, beta1, beta2, weight_decay, epsilon : float
        Plain numbers.
    maximize, decoupled : bool
        Climb instead of descend; AdamW's weight decay instead of Adam's.

    Raises
    ------
    RuntimeError
        If the kernel is not available.
    ValueError
        If a moment, a step or a tensor of a number is not as described, or the sequences differ in length.

    Examples
    --------
    >>> adamw_power_([], [], [], [], [], power=1.2, offset=0.0, lr=1e-3, beta1=0.9, beta2=0.95, weight_decay=0.1,
    ...              epsilon=1e-8, maximize=False, decoupled=True)
    """
    rows = list(zip(params, grads, exp_avgs, exp_avg_sqs, state_steps, strict=True))
    if not rows:
        return
    if not available():
        raise refusal("adamw_power_", reason(), "Triton and a CUDA device", RuntimeError)
    device = params[0].device
    numbers = {"power": power, "lr": lr, "gradient_scale": gradient_scale, "powered_scale": powered_scale}
    arguments = _arguments(numbers, device)
    arguments |= {"offset": float(offset), "weight_decay": float(weight_decay), "epsilon": float(epsilon)}
    for suffix, beta in (("1", float(beta1)), ("2", float(beta2))):
        arguments[f"beta{suffix}"], arguments[f"weight{suffix}"] = beta, 1 - beta
        arguments[f"log_beta{suffix}"] = math.log(beta) if beta else -math.inf
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        launches = [(kinds, _plan(group)) for kinds, group in _groups(rows).items()]
        torch._foreach_add_(list(state_steps), 1)
        torch.autograd.graph.increment_version([*params, *exp_avgs, *exp_avg_sqs])
        for (param, gradient, aligned), plan in launches:
            _launch(
                plan, arguments, PARAM=param, GRADIENT=gradient, ALIGNED=aligned,
                MAXIMIZE=bool(maximize), DECOUPLED=bool(decoupled),
            )  # fmt: skip
