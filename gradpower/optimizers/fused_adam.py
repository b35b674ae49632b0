"""The one-pass step of AdamPower and AdamWPower, and which way a step is taken."""

import functools
import warnings
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradpower.groups import unwrapped
from gradpower.kernels import Numbers
from gradpower.kernels.layout import fills_memory, same_layout
from gradpower.optimizers.base import PoweredOptimizer, Step, base_of
from gradpower.optimizers.combined import CombinedOptimizer
from gradpower.optimizers.shards import local_part, reduce_and_localize
from gradpower.optimizers.stand_in import Group, with_gradient
from gradpower.transform import SignPower, is_plain

KERNELS = {"cpu": "gradpower.kernels.adamw_cpu", "cuda": "gradpower.kernels.adamw_triton"}


class FusedAdamStep(PoweredOptimizer):
    """The one-pass step of AdamPower and AdamWPower with `fused=True`: φ_p is applied in registers.

    Where no kernel fits (AMSGrad, complex or sparse gradients, a dtype or a machine it is not made for;
    `step_paths` tells) the powered gradients go through torch's own fused step, a portion at a time: the same numbers
    within float32 rounding. For a layout in memory that torch's fused step on the CPU gets wrong (a gradient or moment
    laid out unlike its parameter, a parameter with gaps) its for-loop is taken instead. Of DTensors each process steps
    its own shards.
    """

    def _step_group(self, step: Step, group: Group, transform: SignPower, largest: int) -> None:
        if not group["fused"] or transform.is_identity:
            super()._step_group(step, group, transform, largest)
        elif not self._kernel_step(group, transform):
            alike = all(_alike(p, t) for p in with_gradient(group) for t in (p.grad, *self.state[p].values()))
            seen = group if alike else {**group, "fused": False, "foreach": False}
            super()._step_group(step, seen, transform, largest)

    def _kernel_step(self, group: Group, transform: SignPower) -> bool:
        """Take the step of a group in one pass over memory and return True, if there is a kernel for it."""
        kernel = _kernel_of(group, warn=True)
        if isinstance(kernel, str):
            return False
        # torch makes the state and hands out its lists; the checks that go with it are torch's too.
        for check in ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"):
            if hasattr(self, check):
                getattr(self, check)()
                break
        lists: tuple[list[Tensor], ...] = ([], [], [], [], [], [])
        self._init_group(group, *lists)  # type: ignore[attr-defined]
        reduce_and_localize(*lists)
        params, gradients, first, second, _, steps = lists
        if not params:
            return True
        numbers = _numbers(group, transform, params[0].device)
        return bool(kernel.adamw_power_(params, gradients, first, second, steps, **numbers))


def step_paths(optimizer: Optimizer) -> list[str]:
    """Return how the next step of each parameter group is taken, in words.

    For each group it is "base" (not powered, or p = 1), "one pass: NAME of the kernel's module", or "powered gradients,
    then the base", followed by the reason if `fused=True` asked for one pass. `optimizer` may be any, or a trainer's
    wrapper of one. What depends on gradients can be said only when they are there. A compiled step uses no kernel.

    Examples
    --------
    >>> from gradpower import AdamWPower
    >>> step_paths(AdamWPower([torch.nn.Parameter(torch.zeros(2))], power=1.2))
    ['powered gradients, then the base']
    """
    optimizer = unwrapped(optimizer)
    return [_path(optimizer, group) for group in optimizer.param_groups]


def _path(optimizer: Optimizer, group: Group) -> str:
    if isinstance(optimizer, CombinedOptimizer):
        optimizer = optimizer.optimizers[group["algorithm"]]
    if not isinstance(optimizer, PoweredOptimizer):
        return "base"
    if optimizer.clip is None and SignPower(group["power"], group["offset"]).is_identity:
        return "base"
    plain = "powered gradients, then the base"
    if not group.get("fused"):
        return plain
    if not isinstance(optimizer, FusedAdamStep):
        return f"{plain} (there is no kernel for {base_of(type(optimizer)).__name__})"
    kernel = _kernel_of(group)
    return f"{plain} ({kernel})" if isinstance(kernel, str) else f"one pass: {kernel.__name__}"


def _kernel_of(group: Group, *, warn: bool = False) -> ModuleType | str:
    """Return the kernel for a group, as far as it can be known without its state, or why there is none."""
    params = with_gradient(group) or group["params"]
    if not params:
        return "no parameters"
    if group["amsgrad"]:
        return "amsgrad=True has no kernel"
    if any(p.is_complex() or (p.grad is not None and p.grad.layout != torch.strided) for p in params):
        return "sparse or complex tensors have no kernel"
    device = params[0].device.type
    kernel = import_module(KERNELS[device]) if device in KERNELS else None
    why = str(kernel.reason()) if kernel else f"there is no kernel for {device}"
    if why and warn:
        _warn_once(why)
    if kernel is None or why:
        return why
    fits = kernel.supports(list(map(local_part, params)))
    return kernel if fits else "a parameter is of a dtype, layout or class that the kernel does not take"


@functools.cache
def _warn_once(why: str) -> None:
    message = f"fused=True: the power takes passes over memory of its own ({why})"
    warnings.warn(message, RuntimeWarning, stacklevel=2)


def _alike(p: Tensor, t: object) -> bool:
    """Whether a gradient or moment lies in memory as its parameter does; asked of plain tensors on the CPU only."""
    if not isinstance(t, Tensor) or not t.ndim:
        return True
    p, t = local_part(p), local_part(t)
    # Shapes differ where a gradient is yet to be redistributed.
    if p.shape != t.shape or not (is_plain(p) and is_plain(t) and p.is_cpu):
        return True
    return fills_memory(p) and same_layout(p, t)


def _numbers(group: Group, transform: SignPower, device: torch.device) -> Numbers:
    """Return the numbers of a step; a tensor only if it has to be read on a device, where it is then."""

    def on_device(value: float | Tensor | None) -> float | Tensor:
        if not isinstance(value, Tensor):
            return 1.0 if value is None else value
        return float(value) if value.is_cpu else value.to(device)

    return {
        "power": on_device(transform.power),
        "offset": transform.offset,
        "lr": on_device(group["lr"]),
        "beta1": float(group["betas"][0]),
        "beta2": float(group["betas"][1]),
        "weight_decay": group["weight_decay"],
        "epsilon": group["eps"],
        "gradient_scale": on_device(transform.before),
        "powered_scale": on_device(transform.after),
        "maximize": group["maximize"],
        "decoupled": group["decoupled_weight_decay"],
    }
