"""A loop by hand, as in nanoGPT: gradient accumulation, clipping, a cosine rate, and a checkpoint to resume from."""

import math
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn

from gradpower import AdamWPower

STEPS, MICRO_BATCHES, PEAK = 60, 4, 2e-2
checkpoint = Path(*sys.argv[1:] or [tempfile.mkdtemp()]) / "checkpoint.pt"
torch.manual_seed(0)
model = nn.Sequential(nn.Embedding(64, 32), nn.Linear(32, 64))
optimizer = AdamWPower(model.parameters(), PEAK, (0.9, 0.95), weight_decay=0.1, power=1.2, fused=True)
start, losses = 0, []
if checkpoint.exists():
    start, weights, state = torch.load(checkpoint)
    model.load_state_dict(weights)
    optimizer.load_state_dict(state)  # with its power

for step in range(start, STEPS):
    if step == 40:
        torch.save([step, model.state_dict(), optimizer.state_dict()], checkpoint)
    torch.manual_seed(step)  # a step has the same data in a resumed run
    for group in optimizer.param_groups:
        group["lr"] = PEAK * (0.55 + 0.45 * math.cos(math.pi * step / STEPS))
    for _ in range(MICRO_BATCHES):
        token = torch.randint(64, (32,))
        loss = nn.functional.cross_entropy(model(token), (3 * token + 1) % 64)
        (loss / MICRO_BATCHES).backward()  # raw gradients add up: the power is applied once, to their sum
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # the norm of the raw gradients
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())

print(type(optimizer).__name__, optimizer.param_groups[0]["power"], "loss", losses[0], "to", losses[-1])
