"""AdamPower, AdamWPower, AdagradPower, SGDPower, RMSpropPower and MuonPower: torch's own optimizers with `power`.

Parameters and errors are those of the base, torch.optim's class of the name without "Power", and of
`PoweredOptimizer`: `power`, `offset` and `clip`, by keyword. The signatures here are for editors and type checkers; at
run time each is made from its base's.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradpower.optimizers.base import PoweredOptimizer, base_of
from gradpower.optimizers.fused_adam import FusedAdamStep

if TYPE_CHECKING:
    from torch.optim.optimizer import ParamsT

    from gradpower.clipping import Clip


class AdamPower(FusedAdamStep, torch.optim.Adam):
    """Adam on sign-power gradients: m and v are those of x_t = φ_p(g_t).

    m_t = β1·m_{t−1} + (1−β1)·x_t, v_t = β2·v_{t−1} + (1−β2)·x_t², θ_t = θ_{t−1} − η·m̂_t/(√v̂_t + ε), the hats
    for the bias corrections (AdamPower in Section 3 of the paper). `weight_decay` is added to x_t, not to g_t.

    Arguments: those of torch.optim.Adam and, by keyword, `power`, `offset` and `clip` (see `PoweredOptimizer`).

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

    if TYPE_CHECKING:

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

    Arguments: those of torch.optim.AdamW and, by keyword, `power`, `offset` and `clip` (see `PoweredOptimizer`).

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = AdamWPower([weight], lr=1e-3, weight_decay=0.1, power=1.2)
    >>> isinstance(optimizer, torch.optim.AdamW), optimizer.param_groups[0]["power"]
    (True, 1.2)
    """

    if TYPE_CHECKING:

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

    Arguments: those of torch.optim.Adagrad and, by keyword, `power`, `offset` and `clip` (see `PoweredOptimizer`).

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.zeros(1))
    >>> optimizer = AdagradPower([weight], lr=0.1, power=1.2, initial_accumulator_value=1e-8, eps=0)
    """

    if TYPE_CHECKING:

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

    Arguments: those of torch.optim.SGD and, by keyword, `power`, `offset` and `clip` (see `PoweredOptimizer`).

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> optimizer = SGDPower([weight], lr=0.5, power=2.0)
    >>> weight.grad = torch.tensor([1.0, -2.0])
    >>> optimizer.step()
    >>> weight.data
    tensor([-0.5000,  2.0000])
    """

    if TYPE_CHECKING:

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

    Arguments: those of torch.optim.RMSprop and, by keyword, `power`, `offset` and `clip` (see `PoweredOptimizer`).

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.zeros(1))
    >>> optimizer = RMSpropPower([weight], lr=1e-2, power=0.8)
    """

    if TYPE_CHECKING:

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

    Arguments: those of torch.optim.Muon and, by keyword, `power`, `offset` and `clip` (see `PoweredOptimizer`).

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.zeros(4, 2))
    >>> optimizer = MuonPower([weight], lr=1e-3, power=1.2, adjust_lr_fn="match_rms_adamw")
    """

    if TYPE_CHECKING:

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
