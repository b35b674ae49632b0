"""The Trainer of transformers: it makes the optimizer, its schedule of the rate and its checkpoints by itself."""

import tempfile

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from gradpower import AdamWPower

torch.manual_seed(0)
sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
model = LlamaForCausalLM(LlamaConfig(vocab_size=64, max_position_embeddings=16, **sizes))
rows = [(torch.arange(16) * 3 + shift) % 64 for shift in range(64)]

arguments = TrainingArguments(
    output_dir=tempfile.mkdtemp(),
    max_steps=40,
    per_device_train_batch_size=8,
    gradient_accumulation_steps=2,
    weight_decay=0.1,  # here: the Trainer puts it into the groups, and one below would be ignored
    max_grad_norm=1.0,  # clips the raw gradients, before the power
    lr_scheduler_type="cosine",
    warmup_steps=4,
    logging_steps=1,
    report_to="none",
    use_cpu=True,
)
trainer = Trainer(
    model,
    arguments,
    train_dataset=[{"input_ids": row, "labels": row} for row in rows],
    # The rate and the betas too: those of TrainingArguments are for the Trainer's own optimizers.
    optimizer_cls_and_kwargs=(AdamWPower, {"power": 1.2, "lr": 1e-2, "betas": (0.9, 0.95)}),
)
trainer.train()

optimizer = trainer.optimizer.optimizer
losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
print(type(optimizer).__name__, optimizer.param_groups[0]["power"], "loss", losses[0], "to", losses[-1])
