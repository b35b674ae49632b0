"""The gradient of a step's batch, over micro-batches and ranks, and what interventions change of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from experiments.corpora import IGNORED, Batch
from experiments.recipes.settings import Recipe
from experiments.training.added_noise import add_noise, add_own_noise
from experiments.training.devices import Devices
from experiments.training.losses import batch_loss
from experiments.training.optimization import Optimization, clip_gradients
from gradpower.optimizers.group_settings import transform_of
from theory.laws import parse_law


@dataclass(frozen=True)
class BatchGradient:
    """Makes the gradients of batches of a run."""

    recipe: Recipe
    model: nn.Module
    optimization: Optimization
    devices: Devices
    rows: int
    """Sequences that go through the model at a time."""

    def make(self, batch: Batch, step: int) -> Tensor:
        """Leave the gradient of the batch in the model, before clipping; return the mean loss, this rank's share."""
        settings = self.recipe.optimizer
        if settings.split_moments is None:
            return self._added(batch, step)
        form, size = settings.split_moments
        if form == "first":
            return self._added(Batch(*(rows[:size] for rows in batch)), step)
        return self._split(
            [Batch(*rows) for rows in zip(*(torch.split(rows, size) for rows in batch), strict=True)]
        )

    def _added(self, batch: Batch, step: int) -> Tensor:
        """Add up the gradients of the micro-batches, and what the recipe asks for besides."""
        targets = self.devices.total(float((batch.targets != IGNORED).sum()))
        batches = [
            self.devices.moved(Batch(*rows))
            for rows in zip(*(torch.split(rows, self._row_counts(len(rows))) for rows in batch), strict=True)
        ]
        load = self._expert_load(batches)
        total, sampled = torch.zeros((), device=self.devices.device), list[Tensor]()
        for index, part in enumerate(batches):
            with self.devices.accumulating(self.model, last=index == len(batches) - 1):
                total += self._backward(part, targets, load)
            if index == 0 and self.recipe.optimizer.own_noise:
                share = float((part.targets != IGNORED).sum()) / targets
                sampled = [p.grad / share for p in self.model.parameters() if p.grad is not None]
        self._add_noise(sampled, step)
        return total

    def _split(self, parts: list[Batch]) -> Tensor:
        """Leave the gradient of the first part, and let v take the mean of all parts' squares instead of its own.

        The others' excess goes into v beforehand: β2·(v + (1−β2)/β2·(mean − own)) + (1−β2)·own. The first step, before
        which there is no v, takes its own.
        """
        optimizer = self.optimization.optimizer
        squares, first, losses = list[list[Tensor]](), dict[nn.Parameter, Tensor](), []
        for part in parts:
            losses.append(self._added(part, 0))
            first = first or {p: p.grad.clone() for p in self.model.parameters() if p.grad is not None}
            clip_gradients(self.model, self.optimization.clip_norm)
            squares.append(_powered_squares(optimizer))
            optimizer.zero_grad()
        means = torch._foreach_div(squares[0], len(parts))
        for others in squares[1:]:
            torch._foreach_add_(means, others, alpha=1 / len(parts))
        _add_to_second_moment(optimizer, torch._foreach_sub(means, squares[0]))
        for parameter, gradient in first.items():
            parameter.grad = gradient
        return torch.stack(losses).mean()

    def _row_counts(self, rows: int) -> list[int]:
        """Return how many sequences go through the model at a time: by themselves, those whose noise is added."""
        own = self.recipe.optimizer.own_noise
        first = own[1] if own else 0
        whole, rest = divmod(rows - first, self.rows)
        return [*filter(None, [first, *[self.rows] * whole, rest])]

    def _add_noise(self, sampled: list[Tensor], step: int) -> None:
        """Add what the recipe asks for; `sampled` are the gradients of the sequences whose own noise it is."""
        settings, seed = self.recipe.optimizer, [self.recipe.training.seed, step]
        if settings.own_noise is not None:
            add_own_noise(self.model, sampled, settings.own_noise[0], settings.noise_level, seed)
        elif settings.added_noise is not None:
            add_noise(self.model, parse_law(settings.added_noise), settings.noise_level, seed)

    @torch.no_grad()
    def _expert_load(self, batches: list[Batch]) -> Tensor | None:
        """Return the expert load of the whole batch, where it is a mixture's and no micro-batch sees all of it."""
        needed = self.recipe.model.experts and self.recipe.model.balance_loss
        if not needed or len(batches) * self.devices.ranks == 1:
            return None
        with self.devices.accelerator.autocast():
            loads = [batch_loss(self.model, batch).expert_load for batch in batches]
        return self.devices.summed(torch.stack([load for load in loads if load is not None]).sum(0))

    def _backward(self, batch: Batch, targets: float, load: Tensor | None) -> Tensor:
        """Add a micro-batch's share of the gradient of the objective over all targets; return its share of the loss."""
        out = batch_loss(self.model, batch, load)
        # Ranks are averaged by DDP and FSDP, and here they are to be summed.
        objective = out.objective(targets, self.recipe.model.balance_loss)
        torch.autograd.backward(objective * self.devices.ranks)
        return (out.losses.sum() / targets).detach()


def _powered_squares(optimizer: Optimizer) -> list[Tensor]:
    """Return φ_p(g)² of every parameter, in the order of the groups."""
    squares: list[Tensor] = []
    for group in optimizer.param_groups:
        powered = transform_of(group).foreach([p.grad for p in group["params"]])
        squares += torch._foreach_mul(powered, powered)
    return squares


def _add_to_second_moment(optimizer: Optimizer, excess: tuple[Tensor, ...]) -> None:
    """Add to each v, where there is one, what the next step makes (1 − β2) times `excess` of."""
    parameters = [(p, group["betas"][1]) for group in optimizer.param_groups for p in group["params"]]
    for (parameter, beta2), more in zip(parameters, excess, strict=True):
        if parameter in optimizer.state:
            optimizer.state[parameter]["exp_avg_sq"].add_(more, alpha=(1 - beta2) / beta2)
