"""Powered optimizers in the transformers Trainer, in accelerate and under mixed precision, on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR

from gradpower import AdamWPower, clip_then_power, linear_power
from gradpower.optimizers.muon import MuonAdamWPower
from gradpower.optimizers.muon_groups import muon_groups

pytestmark = pytest.mark.slow

transformers = pytest.importorskip("transformers", reason="needs the transformers Trainer")
accelerate = pytest.importorskip("accelerate", reason="needs accelerate")
datasets = pytest.importorskip("datasets", reason="needs datasets")

VOCABULARY, LENGTH, STEPS = 128, 12, 20
ADAMW: dict[str, Any] = {"lr": 3e-3, "betas": (0.9, 0.95), "weight_decay": 0.1}
Make = Callable[[nn.Module, float], Optimizer]
MAKES: dict[str, Make] = {
    "AdamWPower": lambda model, power: AdamWPower(model.parameters(), power=power, **ADAMW),
    "AdamWPower fused": lambda model, power: AdamWPower(model.parameters(), power=power, fused=True, **ADAMW),
    "MuonAdamWPower": lambda model, power: MuonAdamWPower(muon_groups(model), lr=3e-3, power=power),
}


def tiny_llama() -> nn.Module:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=LENGTH, **sizes)
    return transformers.LlamaForCausalLM(config)


def sequences(count: int = 80) -> Tensor:
    """Return sequences in which every token tells the next, x → 3x + 1 (mod the vocabulary)."""
    rows = [torch.randint(VOCABULARY, (count,), generator=torch.Generator().manual_seed(1))]
    for _ in range(LENGTH - 1):
        rows.append((3 * rows[-1] + 1) % VOCABULARY)
    return torch.stack(rows, dim=1)


@pytest.fixture(autouse=True)
def fresh_process() -> Iterator[None]:
    """Precision and devices are kept by accelerate for the whole process; one thread is faster for small models."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    yield
    torch.set_num_threads(threads)
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)


def trainer_of(model: nn.Module, folder: Path, **options: Any) -> Any:
    settings: dict[str, Any] = {
        "max_steps": STEPS,
        "per_device_train_batch_size": 4,
        "logging_steps": 1,
        "save_steps": 10,
        "learning_rate": 3e-3,
        "seed": 7,
        **options.pop("settings", {}),
    }
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **settings,
    )
    ids = sequences().tolist()
    data = datasets.Dataset.from_dict({"input_ids": ids, "labels": ids})
    return transformers.Trainer(model, arguments, train_dataset=data, **options)


def losses(trainer: Any) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def gradient_norms(trainer: Any) -> list[float]:
    """Return the norms that the Trainer logs; unlike its losses they are not rounded."""
    return [entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry]


def assert_same_run(resumed: Any, unbroken: Any) -> None:
    assert len(losses(unbroken)) == len(gradient_norms(unbroken)) == STEPS
    assert losses(resumed) == losses(unbroken)
    assert gradient_norms(resumed) == gradient_norms(unbroken)
    pairs = zip(resumed.model.parameters(), unbroken.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def powers(optimizer: Any) -> list[float]:
    return [group["power"] for group in optimizer.param_groups]


@pytest.mark.parametrize("name", MAKES)
def test_trainer_with_optimizer_and_scheduler_resumes_bit_for_bit(name: str, tmp_path: Path) -> None:
    def prepared(power: float) -> Any:
        model = tiny_llama()
        optimizer = MAKES[name](model, power)
        schedule = transformers.get_cosine_schedule_with_warmup(optimizer, 2, STEPS)
        return trainer_of(model, tmp_path, optimizers=(optimizer, schedule))

    unbroken = prepared(1.2)
    unbroken.train()
    assert losses(unbroken)[-1] < losses(unbroken)[0] - 0.3
    saved = torch.load(tmp_path / "checkpoint-10" / "optimizer.pt", weights_only=True)
    assert {group["power"] for group in saved["param_groups"]} == {1.2}
    resumed = prepared(2.0)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-10"))
    assert set(powers(resumed.optimizer)) == {1.2}
    assert_same_run(resumed, unbroken)
    other = prepared(1.0)
    other.train()
    assert losses(other) != losses(unbroken)


def test_trainer_that_makes_the_optimizer_itself(tmp_path: Path) -> None:
    def prepared(power: float) -> Any:
        options = {**ADAMW, "power": power, "clip": clip_then_power(0.5)}
        return trainer_of(
            tiny_llama(),
            tmp_path,
            optimizer_cls_and_kwargs=(AdamWPower, options),
            settings={"max_grad_norm": 0.0},
        )

    unbroken = prepared(1.2)
    unbroken.train()
    assert isinstance(unbroken.optimizer.optimizer, AdamWPower)
    assert losses(unbroken)[-1] < losses(unbroken)[0]
    # transformers keeps weight decay from norms and biases: two groups.
    assert powers(unbroken.optimizer) == [1.2, 1.2]
    assert [group["weight_decay"] for group in unbroken.optimizer.param_groups] == [
        unbroken.args.weight_decay,
        0.0,
    ]
    resumed = prepared(1.7)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-10"))
    assert powers(resumed.optimizer) == [1.2, 1.2]
    # The norm is not logged where the Trainer clips nothing.
    assert losses(resumed) == losses(unbroken)
    for a, b in zip(resumed.model.parameters(), unbroken.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_trainer_in_bfloat16(tmp_path: Path) -> None:
    trainer = trainer_of(
        tiny_llama(),
        tmp_path,
        optimizer_cls_and_kwargs=(AdamWPower, {**ADAMW, "power": 1.2}),
        settings={"bf16": True, "save_strategy": "no"},
    )
    trainer.train()
    assert losses(trainer)[-1] < losses(trainer)[0] - 0.3
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


def accelerated(folder: Path, *, power: float, resume: bool, save: bool = False) -> list[float]:
    """Return the losses of 20 steps of two pieces each, or of the last 10 after loading the state."""
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = tiny_llama()
    optimizer = AdamWPower(model.parameters(), power=power, **ADAMW)
    power_schedule = linear_power(optimizer, 1.0, STEPS)
    model, optimizer, scheduler = accelerator.prepare(model, optimizer, CosineAnnealingLR(optimizer, STEPS))
    accelerator.register_for_checkpointing(power_schedule)
    if resume:
        accelerator.load_state(str(folder))
    seen = []
    for step in range(10 if resume else 0, STEPS):
        for ids in sequences()[4 * step : 4 * step + 4].chunk(2):
            with accelerator.accumulate(model):
                loss = model(input_ids=ids, labels=ids).loss
                seen.append(float(loss.detach()))
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
        if save and step == 9:
            accelerator.save_state(str(folder))
    assert powers(optimizer) == [pytest.approx(1.0)]
    return seen


def by_hand() -> list[float]:
    """Return the losses of the same run in torch alone."""
    model = tiny_llama()
    optimizer = AdamWPower(model.parameters(), power=1.4, **ADAMW)
    linear_power(optimizer, 1.0, STEPS)
    scheduler, seen = CosineAnnealingLR(optimizer, STEPS), []
    for step in range(STEPS):
        for ids in sequences()[4 * step : 4 * step + 4].chunk(2):
            loss = model(input_ids=ids, labels=ids).loss
            seen.append(float(loss.detach()))
            (loss / 2).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    return seen


def test_accelerate_accumulates_clips_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    unbroken = accelerated(tmp_path / "state", power=1.4, resume=False, save=True)
    assert len(unbroken) == 2 * STEPS
    assert unbroken == by_hand()
    assert accelerated(tmp_path / "state", power=1.4, resume=True) == unbroken[20:]
    # The powers come from the checkpoint, not from the constructor.
    assert accelerated(tmp_path / "state", power=1.9, resume=True) == unbroken[20:]
