"""The meter of an optimizer's updates, which observes its steps."""

from collections.abc import Iterable
from typing import Any, Self

import torch
from torch import Tensor
from torch.optim import ASGD, SGD, Adadelta, Adafactor, Adagrad, Adamax, Muon, Optimizer, RMSprop, Rprop

from gradpower.groups import modules_of, named_groups, unwrapped
from gradpower.meters.update_size import UpdateLog, UpdateSize
from gradpower.optimizers.combined import CombinedOptimizer
from gradpower.optimizers.shards import refuse_shards
from gradpower.optimizers.stand_in import Group
from gradpower.tools.errors import require, whole

_COUPLED = (SGD, Adagrad, Adadelta, Adamax, RMSprop, Rprop, ASGD)
_DECOUPLED = (Muon, Adafactor)


class UpdateMeter:
    """Measures the updates of an optimizer while it is open, for every group name.

    Parameters
    ----------
    optimizer : Optimizer
        Any of torch's, powered or not, or a wrapper of one (accelerate, Lightning), with plain real parameters.
        It is observed through step hooks and never changed; copies of it are not observed.
    groups : iterable of str, optional
        Names of the groups to measure (their "name" or index); all by default.
    sample, seed : int, optional
        At most so many coordinates of each tensor are looked at, drawn once and weighted up; None for all. Standard
        errors are for the coordinates drawn. Meters of one seed draw the same.
    block : int
        Steps of a batch for the drift, at the start: long against 1/(1−β1), or the drift is biased upwards.
    decoupled : bool, optional
        Whether weight decay acts beside the update, as θ ← (1 − ηλ)θ; then it is taken out. By default what the
        optimizer says, or is known of torch's own; say it of others with decay. Coupled decay is part of the update.

    Notes
    -----
    Not measured are steps at learning rate 0, those with gradients that are not finite (with a GradScaler a fused
    optimizer takes them, and changes nothing), and those without a gradient of the name. A tensor without a gradient
    beside others that have one counts with u = 0. Rounding of θ is part of u, as of training.

    Standard errors of rms, mean_absolute and cosine come from the means over 16 stretches of steps. For the drift the
    mean updates b_1, …, b_J of equal batches of steps are kept. Successive updates share gradients, so the drift is
    the mean of ⟨b_j, b_k⟩ over pairs with a whole batch in between, and its error that of the jackknife over batches
    (too large by √2 where there is no drift). As 16 batches are full, neighbours are joined. All errors are too small
    unless stretches and batches are long against the optimizer's memory: take 100/(1−β2) steps. They are too large
    with Adam's first steps among those measured: open the meter later. Slow changes in training are part of the drift.

    Memory: of the coordinates looked at, up to seven copies during a step and 18 for the drift. `sizes` waits for the
    device, and so does one step in 256.

    An optimizer that is not torch's, whose step calls the step of its parent class, runs hooks while `.grad` is φ_p(g):
    there the cosine is that with the powered gradient.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = torch.optim.AdamW([weight], lr=0.01)
    >>> with UpdateMeter(optimizer) as meter:
    ...     for _ in range(5):
    ...         weight.grad = torch.ones(3)
    ...         optimizer.step()
    >>> round(meter.sizes()["0"].rms.value, 4)
    1.0
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        groups: Iterable[str] | None = None,
        sample: int | None = 16384,
        seed: int = 0,
        block: int = 64,
        decoupled: bool | None = None,
    ) -> None:
        self.optimizer = unwrapped(optimizer)
        self.sample = None if sample is None else whole("sample", sample)
        block = whole("block", block)
        self.seed, self.decoupled = seed, decoupled
        modules = modules_of(self.optimizer)
        self.groups = list(dict.fromkeys(modules if groups is None else groups))
        for name in self.groups:
            require(name in modules, "groups", name, f"names of parameter groups: {', '.join(modules)}")
        parameters = [p for module in modules.values() for p in module]
        are_real = not any(p.is_complex() for p in parameters)
        require(are_real, "optimizer", "complex parameters", "real parameters")
        refuse_shards("optimizer", parameters)
        for group in self.optimizer.param_groups:
            self._is_decoupled(group)
        self._logs = {name: UpdateLog(block) for name in self.groups}
        self._drawn: dict[Tensor, Tensor | slice] = {}
        self._before: dict[str, list[tuple[Tensor, Tensor, Group]]] = {}
        self._hooks = [
            self.optimizer.register_step_pre_hook(self._keep),
            self.optimizer.register_step_post_hook(self._measure),
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop measuring; what was measured stays."""
        for hook in self._hooks:
            hook.remove()
        self._before = {}

    def sizes(self) -> dict[str, UpdateSize]:
        """Return what was measured so far, by group name."""
        return {name: log.size(name) for name, log in self._logs.items()}

    def _values(self, p: Tensor, tensor: Tensor) -> Tensor:
        """Return the coordinates of `tensor` that are looked at for parameter p, as a new float tensor."""
        if p not in self._drawn:
            self._drawn[p] = self._draw(p)
        flat = tensor.detach().to_dense().reshape(-1)[self._drawn[p]]
        return flat.to(torch.promote_types(flat.dtype, torch.float32), copy=True)

    def _draw(self, p: Tensor) -> Tensor | slice:
        if self.sample is None or p.numel() <= self.sample:
            return slice(None)
        generator = torch.Generator("cpu").manual_seed(self.seed + 1_000_003 * len(self._drawn))
        drawn = torch.randint(p.numel(), (self.sample,), generator=generator, device="cpu")
        unique: Tensor = torch.unique(drawn)
        return unique.to(p.device)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    @torch.no_grad()
    def _keep(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._before = {
            name: [(p, self._values(p, p), g) for g in groups for p in g["params"] if p.numel()]
            for name, groups in named_groups(optimizer).items()
            if name in self._logs
        }

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    @torch.no_grad()
    def _measure(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        for name, kept in self._before.items():
            if any(p.grad is not None for p, _, _ in kept):
                # A fused step leaves it to the kernel whether to skip what a GradScaler found to be infinite.
                self._logs[name].add([self._one(*one) for one in kept], getattr(optimizer, "found_inf", None))
        self._before = {}

    def _one(self, p: Tensor, old: Tensor, group: Group) -> tuple[Tensor, Tensor, float]:
        """Return the update (NaN at rate 0), the gradient, and how many coordinates an entry stands for."""
        update = (old - self._values(p, p)) / group["lr"]
        if p.grad is not None and self._is_decoupled(group):
            update -= group["weight_decay"] * old
        gradient = torch.zeros_like(old) if p.grad is None else self._values(p, p.grad).to(update.dtype)
        return update, gradient, p.numel() / old.numel()

    def _is_decoupled(self, group: Group) -> bool:
        """Return whether there is weight decay to take out."""
        if not group.get("weight_decay"):
            return False
        if self.decoupled is not None:
            return self.decoupled
        if "decoupled_weight_decay" in group:
            return bool(group["decoupled_weight_decay"])
        optimizer = self.optimizer
        if isinstance(optimizer, CombinedOptimizer):
            optimizer = optimizer.optimizers[group["algorithm"]]
        allowed = f"True or False for {type(optimizer).__name__} with weight decay"
        require(isinstance(optimizer, _COUPLED + _DECOUPLED), "decoupled", None, allowed)
        return isinstance(optimizer, _DECOUPLED)
