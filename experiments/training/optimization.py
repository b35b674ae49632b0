"""The optimizer of a recipe and its two schedules, all of them `gradpower`'s."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from experiments.recipes.optimizer_settings import OptimizerSettings
from experiments.recipes.settings import Recipe
from gradpower import (
    AdamWPower,
    MuonAdamWPower,
    PowerSchedule,
    apply_module_scales,
    blockwise_groups,
    blockwise_warmup,
    cosine_power,
    linear_power,
    module_scales,
    muon_groups,
    power_then_clip,
    snr_from_adam,
    wsd_power,
)
from gradpower.learning_rates.blockwise import BLOCKS
from gradpower.tools.errors import InputError


def decay(settings: OptimizerSettings, steps: int, stretch: float = 1.0) -> Callable[[int], float]:
    """Return D: 1 after the warm-up, 0 after `steps` steps; the learning rate is lr_min + (lr_max − lr_min)·D.

    The warm-up is `stretch` times the settings': Blockwise lengthens it, and each block's cosine begins at its end.

    cos: (1 + cos πs)/2 with s the share of the steps since the warm-up. wsd: 1, and then linear to 0 over the last
    `decay_fraction` of all steps.

    >>> shape = decay(OptimizerSettings(warmup_steps=10), 100)
    >>> [shape(t) for t in (10, 80, 90, 100)]
    [1.0, 1.0, 0.5, 0.0]
    """
    warmup = settings.warmup_steps * stretch
    start = max(warmup, round(steps * (1 - settings.decay_fraction)))

    def cos(step: int) -> float:
        return (1 + math.cos(math.pi * min(1.0, (step - warmup) / (steps - warmup)))) / 2

    def wsd(step: int) -> float:
        return 1.0 if step <= start else max(0.0, (steps - step) / (steps - start))

    return cos if settings.schedule == "cos" else wsd


@dataclass
class Optimization:
    """The optimizer of a run, the schedules that drive "lr" and "power" of all its groups, and its clipping."""

    optimizer: Optimizer
    learning_rate: LambdaLR
    power: PowerSchedule
    clip_norm: float | None
    """The norm to which gradients are to be clipped before `step`; None if the optimizer does it, or nobody."""
    settings: OptimizerSettings
    mols_step: int | None
    """The number of steps after which `scale_modules` is due for the first time."""

    def scaling_due(self, step: int) -> bool:
        """Whether `scale_modules` is due after so many steps."""
        if self.mols_step is None or step < self.mols_step or self.settings.mols_exponent == 0:
            return False
        every = self.settings.mols_every
        return step == self.mols_step or (every > 0 and (step - self.mols_step) % every == 0)

    def squared_snrs(self) -> dict[str, float] | None:
        """Return the squared signal-to-noise ratio of each module's powered gradient, from Adam's moments.

        None where rates are not MoLS-style, or a module's moments show no noise.
        """
        if self.mols_step is None:
            return None
        try:
            return {name: snr.squared for name, snr in snr_from_adam(self.optimizer).items()}
        except InputError:
            return None

    def step(self) -> None:
        """Take one step with the gradients that are there, which moves the power, and move the learning rate."""
        self.optimizer.step()
        self.learning_rate.step()

    def update_rms(self) -> float | None:
        """Return the root mean square over all coordinates of Adam's last step `m̂/(√v̂ + ε)`; None for Muon.

        It is the step over its learning rate, without weight decay: what p changes of the step's size.
        """
        squares, coordinates = 0.0, 0
        for group in self.optimizer.param_groups:
            beta1, beta2 = group.get("betas", (0.0, 0.0))
            for state in (self.optimizer.state[p] for p in group["params"] if p in self.optimizer.state):
                if "exp_avg_sq" not in state:
                    return None
                steps = float(state["step"])
                mean = state["exp_avg"] / (1 - beta1**steps)
                root = (state["exp_avg_sq"] / (1 - beta2**steps)).sqrt()
                square = (mean / (root + group["eps"])).square().sum()
                squares += float(square.full_tensor() if hasattr(square, "full_tensor") else square)
                coordinates += mean.numel()
        return math.sqrt(squares / coordinates) if coordinates else None

    def scale_modules(self) -> dict[str, float]:
        """Give every module its MoLS-style factor, from the moments that Adam keeps of φ_p(g).

        Where any module's moments show no noise, all keep their earlier factors; InputError if there are none.
        """
        limit, groups = self.settings.mols_limit, self.optimizer.param_groups
        earlier = {group["name"]: group["module_scale"] for group in groups if "module_scale" in group}
        try:
            snrs = snr_from_adam(self.optimizer)
        except InputError:
            if earlier:
                return earlier
            raise
        scales = module_scales(snrs, exponent=self.settings.mols_exponent, clamp=(1 / limit, limit))
        apply_module_scales(self.optimizer, scales, scheduler=self.learning_rate)
        return scales

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the settings."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "learning_rate": self.learning_rate.state_dict(),
            "power": self.power.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state: the schedules first, which set what the optimizer's state then overwrites."""
        self.learning_rate.load_state_dict(state["learning_rate"])
        self.power.load_state_dict(state["power"])
        self.optimizer.load_state_dict(state["optimizer"])


def build_optimization(recipe: Recipe, model: nn.Module) -> Optimization:
    """Return the optimizer and the schedules that a recipe asks for.

    The power applies inside the optimizer, and so once: to the gradient after accumulation and all-reduce.
    """
    settings, steps = recipe.optimizer, recipe.training.steps
    optimizer = _optimizer(recipe, model)
    stretched = settings.module_rates == "blockwise" and settings.stretch_warmup
    rate = blockwise_warmup(
        optimizer,
        settings.warmup_steps,
        decay=[
            decay(settings, steps, group["ratio"] if stretched else 1.0) for group in optimizer.param_groups
        ],
        stretch=stretched,
        min_lr=settings.final_ratio * settings.learning_rate,
    )
    if settings.own_ratios:
        # The lowest rates have these ratios, too, as with MoLS-style factors; Blockwise's share one.
        apply_module_scales(optimizer, settings.own_ratios, scheduler=rate)
    branch = round(settings.power_start * steps)
    schedules: dict[str, Callable[..., PowerSchedule]] = {
        "constant": lambda *_: PowerSchedule(optimizer, 1.0, lambda step: float(step >= branch)),
        "linear": linear_power,
        "cosine": cosine_power,
        "wsd": partial(wsd_power, decay_fraction=settings.decay_fraction),
    }
    power = schedules[settings.power_schedule](optimizer, settings.final_power, steps)
    mols = max(2, round(settings.mols_share * steps)) if settings.module_rates == "mols" else None
    before = settings.clip_order == "before"
    return Optimization(optimizer, rate, power, settings.clip_norm if before else None, settings, mols)


def _optimizer(recipe: Recipe, model: nn.Module) -> Optimizer:
    settings = recipe.optimizer
    shared: dict[str, Any] = {
        "lr": settings.learning_rate,
        "power": settings.power,
        "offset": settings.offset,
        "betas": (settings.beta1, recipe.beta2),
        "eps": settings.effective_epsilon,
        "weight_decay": settings.weight_decay,
        "fused": True,
    }
    if settings.algorithm == "muon":
        return MuonAdamWPower(muon_groups(model), momentum=settings.momentum, **shared)
    groups: Any = list(model.parameters())
    own: dict[str, dict[str, Any]] = {"embedding": {}, "head": {}}
    for block, power, beta2 in (
        ("embedding", settings.embedding_power, settings.embedding_beta2),
        ("head", settings.head_power, settings.head_beta2),
    ):
        own[block] |= {} if power is None else {"power": power}
        own[block] |= {} if beta2 is None else {"betas": (settings.beta1, beta2)}
    if settings.module_rates != "uniform" or any(own.values()):
        blockwise = settings.module_rates == "blockwise"
        blocks = BLOCKS if blockwise else tuple(replace(block, ratio=1.0) for block in BLOCKS)
        groups = blockwise_groups(model, settings.learning_rate, blocks=blocks)
    for group in groups if any(own.values()) else ():
        group |= own.get(group["name"], {})
    after = settings.clip_norm if settings.clip_order == "after" else None
    return AdamWPower(groups, clip=None if after is None else power_then_clip(after), **shared)


def clip_gradients(model: nn.Module, largest: float | None) -> torch.Tensor:
    """Scale all gradients by min(1, largest/(norm + 1e-6)), in place, and return their global norm as it was.

    Gradients of shards count as parts of one; without `largest`, none is scaled.
    """
    parameters = [p for p in model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if largest is not None:
        torch.nn.utils.clip_grads_with_norm_(parameters, largest, norm)
    full: torch.Tensor = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return full
