"""Not run by the tests: needs DeepSpeed (written for 0.19) and a GPU; `deepspeed deepspeed_zero.py`.

The hook is the argument `optimizer` of `deepspeed.initialize`: ZeRO steps it on its own shards, after its reduction,
unscaling and clipping.
"""

import deepspeed
import torch
from torch import nn

from gradpower import AdamWPower

config = {
    "train_micro_batch_size_per_gpu": 32,
    "gradient_accumulation_steps": 4,
    "gradient_clipping": 1.0,
    "bf16": {"enabled": True},
    "zero_optimization": {"stage": 2},
    # ZeRO knows torch's AdamW by its type; a subclass needs this.
    "zero_allow_untested_optimizer": True,
}
torch.manual_seed(0)
model = nn.Sequential(nn.Embedding(64, 32), nn.Linear(32, 64))
optimizer = AdamWPower(model.parameters(), lr=2e-2, betas=(0.9, 0.95), weight_decay=0.1, power=1.2)
engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)

losses = []
for _ in range(240):
    token = torch.randint(64, (32,), device=engine.device)
    loss = nn.functional.cross_entropy(engine(token).float(), (3 * token + 1) % 64)
    engine.backward(loss)
    engine.step()
    losses.append(loss.item())

print(type(optimizer).__name__, optimizer.param_groups[0]["power"], "loss", losses[0], "to", losses[-1])
