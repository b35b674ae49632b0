"""The named powered optimizers: torch's own with `power`, and for Adam the step in one pass over memory."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradpower.layout import fills_memory, same_layout
from gradpower.portions import Group, gradients_of, with_gradient
from gradpower.powered_optimizer import PoweredOptimizer, base_of
from gradpower.transform import SignPower, is_plain

KERNELS = {"cpu": "gradpower.kernels.adamw_cpu", "cuda": "gradpower.kernels.adamw_triton"}


class FusedAdamStep(PoweredOptimizer):
    """The one-pass step of AdamPower and AdamWPower with `fused=True`: φ_p is applied in registers.

    Where no kernel fits (AMSGrad, complex or sparse gradients, DTensors, a dtype or a machine it is not made
    for) the powered gradients go through torch's own fused step, a portion at a time: the same numbers within
    float32 rounding. For a layout in memory that torch's fused step on the CPU gets wrong (a gradient or moment laid
    out unlike its parameter, a parameter with gaps) its for-loop is taken instead.
    """

    separable = True

    def _fused_step(self, group: Group, transform: SignPower) -> bool:
        if not group["fused"] or group["amsgrad"] or transform.is_identity:
            return False
        kernel = _kernel(with_gradient(group))
        if kernel is None or not kernel.supports(with_gradient(group), gradients_of(group)):
            return False
        # torch's step refuses to be captured in a graph unless it is capturable.
        for check in ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"):
            if hasattr(self, check):
                getattr(self, check)()
                break
        params: list[Tensor] = []
        gradients: list[Tensor] = []
        first: list[Tensor] = []
        second: list[Tensor] = []
        steps: list[Tensor] = []
        # torch makes the state and hands out its lists; the checks that go with it are torch's too.
        self._init_group(group, params, gradients, first, second, [], steps)  # type: ignore[attr-defined]
        if not kernel.supports([*params, *params], [*first, *second]):
            return False  # moments from a checkpoint of another memory format
        kernel.adamw_power_(
            params,
            gradients,
            first,
            second,
            steps,
            decoupled=group["decoupled_weight_decay"],
            **_hyperparameters(group, transform, kernel),
        )
        return True

    def _unfused(self, group: Group) -> Group:
        if not group["fused"]:
            return group
        pairs = ((p, t) for p in with_gradient(group) for t in (p.grad, *self.state[p].values()))
        alike = all(_alike(p, t) for p, t in pairs if isinstance(t, Tensor) and t.ndim)
        return group if alike else {**group, "fused": False, "foreach": False}


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

    separable = True


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

    separable = True


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

    separable = True


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

    separable = True


POWERED: dict[type[Optimizer], type[PoweredOptimizer]] = {
    base_of(cls): cls for cls in (AdamPower, AdamWPower, AdagradPower, SGDPower, RMSpropPower, MuonPower)
}


def _alike(p: Tensor, t: Tensor) -> bool:
    """Whether two tensors lie alike in memory; asked of plain tensors on the CPU only."""
    return not (is_plain(p) and is_plain(t) and p.is_cpu) or (fills_memory(p) and same_layout(p, t))


def _kernel(params: list[Tensor]) -> ModuleType | None:
    """Return the kernel for the device of the first parameter; whether it takes all, it says itself."""
    name = KERNELS.get(params[0].device.type) if params else None
    if name is None:
        return None
    kernel = import_module(name)
    return kernel if kernel.available() else None


def _hyperparameters(group: Group, transform: SignPower, kernel: ModuleType) -> dict[str, Any]:
    beta1, beta2 = group["betas"]
    values = {
        "power": transform.power,
        "lr": group["lr"],
        "gradient_scale": 1.0 if transform.before is None else transform.before,
        "powered_scale": 1.0 if transform.after is None else transform.after,
    }
    if kernel.__name__ == KERNELS["cpu"]:
        values = {name: float(value) for name, value in values.items()}
    else:
        # A clipping's factor lies with the first gradient of all groups.
        device = with_gradient(group)[0].device
        values = {name: v.to(device) if isinstance(v, Tensor) else v for name, v in values.items()}
    return values | {
        "offset": transform.offset,
        "beta1": float(beta1),
        "beta2": float(beta2),
        "weight_decay": group["weight_decay"],
        "epsilon": group["eps"],
        "maximize": group["maximize"],
    }
