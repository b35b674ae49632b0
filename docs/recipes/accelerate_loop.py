"""accelerate: gradients accumulated and clipped by it, and a power that decreases to 1 over the optimizer's steps."""

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

from gradpower import AdamWPower, linear_power

EPOCHS = 10
accelerator = Accelerator(gradient_accumulation_steps=4, cpu=True)
torch.manual_seed(0)
model = nn.Sequential(nn.Embedding(64, 32), nn.Linear(32, 64))
optimizer = AdamWPower(model.parameters(), lr=2e-2, betas=(0.9, 0.95), weight_decay=0.1, power=1.4)
data = DataLoader(torch.arange(64).repeat(8), batch_size=32, shuffle=True)
# It counts the steps that the optimizer takes, a quarter of the batches, so it needs no `step()` of its own.
schedule = linear_power(optimizer, end=1.0, steps=EPOCHS * len(data) // 4)
model, optimizer, data = accelerator.prepare(model, optimizer, data)

losses = []
for _ in range(EPOCHS):
    for token in data:
        with accelerator.accumulate(model):
            loss = nn.functional.cross_entropy(model(token), (3 * token + 1) % 64)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)  # clips the raw gradients
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())

optimizer = optimizer.optimizer
print(type(optimizer).__name__, optimizer.param_groups[0]["power"], "loss", losses[0], "to", losses[-1])
