"""The named powered optimizers: torch's own with `power`, and for Adam the step in one pass over memory."""

from __future__ import annotations

import functools
import warnings
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradpower.layout import fills_memory, same_layout
from gradpower.powered_optimizer import PoweredOptimizer, base_of
from gradpower.stand_in import Group, reduce_and_localize, with_gradient
from gradpower.transform import SignPower, is_plain

if TYPE_CHECKING:
    from torch.optim.optimizer import ParamsT

    from gradpower.clipping import Clip

KERNELS = {"cpu": "gradpower.kernels.adamw_cpu", "cuda": "gradpower.kernels.adamw_triton"}


class FusedAdamStep(PoweredOptimizer):
    """The one-pass step of AdamPower and AdamWPower with `fused=True`: φ_p is applied in registers.

    Where no kernel fits (AMSGrad, complex or sparse gradients, a dtype or a machine it is not made for;
    `step_paths` tells) the powered gradients go through torch's own fused step, a portion at a time: the same numbers
    within float32 rounding. For a layout in memory that torch's fused step on the CPU gets wrong (a gradient or moment
    laid out unlike its parameter, a parameter with gaps) its for-loop is taken instead. Of DTensors each process steps
    its own shards.
    """

    def _step_group(self, group: Group, transform: SignPower, largest: int) -> None:
        if not group["fused"] or transform.is_identity:
            super()._step_group(group, transform, largest)
        elif self._kernel_step(group, transform):
            pass
        elif all(_alike(p, t) for p in with_gradient(group) for t in (p.grad, *self.state[p].values())):
            super()._step_group(group, transform, largest)
        else:
            super()._step_group({**group, "fused": False, "foreach": False}, transform, largest)

    def _kernel_step(self, group: Group, transform: SignPower) -> bool:
        """Take the step of a group in one pass over memory and return True, if there is a kernel for it."""
        kernel, _ = _kernel_of(group, warn=True)
        if kernel is None:
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
        if not kernel.supports(params, gradients, first, second) or not _are_counters(steps):
            return False
        if not params:
            return True
        kernel.adamw_power_(
            params,
            gradients,
            first,
            second,
            steps,
            decoupled=group["decoupled_weight_decay"],
            **_hyperparameters(group, transform, params[0].device),
        )
        return True


class AdamPower(FusedAdamStep, torch.optim.Adam):
    """Adam on sign-power gradients: m and v are those of x_t = φ_p(g_t).

    m_t = β1·m_{t−1} + (1−β1)·x_t, v_t = β2·v_{t−1} + (1−β2)·x_t², θ_t = θ_{t−1} − η·m̂_t/(√v̂_t + ε), the hats
    for the bias corrections (AdamPower in Section 3 of the paper). `weight_decay` is added to x_t, not to g_t.

    Parameters
    ----------
    params, lr, betas, eps, weight_decay, ...
        As torch.optim.Adam takes them.
    power, offset, clip
        As in `PoweredOptimizer`.

    Raises
    ------
    TypeError, ValueError
        As `PoweredOptimizer` and torch.optim.Adam.

    Notes
    -----
    ε acts on the powered scale: it matters where |g| is about ε^(1/p). With `fused=True` the power costs no
    pass over memory of its own.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> optimizer = AdamPower([weight], lr=0.1, power=1.2)
    >>> weight.grad = torch.tensor([1.0, -2.0])
    >>> optimizer.step()
    >>> weight.data  # the first step of Adam is a sign step, whatever the power
    tensor([-0.1000,  0.1000])
    """

    if (
        TYPE_CHECKING
    ):  # what editors and type checkers are told; at run time the signature is made from the base's

        def __init__(
            self,
            params: ParamsT,
            lr: float | Tensor = 1e-3,
            betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
            eps: float = 1e-8,
            weight_decay: float = 0,
            amsgrad: bool = False,
            *,
            power: float | Tensor,
            offset: float = 0.0,
            clip: Clip | None = None,
            foreach: bool | None = None,
            maximize: bool = False,
            capturable: bool = False,
            differentiable: bool = False,
            fused: bool | None = None,
            decoupled_weight_decay: bool = False,
        ) -> None: ...


class AdamWPower(FusedAdamStep, torch.optim.AdamW):
    """AdamW on sign-power gradients: AdamPower with decoupled weight decay, θ ← (1 − ηλ)·θ before each step.

    The paper's pre-training runs use power=1.2, betas=(0.9, 0.95), eps=1e-8 and weight_decay=0.1 (Section 5).

    Parameters
    ----------
    params, lr, betas, eps, weight_decay, ...
        As torch.optim.AdamW takes them, and with its defaults: betas=(0.9, 0.999), weight_decay=0.01.
    power, offset, clip
        As in `PoweredOptimizer`.

    Raises
    ------
    TypeError, ValueError
        As `PoweredOptimizer` and torch.optim.AdamW.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = AdamWPower([weight], lr=1e-3, weight_decay=0.1, power=1.2)
    >>> isinstance(optimizer, torch.optim.AdamW), optimizer.param_groups[0]["power"]
    (True, 1.2)
    """

    if (
        TYPE_CHECKING
    ):  # what editors and type checkers are told; at run time the signature is made from the base's

        def __init__(
            self,
            params: ParamsT,
            lr: float | Tensor = 1e-3,
            betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
            eps: float = 1e-8,
            weight_decay: float = 1e-2,
            amsgrad: bool = False,
            *,
            power: float | Tensor,
            offset: float = 0.0,
            clip: Clip | None = None,
            maximize: bool = False,
            foreach: bool | None = None,
            capturable: bool = False,
            differentiable: bool = False,
            fused: bool | None = None,
        ) -> None: ...


class AdagradPower(PoweredOptimizer, torch.optim.Adagrad):
    """Adagrad on sign-power gradients: v_t = Σ_{s≤t} φ_p(g_s)², θ_t = θ_{t−1} − η·φ_p(g_t)/(√v_t + ε).

    The paper's AdagradPower (Section 4.2) has √(v_t + ε) instead: set `initial_accumulator_value` to its ε and
    `eps` to 0.

    Parameters
    ----------
    params, lr, lr_decay, weight_decay, initial_accumulator_value, eps, ...
        As torch.optim.Adagrad takes them.
    power, offset, clip
        As in `PoweredOptimizer`.

    Raises
    ------
    TypeError, ValueError
        As `PoweredOptimizer` and torch.optim.Adagrad.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.zeros(1))
    >>> optimizer = AdagradPower([weight], lr=0.1, power=1.2, initial_accumulator_value=1e-8, eps=0)
    """

    if (
        TYPE_CHECKING
    ):  # what editors and type checkers are told; at run time the signature is made from the base's

        def __init__(
            self,
            params: ParamsT,
            lr: float | Tensor = 1e-2,
            lr_decay: float = 0,
            weight_decay: float = 0,
            initial_accumulator_value: float = 0,
            eps: float = 1e-10,
            foreach: bool | None = None,
            *,
            power: float | Tensor,
            offset: float = 0.0,
            clip: Clip | None = None,
            maximize: bool = False,
            differentiable: bool = False,
            fused: bool | None = None,
        ) -> None: ...


class SGDPower(PoweredOptimizer, torch.optim.SGD):
    """SGD, with or without momentum, on sign-power gradients: θ_t = θ_{t−1} − η·φ_p(g_t) without.

    Unlike for Adam, a constant factor in φ_p changes the step here, so that the learning rate has to be tuned
    anew for each p.

    Parameters
    ----------
    params, lr, momentum, dampening, weight_decay, nesterov, ...
        As torch.optim.SGD takes them.
    power, offset, clip
        As in `PoweredOptimizer`.

    Raises
    ------
    TypeError, ValueError
        As `PoweredOptimizer` and torch.optim.SGD.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> optimizer = SGDPower([weight], lr=0.5, power=2.0)
    >>> weight.grad = torch.tensor([1.0, -2.0])
    >>> optimizer.step()
    >>> weight.data
    tensor([-0.5000,  2.0000])
    """

    if (
        TYPE_CHECKING
    ):  # what editors and type checkers are told; at run time the signature is made from the base's

        def __init__(
            self,
            params: ParamsT,
            lr: float | Tensor = 1e-3,
            momentum: float = 0,
            dampening: float = 0,
            weight_decay: float | Tensor = 0,
            nesterov: bool = False,
            *,
            power: float | Tensor,
            offset: float = 0.0,
            clip: Clip | None = None,
            maximize: bool = False,
            foreach: bool | None = None,
            differentiable: bool = False,
            fused: bool | None = None,
        ) -> None: ...


class RMSpropPower(PoweredOptimizer, torch.optim.RMSprop):
    """RMSprop on sign-power gradients: v_t = α·v_{t−1} + (1−α)·φ_p(g_t)², θ_t = θ_{t−1} − η·φ_p(g_t)/(√v_t + ε).

    Parameters
    ----------
    params, lr, alpha, eps, weight_decay, momentum, centered, ...
        As torch.optim.RMSprop takes them.
    power, offset, clip
        As in `PoweredOptimizer`.

    Raises
    ------
    TypeError, ValueError
        As `PoweredOptimizer` and torch.optim.RMSprop.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.zeros(1))
    >>> optimizer = RMSpropPower([weight], lr=1e-2, power=0.8)
    """

    if (
        TYPE_CHECKING
    ):  # what editors and type checkers are told; at run time the signature is made from the base's

        def __init__(
            self,
            params: ParamsT,
            lr: float | Tensor = 1e-2,
            alpha: float = 0.99,
            eps: float = 1e-8,
            weight_decay: float = 0,
            momentum: float = 0,
            centered: bool = False,
            capturable: bool = False,
            foreach: bool | None = None,
            maximize: bool = False,
            differentiable: bool = False,
            *,
            power: float | Tensor,
            offset: float = 0.0,
            clip: Clip | None = None,
        ) -> None: ...


class MuonPower(PoweredOptimizer, torch.optim.Muon):
    """Muon on sign-power gradients: φ_p on the raw gradient, before momentum and orthogonalisation.

    For matrices only. `MuonAdamWPower` takes a whole model, stacked experts included, with AdamW for the rest.

    Parameters
    ----------
    params, lr, weight_decay, momentum, nesterov, ns_steps, adjust_lr_fn, ...
        As torch.optim.Muon takes them; adjust_lr_fn="match_rms_adamw" is the baseline of the paper.
    power, offset, clip
        As in `PoweredOptimizer`.

    Raises
    ------
    TypeError, ValueError
        As `PoweredOptimizer` and torch.optim.Muon.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.zeros(4, 2))
    >>> optimizer = MuonPower([weight], lr=1e-3, power=1.2, adjust_lr_fn="match_rms_adamw")
    """

    if (
        TYPE_CHECKING
    ):  # what editors and type checkers are told; at run time the signature is made from the base's

        def __init__(
            self,
            params: ParamsT,
            lr: float = 1e-3,
            weight_decay: float = 0.1,
            momentum: float = 0.95,
            nesterov: bool = True,
            ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
            eps: float = 1e-7,
            ns_steps: int = 5,
            adjust_lr_fn: str | None = None,
            *,
            power: float | Tensor,
            offset: float = 0.0,
            clip: Clip | None = None,
        ) -> None: ...


POWERED: dict[type[Optimizer], type[PoweredOptimizer]] = {
    base_of(cls): cls for cls in (AdamPower, AdamWPower, AdagradPower, SGDPower, RMSpropPower, MuonPower)
}


def step_paths(optimizer: Optimizer) -> list[str]:
    """Return how the next step of each parameter group is taken, in words.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Any; gradients need not be there yet, but only with them can what depends on them be said.

    Returns
    -------
    list of str
        For each group "base" (not powered, or p = 1), "one pass: NAME of the kernel's module", or "powered gradients,
        then the base", followed by the reason if `fused=True` asked for one pass.

    Examples
    --------
    >>> step_paths(AdamWPower([torch.nn.Parameter(torch.zeros(2))], power=1.2))
    ['powered gradients, then the base']
    """
    return [_path(optimizer, group) for group in optimizer.param_groups]


def _path(optimizer: Optimizer, group: Group) -> str:
    if not isinstance(optimizer, PoweredOptimizer):
        return "base"
    if optimizer.clip is None and SignPower(group["power"], group["offset"]).is_identity:
        return "base"
    if not isinstance(optimizer, FusedAdamStep) or not group["fused"]:
        return "powered gradients, then the base"
    kernel, why = _kernel_of(group)
    if kernel is not None:
        return f"one pass: {kernel.__name__}"
    return f"powered gradients, then the base ({why})"


def _kernel_of(group: Group, *, warn: bool = False) -> tuple[ModuleType | None, str]:
    """Return the kernel for a group, as far as it can be known without its state, or why there is none."""
    params = with_gradient(group) or group["params"]
    if not params:
        return None, "no parameters"
    if group["amsgrad"]:
        return None, "amsgrad=True has no kernel"
    if any(p.is_complex() or (p.grad is not None and p.grad.layout != torch.strided) for p in params):
        return None, "sparse or complex tensors have no kernel"
    name = KERNELS.get(params[0].device.type)
    kernel = import_module(name) if name else None
    why = kernel.reason() if kernel else f"there is no kernel for {params[0].device.type}"
    if why and warn:
        _warn_once(why)
    return (None, why) if why else (kernel, "")


@functools.cache
def _warn_once(why: str) -> None:
    message = f"fused=True: the power takes passes over memory of its own ({why})"
    warnings.warn(message, RuntimeWarning, stacklevel=2)


def _are_counters(steps: list[Tensor]) -> bool:
    """Whether all steps are float32, as the kernels count; a state loaded from elsewhere may have others."""
    return all(step.dtype == torch.float32 for step in steps)


def _alike(p: Tensor, t: object) -> bool:
    """Whether a gradient or moment lies in memory as its parameter does; asked of plain tensors on the CPU only."""
    if not isinstance(t, Tensor) or not t.ndim or not (is_plain(p) and is_plain(t) and p.is_cpu):
        return True
    return fills_memory(p) and same_layout(p, t)


def _hyperparameters(group: Group, transform: SignPower, device: torch.device) -> dict[str, Any]:
    """Return the numbers of a step; a tensor only if it has to be read on a device, where it is then."""
    beta1, beta2 = group["betas"]
    values = {
        "power": transform.power,
        "lr": group["lr"],
        "gradient_scale": 1.0 if transform.before is None else transform.before,
        "powered_scale": 1.0 if transform.after is None else transform.after,
    }
    for name, value in values.items():
        if isinstance(value, Tensor):
            values[name] = float(value) if value.is_cpu else value.to(device)
    return values | {
        "offset": transform.offset,
        "beta1": float(beta1),
        "beta2": float(beta2),
        "weight_decay": group["weight_decay"],
        "epsilon": group["eps"],
        "maximize": group["maximize"],
    }
