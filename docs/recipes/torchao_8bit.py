"""The 8-bit AdamW of torchao with a power: `powered` makes the class from any optimizer class."""

import torch
from torch import nn
from torchao.optim import AdamW8bit

from gradpower import powered

torch.manual_seed(0)
# torchao keeps moments in 8 bits where a parameter has 4096 entries or more, and compiles its first step: be patient.
model = nn.Sequential(nn.Embedding(64, 64), nn.Linear(64, 64))
AdamW8bitPower = powered(AdamW8bit)
optimizer = AdamW8bitPower(model.parameters(), lr=2e-2, betas=(0.9, 0.95), weight_decay=0.1, power=1.2)

losses = []
for _ in range(40):
    token = torch.randint(64, (32,))
    loss = nn.functional.cross_entropy(model(token), (3 * token + 1) % 64)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())

print(type(optimizer).__name__, optimizer.param_groups[0]["power"], "loss", losses[0], "to", losses[-1])
