"""Devices, precision and ranks through accelerate; one process, DDP and FSDP look alike from here on."""

import atexit
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, gather_object
from torch import Tensor, nn

from experiments.corpora import Batch
from experiments.recipes.model_size import least_bytes
from experiments.recipes.settings import Recipe
from experiments.training.execution import Execution
from experiments.training.optimization import Optimization
from gradpower.tools.errors import require

TRACKERS = ("tensorboard", "wandb", "trackio")


class Devices:
    """Where a run takes place; `accelerate launch` and torchrun start a process a rank, and set what is read here.

    Raises InputError if a tracker is unknown or not installed, or there is nothing to shard over, or Muon to shard.
    """

    def __init__(self, recipe: Recipe, execution: Execution, folder: Path) -> None:
        if execution.threads is not None:
            torch.set_num_threads(execution.threads)
        if execution.device.startswith("cuda:"):
            torch.cuda.set_device(int(execution.device.partition(":")[2]))
        # Earlier runs of this process may have had another precision or device.
        AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
        self.accelerator = Accelerator(
            cpu=execution.device == "cpu" or not torch.cuda.is_available(),
            mixed_precision="bf16" if recipe.training.precision == "bfloat16" else "no",
            log_with=_trackers(execution.trackers) or None,
            project_dir=str(folder),
        )
        self.device: torch.device = self.accelerator.device
        self.rank, self.ranks = self.accelerator.process_index, self.accelerator.num_processes
        self.is_main = self.accelerator.is_main_process
        # `accelerate launch --use_fsdp` asks for it as well; accelerate itself shards on accelerators only.
        self.sharded = execution.shard or self.accelerator.distributed_type == DistributedType.FSDP
        allowed = "two or more ranks (torchrun or accelerate launch)"
        require(self.ranks > 1 or not execution.shard, "shard", True, allowed)
        settings = recipe.optimizer
        allowed = "optimizer.module_rates other than mols: it measures whole modules"
        require(not self.sharded or settings.module_rates != "mols", "shard", True, allowed)
        allowed = "optimizer.algorithm adamw: Muon needs whole matrices"
        require(not self.sharded or settings.algorithm != "muon", "shard", True, allowed)
        if execution.trackers:
            config = {"name": recipe.name, "fingerprint": recipe.fingerprint}
            self.accelerator.init_trackers("gradpower", config=config)

    def require_memory(self, recipe: Recipe, rows: int) -> None:
        """Raise InputError if a step with so many sequences at a time cannot fit, before anything is allocated."""
        if self.device.type == "cuda":
            memory = torch.cuda.get_device_properties(self.device).total_memory
        else:
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        sharing = self.ranks if self.sharded else 1
        needed = least_bytes(recipe.model, rows * recipe.data.sequence_length, sharing)
        allowed = (
            f"at most {memory / 1e9:.3g} GB, the memory of {self.device}: a smaller model or micro_batch_size"
        )
        require(needed <= memory, "model", f"a step of at least {needed / 1e9:.3g} GB", allowed)

    def description(self, precision: str) -> dict[str, str | int]:
        """Return what the result says of the machine."""
        return {
            "device": str(self.device),
            "name": self.hardware,
            "ranks": self.ranks,
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
            "precision": precision,
        }

    @property
    def hardware(self) -> str:
        """Name of the device."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"

    def place(self, model: nn.Module, *, compiled: bool) -> nn.Module:
        """Move the model to the device, and wrap it for DDP or shard it (FSDP2, by transformer block)."""
        if compiled:
            model.compile()
        if not self.sharded:
            return cast(nn.Module, self.accelerator.prepare(model))
        from torch.distributed.fsdp import fully_shard

        model.to(self.device)
        for block in cast(Any, model).model.layers:
            fully_shard(block)
        return cast(nn.Module, fully_shard(model))

    def unwrapped(self, model: nn.Module) -> nn.Module:
        """Return the model without what DDP puts around it."""
        return cast(nn.Module, getattr(model, "module", model))

    def moved(self, batch: Batch) -> Batch:
        """Return the batch on the device."""
        if self.device.type == "cpu":
            return batch
        inputs, targets = (
            t.pin_memory().to(self.device, non_blocking=True) for t in (batch.inputs, batch.targets)
        )
        return Batch(inputs, targets)

    @contextmanager
    def accumulating(self, model: nn.Module, *, last: bool) -> Iterator[None]:
        """Run a micro-batch in the recipe's precision; gradients stay on their ranks until the last one of a step."""
        with self.accelerator.autocast():
            if self.sharded:
                cast(Any, model).set_requires_gradient_sync(last)
                yield
            elif last or self.ranks == 1:
                yield
            else:
                with self.accelerator.no_sync(model):
                    yield

    def total(self, value: float) -> float:
        """Return the sum of a number over all ranks."""
        if self.ranks == 1:
            return value
        return float(self.summed(torch.tensor(value, dtype=torch.float64, device=self.device)))

    def summed(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over all ranks."""
        return cast(Tensor, self.accelerator.reduce(tensor, "sum"))

    def gathered(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all ranks, one after the other."""
        return cast(Tensor, self.accelerator.gather(tensor))

    def everyones(self, value: Any) -> list[Any]:
        """Return the plain data of every rank, on every rank."""
        return list(gather_object([value]))

    def agree(self, reason: str | None) -> str | None:
        """Return the first reason that a rank has, on every rank."""
        if self.ranks == 1:
            return reason
        if self.total(float(reason is not None)) == 0:
            return None
        return next(str(r) for r in self.everyones(reason) if r is not None)

    def full_weights(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the weights, whole, as the main rank is to save them."""
        if not self.sharded:
            return self.unwrapped(model).state_dict()
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        return cast(dict[str, Tensor], get_model_state_dict(model, options=options))

    def full_optimization(self, model: nn.Module, optimization: Optimization) -> dict[str, Any]:
        """Return the state of the optimization, whole, as the main rank is to save it."""
        state = optimization.state_dict()
        if self.sharded:
            from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

            options = StateDictOptions(full_state_dict=True, cpu_offload=True)
            state["optimizer"] = get_optimizer_state_dict(model, optimization.optimizer, options=options)
        return state

    def load_full_state(
        self, model: nn.Module, optimization: Optimization, weights: dict[str, Tensor], state: dict[str, Any]
    ) -> None:
        """Take over what `full_weights` and `full_optimization` gave."""
        if not self.sharded:
            self.unwrapped(model).load_state_dict(weights)
            optimization.load_state_dict(state)
            return
        from torch.distributed.checkpoint.state_dict import StateDictOptions, set_state_dict

        set_state_dict(
            model,
            optimization.optimizer,
            model_state_dict=cast(Any, weights),
            optim_state_dict=state["optimizer"],
            options=StateDictOptions(full_state_dict=True),
        )
        optimization.learning_rate.load_state_dict(state["learning_rate"])
        optimization.power.load_state_dict(state["power"])

    def close(self, *, wait: bool) -> None:
        """Close trackers, and wait for the other ranks; the process group stays for the next run of this process."""
        for tracker in self.accelerator.trackers:
            tracker.finish()
        if wait and "RANK" in os.environ and torch.distributed.is_initialized():
            self.accelerator.wait_for_everyone()
            # Its threads, left to the interpreter's end, now and then abort the process there.
            atexit.unregister(_leave)
            atexit.register(_leave)


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _trackers(names: tuple[str, ...]) -> list[str]:
    from accelerate.tracking import get_available_trackers

    available = [str(name) for name in get_available_trackers()]
    for name in names:
        require(name in TRACKERS, "trackers", name, f"one of {', '.join(TRACKERS)}")
        require(name in available, "trackers", name, f"an installed tracker: pip install {name}")
    return list(names)
