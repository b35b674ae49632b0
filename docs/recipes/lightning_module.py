"""Lightning: `configure_optimizers` returns the optimizer, and the rest of the module stays as it is."""

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gradpower import AdamWPower


class NextToken(lightning.LightningModule):
    """Predict 3x + 1 from x."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Embedding(64, 32), nn.Linear(32, 64))
        self.losses: list[float] = []

    def training_step(self, token: Tensor, _: int) -> Tensor:
        """Return the loss of a batch."""
        loss = nn.functional.cross_entropy(self.model(token), (3 * token + 1) % 64)
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> AdamWPower:
        """Return the optimizer; Lightning saves and loads its power with its state."""
        return AdamWPower(self.parameters(), lr=2e-2, betas=(0.9, 0.95), weight_decay=0.1, power=1.2)


torch.manual_seed(0)
module = NextToken()
data = DataLoader(torch.arange(64).repeat(8), batch_size=32, shuffle=True)
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
# The raw gradients are clipped, before the power.
trainer = lightning.Trainer(accelerator="cpu", max_epochs=4, gradient_clip_val=1.0, **quiet)
trainer.fit(module, data)

(optimizer,), losses = trainer.optimizers, module.losses
print(type(optimizer).__name__, optimizer.param_groups[0]["power"], "loss", losses[0], "to", losses[-1])
