"""A run: model, optimizer, schedules and data position, what a step does to them, and how they are saved."""

from __future__ import annotations

import errno
import math
import time
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from experiments.corpora import Batch, open_data
from experiments.recipes.model_size import model_size
from experiments.recipes.settings import Recipe
from experiments.training.batch_gradient import BatchGradient
from experiments.training.checkpoints import checkpoint_name, load_latest, save_checkpoint, tensors_digest
from experiments.training.devices import Devices
from experiments.training.evaluation import evaluate
from experiments.training.execution import Execution, utilisation
from experiments.training.frequency import Tenths
from experiments.training.models import build_model
from experiments.training.optimization import build_optimization, clip_gradients
from experiments.training.records import append_metric, read_tokens
from experiments.training.reporting import Reporter
from experiments.training.sharpness import preconditioned_sharpness
from gradpower.tools.errors import require


class Run:
    """A run in its folder, claimed by the caller, at the step of its newest whole checkpoint, or at the start."""

    def __init__(self, recipe: Recipe, folder: Path, execution: Execution, reporter: Reporter) -> None:
        self.recipe, self.folder, self.execution, self.reporter = recipe, folder, execution, reporter
        self.devices = Devices(recipe, execution, folder)
        self.is_main = self.devices.is_main
        for name, usual in (("added_noise", None), ("moments", "batch")):
            value = getattr(recipe.optimizer, name)
            alone = value == usual or self.devices.ranks == 1
            require(alone, f"optimizer.{name}", value, f"{usual or 'none'} on several ranks")
        self.rows = execution.rows_at_a_time(recipe.training.batch_size, self.devices.ranks)
        self.devices.require_memory(recipe, self.rows)
        training = recipe.training
        self.data = open_data(
            recipe.data,
            seed=training.seed,
            sequences=training.steps * training.batch_size,
            vocabulary=recipe.model.vocabulary,
            cache=execution.cache,
            tokens=read_tokens(folder),
            rank=self.devices.rank,
            ranks=self.devices.ranks,
            progress=reporter.prepare,
        )
        self.tenths = Tenths(self.data.validation.targets, recipe.model.vocabulary)
        model = build_model(recipe.model, seed=training.seed, length=recipe.data.sequence_length)
        self.initial_digest = tensors_digest(model.state_dict()) if self.is_main else ""
        self.model = self.devices.place(model, compiled=execution.compile)
        self.optimization = build_optimization(recipe, self.devices.unwrapped(self.model))
        self.gradient = BatchGradient(recipe, self.model, self.optimization, self.devices, self.rows)
        self.model.train()
        self.step, self.seconds = 0, 0.0
        self.evaluations: list[dict[str, Any]] = []
        self.module_scales: dict[str, float] | None = None
        self._saved_step, self._save_seconds = -1, 0.0
        self._snapshot_steps = {max(1, round(share * training.steps)) for share in execution.snapshots}
        self._new_window()
        self._restore()
        self._clock = self._saved = time.monotonic()
        size = model_size(recipe.model).total
        reporter.note(
            f"{recipe.name}: {size / 1e6:.3g}M parameters, {recipe.tokens / 1e6:.3g}M tokens in "
            f"{training.steps} steps, on {self.devices.hardware}; {recipe.optimizer.algorithm} at p = "
            f"{recipe.optimizer.power:g}, learning rate {recipe.optimizer.learning_rate:g}; in {folder}"
        )

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # With an exception in flight the other ranks may never come to where this one would wait for them.
        self.devices.close(wait=kind is None)

    def train_step(self) -> None:
        """One optimizer step: gradients of all micro-batches on all ranks, clipping, power and update."""
        loss = self.gradient.make(self.data.next_batch(self.recipe.training.batch_size), self.step)
        norm = clip_gradients(self.model, self.optimization.clip_norm)
        group = self.optimization.optimizer.param_groups[0]
        # Both are moved on by the step that they are for.
        self._window_rate, self._window_power = float(group["lr"]), float(group["power"])
        self.optimization.step()
        self.optimization.optimizer.zero_grad()
        self.step += 1
        if self.optimization.scaling_due(self.step):
            self.module_scales = self.optimization.scale_modules()
        self._window_loss += loss
        self._window_norm = norm
        self._window_steps += 1

    def window(self) -> dict[str, Any]:
        """Return the line of metrics of the steps since the last one: mean loss; norm, rate, power of the last."""
        loss = self.devices.total(float(self._window_loss)) / self._window_steps
        now = time.monotonic()
        timed = self._window_steps - self._window_untimed
        speed = timed * self.recipe.tokens_per_step / (now - self._window_start)
        row = {
            "step": self.step,
            "tokens": self.step * self.recipe.tokens_per_step,
            "loss": loss,
            "gradient_norm": float(self._window_norm),
            "learning_rate": self._window_rate,
            "power": self._window_power,
            "tokens_per_second": speed,
            "mfu": self.mfu(speed),
        }
        self._new_window()
        return row

    def _new_window(self) -> None:
        self._window_loss = torch.zeros((), device=self.devices.device)
        self._window_norm = torch.zeros(())
        self._window_rate = self._window_power = math.nan
        self._window_steps, self._window_untimed, self._window_start = 0, 0, time.monotonic()

    def evaluate(self) -> dict[str, Any]:
        """Return the line of metrics of an evaluation on the whole validation set."""
        begun = time.monotonic()
        row = {"step": self.step, **evaluate(self.model, self.data, self.tenths, self.devices, self.rows)}
        row["update_rms"] = self.optimization.update_rms()
        if self.optimization.mols_step is not None:
            row["squared_snr"] = self.optimization.squared_snrs()
        if self.execution.sharpness:
            validation = self.data.validation
            row["sharpness"] = preconditioned_sharpness(
                self.devices.unwrapped(self.model),
                self.devices.moved(Batch(validation.inputs[:64], validation.targets[:64])),
                self.optimization.optimizer,
            )
        self.evaluations.append(row)
        # The clock of the training speed stands still meanwhile.
        self._window_start += time.monotonic() - begun
        return row

    def log(self, row: dict[str, Any]) -> None:
        """Keep a line of metrics, and tell reporter and trackers."""
        if self.is_main:
            append_metric(self.folder, row)
            self.reporter.row(self.step, self.recipe.training.steps, row)
        numbers = {k: v for k, v in row.items() if isinstance(v, int | float)}
        self.devices.accelerator.log(numbers, step=self.step)

    def save_if_due(self) -> None:
        """Save a checkpoint if it is time to."""
        every = self.execution.checkpoint_steps
        # What a kill may cost, and what saving does.
        patience = max(60 * self.execution.checkpoint_minutes, 20 * self._save_seconds)
        due = time.monotonic() - self._saved > patience
        if self.devices.agree("due" if due or (every and self.step % every == 0) else None):
            self.save()

    def save(self) -> None:
        """Save a checkpoint of this moment, unless there is one; OSError on every rank if it cannot be written."""
        if self.step == self._saved_step:
            return
        begun = time.monotonic()
        # Weights first: where an evaluation has left sharded ones whole, this shards them again.
        model = self.devices.full_weights(self.model)
        state: dict[str, Any] = {
            "fingerprint": self.recipe.fingerprint,
            "data_fingerprint": self.data.fingerprint,
            "initial_digest": self.initial_digest,
            "data": self.devices.everyones(self.data.state()),
            "rows": self.rows,
            "seconds": self.elapsed(),
            "window": self.devices.everyones([float(self._window_loss), self._window_steps]),
            "evaluations": self.evaluations,
            "module_scales": self.module_scales,
            "generator": torch.get_rng_state(),
            "optimization": self.devices.full_optimization(self.model, self.optimization),
        }
        self._write("checkpoints", model, state)
        self._saved, self._saved_step = time.monotonic(), self.step
        self._save_seconds = self._saved - begun

    def save_snapshot(self) -> None:
        """Keep the weights of this moment, if they are to be kept; OSError as from `save`."""
        if self.step in self._snapshot_steps:
            model = self.devices.full_weights(self.model)
            self._write("snapshots", model, {"fingerprint": self.recipe.fingerprint})

    def _write(
        self, kind: Literal["checkpoints", "snapshots"], model: dict[str, Tensor], state: dict[str, Any]
    ) -> None:
        failure: OSError | None = None
        if self.is_main:
            try:
                keep_all = kind == "snapshots"
                save_checkpoint(self.folder / kind, self.step, model, state, keep_all=keep_all)
            except OSError as error:
                failure = error
        # The other ranks would wait for ever for one that has left.
        reason = self.devices.agree(str(failure) if failure else None)
        if failure is not None or reason is not None:
            raise failure or OSError(errno.EIO, reason)

    def _restore(self) -> None:
        latest, complaints = load_latest(self.folder / "checkpoints")
        for complaint in complaints:
            self.reporter.note(f"passed over a damaged checkpoint: {complaint}")
        if latest is None:
            return
        step, model, state = latest
        self._require_own(self.folder / "checkpoints" / checkpoint_name(step), state)
        if state["rows"] != self.rows or len(state["data"]) != self.devices.ranks:
            self.reporter.note("other micro-batches or ranks than before: equal up to rounding from here on")
        self.data.restore(state["data"][self.devices.rank % len(state["data"])])
        self.devices.load_full_state(self.model, self.optimization, model, state["optimization"])
        torch.set_rng_state(state["generator"])
        loss, steps = state["window"][self.devices.rank % len(state["window"])]
        if len(state["window"]) == self.devices.ranks:
            self._window_loss += loss
            self._window_steps = self._window_untimed = steps
        self.step = self._saved_step = step
        self.seconds = state["seconds"]
        self.evaluations, self.module_scales = state["evaluations"], state["module_scales"]
        self.initial_digest = state["initial_digest"]
        self.reporter.note(f"going on after step {step}")

    def _require_own(self, where: Path, state: dict[str, Any]) -> None:
        """Raise InputError if a checkpoint is of another recipe, text or, where streams are cut by them, ranks."""
        recipe, ranks, saved = self.recipe, self.devices.ranks, len(state["data"])
        allowed = f"a checkpoint of this recipe ({recipe.fingerprint})"
        require(state["fingerprint"] == recipe.fingerprint, "output", where, allowed)
        allowed = "a checkpoint on the same data: the text has changed since"
        require(state["data_fingerprint"] == self.data.fingerprint, "output", where, allowed)
        allowed = f"as many ranks as it was saved with, {saved}: streams are cut by ranks"
        require(saved == ranks or not recipe.data.streamed, "ranks", ranks, allowed)

    def elapsed(self) -> float:
        """Return the seconds of training so far, those before an interruption included."""
        now = time.monotonic()
        self.seconds, self._clock = self.seconds + now - self._clock, now
        return self.seconds

    def mfu(self, tokens_per_second: float) -> float | None:
        """Return the share of the device's peak operations; None where that is not known."""
        return utilisation(self.recipe, self.devices.hardware, self.devices.ranks, tokens_per_second)
